/**
 * A `QueryExecutor` with injectable faults per query: it can fail, hang, be delayed or wait at a gate. It also counts
 * loads, as the database of a cache under test.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import type { QueryError } from "../query/Query.ts"
import { QueryExecutor } from "../query/QueryExecutor.ts"
import type * as Fault from "./Fault.ts"
import * as Injector from "./Injector.ts"

/**
 * Service that injects faults into the executor of the context. Its operations are the names of queries and mutations.
 *
 * @category services
 * @since 0.1.0
 */
export class FaultyExecutor extends Context.Service<FaultyExecutor, Injector.Faults<string, QueryError>>()(
  "athena-hooks/testing/FaultyExecutor"
) {}

/**
 * The database is unavailable: a retryable `SqlError` with the reason `ConnectionError`. The operation does not run.
 *
 * @category faults
 * @since 0.1.0
 */
export const unavailable: Fault.Fault<QueryError> = (_, { operation }) =>
  Effect.fail(
    new SqlError({
      reason: new ConnectionError({
        cause: new Error("a fault of the test"),
        message: "the database is away",
        operation
      })
    })
  )

/**
 * Wraps the executor of the context: provides the wrapped `QueryExecutor`, and `FaultyExecutor` to control it. Below
 * a cache it counts the loads that reach the database.
 *
 * **Example**
 *
 * ```ts
 * import * as CacheStore from "athena-hooks/cache/CacheStore"
 * import * as QueryCache from "athena-hooks/cache/QueryCache"
 * import * as QueryExecutor from "athena-hooks/query/QueryExecutor"
 * import * as FaultyExecutor from "athena-hooks/testing/FaultyExecutor"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const Cached = QueryCache.layer({ grace: "10 minutes" }).pipe(
 *   Layer.provideMerge(FaultyExecutor.layer),
 *   Layer.provide([QueryExecutor.layerTest({ "tasks.open": () => [] }), CacheStore.layerNoop])
 * )
 *
 * const test = Effect.gen(function* () {
 *   const database = yield* FaultyExecutor.FaultyExecutor
 *   yield* database.inject(FaultyExecutor.unavailable, { operations: ["tasks.open"] })
 *   // ... your program now reads from the cache ...
 *   return yield* database.count("tasks.open")
 * })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<QueryExecutor | FaultyExecutor, never, QueryExecutor> = Layer.effectContext(
  Effect.gen(function* () {
    const inner = yield* QueryExecutor
    const injector = yield* Injector.make<string, QueryError>()
    const executor = QueryExecutor.of({
      ...inner,
      query: (query, input) => injector.through(query.name, [input], inner.query(query, input)),
      mutate: (mutation, input) => injector.through(mutation.name, [input], inner.mutate(mutation, input))
    })
    return Context.make(QueryExecutor, executor).pipe(Context.add(FaultyExecutor, injector))
  })
)
