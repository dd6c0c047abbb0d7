/**
 * A `QueryExecutor` whose database is opened by the first that asks it something, and again where that failed: for a
 * process that must start, and do its other work, while the database is away.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { ConnectionError, isSqlError, SqlError } from "effect/sql/SqlError"
import { QueryExecutor } from "./QueryExecutor.ts"

/**
 * Options of the executor.
 *
 * @category models
 * @since 0.1.0
 */
export interface LazyExecutorOptions {
  /** For how long all fail as the last opening did, before it is tried again. 1 second when absent. */
  readonly retryAfter?: Duration.Input | undefined
}

/** What is wrong with a configuration or with tables keeps from the database as much as what is wrong with it. */
const unavailable = (error: unknown): SqlError => {
  if (isSqlError(error)) return error
  const message = error instanceof Error ? error.message : "the database could not be opened"
  return new SqlError({ reason: new ConnectionError({ cause: error, message, operation: "open" }) })
}

/** What is there, what is being opened, or why it could not be. */
type State =
  | { readonly _tag: "Closed" }
  | { readonly _tag: "Opening"; readonly done: Deferred.Deferred<QueryExecutor["Service"], SqlError> }
  | { readonly _tag: "Open"; readonly executor: QueryExecutor["Service"] }
  | { readonly _tag: "Failed"; readonly error: SqlError; readonly until: number }

/**
 * Provides an executor that builds another one when it is needed. Those who come while it is built wait for it, and it is
 * built to the end also where nobody waits any longer. Where it can't be, they fail with its `SqlError`, or with a
 * `ConnectionError` that has its failure as the cause.
 *
 * **Example**
 *
 * ```ts
 * import * as LazyExecutor from "athena-hooks/query/LazyExecutor"
 * import * as QueryExecutor from "athena-hooks/query/QueryExecutor"
 * import * as Sqlite from "athena-hooks/sql/Sqlite"
 * import * as Layer from "effect/Layer"
 *
 * const Lazy = LazyExecutor.layer(
 *   QueryExecutor.layer.pipe(Layer.provide(Sqlite.layer({ filename: "memory.db" }))),
 *   { retryAfter: "5 seconds" }
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E, R>(
  executor: Layer.Layer<QueryExecutor, E, R>,
  options: LazyExecutorOptions = {}
): Layer.Layer<QueryExecutor, never, R> =>
  Layer.effect(
    QueryExecutor,
    Effect.gen(function* () {
      const scope = yield* Effect.scope
      const context = yield* Effect.context<R>()
      const retryAfter = Duration.toMillis(options.retryAfter ?? "1 second")
      let state: State = { _tag: "Closed" }

      /** What is left of a failed attempt is let go at once. */
      const attempt = Effect.gen(function* () {
        const own = yield* Scope.fork(scope)
        return yield* Layer.buildWithScope(executor, own).pipe(
          Effect.provide(context),
          Effect.map((built) => Context.get(built, QueryExecutor)),
          Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : Scope.close(own, exit)))
        )
      }).pipe(Effect.mapError(unavailable))

      const opened = (exit: Exit.Exit<QueryExecutor["Service"], SqlError>, now: number): State => {
        if (Exit.isSuccess(exit)) return { _tag: "Open", executor: exit.value }
        const error = Exit.findErrorOption(exit)
        return error._tag === "Some"
          ? { _tag: "Failed", error: error.value, until: now + retryAfter }
          : { _tag: "Closed" }
      }

      /** The attempt outlives those who wait for it. */
      const start = Effect.uninterruptibleMask((restore) => {
        const done = Deferred.makeUnsafe<QueryExecutor["Service"], SqlError>()
        state = { _tag: "Opening", done }
        return attempt.pipe(
          Effect.onExit((exit) =>
            Effect.flatMap(Clock.currentTimeMillis, (now) => {
              state = opened(exit, now)
              return Deferred.done(done, exit)
            })
          ),
          Effect.forkIn(scope),
          Effect.andThen(restore(Deferred.await(done)))
        )
      })

      const open = Effect.flatMap(Clock.currentTimeMillis, (now) => {
        const current = state
        if (current._tag === "Open") return Effect.succeed(current.executor)
        if (current._tag === "Opening") return Deferred.await(current.done)
        // A clock that was set back must not keep the database closed.
        const isResting = current._tag === "Failed" && now < current.until && current.until - now <= retryAfter
        return isResting ? Effect.fail(current.error) : start
      })

      return QueryExecutor.of({
        query: (query, input) => Effect.flatMap(open, (executor) => executor.query(query, input)),
        mutate: (mutation, input) => Effect.flatMap(open, (executor) => executor.mutate(mutation, input))
      })
    })
  )
