/**
 * A `QueryExecutor` that opens its database on first use, and again after a failure.
 *
 * **When to use**
 *
 * In a long-running process that must start while its database is unavailable.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import { ConnectionError, isSqlError, SqlError } from "effect/sql/SqlError"
import { monotonicMs } from "../internal/clock.ts"
import * as Options from "../internal/options.ts"
import type { QueryError } from "./Query.ts"
import { fromOperations, QueryExecutor } from "./QueryExecutor.ts"

/**
 * Options of the executor.
 *
 * @category models
 * @since 0.1.0
 */
export interface LazyExecutorOptions {
  /** How long callers receive the last open failure before the executor retries. From 0; 1 second when absent. */
  readonly retryAfter?: Duration.Input | undefined
  /** The maximum duration of an open, after which its waiters fail. From 1 ms; 30 seconds when absent. */
  readonly openTimeout?: Duration.Input | undefined
  /**
   * Runs when an open starts and returns a check of whether the opened database is still current, because a file can be
   * deleted or replaced while it is open. The check runs before each query and mutation and after each mutation, so it
   * should take microseconds. No check when absent.
   */
  readonly watch?: Effect.Effect<Effect.Effect<boolean>> | undefined
}

const read = Options.reader("LazyExecutor")

const failure = (operation: string, message: string, cause?: unknown): SqlError =>
  new SqlError({ reason: new ConnectionError({ cause, message, operation }) })

/** Configuration and migration errors make the database unavailable too. */
const unavailable = (error: unknown): SqlError => {
  if (isSqlError(error)) return error
  const message = error instanceof Error && error.message !== "" ? error.message : "the database could not be opened"
  return failure("open", message, error)
}

interface Open {
  readonly _tag: "Open"
  readonly executor: QueryExecutor["Service"]
  readonly isCurrent: Effect.Effect<boolean>
  readonly scope: Scope.Closeable
  users: number
  /** Open while there are no users. */
  readonly unused: Latch.Latch
}

interface Opening {
  readonly _tag: "Opening"
  readonly done: Deferred.Deferred<Open, SqlError>
}

type State =
  | { readonly _tag: "Closed" }
  | Opening
  | Open
  | { readonly _tag: "Failed"; readonly error: SqlError; readonly until: number }

