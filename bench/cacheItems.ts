/**
 * The data of the cache bench, and a cache over it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as CacheStore from "../src/cache/CacheStore.ts"
import * as QueryCache from "../src/cache/QueryCache.ts"
import * as Dependency from "../src/query/Dependency.ts"
import * as Mutation from "../src/query/Mutation.ts"
import * as Query from "../src/query/Query.ts"
import * as QueryExecutor from "../src/query/QueryExecutor.ts"

export const Items = Schema.Array(Schema.Struct({ id: Schema.Int, title: Schema.String, score: Schema.Finite }))

/** A result as a hook reads it: seven rows of three columns. */
export const items: typeof Items.Type = Array.from({ length: 7 }, (_, id) => ({
  id,
  title: `The title of memory number ${id}`,
  score: id / 7
}))

const Input = Schema.Struct({ projectId: Schema.Int })

export const query = Query.make({
  name: "bench.items",
  input: Input,
  result: Items,
  dependencies: ({ projectId }) => [Dependency.make("items", projectId)],
  run: () => Effect.succeed(items)
})

export const mutation = Mutation.make({
  name: "bench.change",
  input: Input,
  changes: ({ projectId }) => [Dependency.make("items", projectId)],
  run: () => Effect.void
})

/** The loader: a database that responds immediately, or as `answer` specifies. */
export const source = (answer: QueryExecutor.FakeResult = () => items): Layer.Layer<QueryExecutor.QueryExecutor> =>
  QueryExecutor.layerTest({ "bench.items": answer, "bench.change": () => undefined })

/** Owns the background work of the caches. */
const scope = Scope.makeUnsafe()

/** Builds a Layer for the duration of the bench. */
export const build = <A, E>(layer: Layer.Layer<A, E>): Promise<Context.Context<A>> =>
  Effect.runPromise(Layer.build(layer).pipe(Scope.provide(scope)))

/** Closes everything that was built. */
export const close = (): Promise<void> => Effect.runPromise(Scope.close(scope, Exit.void))

/** A cache over the loader. */
export const cacheOver = async (
  store: Layer.Layer<CacheStore.CacheStore>,
  options: QueryCache.QueryCacheOptions = {},
  over: Layer.Layer<QueryExecutor.QueryExecutor> = source()
) => {
  const context = await build(
    Layer.fresh(QueryCache.layer(options)).pipe(
      Layer.provideMerge(Layer.fresh(store)),
      Layer.provide(Layer.fresh(over))
    )
  )
  return {
    executor: Context.get(context, QueryExecutor.QueryExecutor),
    cache: Context.get(context, QueryCache.QueryCache),
    store: Context.get(context, CacheStore.CacheStore)
  }
}
