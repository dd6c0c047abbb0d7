/**
 * How much is taken in at once: requests in a second, and bytes that wait to be answered. What is over it is refused at
 * once, for a hook that waits is worse than one that is not heard.
 *
 * Large payloads are taken in a few at a time: what is not read yet waits with the agent, and to read them all at once
 * would end none of them sooner.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"

export interface Bounds {
  /** Requests a second, over longer times. */
  readonly perSecond: number
  /** Requests that may come at once. */
  readonly burst: number
  /** Bytes of bodies that are held or wait at once. */
  readonly bytes: number
  /** Bytes of large bodies that are held at once; a larger body is held alone. */
  readonly largeBytes: number
}

/** From how many bytes a body is large. */
const large = 256 * 1024

export interface AdmissionControl {
  /** Whether one more request may come now. */
  readonly admit: Effect.Effect<boolean>
  /** Runs an effect that holds so many bytes; otherwise what is given for that, where there is no room. */
  readonly holding: <A, E, R, B, E2, R2>(
    bytes: number,
    effect: Effect.Effect<A, E, R>,
    noRoom: Effect.Effect<B, E2, R2>
  ) => Effect.Effect<A | B, E | E2, R | R2>
}

export const make = ({ burst, bytes: maxBytes, largeBytes, perSecond }: Bounds): AdmissionControl => {
  let tokens = burst
  let at: bigint | undefined
  let held = 0
  const room = Semaphore.makeUnsafe(largeBytes)
  const inTurn = <A, E, R>(bytes: number, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    bytes < large ? effect : room.withPermits(Math.min(bytes, largeBytes))(effect)
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
          inTurn(bytes, effect),
          Effect.sync(() => {
            held -= bytes
          })
        )
      })
  }
}
