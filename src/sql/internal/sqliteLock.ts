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
  readonly patiently: <A, E, R>(effect: Effect.Effect<A, E, R>, until: number) => Effect.Effect<A, E, R>
  /** Becomes the writer for the lifetime of the scope, in FIFO order among the clients of the file. */
  readonly enter: (until: number) => Effect.Effect<void, SqlError, Scope.Scope>
  /** The deadline of a wait that begins now. */
  readonly deadline: () => number
  /** `retryUntil` with the full timeout. */
  readonly patient: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Replaces an effect that found the file locked, unless the timeout is zero. */
  readonly whenBusy: <A, E, R, A2, E2, R2>(
    effect: Effect.Effect<A, E, R>,
    then: (until: number) => Effect.Effect<A2, E2, R2>
  ) => Effect.Effect<A | A2, E | E2, R | R2>
}

const isBusy = (error: unknown): boolean => isSqlError(error) && SqliteError.isBusy(error.reason.cause)

interface Gate {
  readonly semaphore: Semaphore.Semaphore
  clients: number
  waiting: number
}

/** By file identity, because a file may have several names. */
const gates = new Map<string, Gate>()

const newGate = (): Gate => ({ semaphore: Semaphore.makeUnsafe(1), clients: 0, waiting: 0 })

/** The queue that all clients of a file share; a separate one where the file has no identity, such as `:memory:`. */
const gateOf = (filename: string): Effect.Effect<Gate, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const identity = targetIdentity(filename)
      const gate = (identity === undefined ? undefined : gates.get(identity)) ?? newGate()
      if (identity !== undefined) gates.set(identity, gate)
      gate.clients++
      return { gate, identity }
    }),
    ({ gate, identity }) =>
      Effect.sync(() => {
        gate.clients--
        if (gate.clients === 0 && identity !== undefined && gates.get(identity) === gate) gates.delete(identity)
      })
  ).pipe(Effect.map(({ gate }) => gate))

const lockTimeout = (): SqlError =>
  new SqlError({
    reason: new LockTimeoutError({
      cause: new Error("another client of this process is writing to the file"),
      message: "Sqlite: the database is locked by another client of this process",
      operation: "begin"
    })
  })

const deadline = (limitMs: number): number => LockRetry.now() + limitMs

const patiently: SqliteLock["patiently"] = (effect, until) => LockRetry.retryUntil(effect, isBusy, until)

const whenBusy =
  (limitMs: number): SqliteLock["whenBusy"] =>
  (effect, then) =>
    limitMs === 0 ? effect : Effect.catchIf(effect, isBusy, () => then(deadline(limitMs)))

/** The file must be open already. */
export const make = (filename: string, limitMs: number): Effect.Effect<SqliteLock, never, Scope.Scope> =>
  Effect.map(gateOf(filename), (gate) => {
    const queued = (until: number) =>
      Effect.suspend(() => {
        gate.waiting++
        const taken = gate.semaphore.takeScoped(1)
        const timeUp = Effect.andThen(
          LockRetry.sleep(Math.max(0, until - LockRetry.now())),
          Effect.suspend(() => Effect.fail(lockTimeout()))
        )
        return Effect.ensuring(
          Effect.raceFirst(taken, timeUp),
          Effect.sync(() => gate.waiting--)
        )
      })

    const enter: SqliteLock["enter"] = (until) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(gate.waiting > 0 ? Effect.succeed(false) : gate.semaphore.takeIfAvailable(1), (taken) =>
          taken ? Effect.addFinalizer(() => gate.semaphore.release(1)) : restore(queued(until))
        )
      )

    return {
      patiently,
      enter,
      deadline: () => deadline(limitMs),
      patient: (effect) => whenBusy(limitMs)(effect, (until) => patiently(effect, until)),
      whenBusy: whenBusy(limitMs)
    }
  })
