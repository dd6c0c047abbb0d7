/**
 * How much is taken in at once: requests in a second, and bytes that wait to be answered. What is over it is refused at
 * once, for a hook that waits is worse than one that is not heard.
 */
import * as Effect from "effect/Effect"
import * as Clock from "effect/Clock"

export interface Bounds {
  /** Requests a second, over longer times. */
  readonly perSecond: number
  /** Requests that may come at once. */
  readonly burst: number
  /** Bytes of bodies that are held at once. */
  readonly bytes: number
}

export interface Intake {
  /** Whether one more request may come now. */
  readonly admit: Effect.Effect<boolean>
  /** Runs an effect that holds so many bytes; otherwise what is given for that, where there is no room. */
  readonly holding: <A, E, R, B, E2, R2>(
    bytes: number,
    effect: Effect.Effect<A, E, R>,
    noRoom: Effect.Effect<B, E2, R2>
  ) => Effect.Effect<A | B, E | E2, R | R2>
}

export const make = ({ burst, bytes: maxBytes, perSecond }: Bounds): Intake => {
  let tokens = burst
  let at: bigint | undefined
  let held = 0
  return {
    // By the monotonic clock: one that is set must not let in more, or nothing.
    admit: Effect.map(Clock.monotonicTimeNanos, (now) => {
      const passed = at === undefined ? 0 : Number(now - at) / 1e9
      at = now
      tokens = Math.min(burst, tokens + passed * perSecond)
      if (tokens < 1) return false
      tokens--
      return true
    }),
    holding: (bytes, effect, noRoom) =>
      Effect.suspend((): Effect.Effect<any, any, any> => {
        if (held + bytes > maxBytes) return noRoom
        held += bytes
        return Effect.ensuring(
          effect,
          Effect.sync(() => {
            held -= bytes
          })
        )
      })
  }
}
