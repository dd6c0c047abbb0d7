/**
 * A `ProfileReport` as text for people: aligned, with colours where they are asked for.
 *
 * Sections that have nothing to say are left out. In a table of times `-` means "n too small": there are too few calls for
 * that percentile to mean anything. What is of the whole process, or was sampled, is said so above its table.
 *
 * @since 0.1.0
 */
import type * as Report from "./ProfileReport.ts"
import * as Table from "./internal/textTable.ts"
import * as Units from "./internal/units.ts"

/**
 * How operations and statements are sorted: by all the time they took, by p95 (the longest call where there is none), by
 * the longest call, by how often they ran, by how often they failed, or by name.
 *
 * @category models
 * @since 0.1.0
 */
export type Sort = "total" | "p95" | "max" | "count" | "failures" | "name"

/**
 * Options of the text.
 *
 * @category models
 * @since 0.1.0
 */
export interface TextOptions {
  /** How many rows a table has at most; 10 when absent. What is left out is counted below it. */
  readonly top?: number | undefined
  /** `total` when absent. */
  readonly sort?: Sort | undefined
  /** Whether colours are used, as terminals understand them; `false` when absent. */
  readonly colors?: boolean | undefined
  /** How wide a table may be, in characters; names and statements are cut for it. From 60; 120 when absent. */
  readonly width?: number | undefined
}

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

/** A table of the first rows, with what was left out below it. */
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
    ...(report.overflowed > 0 ? [`  ${Units.count(report.overflowed)} calls of further names are in (others)`] : [])
  ]
}

