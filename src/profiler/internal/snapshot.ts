/**
 * Makes the report of what has been recorded.
 */
import * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import type * as Report from "../ProfileReport.ts"
import * as Histogram from "./histogram.ts"
import type * as Operations from "./operations.ts"
import type { Recorder } from "./callRecorder.ts"
import * as Stacks from "./callTree.ts"
import type * as Statements from "./statements.ts"

export const distribution = (histogram: Histogram.Histogram): Report.Distribution => {
  const encoded = Histogram.encode(histogram)
  const at = (quantile: number) => Histogram.percentile(histogram, quantile) ?? null
  const mean = encoded.count === 0 ? 0 : encoded.sum / encoded.count
  return { ...encoded, mean, p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99) }
}

const operation = (self: Operations.Operation): Report.Operation => {
  const { sampled, sliced } = self
  return {
    kind: self.kind,
    name: self.name,
    outcomes: { ...self.outcomes },
    wall: distribution(self.wall),
    concurrencyMost: self.openMost,
    cpu:
      sampled === undefined
        ? null
        : {
            samples: sampled.samples,
            user: sampled.user,
            system: sampled.system,
            alone: sampled.alone,
            aloneTotal: sampled.aloneCpu
          },
    memory:
      sampled === undefined
        ? null
        : {
            samples: sampled.memorySamples,
            invalid: sampled.memoryInvalid,
            total: sampled.memory,
            max: sampled.memoryMost,
            peak: sampled.peaks === 0 ? null : sampled.peak,
            peaks: sampled.peaks
          },
    thread:
      sliced === undefined
        ? null
        : {
            active: distribution(sliced.active),
            waiting: distribution(sliced.waiting),
            self: sliced.self,
            selfCpu: sliced.selfCpu,
            activeCpu: sliced.activeCpu
          },
    repeatedUnder: self.repeatedUnder,
    repeatedMost: self.repeatedMost
  }
}

const statement = (self: Statements.Statement): Report.Statement => ({
  fingerprint: self.fingerprint,
  system: self.system,
  outcomes: { ...self.outcomes },
  wall: distribution(self.wall),
  wait: distribution(self.wait),
  execution: distribution(self.execution),
  counted: self.counted,
  rows: self.rows,
  rowsMost: self.rowsMost,
  sized: self.sized,
  bytes: self.bytes,
  slow: self.slow,
  repeatedUnder: self.repeatedUnder,
  repeatedMost: self.repeatedMost,
  plan: self.plan === undefined || self.plan.length === 0 ? null : self.plan
})

const slow = ({ at, ms, parent, rows, statement, waitMs, why }: Statements.Slow) => ({
  at,
  fingerprint: statement.fingerprint,
  ms,
  waitMs: waitMs ?? null,
  rows: rows ?? null,
  parent: parent ?? null,
  why
})

/** Whose numbers are shown beside the profiler's own: those of the other Layers here, and of pools of connections. */
const isShown = (id: string): boolean =>
  (id.startsWith("athena_") && !id.startsWith("athena_profiler_")) || id.startsWith("db.client.connection.")

/** How many numbers of others a report has at most. */
const maxMeasured = 500

const numbersOf = (metric: Metric.Metric.Snapshot): Report.Measured => {
  const common = { name: metric.id, attributes: { ...metric.attributes } }
  switch (metric.type) {
    case "Counter":
      return { ...common, type: "count", value: Number(metric.state.count), sum: null, max: null }
    case "Gauge":
      return { ...common, type: "gauge", value: Number(metric.state.value), sum: null, max: null }
    case "Histogram":
    case "Summary": {
      const { count, max, sum } = metric.state
      return { ...common, type: "histogram", value: count, sum, max: count === 0 ? 0 : max }
    }
    case "Frequency": {
      let value = 0
      for (const occurrences of metric.state.occurrences.values()) value += occurrences
      return { ...common, type: "count", value, sum: null, max: null }
    }
  }
}

/** A number that is none, or can't be had, is left out, and no other with it. */
const measured = (recorder: Recorder, context: Context.Context<never>): ReadonlyArray<Report.Measured> => {
  const found: Array<Report.Measured> = []
  for (const { hooks, ...metric } of Context.get(context, Metric.MetricRegistry).values()) {
    if (found.length >= maxMeasured) break
    if (!isShown(metric.id)) continue
    const one = recorder.attempt(() => numbersOf({ ...metric, state: hooks.get(context) } as Metric.Metric.Snapshot))
    if (one !== undefined && [one.value, one.sum ?? 0, one.max ?? 0].every(Number.isFinite)) found.push(one)
  }
  return found
}

/** What the profiling itself cost until now, where a call costs so much more than can be seen from inside. */
export const cost = (recorder: Recorder, unseen: number): Report.Cost => {
  const elapsed = recorder.readings.now() - recorder.started
  const { books, failures, sampler, seenCost, slices } = recorder
  const runLoop = books.count * unseen
  const total = seenCost + runLoop
  return {
    books: books.total,
    runLoop,
    samples: sampler.cost,
    sampleCount: sampler.count,
    slices: slices.changes.total,
    sliceCount: slices.changes.count,
    primitives: slices.primitives,
    total,
    part: elapsed > 0 ? total / elapsed : 0,
    failures: failures + slices.failures
  }
}

const byTotal = <A extends { readonly wall: Histogram.Histogram }>(all: ReadonlyArray<A>): ReadonlyArray<A> =>
  all.filter((one) => one.wall.count > 0).toSorted((a, b) => b.wall.sum - a.wall.sum)

export const make = (recorder: Recorder, context: Context.Context<never>, unseen: number): Report.ProfileReport => {
  if (recorder.isDeep) recorder.slices.settle()
  const elapsed = recorder.readings.now() - recorder.started
  const { operations, settings, slices, statements } = recorder
  return {
    version: 1,
    level: settings.level,
    from: recorder.startedAt,
    to: recorder.startedAt + elapsed,
    budget: settings.budget,
    operations: byTotal(operations.all()).map(operation),
    overflowed: operations.overflowed,
    unowned: recorder.isDeep
      ? {
          fibers: slices.unownedCpu,
          elsewhere: Math.max(0, recorder.cpu() - recorder.startedCpu - slices.charged)
        }
      : null,
    statements: byTotal(statements.all()).map(statement),
    evicted: { statements: statements.evicted, calls: statements.evictedCalls },
    slow: statements.slow.map(slow),
    slowDropped: statements.slowDropped,
    measured: recorder.attempt(() => measured(recorder, context)) ?? [],
    stacks: recorder.stacks
      .all()
      .filter((stack) => stack.self > 0)
      .map((stack) => ({ path: Stacks.path(stack), self: stack.self })),
    cost: cost(recorder, unseen)
  }
}
