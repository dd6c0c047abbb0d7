/**
 * The monotonic clock, in milliseconds: for what waits or is measured, which a clock that is set must not change.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

export const monotonicMs: Effect.Effect<number> = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)
