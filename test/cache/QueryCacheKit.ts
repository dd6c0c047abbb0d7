/**
 * A small database with queries over it whose loads a test can hold up, fail and count.
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as QueryCache from "../../src/cache/QueryCache.ts"
import * as Dependency from "../../src/query/Dependency.ts"
import * as Mutation from "../../src/query/Mutation.ts"
import * as Query from "../../src/query/Query.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"

const Input = Schema.Struct({ shop: Schema.Int })

export const failure = new SqlError({
  reason: new UnknownError({ cause: new Error("no"), message: "no", operation: "execute" })
})

/** The controls of the loads. */
export interface Control {
  loads: number
  /** Runs in a load after its rows were read. */
  afterRead: Effect.Effect<void, SqlError>
}

export const control = (): Control => ({ loads: 0, afterRead: Effect.void })

export const queries = (control: Control) => ({
  /** The price in a shop; none where the shop has none. */
  price: Query.make({
    name: "price",
    input: Input,
    result: Schema.NullOr(Schema.Int),
    dependencies: ({ shop }) => [Dependency.make("prices", shop)],
    run: Effect.fnUntraced(function* ({ shop }) {
      control.loads++
      const sql = yield* SqlClient.SqlClient
      const rows = yield* sql<{ price: number }>`SELECT price FROM prices WHERE shop = ${shop}`
      yield* control.afterRead
      return rows[0]?.price ?? null
    })
  }),
  total: Query.make({
    name: "total",
    input: Schema.Struct({}),
    result: Schema.Int,
    dependencies: () => [Dependency.make("prices")],
    run: Effect.fnUntraced(function* () {
      control.loads++
      const sql = yield* SqlClient.SqlClient
      const rows = yield* sql<{ total: number }>`SELECT coalesce(sum(price), 0) AS total FROM prices`
      yield* control.afterRead
      return rows[0]!.total
    })
  }),
  set: Mutation.make({
    name: "set",
    input: Schema.Struct({ shop: Schema.Int, price: Schema.Int }),
    changes: ({ shop }) => [Dependency.make("prices", shop)],
    run: Effect.fnUntraced(function* ({ price, shop }) {
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO prices VALUES (${shop}, ${price})
        ON CONFLICT (shop) DO UPDATE SET price = excluded.price`
      if (price < 0) return yield* failure
    })
  })
})

export const database = (filename = ":memory:", busyTimeout = 5_000): Layer.Layer<SqlClient.SqlClient, SqlError> =>
  Layer.effectDiscard(
    SqlClient.SqlClient.use(
      (sql) => sql`CREATE TABLE IF NOT EXISTS prices (shop INTEGER PRIMARY KEY, price INTEGER NOT NULL)`
    )
  ).pipe(Layer.provideMerge(Sqlite.layer({ filename, busyTimeout })))

export type Services = QueryExecutor.QueryExecutor | QueryCache.QueryCache | SqlClient.SqlClient | CacheStore.CacheStore

/** A cache over a database in memory. */
export const layer = (
  options: QueryCache.QueryCacheOptions = {},
  store: Layer.Layer<CacheStore.CacheStore> = CacheStore.layerNoop,
  filename = ":memory:"
): Layer.Layer<Services, SqlError> =>
  QueryCache.layer({ jitter: 0, ...options }).pipe(
    Layer.provide(QueryExecutor.layer),
    Layer.provideMerge(store),
    Layer.provideMerge(database(filename))
  )

/** Another cache over the same database, as in another process; optionally on another connection. */
export const another = (
  options: QueryCache.QueryCacheOptions = {},
  ownStore?: Layer.Layer<CacheStore.CacheStore>,
  connection?: SqlClient.SqlClient
) =>
  Effect.gen(function* () {
    const sql = connection ?? (yield* SqlClient.SqlClient)
    const shared = Layer.succeed(CacheStore.CacheStore, yield* CacheStore.CacheStore)
    const context = yield* Layer.build(
      Layer.fresh(QueryCache.layer({ jitter: 0, ...options })).pipe(
        Layer.provide(Layer.fresh(QueryExecutor.layer)),
        Layer.provide([
          Layer.succeed(SqlClient.SqlClient, sql),
          ownStore === undefined ? shared : Layer.fresh(ownStore)
        ])
      )
    )
    return {
      executor: Context.get(context, QueryExecutor.QueryExecutor),
      cache: Context.get(context, QueryCache.QueryCache)
    }
  })

/** One query and one mutation, through the cache of the context. */
export const setup = Effect.gen(function* () {
  const own = control()
  const { price, set } = queries(own)
  const executor = yield* QueryExecutor.QueryExecutor
  const cache = yield* QueryCache.QueryCache
  const sql = yield* SqlClient.SqlClient
  return {
    control: own,
    cache,
    executor,
    sql,
    queries: { price, set },
    get: cache.get(price, { shop: 1 }),
    set: (value: number) => executor.mutate(set, { shop: 1, price: value }),
    loads: Effect.map(cache.stats, ({ queries }) => queries["price"]?.loads ?? 0)
  }
})

/** Yields until no fiber can continue without time. */
export const rest = Effect.yieldNow.pipe(Effect.repeat({ times: 50 }))

/** Forks an effect and runs it as far as possible without time. */
export const begin = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.tap(Effect.forkChild(effect, { startImmediately: true }), () => rest)

/** A gate for loads: `reached` when one waits, `open` to continue. */
export const gate = Effect.gen(function* () {
  const reached = yield* Deferred.make<void>()
  const opened = yield* Deferred.make<void>()
  return {
    wait: Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(opened)),
    reached: Deferred.await(reached),
    open: Deferred.succeed(opened, undefined)
  }
})
