/**
 * Runs queries and mutations.
 *
 * `QueryExecutor.layer` runs them on the `SqlClient` of the context. A middleware is a Layer that requires a
 * `QueryExecutor` and provides one. The composition of Layers determines the order of middleware; queries do not depend
 * on it.
 *
 * **Gotchas**
 *
 * A middleware spreads the executor below it: `QueryExecutor.of({ ...inner, query: ... })`. A query cache intercepts the
 * mutations of the executor at the bottom, so that a mutation that bypasses the cache invalidates its results too.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type { Mutation } from "./Mutation.ts"
import type { Query, QueryError } from "./Query.ts"

/**
 * Runs around each mutation of an executor. `next` runs the mutation, or another one with the same input and result.
 *
 * @category models
 * @since 0.1.0
 */
export type MutationInterceptor = <I, A>(
  mutation: Mutation<I, A>,
  input: I,
  next: (mutation: Mutation<I, A>) => Effect.Effect<A, QueryError>
) => Effect.Effect<A, QueryError>

/**
 * The two operations of an executor.
 *
 * @category models
 * @since 0.1.0
 */
export interface Operations {
  /** Validates the input against the query's schema and runs its program. */
  readonly query: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<A, QueryError>
  /**
   * Validates the input against the mutation's schema and runs its program in a transaction, or in a savepoint within
   * an open transaction.
   */
  readonly mutate: <I, A>(mutation: Mutation<I, A>, input: I) => Effect.Effect<A, QueryError>
}

/**
 * Service that runs `Query` and `Mutation` values, each in a span of the same name.
 *
 * @category services
 * @since 0.1.0
 */
export class QueryExecutor extends Context.Service<
  QueryExecutor,
  Operations & {
    /** Registers an interceptor of all mutations of this executor, whichever middleware they pass, until the scope ends. */
    readonly intercept: (interceptor: MutationInterceptor) => Effect.Effect<void, never, Scope.Scope>
    /** The client whose transactions queries and mutations join; `undefined` if none is open, or for a fake. */
    readonly client: () => SqlClient.SqlClient | undefined
  }
>()("athena-hooks/query/QueryExecutor") {}

const runThrough = <I, A>(
  [first, ...rest]: ReadonlyArray<MutationInterceptor>,
  operations: Operations,
  mutation: Mutation<I, A>,
  input: I
): Effect.Effect<A, QueryError> =>
  first === undefined
    ? operations.mutate(mutation, input)
    : first(mutation, input, (next) => runThrough(rest, operations, next, input))

/**
 * Constructs an executor from its two operations, for fakes and for executors that do not wrap another one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromOperations = (
  operations: Operations,
  client: QueryExecutor["Service"]["client"] = () => undefined
): QueryExecutor["Service"] => {
  const interceptors = new Set<MutationInterceptor>()
  return QueryExecutor.of({
    query: operations.query,
    mutate: (mutation, input) => Effect.suspend(() => runThrough([...interceptors], operations, mutation, input)),
    intercept: (interceptor) =>
      Effect.acquireRelease(
        Effect.sync(() => void interceptors.add(interceptor)),
        () => Effect.sync(() => void interceptors.delete(interceptor))
      ),
    client
  })
}

/**
 * Constructs the executor that sends every query to the database.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<QueryExecutor["Service"], never, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const checks = new WeakMap<object, (input: unknown) => Effect.Effect<unknown, Schema.SchemaError>>()

  const check = <I>(schema: Schema.Codec<I, unknown>, input: I): Effect.Effect<unknown, Schema.SchemaError> => {
    let decode = checks.get(schema)
    if (decode === undefined) {
      decode = Schema.decodeUnknownEffect(Schema.toType(schema))
      checks.set(schema, decode)
    }
    return decode(input)
  }

  return fromOperations(
    {
      query: (query, input) =>
        check(query.input, input).pipe(
          Effect.flatMap(() => query.run(input)),
          Effect.provideService(SqlClient.SqlClient, sql),
          Effect.withSpan(query.name)
        ),
      mutate: (mutation, input) =>
        check(mutation.input, input).pipe(
          Effect.flatMap(() => sql.withTransaction(Effect.suspend(() => mutation.run(input)))),
          Effect.provideService(SqlClient.SqlClient, sql),
          Effect.withSpan(mutation.name)
        )
    },
    () => sql
  )
})

/**
 * Provides the executor that sends every query to the database.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<QueryExecutor, never, SqlClient.SqlClient> = Layer.effect(QueryExecutor, make)

/**
 * The result of a fake query or mutation: a function from its input to a value or an effect.
 *
 * @category testing
 * @since 0.1.0
 */
export type FakeResult = (input: any) => unknown

/**
 * Provides an executor that takes its results from a record by name and needs no database. A missing name is a defect
 * that names it.
 *
 * **Example**
 *
 * ```ts
 * import * as QueryExecutor from "athena-hooks/query/QueryExecutor"
 * import * as Effect from "effect/Effect"
 *
 * const fake = QueryExecutor.layerTest({
 *   "tasks.open": ({ projectId }) => ({ n: projectId }),
 *   "tasks.close": () => Effect.void
 * })
 * ```
 *
 * @category testing
 * @since 0.1.0
 */
export const layerTest = (results: Readonly<Record<string, FakeResult>>): Layer.Layer<QueryExecutor> => {
  const result = (name: string, input: unknown): Effect.Effect<any, QueryError> =>
    Effect.suspend(() => {
      const fake = results[name]
      if (fake === undefined) {
        return Effect.die(new Error(`QueryExecutor.layerTest: no result for "${name}"; add it to the record`))
      }
      const value = fake(input)
      return Effect.isEffect(value) ? (value as Effect.Effect<any, QueryError>) : Effect.succeed(value)
    })
  return Layer.sync(QueryExecutor, () =>
    fromOperations({
      query: (query, input) => result(query.name, input),
      mutate: (mutation, input) => result(mutation.name, input)
    })
  )
}