/**
 * Provides an executor that builds another one on first use. Concurrent callers wait for it, and the build continues if
 * all of them stop waiting. If the build fails, callers receive its `SqlError`, or a `ConnectionError` with the failure
 * or defect as its cause.
 *
 * A database that is no longer current, see `watch`, is closed when its users are done, and opened again. A mutation
 * that ran in the meantime fails with a `ConnectionError`, because its write is lost.
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
      const retryAfter = read.duration("retryAfter", options.retryAfter ?? 1_000, 0, Infinity)
      const openTimeout = read.duration("openTimeout", options.openTimeout ?? 30_000, 1, Infinity)
      const watch = options.watch ?? Effect.succeed(Effect.succeed(true))
      let state: State = { _tag: "Closed" }
      let replaced: Open | undefined

      /** Two open databases would contend for the same file. */
      const closeReplaced = Effect.suspend(() => {
        if (replaced === undefined) return Effect.void
        const { scope, unused } = replaced
        return Effect.andThen(unused.await, Scope.close(scope, Exit.void)).pipe(
          Effect.andThen(
            Effect.sync(() => {
              replaced = undefined
            })
          )
        )
      })

      const build = (own: Scope.Closeable) =>
        Effect.gen(function* () {
          const isCurrent = yield* watch
          const built = yield* Layer.buildWithScope(executor, own).pipe(Effect.provide(context))
          if (!(yield* isCurrent)) return yield* failure("open", "the database was replaced while it was opened")
          const unused = Latch.makeUnsafe(true)
          return {
            _tag: "Open",
            executor: Context.get(built, QueryExecutor),
            isCurrent,
            scope: own,
            users: 0,
            unused
          } as Open
        }).pipe(
          Effect.mapError(unavailable),
          Effect.catchDefect((defect) => Effect.fail(unavailable(defect)))
        )

      /** A failed attempt releases its resources immediately. */
      const attempt = Effect.gen(function* () {
        yield* closeReplaced
        const own = yield* Scope.fork(scope)
        return yield* Effect.onExit(build(own), (exit) => (Exit.isSuccess(exit) ? Effect.void : Scope.close(own, exit)))
      })

      const stateAfter = (exit: Exit.Exit<Open, SqlError>, now: number): State => {
        if (Exit.isSuccess(exit)) return exit.value
        const error = Exit.findErrorOption(exit)
        return Option.isSome(error)
          ? { _tag: "Failed", error: error.value, until: now + retryAfter }
          : { _tag: "Closed" }
      }

      const settle = (opening: Opening, exit: Exit.Exit<Open, SqlError>) =>
        Effect.flatMap(monotonicMs, (now) => {
          state = stateAfter(exit, now)
          return Deferred.done(opening.done, exit)
        })

      /** A hanging attempt may be uninterruptible. */
      const attemptInTime = (opening: Opening) =>
        Effect.gen(function* () {
          const fiber = yield* Effect.forkIn(attempt, scope)
          const exit = yield* Effect.timeoutOption(Fiber.await(fiber), openTimeout)
          if (Option.isSome(exit)) return yield* settle(opening, exit.value)
          const limit = Duration.format(Duration.millis(openTimeout))
          yield* settle(opening, Exit.fail(failure("open", `the database could not be opened within ${limit}`)))
          fiber.interruptUnsafe()
          const ended = yield* Fiber.await(fiber)
          if (Exit.isSuccess(ended)) yield* Scope.close(ended.value.scope, Exit.void)
        }).pipe(Effect.onInterrupt(() => settle(opening, Exit.interrupt())))

      /** The attempt outlives its waiters. */
      const start = Effect.uninterruptibleMask((restore) => {
        const opening: Opening = { _tag: "Opening", done: Deferred.makeUnsafe() }
        state = opening
        return Effect.andThen(Effect.forkIn(attemptInTime(opening), scope), restore(Deferred.await(opening.done)))
      })

      const open: Effect.Effect<Open, SqlError> = Effect.flatMap(monotonicMs, (now) => {
        const current = state
        if (current._tag === "Open")
          return Effect.flatMap(current.isCurrent, (is) => (is ? Effect.succeed(current) : reopen(current)))
        if (current._tag === "Opening") return Deferred.await(current.done)
        const isResting = current._tag === "Failed" && now < current.until
        return isResting ? Effect.fail(current.error) : start
      })

      const reopen = (old: Open) =>
        Effect.suspend(() => {
          if (state !== old) return open
          replaced = old
          return start
        })

      /** Holds the database open during its use. */
      const use = <A>(run: (database: Open) => Effect.Effect<A, QueryError>): Effect.Effect<A, QueryError> =>
        Effect.flatMap(open, (database) =>
          Effect.uninterruptibleMask((restore) => {
            if (state !== database) return restore(use(run))
            database.users++
            database.unused.closeUnsafe()
            return Effect.ensuring(
              restore(run(database)),
              Effect.sync(() => {
                if (--database.users === 0) database.unused.openUnsafe()
              })
            )
          })
        )

      const verifyCurrent = ({ isCurrent }: Open) =>
        Effect.flatMap(isCurrent, (is) =>
          is ? Effect.void : Effect.fail(failure("execute", "the database was replaced while it was written to"))
        )

      return fromOperations(
        {
          query: (query, input) => use(({ executor }) => executor.query(query, input)),
          mutate: (mutation, input) =>
            use((database) => Effect.tap(database.executor.mutate(mutation, input), () => verifyCurrent(database)))
        },
        () => (state._tag === "Open" ? state.executor.client() : undefined)
      )
    })
  )
