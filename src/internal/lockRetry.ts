/**
 * Waits for another process's lock between attempts: SQLite's own wait holds the thread, and with it all that a process
 * does.
 */
import * as Effect from "effect/Effect"
import { isSqlError } from "effect/sql/SqlError"
import * as LockWait from "./lockWait.ts"

/** How long a lock is waited for, in milliseconds. */
const limitMs = 5_000

export const isLocked = (error: unknown): boolean => isSqlError(error) && error.reason._tag === "LockTimeoutError"

/** Tries again while the database is locked. */
export const retryWhileLocked = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => LockWait.retrying(effect, isLocked, LockWait.now() + limitMs))
