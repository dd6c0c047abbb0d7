/**
 * Monotonic time in milliseconds, with a fraction. Waits and measurements use it, because the wall clock can be set. Only
 * differences are meaningful.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/** The real clock, whatever `Clock` the program provides: locks, servers and networks do not follow a `TestClock`. */
export const systemClock: Clock.Clock = Context.get(Context.empty(), Clock.Clock)

/** The monotonic time of a clock. */
export const monotonicMsOf = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/** The monotonic time of the fiber's clock. */
export const monotonicMs: Effect.Effect<number> = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)
