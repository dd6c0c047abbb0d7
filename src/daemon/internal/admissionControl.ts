/**
 * Limits the requests per second and the bytes in flight. Excess requests are rejected immediately: a hook that waits
 * is worse than one without a response.
 *
 * Large payloads are read a few at a time. Unread ones remain with the agent; reading all of them concurrently would
 * complete none sooner.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"

export interface Limits {
  /** Sustained requests per second. */
  readonly perSecond: number
  /** Requests of one burst. */
  readonly burst: number
  /** Bytes of bodies in flight. */
  readonly bytes: number
  /** Bytes of large bodies processed concurrently; a body above it is processed alone. */
  readonly largeBytes: number
}

/** From this size a body counts as large. */
const largeBodyBytes = 256 * 1024

export interface AdmissionControl {
  /** Whether another request is admitted now. */
  readonly admit: Effect.Effect<boolean>
  /** Runs an effect that needs this many bytes, or the alternative if they exceed the limit. */
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
    // Monotonic: a clock that is set must not change the rate.
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
