/**
 * Waiting at the end of a scope.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/**
 * Lets an effect go on for a while, where nothing can be interrupted any more. The time is that of the machine: a
 * program under test may have stopped its own clock, and must end all the same.
 */
export const boundedFinalizer = (limit: Duration.Duration, effect: Effect.Effect<unknown>): Effect.Effect<void> =>
  Effect.flatMap(Clock.Clock, (clock) =>
    Effect.interruptible(Effect.provideService(effect, Clock.Clock, clock)).pipe(
      Effect.timeoutOption(limit),
      Effect.provideService(Clock.Clock, Context.get(Context.empty(), Clock.Clock)),
      Effect.asVoid
    )
  )
