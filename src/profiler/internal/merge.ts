/**
 * Adds up what several processes measured of the same thing.
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

/** Joins two that may be unknown. */
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
  concurrencyMost: Math.max(a.concurrencyMost, b.concurrencyMost),
  cpu: either(a.cpu, b.cpu, cpus),
  memory: either(a.memory, b.memory, memories),
  thread: either(a.thread, b.thread, threads),
  repeatedUnder: a.repeatedUnder + b.repeatedUnder,
  repeatedMost: Math.max(a.repeatedMost, b.repeatedMost)
})

export const statements = (a: Report.Statement, b: Report.Statement): Report.Statement => ({
  fingerprint: a.fingerprint,
  system: a.system,
  outcomes: outcomes(a.outcomes, b.outcomes),
  wall: distributions(a.wall, b.wall),
  wait: distributions(a.wait, b.wait),
  execution: distributions(a.execution, b.execution),
  counted: a.counted + b.counted,
  rows: a.rows + b.rows,
  rowsMost: Math.max(a.rowsMost, b.rowsMost),
  sized: a.sized + b.sized,
  bytes: a.bytes + b.bytes,
  slow: a.slow + b.slow,
  repeatedUnder: a.repeatedUnder + b.repeatedUnder,
  repeatedMost: Math.max(a.repeatedMost, b.repeatedMost),
  plan: b.plan ?? a.plan
})

export const unowned = (
  a: Report.ProfileReport["unowned"],
  b: Report.ProfileReport["unowned"]
): Report.ProfileReport["unowned"] =>
  either(a, b, (a, b) => ({ fibers: a.fibers + b.fibers, elsewhere: a.elsewhere + b.elsewhere }))

type Slow = Report.ProfileReport["slow"]

/** The newest of both, so many. */
export const slow = (a: Slow, b: Slow, most: number): Slow =>
  [...a, ...b].toSorted((one, other) => one.at - other.at).slice(-most)

const measured = (a: Report.Measured, b: Report.Measured): Report.Measured => ({
  ...a,
  value: a.type === "gauge" ? Math.max(a.value, b.value) : a.value + b.value,
  sum: either(a.sum, b.sum, (a, b) => a + b),
  max: either(a.max, b.max, Math.max)
})

/** How many numbers of other Layers are kept of several processes. */
const maxMeasured = 200

export const measureds = (
  a: ReadonlyArray<Report.Measured>,
  b: ReadonlyArray<Report.Measured>
): ReadonlyArray<Report.Measured> => {
  const all = new Map<string, Report.Measured>()
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
    books: a.books + b.books,
    runLoop: a.runLoop + b.runLoop,
    samples: a.samples + b.samples,
    sampleCount: a.sampleCount + b.sampleCount,
    slices: a.slices + b.slices,
    sliceCount: a.sliceCount + b.sliceCount,
    primitives: a.primitives + b.primitives,
    total,
    part: elapsed > 0 ? total / elapsed : 0,
    failures: a.failures + b.failures
  }
}

/** How long calls took in units of what the calibration kernel took beside them; off by 3.2 % at most. */
export const relative = (wall: Report.Distribution, kernelMs: number): Histogram.Encoded => {
  const scaled = Histogram.make()
  if (kernelMs > 0) {
    if (wall.zeros > 0) Histogram.record(scaled, 0, wall.zeros)
    for (const [index, count] of wall.buckets) Histogram.record(scaled, Histogram.middle(index) / kernelMs, count)
  }
  return Histogram.encode(scaled)
}
