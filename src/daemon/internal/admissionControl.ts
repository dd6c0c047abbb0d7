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

export interface Limits {
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
const largeBodyBytes = 256 * 1024

export interface AdmissionControl {
  /** Whether one more request may come now. */
  readonly admit: Effect.Effect<boolean>
  /** Runs an effect that holds so many bytes; otherwise what is given for that, where there is no largePermits. */
  readonly withBytes: <A, E, R, B, E2, R2>(
    bytes: number,
    effect: Effect.Effect<A, E, R>,
    overloaded: Effect.Effect<B, E2, R2>
  ) => Effect.Effect<A | B, E | E2, R | R2>
}

export const make = ({ burst, bytes: maxBytes, largeBytes, perSecond }: Limits): AdmissionControl => {
  let tokens = burst
  let refilledAt: bigint | undefined
  let inFlight = 0
  const largePermits = Semaphore.makeUnsafe(largeBytes)
  const withLargePermits = <A, E, R>(bytes: number, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    bytes < largeBodyBytes ? effect : largePermits.withPermits(Math.min(bytes, largeBytes))(effect)
  return {
    // By the monotonic clock: one that is set must not let in more, or nothing.
    admit: Effect.map(Clock.monotonicTimeNanos, (now) => {
      const elapsed = refilledAt === undefined ? 0 : Number(now - refilledAt) / 1e9
      refilledAt = now
      tokens = Math.min(burst, tokens + elapsed * perSecond)
      if (tokens < 1) return false
      tokens--
      return true
    }),
    withBytes: (bytes, effect, overloaded) =>
      Effect.suspend((): Effect.Effect<any, any, any> => {
        if (inFlight + bytes > maxBytes) return overloaded
        inFlight += bytes
        return Effect.ensuring(
          withLargePermits(bytes, effect),
          Effect.sync(() => {
            inFlight -= bytes
          })
        )
      })
  }
}
