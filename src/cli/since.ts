/**
 * The flag `--since`: a duration before now, or a date and time.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Flag from "effect/cli/Flag"
import * as Selection from "./selection.ts"

export const flag = Flag.String("since").pipe(
  Flag.withDescription('Earliest time: a duration before now ("2 hours"), or a date and time'),
  Flag.optional
)

/** The time of the flag, if it is set. */
export const time = Effect.fnUntraced(function* (since: Option.Option<string>) {
  if (Option.isNone(since)) return undefined
  const ago = Duration.fromInput(since.value as Duration.Input)
  if (Option.isSome(ago)) return DateTime.makeUnsafe((yield* Clock.currentTimeMillis) - Duration.toMillis(ago.value))
  const time = DateTime.make(since.value)
  if (Option.isSome(time)) return DateTime.toUtc(time.value)
  return yield* Selection.fail('--since must be a duration such as "2 hours", or a date and time')
})
