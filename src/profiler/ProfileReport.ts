/**
 * The measurements of a `Profiler` as plain data: versioned, decodable from JSON by its Schema, and mergeable.
 *
 * Times are in milliseconds, memory is in bytes, and timestamps are in milliseconds since 1970. An unknown figure is
 * `null`, never an estimate. Figures that describe the process instead of the operation are grouped in `Cpu` and
 * `Memory`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The version of the format. It increases when a reader of an older version could misread a newer one; new members do
 * not increase it.
 *
 * @category constants
 * @since 0.1.0
 */
export const version = 1

const count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const amount = Schema.Finite

/**
 * A distribution of values. `count`, `sum`, `min` and `max` are exact. A percentile has an error of at most 1.6 %. It
 * is `null` below 6, 30, 60 and 300 values for p50, p90, p95 and p99, because fewer than three values would lie beyond
 * it.
 *
 * `buckets` are pairs of an index and a count. Bucket `i` starts at `2^p * (1 + (i % 32) / 32)`, with `p = floor(i /
 * 32) - 20`, and ends where the next one starts; `zeros` counts the values below the first bucket.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Distribution = Schema.Struct({
  count,
  sum: amount,
  min: amount,
  max: amount,
  mean: amount,
  p50: Schema.NullOr(amount),
  p90: Schema.NullOr(amount),
  p95: Schema.NullOr(amount),
  p99: Schema.NullOr(amount),
  zeros: count,
  buckets: Schema.Array(Schema.Tuple([count, count]))
})

export type Distribution = typeof Distribution.Type

/**
 * The number of calls by outcome: success, typed failure, defect, interruption.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Outcomes = Schema.Struct({ success: count, failure: count, defect: count, interrupted: count })

export type Outcomes = typeof Outcomes.Type

/**
 * CPU time of the **process** during sampled calls, which includes everything else that ran in that time. `alone`
 * counts the samples without another profiled call, and `aloneTotal` is their CPU time: only these approximate the
 * operation's own cost. The kernel attributes user and system time by clock tick, so their ratio is meaningful only
 * over many samples.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Cpu = Schema.Struct({ samples: count, user: amount, system: amount, alone: count, aloneTotal: amount })

export type Cpu = typeof Cpu.Type

/**
 * Memory of the **process**: the growth of its used heap during sampled calls. Samples in which the heap shrank,
 * because the garbage collector ran, are counted as `invalid` and excluded; a collection hidden by growth makes a
 * sample too small. Buffers are outside the heap.
 *
 * `peak` is the highest resident memory of the process during calls without a concurrent one. It is available on Linux
 * at level `deep`, and `null` elsewhere.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Memory = Schema.Struct({
  samples: count,
  invalid: count,
  total: amount,
  max: amount,
  peak: Schema.NullOr(amount),
  peaks: count
})

export type Memory = typeof Memory.Type

/**
 * The operation's own thread time: the intervals in which its fibers ran. `active` and `waiting` are per call and
 * include the calls and fibers it started; `self` and `selfCpu` are totals that exclude them. The process's CPU time is
 * read at each end of an interval: it is lower than the interval if the system preempted the thread, and higher if
 * other threads, such as the garbage collector, worked.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Thread = Schema.Struct({
  active: Distribution,
  waiting: Distribution,
  self: amount,
  selfCpu: amount,
  activeCpu: amount
})

export type Thread = typeof Thread.Type

/**
 * One operation.
 *
 * @category models
 * @since 0.1.0
 */
export const Operation = Schema.Struct({
  /** The source of the name: a tracked operation, a span, or a query or mutation of the `QueryExecutor`. */
  kind: Schema.Literals(["operation", "span", "query", "mutation"]),
  name: Schema.String,
  outcomes: Outcomes,
  /** Wall time of every call, whatever its outcome. */
  wall: Distribution,
  /** The maximum number of concurrent calls. */
  maxConcurrency: count,
  /** Levels `standard` and `deep`. */
  cpu: Schema.NullOr(Cpu),
  memory: Schema.NullOr(Memory),
  /** Level `deep`. */
  thread: Schema.NullOr(Thread),
  /** The number of parent spans under which it repeated, and the maximum number of calls under one. */
  repeatedParents: count,
  maxRepeats: count
})

export type Operation = typeof Operation.Type

/**
 * One statement, without its values.
 *
 * @category models
 * @since 0.1.0
 */
export const Statement = Schema.Struct({
  fingerprint: Schema.String,
  /** The kind of database, such as `sqlite` or `postgresql`. */
  system: Schema.String,
  outcomes: Outcomes,
  wall: Distribution,
  /** The wait for a connection and the execution without it, for calls whose wait is known. */
  wait: Distribution,
  execution: Distribution,
  /** Calls with a known row count and the sum of their rows. Streams and raw results have none. */
  countedCalls: count,
  rows: count,
  maxRows: count,
  /** The number of sized executions (1 of 16) and their total size in bytes, estimated from the first 10 rows. */
  sizedCalls: count,
  bytes: amount,
  slow: count,
  repeatedParents: count,
  maxRepeats: count,
  /** The database's plan without the values, requested once after a slow read. */
  plan: Schema.NullOr(Schema.Array(Schema.String))
})

