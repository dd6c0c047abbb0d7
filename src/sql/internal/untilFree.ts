/**
 * Waits for another process's lock between attempts: SQLite's own wait holds the thread, and with it all that a process
 * does.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { isSqlError } from "effect/sql/SqlError"

/** How long a lock is waited for. */
const limit = Duration.seconds(5)

export const isLocked = (error: unknown): boolean => isSqlError(error) && error.reason._tag === "LockTimeoutError"

/** Tries again while the database is locked. */
export const untilFree = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.retry(effect, {
    while: isLocked,
    schedule: Schedule.spaced("3 millis").pipe(Schedule.jittered, Schedule.upTo({ duration: limit }))
  })
