/**
 * Trying again while a file of SQLite is locked, in pauses: SQLite's own wait holds the thread, and with it all that a
 * process does.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { monotonicMs } from "./monotonicClock.ts"

/** The lock is that of the machine, and so is the time to wait for it, also where a program stops its own clock. */
const clock = Context.get(Context.empty(), Clock.Clock)

/** The time of the machine, in milliseconds; it never jumps. */
export const now = (): number => monotonicMs(clock)

export const sleep = (ms: number): Effect.Effect<void> => clock.sleep(Duration.millis(ms))

/** The pauses between two attempts, in milliseconds: at first, and at most. */
const firstPause = 1
const longestPause = 20

/** Runs an effect again while it fails because of a lock, until a time of `now`. */
export const retrying = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  isLocked: (error: E) => boolean,
  until: number,
  pause = firstPause
): Effect.Effect<A, E, R> =>
  Effect.catchIf(effect, isLocked, (error) => {
    const left = until - now()
    if (left <= 0) return Effect.fail(error)
    return Effect.flatMap(Random.next, (random) =>
      Effect.andThen(
        sleep(Math.min(left, pause * (0.5 + random))),
        Effect.suspend(() => retrying(effect, isLocked, until, Math.min(pause * 1.5, longestPause)))
      )
    )
  })
