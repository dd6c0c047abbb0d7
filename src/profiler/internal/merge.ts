/** Merges measurements of the same operation from several processes. */
import type * as Report from "../ProfileReport.ts"
import * as Histogram from "./histogram.ts"
import { distribution } from "./snapshot.ts"

const distributions = (a: Report.Distribution, b: Report.Distribution): Report.Distribution => {
  const merged = Histogram.decode(a)
  Histogram.merge(merged, b)
  return distribution(merged)
}

/** Adds the members, which are all numbers. */
export const sum = <A extends { readonly [Name in keyof A]: number }>(a: A, b: A): A =>
  Object.fromEntries(Object.entries<number>(a).map(([name, value]) => [name, value + b[name as keyof A]])) as A

/** Merges two values that may be unknown. */
const either = <A>(a: A | null, b: A | null, both: (a: A, b: A) => A): A | null =>
  a === null ? b : b === null ? a : both(a, b)

const memories = (a: Report.Memory, b: Report.Memory): Report.Memory => {
  const { max, peak, ...sums } = a
  const { max: otherMax, peak: otherPeak, ...others } = b
  return { ...sum(sums, others), max: Math.max(max, otherMax), peak: either(peak, otherPeak, Math.max) }
}

const threads = (a: Report.Thread, b: Report.Thread): Report.Thread => {
  const { active, waiting, ...sums } = a
  const { active: otherActive, waiting: otherWaiting, ...others } = b
  return {
    ...sum(sums, others),
    active: distributions(active, otherActive),
    waiting: distributions(waiting, otherWaiting)
  }
}

export const operations = (a: Report.Operation, b: Report.Operation): Report.Operation => ({
  kind: a.kind,
  name: a.name,
  outcomes: sum(a.outcomes, b.outcomes),
  wall: distributions(a.wall, b.wall),
  maxConcurrency: Math.max(a.maxConcurrency, b.maxConcurrency),
  cpu: either(a.cpu, b.cpu, sum),
  memory: either(a.memory, b.memory, memories),
  thread: either(a.thread, b.thread, threads),
  repeatedParents: a.repeatedParents + b.repeatedParents,
  maxRepeats: Math.max(a.maxRepeats, b.maxRepeats)
})

export const statements = (a: Report.Statement, b: Report.Statement): Report.Statement => ({
  fingerprint: a.fingerprint,
  system: a.system,
  outcomes: sum(a.outcomes, b.outcomes),
  wall: distributions(a.wall, b.wall),
  wait: distributions(a.wait, b.wait),
  execution: distributions(a.execution, b.execution),
  countedCalls: a.countedCalls + b.countedCalls,
  rows: a.rows + b.rows,
  maxRows: Math.max(a.maxRows, b.maxRows),
  sizedCalls: a.sizedCalls + b.sizedCalls,
  bytes: a.bytes + b.bytes,
  slow: a.slow + b.slow,
  repeatedParents: a.repeatedParents + b.repeatedParents,
  maxRepeats: Math.max(a.maxRepeats, b.maxRepeats),
  plan: b.plan ?? a.plan
})

type Slow = Report.ProfileReport["slow"]

/** The newest slow executions of both. */
const slow = (a: Slow, b: Slow, most: number): Slow =>
  [...a, ...b].toSorted((one, other) => one.at - other.at).slice(-most)

const metric = (a: Report.MetricValue, b: Report.MetricValue): Report.MetricValue => ({
  ...a,
  value: a.type === "gauge" ? Math.max(a.value, b.value) : a.value + b.value,
  sum: either(a.sum, b.sum, (a, b) => a + b),
  max: either(a.max, b.max, Math.max)
})

/** The maximum number of metrics of other Layers in a merged report. */
const maxMetrics = 200

const metrics = (
  a: ReadonlyArray<Report.MetricValue>,
  b: ReadonlyArray<Report.MetricValue>
): ReadonlyArray<Report.MetricValue> => {
  const all = new Map<string, Report.MetricValue>()
  for (const one of [...a, ...b]) {
    const key = JSON.stringify([one.type, one.name, one.attributes])
    const known = all.get(key)
    if (known !== undefined) all.set(key, metric(known, one))
    else if (all.size < maxMetrics) all.set(key, one)
  }
  return [...all.values()]
}

const costs = (a: Report.Cost, b: Report.Cost, elapsed: number): Report.Cost => {
  const cost = sum(a, b)
  return { ...cost, share: elapsed > 0 ? cost.total / elapsed : 0 }
}

/** A report without its lists of operations, statements and call paths. */
export type Summary = Omit<Report.ProfileReport, "operations" | "statements" | "callPaths">

/** Merges the summaries of processes that ran for this time together, in milliseconds. */
export const summaries = (a: Summary, b: Summary, elapsed: number, maxSlow: number): Summary => ({
  version: a.version,
  level: a.level === b.level ? a.level : "mixed",
  from: Math.min(a.from, b.from),
  to: Math.max(a.to, b.to),
  budget: Math.max(a.budget, b.budget),
  overflowed: a.overflowed + b.overflowed,
  unattributed: either(a.unattributed, b.unattributed, sum),
  evicted: sum(a.evicted, b.evicted),
  slow: slow(a.slow, b.slow, maxSlow),
  slowDropped: a.slowDropped + b.slowDropped + Math.max(0, a.slow.length + b.slow.length - maxSlow),
  metrics: metrics(a.metrics, b.metrics),
  cost: costs(a.cost, b.cost, elapsed)
})

/** The wall times in units of the calibration kernel's time. The error is at most 3.2 %. */
export const normalised = (wall: Report.Distribution, kernelMs: number): Histogram.Encoded => {
  const scaled = Histogram.make()
  if (kernelMs > 0) {
    if (wall.zeros > 0) Histogram.record(scaled, 0, wall.zeros)
    for (const [index, count] of wall.buckets) Histogram.record(scaled, Histogram.middle(index) / kernelMs, count)
  }
  return Histogram.encode(scaled)
}
