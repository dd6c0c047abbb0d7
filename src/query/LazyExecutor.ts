/**
 * A `QueryExecutor` whose database is opened by the first that asks it something, and again where that failed: for a
 * process that must start, and do its other work, while the database is away.
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
import { monotonicMs } from "../internal/monotonicMs.ts"
import type { QueryError } from "./Query.ts"
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
  /** How long an opening may take, before those who wait for it fail. 30 seconds when absent. */
  readonly openTimeout?: Duration.Input | undefined
  /**
   * Begins to watch what is about to be opened, and gives what says whether it is still what there is to open: a file may
   * be deleted or replaced while it is open. That is asked when it is open, before each query and mutation, and after
   * each mutation, so it should take microseconds. Nothing is watched when absent.
   */
  readonly watch?: Effect.Effect<Effect.Effect<boolean>> | undefined
}

const failure = (operation: string, message: string, cause?: unknown): SqlError =>
  new SqlError({ reason: new ConnectionError({ cause, message, operation }) })

/** What is wrong with a configuration or with tables keeps from the database as much as what is wrong with it. */
const unavailable = (error: unknown): SqlError => {
  if (isSqlError(error)) return error
  const message = error instanceof Error && error.message !== "" ? error.message : "the database could not be opened"
  return failure("open", message, error)
}

/** A database that is open, and how many use it. */
interface Open {
  readonly _tag: "Open"
  readonly executor: QueryExecutor["Service"]
  readonly isCurrent: Effect.Effect<boolean>
  readonly scope: Scope.Closeable
  users: number
  /** Open while there are none. */
  readonly unused: Latch.Latch
}

interface Opening {
  readonly _tag: "Opening"
  readonly done: Deferred.Deferred<Open, SqlError>
}

/** What is there, what is being opened, or why it could not be. */
type State =
  | { readonly _tag: "Closed" }
  | Opening
  | Open
  | { readonly _tag: "Failed"; readonly error: SqlError; readonly until: number }

/**
 * Provides an executor that builds another one when it is needed. Those who come while it is built wait for it, and it is
 * built to the end also where nobody waits any longer. Where it can't be, they fail with its `SqlError`, or with a
 * `ConnectionError` that has its failure, or its defect, as the cause.
 *
 * What is no longer what there is to open, see `watch`, is closed when those who use it are done, and opened again. A
 * mutation that was done in the meantime fails with a `ConnectionError`: nobody will ever see what it wrote.
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
      const openTimeout = Duration.fromInputUnsafe(options.openTimeout ?? "30 seconds")
      const watch = options.watch ?? Effect.succeed(Effect.succeed(true))
      let state: State = { _tag: "Closed" }
      let replaced: Open | undefined

      /** Two that are open at once would stand in each other's way. */
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

      /** What is left of a failed attempt is let go at once. */
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

      /** An attempt that hangs may be one that can't be interrupted. */
      const attemptInTime = (opening: Opening) =>
        Effect.gen(function* () {
          const fiber = yield* Effect.forkIn(attempt, scope)
          const exit = yield* Effect.timeoutOption(Fiber.await(fiber), openTimeout)
          if (Option.isSome(exit)) return yield* settle(opening, exit.value)
          const limit = Duration.format(openTimeout)
          yield* settle(opening, Exit.fail(failure("open", `the database could not be opened within ${limit}`)))
          fiber.interruptUnsafe()
          const late = yield* Fiber.await(fiber)
          if (Exit.isSuccess(late)) yield* Scope.close(late.value.scope, Exit.void)
        }).pipe(Effect.onInterrupt(() => settle(opening, Exit.interrupt())))

      /** The attempt outlives those who wait for it. */
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

      /** Keeps the database open for as long as it is used. */
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

      const notInVain = ({ isCurrent }: Open) =>
        Effect.flatMap(isCurrent, (is) =>
          is ? Effect.void : Effect.fail(failure("execute", "the database was replaced while it was written to"))
        )

      return QueryExecutor.of({
        query: (query, input) => use(({ executor }) => executor.query(query, input)),
        mutate: (mutation, input) =>
          use((database) => Effect.tap(database.executor.mutate(mutation, input), () => notInVain(database)))
      })
    })
  )
