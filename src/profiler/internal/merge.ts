/**
 * Merges measurements of the same operation from several processes.
 */
import type * as Report from "../ProfileReport.ts"
import * as Histogram from "./histogram.ts"
import { distribution } from "./snapshot.ts"

const distributions = (a: Report.Distribution, b: Report.Distribution): Report.Distribution => {
  const merged = Histogram.decode(a)
  Histogram.merge(merged, b)
  return distribution(merged)
}

const outcomes = (a: Report.Outcomes, b: Report.Outcomes): Report.Outcomes => ({
  success: a.success + b.success,
  failure: a.failure + b.failure,
  defect: a.defect + b.defect,
  interrupted: a.interrupted + b.interrupted
})

/** Merges two values that may be unknown. */
const either = <A>(a: A | null, b: A | null, both: (a: A, b: A) => A): A | null =>
  a === null ? b : b === null ? a : both(a, b)

const cpus = (a: Report.Cpu, b: Report.Cpu): Report.Cpu => ({
  samples: a.samples + b.samples,
  user: a.user + b.user,
  system: a.system + b.system,
  alone: a.alone + b.alone,
  aloneTotal: a.aloneTotal + b.aloneTotal
})

const memories = (a: Report.Memory, b: Report.Memory): Report.Memory => ({
  samples: a.samples + b.samples,
  invalid: a.invalid + b.invalid,
  total: a.total + b.total,
  max: Math.max(a.max, b.max),
  peak: either(a.peak, b.peak, Math.max),
  peaks: a.peaks + b.peaks
})

const threads = (a: Report.Thread, b: Report.Thread): Report.Thread => ({
  active: distributions(a.active, b.active),
  waiting: distributions(a.waiting, b.waiting),
  self: a.self + b.self,
  selfCpu: a.selfCpu + b.selfCpu,
  activeCpu: a.activeCpu + b.activeCpu
})

export const operations = (a: Report.Operation, b: Report.Operation): Report.Operation => ({
  kind: a.kind,
  name: a.name,
  outcomes: outcomes(a.outcomes, b.outcomes),
  wall: distributions(a.wall, b.wall),
  maxConcurrency: Math.max(a.maxConcurrency, b.maxConcurrency),
  cpu: either(a.cpu, b.cpu, cpus),
  memory: either(a.memory, b.memory, memories),
  thread: either(a.thread, b.thread, threads),
  repeatedParents: a.repeatedParents + b.repeatedParents,
  maxRepeats: Math.max(a.maxRepeats, b.maxRepeats)
})

export const statements = (a: Report.Statement, b: Report.Statement): Report.Statement => ({
  fingerprint: a.fingerprint,
  system: a.system,
  outcomes: outcomes(a.outcomes, b.outcomes),
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

export const unowned = (
  a: Report.ProfileReport["unattributed"],
  b: Report.ProfileReport["unattributed"]
): Report.ProfileReport["unattributed"] =>
  either(a, b, (a, b) => ({ fibers: a.fibers + b.fibers, elsewhere: a.elsewhere + b.elsewhere }))

type Slow = Report.ProfileReport["slow"]

/** The newest slow executions of both. */
export const slow = (a: Slow, b: Slow, most: number): Slow =>
  [...a, ...b].toSorted((one, other) => one.at - other.at).slice(-most)

const measured = (a: Report.MetricValue, b: Report.MetricValue): Report.MetricValue => ({
  ...a,
  value: a.type === "gauge" ? Math.max(a.value, b.value) : a.value + b.value,
  sum: either(a.sum, b.sum, (a, b) => a + b),
  max: either(a.max, b.max, Math.max)
})

/** The maximum number of metrics of other Layers in a merged report. */
const maxMeasured = 200

export const measureds = (
  a: ReadonlyArray<Report.MetricValue>,
  b: ReadonlyArray<Report.MetricValue>
): ReadonlyArray<Report.MetricValue> => {
  const all = new Map<string, Report.MetricValue>()
  for (const one of [...a, ...b]) {
    const key = JSON.stringify([one.type, one.name, one.attributes])
    const known = all.get(key)
    if (known !== undefined) all.set(key, measured(known, one))
    else if (all.size < maxMeasured) all.set(key, one)
  }
  return [...all.values()]
}

export const costs = (a: Report.Cost, b: Report.Cost, elapsed: number): Report.Cost => {
  const total = a.total + b.total
  return {
    bookkeeping: a.bookkeeping + b.bookkeeping,
    runLoop: a.runLoop + b.runLoop,
    samples: a.samples + b.samples,
    sampleCount: a.sampleCount + b.sampleCount,
    switches: a.switches + b.switches,
    switchCount: a.switchCount + b.switchCount,
    primitives: a.primitives + b.primitives,
    total,
    share: elapsed > 0 ? total / elapsed : 0,
    failures: a.failures + b.failures
  }
}

/** The wall times in units of the calibration kernel's time. The error is at most 3.2 %. */
export const normalised = (wall: Report.Distribution, kernelMs: number): Histogram.Encoded => {
  const scaled = Histogram.make()
  if (kernelMs > 0) {
    if (wall.zeros > 0) Histogram.record(scaled, 0, wall.zeros)
    for (const [index, count] of wall.buckets) Histogram.record(scaled, Histogram.middle(index) / kernelMs, count)
  }
  return Histogram.encode(scaled)
}
