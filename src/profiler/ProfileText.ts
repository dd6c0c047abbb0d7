/**
 * Formats a `ProfileReport` as aligned text, with optional colours.
 *
 * Empty sections are omitted. In a table of times, `-` means that the percentile has too few calls. A note above the
 * table says if its figures describe the whole process or only samples.
 *
 * @since 0.1.0
 */
import * as Options from "../internal/options.ts"
import type * as Report from "./ProfileReport.ts"
import * as Table from "./internal/textTable.ts"
import * as Units from "./internal/units.ts"

/**
 * The order of operations and statements: by total time, by p95 (the longest call if there is none), by the longest
 * call, by count, by failures, or by name.
 *
 * @category models
 * @since 0.1.0
 */
export type Sort = "total" | "p95" | "max" | "count" | "failures" | "name"

/**
 * Options of `format`. One beyond its bounds is a `RangeError`.
 *
 * @category models
 * @since 0.1.0
 */
export interface TextOptions {
  /** The maximum number of rows per table, from 1; 10 when absent. A line below the table counts the omitted rows. */
  readonly top?: number | undefined
  /** `total` when absent. */
  readonly sort?: Sort | undefined
  /** Whether to emit ANSI colours; `false` when absent. */
  readonly colors?: boolean | undefined
  /**
   * The maximum width of a table, in characters; longer names and statements are truncated. At least 60; 120 when
   * absent.
   */
  readonly width?: number | undefined
}

const read = Options.reader("ProfileText")

interface Settings {
  readonly top: number
  readonly sort: Sort
  readonly style: Table.Style
  readonly width: number
}

interface Timed {
  readonly wall: Report.Distribution
  readonly outcomes: Report.Outcomes
}

const bad = ({ defect, failure, interrupted }: Report.Outcomes): number => defect + failure + interrupted

const nameOf = (one: Timed & { readonly name?: string; readonly fingerprint?: string }): string =>
  one.name ?? one.fingerprint ?? ""

const orders: Readonly<Record<Sort, (a: Timed, b: Timed) => number>> = {
  total: (a, b) => b.wall.sum - a.wall.sum,
  p95: (a, b) => (b.wall.p95 ?? b.wall.max) - (a.wall.p95 ?? a.wall.max),
  max: (a, b) => b.wall.max - a.wall.max,
  count: (a, b) => b.wall.count - a.wall.count,
  failures: (a, b) => bad(b.outcomes) - bad(a.outcomes),
  name: (a, b) => nameOf(a).localeCompare(nameOf(b))
}

const kinds: Readonly<Record<Report.Operation["kind"], string>> = {
  operation: "",
  span: "span ",
  query: "query ",
  mutation: "mutation "
}

const label = ({ kind, name }: Pick<Report.Operation, "kind" | "name">): string => `${kinds[kind]}${name}`

/** A table of the first rows, with a count of the omitted ones below it. */
const section = <A>(
  settings: Settings,
  title: string,
  notes: ReadonlyArray<string>,
  rows: ReadonlyArray<A>,
  columns: ReadonlyArray<Table.Column<A>>
): ReadonlyArray<string> => {
  if (rows.length === 0) return []
  const shown = rows.slice(0, settings.top)
  const rest = rows.length - shown.length
  return [
    "",
    settings.style.bold(title),
    ...notes.map((note) => settings.style.dim(`  ${note}`)),
    ...Table.format(shown, columns, settings.style, settings.width),
    ...(rest > 0 ? [settings.style.dim(`  ... and ${rest} more`)] : [])
  ]
}

const text = <A>(title: string, value: (row: A) => string): Table.Column<A> => ({ title, value, align: "left" })
const figure = <A>(title: string, value: (row: A) => string): Table.Column<A> => ({ title, value, align: "right" })

const ms = (value: number | null): string => (value === null ? "-" : Units.ms(value))

const timeColumns: ReadonlyArray<Table.Column<Timed>> = [
  figure("count", ({ wall }) => Units.count(wall.count)),
  figure("total", ({ wall }) => ms(wall.sum)),
  figure("mean", ({ wall }) => ms(wall.mean)),
  figure("min", ({ wall }) => ms(wall.min)),
  figure("p50", ({ wall }) => ms(wall.p50)),
  figure("p90", ({ wall }) => ms(wall.p90)),
  figure("p95", ({ wall }) => ms(wall.p95)),
  figure("p99", ({ wall }) => ms(wall.p99)),
  figure("max", ({ wall }) => ms(wall.max))
]

const summary = (report: Report.ProfileReport, { style }: Settings): ReadonlyArray<string> => {
  const count = report.operations.reduce((sum, one) => sum + one.wall.count, 0)
  const statements = report.statements.reduce((sum, one) => sum + one.wall.count, 0)
  const from = new Date(report.from).toISOString()
  return [
    style.bold("Profile"),
    `  ${Units.ms(report.to - report.from)} from ${from}, ${report.level === "mixed" ? "several levels" : `level ${report.level}`}`,
    `  ${Units.count(count)} calls of ${report.operations.length} operations, ${Units.count(statements)} of ${report.statements.length} statements`,
    ...(report.overflowed > 0
      ? [`  ${Units.count(report.overflowed)} calls of further names are counted as (others)`]
      : [])
  ]
}