export type Statement = typeof Statement.Type

/**
 * A slow execution: over the threshold, or an outlier of at least 10 ms and four times the p95 of its statement.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SlowExecution = Schema.Struct({
  at: amount,
  fingerprint: Schema.String,
  ms: amount,
  waitMs: Schema.NullOr(amount),
  rows: Schema.NullOr(count),
  parent: Schema.NullOr(Schema.String),
  why: Schema.Literals(["limit", "outlier"])
})

/**
 * A metric of another Layer, such as cache hits by tier or connection waits of a pool.
 *
 * @category schemas
 * @since 0.1.0
 */
export const MetricValue = Schema.Struct({
  name: Schema.String,
  attributes: Schema.Record(Schema.String, Schema.String),
  /** A merge adds counts and histograms, and takes the highest gauge. */
  type: Schema.Literals(["count", "gauge", "histogram"]),
  /** The value of a counter or gauge; the count of a histogram. */
  value: amount,
  /** The sum of a histogram. */
  sum: Schema.NullOr(amount),
  max: Schema.NullOr(amount)
})

export type MetricValue = typeof MetricValue.Type

/**
 * The operations from the outermost to the innermost, and the thread time of the innermost itself.
 *
 * @category schemas
 * @since 0.1.0
 */
export const CallPath = Schema.Struct({ path: Schema.Array(Schema.String), self: amount })

/**
 * The cost of profiling itself, in milliseconds.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Cost = Schema.Struct({
  /** The profiler's own bookkeeping, measured on 1 call of 16. */
  bookkeeping: amount,
  /** The run loop's work for profiled calls, measured on 50 empty calls when the report is made. */
  runLoop: amount,
  /** The readings of samples, measured on each. */
  samples: amount,
  sampleCount: count,
  /** Switching the thread between operations, measured on 1 switch of 64. */
  switches: amount,
  switchCount: count,
  /** Primitives that passed the hook of level `deep`, at about 25 ns each; `total` does not include them. */
  primitives: count,
  total: amount,
  /** The share of the elapsed time. */
  share: amount,
  /** Internal failures of the profiler, whose measurements are missing. */
  failures: count
})

export type Cost = typeof Cost.Type

/**
 * A report.
 *
 * @category models
 * @since 0.1.0
 */
export const ProfileReport = Schema.Struct({
  version: Schema.Literal(version),
  /** `mixed` when merged processes had different levels. */
  level: Schema.Literals(["wall", "standard", "deep", "mixed"]),
  from: amount,
  to: amount,
  /** The share of the time that samples may cost. */
  budget: amount,
  operations: Schema.Array(Operation),
  /** Calls of names beyond `maxNames`, which are counted as `(others)`. */
  overflowed: count,
  /** CPU time, at level `deep`, of fibers outside every operation, and of work outside fibers. */
  unattributed: Schema.NullOr(Schema.Struct({ fibers: amount, elsewhere: amount })),
  statements: Schema.Array(Statement),
  /** Evicted statements and their calls. */
  evicted: Schema.Struct({ statements: count, calls: count }),
  slow: Schema.Array(SlowExecution),
  slowDropped: count,
  metrics: Schema.Array(MetricValue),
  callPaths: Schema.Array(CallPath),
  cost: Cost
})

export type ProfileReport = typeof ProfileReport.Type

/**
 * Reads a report from JSON text, and writes it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Json = Schema.fromJsonString(ProfileReport)

/**
 * Selects the processes that a report covers.
 *
 * @category models
 * @since 0.1.0
 */
export interface HistoryFilter {
  /** The first hour included, as a time in milliseconds since 1970. */
  readonly since?: number | undefined
  /** The first hour excluded, as a time in milliseconds since 1970. */
  readonly before?: number | undefined
  readonly session?: string | undefined
}

/**
 * The merged measurements of several processes.
 *
 * @category schemas
 * @since 0.1.0
 */
export const History = Schema.Struct({
  processes: Schema.Int,
  sessions: Schema.Int,
  /**
   * Records, or whole files, that the reader could not decode: written by another version, or by a process killed
   * mid-write.
   */
  unreadable: Schema.Int,
  /** Records that were dropped for newer ones before a reader merged them. */
  dropped: Schema.Int,
  /** The calibration kernel's time in these processes, in milliseconds. */
  kernel: Distribution,
  /** Call times in units of the process's calibration kernel, by kind and name. The error is at most 3.2 %. */
  normalised: Schema.Record(Schema.String, Distribution),
  report: ProfileReport
})

export type History = typeof History.Type
