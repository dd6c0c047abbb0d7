/**
 * How the commands print: text for people, or one JSON value where `--json` was given.
 */
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"

/** `--json`: print one JSON value instead of text. */
export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print one JSON value instead of text"),
  Flag.withDefault(false)
)

/** Prints the value as JSON, or the lines. */
export const print = (asJson: boolean, value: unknown, lines: ReadonlyArray<string>): Effect.Effect<void> =>
  asJson ? Console.log(JSON.stringify(value)) : Effect.forEach(lines, (line) => Console.log(line), { discard: true })

/** Whether to print in colours: on a terminal, unless `NO_COLOR` is set. */
export const isColored: Effect.Effect<boolean> = Config.withDefault(Config.String("NO_COLOR"), "").pipe(
  Effect.map((refused) => process.stdout.isTTY && refused === ""),
  Effect.orElseSucceed(() => false)
)