const operations = (report: Report.ProfileReport, settings: Settings): ReadonlyArray<string> =>
  section(
    settings,
    "Operations by wall time",
    ["percentile error is at most 1.6 %; - means too few calls; nested calls count in both"],
    report.operations.toSorted(orders[settings.sort]),
    [text("operation", label), ...timeColumns, figure("parallel", (one) => String(one.maxConcurrency))]
  )

const outcomes = (report: Report.ProfileReport, settings: Settings): ReadonlyArray<string> =>
  section(
    settings,
    "Operations that did not succeed",
    [],
    report.operations.filter((one) => bad(one.outcomes) > 0).toSorted(orders.failures),
    [
      text("operation", label),
      figure("success", (one) => Units.count(one.outcomes.success)),
      figure("failure", (one) => Units.count(one.outcomes.failure)),
      figure("defect", (one) => Units.count(one.outcomes.defect)),
      figure("interrupted", (one) => Units.count(one.outcomes.interrupted))
    ]
  )

const threads = (report: Report.ProfileReport, settings: Settings): ReadonlyArray<string> => {
  const rows = report.operations.flatMap((one) => (one.thread === null ? [] : [{ one, thread: one.thread }]))
  const elsewhere = report.unattributed
  return [
    ...section(
      settings,
      "Thread time and waiting time",
      ["self: intervals in which the operation's own fibers ran; total: with callees and forked fibers"],
      rows.toSorted((a, b) => b.thread.self - a.thread.self),
      [
        text("operation", ({ one }) => label(one)),
        figure("self", ({ thread }) => ms(thread.self)),
        figure("self CPU", ({ thread }) => ms(thread.selfCpu)),
        figure("total", ({ thread }) => ms(thread.active.sum)),
        figure("per call", ({ thread }) => ms(thread.active.mean)),
        figure("p95", ({ thread }) => ms(thread.active.p95)),
        figure("waiting", ({ thread }) => ms(thread.waiting.sum)),
        figure("per call", ({ thread }) => ms(thread.waiting.mean)),
        figure("p95", ({ thread }) => ms(thread.waiting.p95))
      ]
    ),
    ...(rows.length === 0 || elsewhere === null
      ? []
      : [
          settings.style.dim(
            `  other CPU time: fibers outside operations ${ms(elsewhere.fibers)}, outside of fibers ${ms(elsewhere.elsewhere)}`
          )
        ])
  ]
}

const resources = (report: Report.ProfileReport, settings: Settings): ReadonlyArray<string> => {
  const rows = report.operations.flatMap(({ cpu, memory, ...one }) =>
    cpu === null || memory === null ? [] : [{ ...one, cpu, memory }]
  )
  const user = rows.reduce((sum, { cpu }) => sum + cpu.user, 0)
  const system = rows.reduce((sum, { cpu }) => sum + cpu.system, 0)
  const split = user + system === 0 ? [] : [`${Units.percent(user / (user + system))} of the CPU time was user time`]
  return section(
    settings,
    "CPU and memory, sampled",
    [
      "whole process during a sampled call; alone: without a concurrent call",
      ...split,
      "heap: growth; samples with a garbage collection are excluded"
    ],
    rows.toSorted((a, b) => b.cpu.user + b.cpu.system - a.cpu.user - a.cpu.system),
    [
      text("operation", label),
      figure("sampled", ({ cpu, wall }) => `${Units.count(cpu.samples)} of ${Units.count(wall.count)}`),
      figure("CPU per call", ({ cpu }) => ms((cpu.user + cpu.system) / cpu.samples)),
      figure("alone", ({ cpu }) => (cpu.alone === 0 ? "-" : ms(cpu.aloneTotal / cpu.alone))),
      figure("heap per call", ({ memory }) =>
        memory.samples === 0 ? "-" : Units.bytes(memory.total / memory.samples)
      ),
      figure("max", ({ memory }) => (memory.samples === 0 ? "-" : Units.bytes(memory.max))),
      figure("peak RSS", ({ memory }) => (memory.peak === null ? "-" : Units.bytes(memory.peak)))
    ]
  )
}

