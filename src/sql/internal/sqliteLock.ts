/**
 * Waits for the lock of a SQLite file without holding the thread: in line behind the other clients of this process, and
 * in pauses where another process has it.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { isSqlError, LockTimeoutError, SqlError } from "effect/sql/SqlError"
import { targetIdentity } from "../../internal/fileIdentity.ts"
import * as LockRetry from "../../internal/lockRetry.ts"
import * as SqliteError from "../../internal/sqliteError.ts"

export interface SqliteLock {
  /** Runs again while another connection has the lock, for as long as is left of the time. */
  readonly patiently: <A, E, R>(effect: Effect.Effect<A, E, R>, until: number) => Effect.Effect<A, E, R>
  /** Takes the place of the writer for the lifetime of the scope: first come, first served among the clients of a file. */
  readonly enter: (until: number) => Effect.Effect<void, SqlError, Scope.Scope>
  /** When a wait that begins now ends. */
  readonly deadline: () => number
  /** As `patiently`, with all the time there is. */
  readonly patient: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Another effect in place of one that found the file locked, where there is any time to wait. */
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

/** By the identity of the file, which two names may lead to. */
const gates = new Map<string, Gate>()

const newGate = (): Gate => ({ semaphore: Semaphore.makeUnsafe(1), clients: 0, waiting: 0 })

/** The gate that all clients of a file share; one of its own where the file can't be seen, or is none. */
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

/** Where the file is that of an open connection. */
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
