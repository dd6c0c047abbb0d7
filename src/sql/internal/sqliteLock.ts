/**
 * Waits for the lock of a SQLite file without blocking the thread: in a queue of this process's clients, and by retries
 * while another process holds it.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { isSqlError, LockTimeoutError, SqlError } from "effect/sql/SqlError"
import { targetIdentity } from "../../internal/fileIdentity.ts"
import * as LockRetry from "../../internal/lockRetry.ts"
import * as SqliteError from "../../internal/sqliteError.ts"

export interface SqliteLock {
  /** Retries until the deadline while another connection holds the lock. */
  readonly retryUntil: <A, E, R>(effect: Effect.Effect<A, E, R>, until: number) => Effect.Effect<A, E, R>
  /** Becomes the writer for the lifetime of the scope, in FIFO order among the clients of the file. */
  readonly acquire: (until: number) => Effect.Effect<void, SqlError, Scope.Scope>
  /** The deadline of a wait that begins now. */
  readonly deadline: () => number
  /** `retryUntil` with the full timeout. */
  readonly retryWhileBusy: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Replaces an effect that found the file locked, unless the timeout is zero. */
  readonly whenBusy: <A, E, R, A2, E2, R2>(
    effect: Effect.Effect<A, E, R>,
    then: (until: number) => Effect.Effect<A2, E2, R2>
  ) => Effect.Effect<A | A2, E | E2, R | R2>
}

const isBusy = (error: unknown): boolean => isSqlError(error) && SqliteError.isBusy(error.reason.cause)

interface LockQueue {
  readonly semaphore: Semaphore.Semaphore
  clients: number
  waiting: number
}

/** By file identity, because a file may have several names. */
const queues = new Map<string, LockQueue>()

const newQueue = (): LockQueue => ({ semaphore: Semaphore.makeUnsafe(1), clients: 0, waiting: 0 })

/** The queue that all clients of a file share; a separate one where the file has no identity, such as `:memory:`. */
const queueOf = (filename: string): Effect.Effect<LockQueue, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const identity = targetIdentity(filename)
      const queue = (identity === undefined ? undefined : queues.get(identity)) ?? newQueue()
      if (identity !== undefined) queues.set(identity, queue)
      queue.clients++
      return { queue, identity }
    }),
    ({ queue, identity }) =>
      Effect.sync(() => {
        queue.clients--
        if (queue.clients === 0 && identity !== undefined && queues.get(identity) === queue) queues.delete(identity)
      })
  ).pipe(Effect.map(({ queue }) => queue))

const lockTimeout = (): SqlError =>
  new SqlError({
    reason: new LockTimeoutError({
      cause: new Error("another client of this process is writing to the file"),
      message: "Sqlite: the database is locked by another client of this process",
      operation: "begin"
    })
  })

const deadline = (limitMs: number): number => LockRetry.now() + limitMs

const retryUntil: SqliteLock["retryUntil"] = (effect, until) => LockRetry.retryUntil(effect, isBusy, until)

const whenBusy =
  (limitMs: number): SqliteLock["whenBusy"] =>
  (effect, then) =>
    limitMs === 0 ? effect : Effect.catchIf(effect, isBusy, () => then(deadline(limitMs)))

/** The file must be open already. */
export const make = (filename: string, limitMs: number): Effect.Effect<SqliteLock, never, Scope.Scope> =>
  Effect.map(queueOf(filename), (queue) => {
    const queued = (until: number) =>
      Effect.suspend(() => {
        queue.waiting++
        const taken = queue.semaphore.takeScoped(1)
        const timeUp = Effect.andThen(
          LockRetry.sleep(Math.max(0, until - LockRetry.now())),
          Effect.suspend(() => Effect.fail(lockTimeout()))
        )
        return Effect.ensuring(
          Effect.raceFirst(taken, timeUp),
          Effect.sync(() => queue.waiting--)
        )
      })

    const acquire: SqliteLock["acquire"] = (until) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(queue.waiting > 0 ? Effect.succeed(false) : queue.semaphore.takeIfAvailable(1), (taken) =>
          taken ? Effect.addFinalizer(() => queue.semaphore.release(1)) : restore(queued(until))
        )
      )

    return {
      retryUntil,
      acquire,
      deadline: () => deadline(limitMs),
      retryWhileBusy: (effect) => whenBusy(limitMs)(effect, (until) => retryUntil(effect, until)),
      whenBusy: whenBusy(limitMs)
    }
  })