const operations = (report: Report.ProfileReport, settings: Settings): ReadonlyArray<string> =>
  section(
    settings,
    "Operations by wall time",
    ["a percentile is off by 1.6 % at most; - where n is too small for it; calls within calls count in both"],
    report.operations.toSorted(orders[settings.sort]),
    [text("operation", label), ...timeColumns, figure("at once", (one) => String(one.concurrencyMost))]
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
  const elsewhere = report.unowned
  return [
    ...section(
      settings,
      "Time on the thread, and waiting",
      ["each operation's own: slices in which its fibers held the thread; in all with what it called and forked"],
      rows.toSorted((a, b) => b.thread.self - a.thread.self),
      [
        text("operation", ({ one }) => label(one)),
        figure("self", ({ thread }) => ms(thread.self)),
        figure("self CPU", ({ thread }) => ms(thread.selfCpu)),
        figure("in all", ({ thread }) => ms(thread.active.sum)),
        figure("a call", ({ thread }) => ms(thread.active.mean)),
        figure("p95", ({ thread }) => ms(thread.active.p95)),
        figure("waiting", ({ thread }) => ms(thread.waiting.sum)),
        figure("a call", ({ thread }) => ms(thread.waiting.mean)),
        figure("p95", ({ thread }) => ms(thread.waiting.p95))
      ]
    ),
    ...(rows.length === 0 || elsewhere === null
      ? []
      : [
          settings.style.dim(
            `  CPU beside: fibers of no operation ${ms(elsewhere.fibers)}, outside of fibers ${ms(elsewhere.elsewhere)}`
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
      "of the whole process while a sampled call was open; alone: while nothing else was",
      ...split,
      "heap: by how much it grew; samples in which it shrank, because garbage was collected, are left out"
    ],
    rows.toSorted((a, b) => b.cpu.user + b.cpu.system - a.cpu.user - a.cpu.system),
    [
      text("operation", label),
      figure("sampled", ({ cpu, wall }) => `${Units.count(cpu.samples)} of ${Units.count(wall.count)}`),
      figure("CPU a call", ({ cpu }) => ms((cpu.user + cpu.system) / cpu.samples)),
      figure("alone", ({ cpu }) => (cpu.alone === 0 ? "-" : ms(cpu.aloneTotal / cpu.alone))),
      figure("heap a call", ({ memory }) => (memory.samples === 0 ? "-" : Units.bytes(memory.total / memory.samples))),
      figure("most", ({ memory }) => (memory.samples === 0 ? "-" : Units.bytes(memory.max))),
      figure("peak RSS", ({ memory }) => (memory.peak === null ? "-" : Units.bytes(memory.peak)))
    ]
  )
}

const statements = (report: Report.ProfileReport, settings: Settings): ReadonlyArray<string> => [
  ...section(
    settings,
    "Statements",
    ["without their values; on average: wait for a connection, rows, and about how many bytes they have"],
    report.statements.toSorted(orders[settings.sort]),
    [
      text("statement", ({ fingerprint }) => fingerprint),
      figure("count", ({ wall }) => Units.count(wall.count)),
      figure("total", ({ wall }) => ms(wall.sum)),
      figure("mean", ({ wall }) => ms(wall.mean)),
      figure("p95", ({ wall }) => ms(wall.p95)),
      figure("max", ({ wall }) => ms(wall.max)),
      figure("wait", ({ wait }) => (wait.count === 0 ? "-" : ms(wait.mean))),
      figure("rows", ({ counted, rows }) => (counted === 0 ? "-" : Units.amount(rows / counted))),
      figure("bytes", ({ bytes, sized }) => (sized === 0 ? "-" : Units.bytes(bytes / sized))),
      figure("failed", (one) => Units.count(bad(one.outcomes)))
    ]
  ),
  ...(report.evicted.statements > 0
    ? [
        settings.style.dim(
          `  ${Units.count(report.evicted.statements)} further statements, run ${Units.count(report.evicted.calls)} times, had to make room`
        )
      ]
    : [])
]

const slow = (report: Report.ProfileReport, settings: Settings): ReadonlyArray<string> => {
  const plans = report.statements.filter((one) => one.plan !== null).slice(0, settings.top)
  return [
    ...section(
      settings,
      "Slow statements, the newest first",
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
    "The same many times under one span: would one with a list do?",
    [],
    [
      ...report.operations.map((one) => ({ ...one, what: label(one) })),
      ...report.statements.map((one) => ({ ...one, what: one.fingerprint }))
    ]
      .filter((one) => one.repeatedUnder > 0)
      .toSorted((a, b) => b.repeatedMost * b.repeatedUnder - a.repeatedMost * a.repeatedUnder),
    [
      text("what", ({ what }) => what),
      figure("spans", (one) => Units.count(one.repeatedUnder)),
      figure("most under one", (one) => Units.count(one.repeatedMost))
    ]
  )

const attributes = (of: Report.ProfileReport["measured"][number]["attributes"]): string =>
  Object.entries(of)
    .map(([name, value]) => `${name.replace(/^.*\./, "")}=${value}`)
    .join(" ")

const measured = (report: Report.ProfileReport, settings: Settings): ReadonlyArray<string> =>
  section(
    { ...settings, top: Math.max(settings.top, 30) },
    "Counted by other Layers",
    ["since they were made"],
    report.measured.filter(({ value }) => value !== 0),
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
  style.bold("What the profiling cost"),
  `  ${Units.ms(cost.total)}, ${Units.percent(cost.part)} of the time: books ${Units.ms(cost.books)}, run loop ${Units.ms(cost.runLoop)}, ${Units.count(cost.sampleCount)} samples ${Units.ms(cost.samples)}, ${Units.count(cost.sliceCount)} slices ${Units.ms(cost.slices)}`,
  ...(cost.primitives > 0
    ? [style.dim(`  beside it ${Units.count(cost.primitives)} primitives passed the hook, at about 25 ns each`)]
    : []),
  ...(cost.failures > 0 ? [style.bold(`  the profiler failed ${Units.count(cost.failures)} times`)] : [])
]

/**
 * The report as text, without a line break at its end.
 *
 * **Example**
 *
 * ```ts
 * import * as ProfileText from "athena-hooks/profiler/ProfileText"
 * import * as Profiler from "athena-hooks/profiler/Profiler"
 * import * as Effect from "effect/Effect"
 *
 * const text = Effect.map(Profiler.report, (report) =>
 *   ProfileText.format(report, { top: 5, sort: "p95", colors: process.stdout.isTTY })
 * )
 * ```
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (report: Report.ProfileReport, options: TextOptions = {}): string => {
  const settings: Settings = {
    top: Math.max(1, Math.floor(options.top ?? 10)),
    sort: options.sort ?? "total",
    style: options.colors === true ? Table.colored : Table.plain,
    width: Math.max(60, Math.floor(options.width ?? 120))
  }
  return [summary, operations, outcomes, threads, resources, statements, slow, repeated, measured, cost]
    .flatMap((part) => part(report, settings))
    .join("\n")
}
