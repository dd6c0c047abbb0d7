/**
 * `athena report`: the profile of hooks, of one session, a time range, or all.
 */
import * as DateTime from "effect/DateTime"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as ProfileHistory from "../../profiler/ProfileHistory.ts"
import type * as ProfileReport from "../../profiler/ProfileReport.ts"
import * as ProfileText from "../../profiler/ProfileText.ts"
import * as Database from "../../sql/Database.ts"
import * as Output from "../output.ts"
import * as Since from "../since.ts"

/** The arguments contradict each other. */
export class InvalidReport extends Data.TaggedError("InvalidReport")<{ readonly message: string }> {}

const two = (between: ReadonlyArray<string>) =>
  between.length === 2
    ? Effect.succeed([between[0]!, between[1]!] as const)
    : Effect.fail(new InvalidReport({ message: "--compare needs two sessions: athena report --compare A B" }))

const ms = (value: number): string => `${value.toPrecision(3)} ms`.padStart(10)

/** Operation names come from programs and may contain control characters. */
const control = /[\u0000-\u001f\u007f-\u009f]+/g

const compareLine = ({ counts, medians, operation, ratio, verdict }: ProfileHistory.Comparison): string =>
  [
    verdict.padEnd(6),
    `${ratio.toFixed(2)}x`.padStart(8),
    ms(medians[0]),
    ms(medians[1]),
    `${counts[0]}/${counts[1]}`.padStart(12),
    ` ${operation.replace(control, " ")}`
  ].join(" ")

const compare = Effect.fnUntraced(function* (between: ReadonlyArray<string>, json: boolean) {
  const history = yield* ProfileHistory.ProfileHistory
  const [a, b] = yield* two(between)
  const comparisons = ProfileHistory.compare(yield* history.read({ session: a }), yield* history.read({ session: b }))
  yield* Output.print(
    json,
    { comparisons },
    comparisons.length === 0
      ? ["nothing ran 6 times or more in both"]
      : [
          "medians of both, and their ratio with the differences of the machine's speed taken out",
          ...comparisons.map(compareLine)
        ]
  )
})

const empty = [
  "no profiles yet. To profile hooks, set ATHENA_PROFILE to wall, standard or deep in the environment",
  "of the agent."
]

const lines = (
  history: ProfileReport.History,
  isFiltered: boolean,
  options: ProfileText.TextOptions
): ReadonlyArray<string> => {
  const { unreadable, dropped, kernel, processes, report, sessions } = history
  if (processes === 0) return isFiltered ? ["no hook of that session or time was profiled"] : empty
  const speed = kernel.p50 === null ? "" : `; the calibration kernel took ${(kernel.p50 * 1_000).toFixed(0)} us`
  return [
    `${processes} processes of ${sessions} sessions${speed}`,
    ...(unreadable > 0 ? [`${unreadable} profiles could not be read and are left out`] : []),
    ...(dropped > 0 ? [`${dropped} profiles made room for newer ones before they were read`] : []),
    ProfileText.format(report, options)
  ]
}

const history = Layer.unwrap(Effect.map(Database.home, (folder) => ProfileHistory.layer({ folder })))

export const report = Command.make(
  "report",
  {
    between: Argument.String("session").pipe(
      Argument.withDescription("With --compare: the two sessions"),
      Argument.variadic()
    ),
    since: Since.flag,
    session: Flag.String("session").pipe(Flag.withDescription("One session of the agent"), Flag.optional),
    compare: Flag.Boolean("compare").pipe(
      Flag.withDescription("Compare two sessions: --compare A B"),
      Flag.withDefault(false)
    ),
    top: Flag.Int("top").pipe(
      Flag.filter(
        (top) => top >= 1,
        (top) => `--top must be a whole number from 1, not ${top}`
      ),
      Flag.withDescription("Maximum number of rows per table"),
      Flag.withDefault(10)
    ),
    sort: Flag.Literals("sort", ["total", "p95", "max", "count", "failures", "name"]).pipe(
      Flag.withDescription("Sort order of operations"),
      Flag.withDefault("total" as const)
    ),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ between, json, session, since, ...options }) {
    const isFiltered = Option.isSome(since) || Option.isSome(session)
    if (options.compare && isFiltered) {
      return yield* new InvalidReport({ message: "--compare takes two sessions, and neither --session nor --since" })
    }
    if (options.compare) return yield* compare(between, json)
    if (between.length > 0) {
      return yield* new InvalidReport({ message: "--session ID shows one session, --compare A B compares two" })
    }
    const from = yield* Since.time(since)
    const history = yield* ProfileHistory.ProfileHistory
    const found = yield* history.read({
      since: from === undefined ? undefined : DateTime.toEpochMillis(from),
      session: Option.getOrUndefined(session)
    })
    const { sort, top } = options
    const width = Math.max(60, process.stdout.columns ?? 120)
    yield* Output.printStyled(
      json,
      found,
      lines(found, isFiltered, { sort, top, colors: yield* Output.isColored, width })
    )
  })
).pipe(Command.withDescription("Show the profile of the hooks"), Command.provide(history))