const statements = (report: Report.ProfileReport, settings: Settings): ReadonlyArray<string> => [
  ...section(
    settings,
    "Statements",
    ["without values; averages of the wait for a connection, the rows and their estimated bytes"],
    report.statements.toSorted(orders[settings.sort]),
    [
      text("statement", ({ fingerprint }) => fingerprint),
      figure("count", ({ wall }) => Units.count(wall.count)),
      figure("total", ({ wall }) => ms(wall.sum)),
      figure("mean", ({ wall }) => ms(wall.mean)),
      figure("p95", ({ wall }) => ms(wall.p95)),
      figure("max", ({ wall }) => ms(wall.max)),
      figure("wait", ({ wait }) => (wait.count === 0 ? "-" : ms(wait.mean))),
      figure("rows", ({ countedCalls: counted, rows }) => (counted === 0 ? "-" : Units.amount(rows / counted))),
      figure("bytes", ({ bytes, sizedCalls: sized }) => (sized === 0 ? "-" : Units.bytes(bytes / sized))),
      figure("failed", (one) => Units.count(bad(one.outcomes)))
    ]
  ),
  ...(report.evicted.statements > 0
    ? [
        settings.style.dim(
          `  ${Units.count(report.evicted.statements)} further statements, run ${Units.count(report.evicted.calls)} times, were evicted`
        )
      ]
    : [])
]

const slow = (report: Report.ProfileReport, settings: Settings): ReadonlyArray<string> => {
  const plans = report.statements.filter((one) => one.plan !== null).slice(0, settings.top)
  return [
    ...section(
      settings,
      "Slow statements, newest first",
      report.slowDropped > 0 ? [`${Units.count(report.slowDropped)} older ones are not shown`] : [],
      report.slow.toReversed(),
      [
        text("statement", ({ fingerprint }) => fingerprint),
        text("in", ({ parent }) => parent ?? "-"),
        figure("took", (one) => ms(one.ms)),
        figure("wait", ({ waitMs }) => ms(waitMs)),
        figure("rows", ({ rows }) => (rows === null ? "-" : Units.count(rows))),
        text("why", ({ why }) => (why === "limit" ? "over the limit" : "4x its p95"))
      ]
    ),
    ...plans.flatMap(({ fingerprint, plan }) => [
      settings.style.dim(`  plan of ${Table.cut(fingerprint, settings.width - 10)}`),
      ...(plan ?? []).map((line) => `    ${Table.cut(line, settings.width - 4)}`)
    ])
  ]
}

const repeated = (report: Report.ProfileReport, settings: Settings): ReadonlyArray<string> =>
  section(
    settings,
    "Repeated under one span (N+1): consider one query with a list",
    [],
    [
      ...report.operations.map((one) => ({ ...one, what: label(one) })),
      ...report.statements.map((one) => ({ ...one, what: one.fingerprint }))
    ]
      .filter((one) => one.repeatedParents > 0)
      .toSorted((a, b) => b.maxRepeats * b.repeatedParents - a.maxRepeats * a.repeatedParents),
    [
      text("what", ({ what }) => what),
      figure("spans", (one) => Units.count(one.repeatedParents)),
      figure("max under one", (one) => Units.count(one.maxRepeats))
    ]
  )

const attributes = (of: Report.ProfileReport["metrics"][number]["attributes"]): string =>
  Object.entries(of)
    .map(([name, value]) => `${name.replace(/^.*\./, "")}=${value}`)
    .join(" ")

const measured = (report: Report.ProfileReport, settings: Settings): ReadonlyArray<string> =>
  section(
    { ...settings, top: Math.max(settings.top, 30) },
    "Metrics of other Layers",
    ["since their creation"],
    report.metrics.filter(({ value }) => value !== 0),
    [
      text("metric", ({ name }) => name),
      text("of", (one) => attributes(one.attributes)),
      figure("value", ({ value }) => Units.amount(value)),
      figure("sum", ({ sum }) => (sum === null ? "" : Units.amount(sum))),
      figure("max", ({ max }) => (max === null ? "" : Units.amount(max)))
    ]
  )

const cost = ({ cost }: Report.ProfileReport, { style }: Settings): ReadonlyArray<string> => [
  "",
  style.bold("Cost of profiling"),
  `  ${Units.ms(cost.total)}, ${Units.percent(cost.share)} of the time: bookkeeping ${Units.ms(cost.bookkeeping)}, run loop ${Units.ms(cost.runLoop)}, ${Units.count(cost.sampleCount)} samples ${Units.ms(cost.samples)}, ${Units.count(cost.switchCount)} thread switches ${Units.ms(cost.switches)}`,
  ...(cost.primitives > 0
    ? [style.dim(`  in addition, ${Units.count(cost.primitives)} primitives passed the hook at about 25 ns each`)]
    : []),
  ...(cost.failures > 0 ? [style.bold(`  the profiler failed ${Units.count(cost.failures)} times`)] : [])
]

/**
 * The report as text, without a line break at its end.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (report: Report.ProfileReport, options: TextOptions = {}): string => {
  const settings: Settings = {
    top: read.whole("top", options.top ?? 10, 1, Infinity),
    sort: read.oneOf("sort", options.sort ?? "total", Object.keys(orders) as ReadonlyArray<Sort>),
    style: options.colors === true ? Table.colored : Table.plain,
    width: read.whole("width", options.width ?? 120, 60, Infinity)
  }
  return [summary, operations, outcomes, threads, resources, statements, slow, repeated, measured, cost]
    .flatMap((part) => part(report, settings))
    .join("\n")
}
