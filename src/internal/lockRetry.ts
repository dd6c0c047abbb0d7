/** Retries operations on a locked SQLite file. SQLite's own busy timeout would block the thread. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { isSqlError } from "effect/sql/SqlError"
import { monotonicMsOf, systemClock } from "./clock.ts"

/** Locks belong to the machine, so their timeouts ignore a `TestClock`. */
export const now = (): number => monotonicMsOf(systemClock)

export const sleep = (ms: number): Effect.Effect<void> => systemClock.sleep(Duration.millis(ms))

const initialPauseMs = 1
const maxPauseMs = 20

/** Retries while `isLocked` holds for the error, until `now` reaches the deadline. Pauses grow and are jittered. */
export const retryUntil = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  isLocked: (error: E) => boolean,
  deadline: number,
  pauseMs = initialPauseMs
): Effect.Effect<A, E, R> =>
  Effect.catchIf(effect, isLocked, (error) => {
    const left = deadline - now()
    if (left <= 0) return Effect.fail(error)
    return Effect.flatMap(Random.next, (random) =>
      Effect.andThen(
        sleep(Math.min(left, pauseMs * (0.5 + random))),
        Effect.suspend(() => retryUntil(effect, isLocked, deadline, Math.min(pauseMs * 1.5, maxPauseMs)))
      )
    )
  })

export const isLocked = (error: unknown): boolean => isSqlError(error) && error.reason._tag === "LockTimeoutError"

const timeoutMs = 5_000

/** Retries while the database is locked, for at most 5 seconds. */
export const retryWhileLocked = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => retryUntil(effect, isLocked, now() + timeoutMs))
