/**
 * Time that never jumps, in milliseconds with a fraction; only differences mean something.
 */
import type * as Clock from "effect/Clock"

export const monotonicMs = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6
