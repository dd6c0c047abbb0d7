/** Builds the report from the recorded measurements. */
import * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import type * as Report from "../ProfileReport.ts"
import * as Histogram from "./histogram.ts"
import type * as Operations from "./operations.ts"
import type { CallRecorder } from "./callRecorder.ts"
import * as CallTree from "./callTree.ts"
import type * as Statements from "./statements.ts"

export const distribution = (histogram: Histogram.Histogram): Report.Distribution => {
  const encoded = Histogram.encode(histogram)
  const at = (quantile: number) => Histogram.percentile(histogram, quantile) ?? null
  const mean = encoded.count === 0 ? 0 : encoded.sum / encoded.count
  return { ...encoded, mean, p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99) }
}

const operation = (self: Operations.Operation): Report.Operation => {
  const { sampled, thread: sliced } = self
  return {
    kind: self.kind,
    name: self.name,
    outcomes: { ...self.outcomes },
    wall: distribution(self.wall),
    maxConcurrency: self.maxOpen,
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
            max: sampled.maxMemory,
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
    repeatedParents: self.repeatedParents,
    maxRepeats: self.maxRepeats
  }
}

const statement = (self: Statements.Statement): Report.Statement => ({
  fingerprint: self.fingerprint,
  system: self.system,
  outcomes: { ...self.outcomes },
  wall: distribution(self.wall),
  wait: distribution(self.wait),
  execution: distribution(self.execution),
  countedCalls: self.countedCalls,
  rows: self.rows,
  maxRows: self.maxRows,
  sizedCalls: self.sizedCalls,
  bytes: self.bytes,
  slow: self.slow,
  repeatedParents: self.repeatedParents,
  maxRepeats: self.maxRepeats,
  plan: self.plan === undefined || self.plan.length === 0 ? null : self.plan
})

const slow = ({ at, ms, parent, rows, statement, waitMs, why }: Statements.SlowExecution) => ({
  at,
  fingerprint: statement.fingerprint,
  ms,
  waitMs: waitMs ?? null,
  rows: rows ?? null,
  parent: parent ?? null,
  why
})

/** The metrics to include: those of the project's other Layers, and those of connection pools. */
const isShown = (id: string): boolean =>
  (id.startsWith("athena_") && !id.startsWith("athena_profiler_")) || id.startsWith("db.client.connection.")

/** The maximum number of metrics of other Layers in a report. */
const maxMeasured = 500

const numbersOf = (metric: Metric.Metric.Snapshot): Report.MetricValue => {
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

/** A metric that fails or is not a number is omitted; the others are included. */
const measured = (recorder: CallRecorder, context: Context.Context<never>): ReadonlyArray<Report.MetricValue> => {
  const found: Array<Report.MetricValue> = []
  for (const { hooks, ...metric } of Context.get(context, Metric.MetricRegistry).values()) {
    if (found.length >= maxMeasured) break
    if (!isShown(metric.id)) continue
    const one = recorder.attempt(() => numbersOf({ ...metric, state: hooks.get(context) } as Metric.Metric.Snapshot))
    if (one !== undefined && [one.value, one.sum ?? 0, one.max ?? 0].every(Number.isFinite)) found.push(one)
  }
  return found
}

/** The cost of profiling so far, with the given run-loop cost per call. */
export const cost = (recorder: CallRecorder, runLoopCost: number): Report.Cost => {
  const elapsed = recorder.readings.now() - recorder.started
  const { bookkeeping, failures, sampler, internalCost, threadTime } = recorder
  const runLoop = bookkeeping.count * runLoopCost
  const total = internalCost + runLoop
  return {
    bookkeeping: bookkeeping.total,
    runLoop,
    samples: sampler.cost,
    sampleCount: sampler.count,
    switches: threadTime.switches.total,
    switchCount: threadTime.switches.count,
    primitives: threadTime.primitives,
    total,
    share: elapsed > 0 ? total / elapsed : 0,
    failures: failures + threadTime.failures
  }
}

const byTotal = <A extends { readonly wall: Histogram.Histogram }>(all: ReadonlyArray<A>): ReadonlyArray<A> =>
  all.filter((one) => one.wall.count > 0).toSorted((a, b) => b.wall.sum - a.wall.sum)

export const make = (
  recorder: CallRecorder,
  context: Context.Context<never>,
  runLoopCost: number
): Report.ProfileReport => {
  if (recorder.isDeep) recorder.threadTime.settle()
  const elapsed = recorder.readings.now() - recorder.started
  const { operations, settings, threadTime, statements } = recorder
  return {
    version: 1,
    level: settings.level,
    from: recorder.startedAt,
    to: recorder.startedAt + elapsed,
    budget: settings.budget,
    operations: byTotal(operations.all()).map(operation),
    overflowed: operations.overflowed,
    unattributed: recorder.isDeep
      ? {
          fibers: threadTime.unattributedCpu,
          elsewhere: Math.max(0, recorder.cpu() - recorder.startedCpu - threadTime.charged)
        }
      : null,
    statements: byTotal(statements.all()).map(statement),
    evicted: { statements: statements.evicted, calls: statements.evictedCalls },
    slow: statements.slow.map(slow),
    slowDropped: statements.slowDropped,
    metrics: recorder.attempt(() => measured(recorder, context)) ?? [],
    callPaths: recorder.callTree
      .all()
      .filter((callPath) => callPath.self > 0)
      .map((callPath) => ({ path: CallTree.path(callPath), self: callPath.self })),
    cost: cost(recorder, runLoopCost)
  }
}
