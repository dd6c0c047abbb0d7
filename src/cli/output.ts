/**
 * Output of the commands: text, or one JSON value with `--json`. Every text that a command prints passes through here,
 * because it may contain text of agents, files and databases.
 */
import * as Config from "effect/Config"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Flag from "effect/cli/Flag"
import * as Sanitize from "../internal/sanitize.ts"

export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print one JSON value instead of text"),
  Flag.withDefault(false)
)

const printWith =
  (clean: (line: string) => string) =>
  (asJson: boolean, value: unknown, lines: ReadonlyArray<string>): Effect.Effect<void> =>
    asJson
      ? Console.log(Sanitize.escape(JSON.stringify(value)))
      : Effect.forEach(lines, (line) => Console.log(clean(line)), { discard: true })

/** Prints the value as JSON, or the lines without control characters. */
export const print = printWith(Sanitize.visible)

/** Prints text that may have colours and several lines. */
export const printStyled = printWith(Sanitize.styled)

/** Prints lines without control characters. */
export const text = (lines: string): Effect.Effect<void> =>
  Console.log(lines.split("\n").map(Sanitize.visible).join("\n"))

/** Prints lines in which only changes of colour remain of what a terminal interprets. */
export const styled = (lines: string): Effect.Effect<void> => Console.log(Sanitize.styled(lines))

/** Prints one line without control characters on standard error. */
export const problem = (line: string): Effect.Effect<void> => Console.error(Sanitize.line(line))

/** Whether to print colours: on a terminal, unless `NO_COLOR` is set. */
export const isColored: Effect.Effect<boolean> = Config.withDefault(Config.String("NO_COLOR"), "").pipe(
  Effect.map((refused) => process.stdout.isTTY && refused === ""),
  Effect.orElseSucceed(() => false)
)
