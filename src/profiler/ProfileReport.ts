/**
 * What a `Profiler` has measured, as plain data: versioned, readable as JSON by its Schema, and mergeable.
 *
 * Times are milliseconds, memory is bytes; points in time are milliseconds since 1970. A figure that can't be known is
 * `null` and never a guess; a figure that is not the operation's own says so by its place: see `Cpu` and `Memory`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The version of the format. It grows when a reader of an older one could misunderstand a newer one; members may be added
 * without that.
 *
 * @category constants
 * @since 0.1.0
 */
export const version = 1

const count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const amount = Schema.Finite

/**
 * How values are spread. `count`, `sum`, `min` and `max` are exact. A percentile is off by 1.6 % at most, and `null` where
 * there are too few values for it to mean anything: fewer than 6, 30, 60 and 300 for p50, p90, p95 and p99, so that at
 * least three lie beyond it.
 *
 * `buckets` are pairs of an index and a count. Bucket `i` holds values from `2^p * (1 + (i % 32) / 32)`, with `p` the whole
 * part of `i / 32` less 20, up to the beginning of the next; `zeros` counts what is below the first.
 *
 * @category models
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

/**
 * @category models
 * @since 0.1.0
 */
export type Distribution = typeof Distribution.Type

/**
 * How calls ended. A typed failure is no defect; an interruption is neither.
 *
 * @category models
 * @since 0.1.0
 */
export const Outcomes = Schema.Struct({ success: count, failure: count, defect: count, interrupted: count })

/**
 * @category models
 * @since 0.1.0
 */
export type Outcomes = typeof Outcomes.Type

/**
 * CPU time of the **process** while sampled calls were open: it holds the work of everything else that ran meanwhile.
 * `alone` are the samples during which no other profiled call was open, and `aloneTotal` is their CPU time; only these
 * come near the operation's own. The kernel attributes user and system time by its tick, so that the split is right in
 * the sum over many samples and means nothing for one.
 *
 * @category models
 * @since 0.1.0
 */
export const Cpu = Schema.Struct({ samples: count, user: amount, system: amount, alone: count, aloneTotal: amount })

/**
 * @category models
 * @since 0.1.0
 */
export type Cpu = typeof Cpu.Type

/**
 * Memory of the **process**: by how much its used heap grew during sampled calls. Samples in which it shrank, because
 * garbage was collected, are `invalid` and not among the others; one in which it grew all the same tells too little.
 * Buffers are not on the heap.
 *
 * `peak` is the highest resident memory of the process during calls that no other one overlapped; it is known on Linux, at
 * the level `deep`, and `null` elsewhere.
 *
 * @category models
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

/**
 * @category models
 * @since 0.1.0
 */
export type Memory = typeof Memory.Type

/**
 * The operation's own time on the thread, from the slices that its fibers held it for. `active` and `waiting` are per call,
 * together with what the call called and forked; `self` and `selfCpu` are totals without that. `cpu` of the process is
 * taken at each end of a slice: it is less than the time where the system took the thread away, and more where other
 * threads worked, such as the garbage collector's.
 *
 * @category models
 * @since 0.1.0
 */
export const Thread = Schema.Struct({
  active: Distribution,
  waiting: Distribution,
  self: amount,
  selfCpu: amount,
  activeCpu: amount
})

/**
 * @category models
 * @since 0.1.0
 */
export type Thread = typeof Thread.Type

/**
 * One operation.
 *
 * @category models
 * @since 0.1.0
 */
export const Operation = Schema.Struct({
  /** Whether the name is that of a tracked operation, a span, or a query or mutation of the `QueryExecutor`. */
  kind: Schema.Literals(["operation", "span", "query", "mutation"]),
  name: Schema.String,
  outcomes: Outcomes,
  /** Of every call, however it ended. */
  wall: Distribution,
  /** The most calls that were open at the same time. */
  concurrencyMost: count,
  /** Level `standard` and `deep`. */
  cpu: Schema.NullOr(Cpu),
  memory: Schema.NullOr(Memory),
  /** Level `deep`. */
  thread: Schema.NullOr(Thread),
  /** Under how many parent spans it ran many times, and the most times under one. */
  repeatedUnder: count,
  repeatedMost: count
})

/**
 * @category models
 * @since 0.1.0
 */
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
  /** The wait for a connection, and the rest: where the wait is known. */
  wait: Distribution,
  execution: Distribution,
  /** Calls whose rows could be counted, and these rows: not those of streams and of raw answers. */
  counted: count,
  rows: count,
  rowsMost: count,
  /** Of one execution in 16, the size of its rows together, in bytes, estimated from the first 10 rows. */
  sized: count,
  bytes: amount,
  slow: count,
  repeatedUnder: count,
  repeatedMost: count,
  /** The database's plan, asked for once where a read was slow. It was made without the values. */
  plan: Schema.NullOr(Schema.Array(Schema.String))
})

/**
 * @category models
 * @since 0.1.0
 */
export type Statement = typeof Statement.Type

/**
 * One slow execution: over the limit, or an outlier, which took four times the p95 of its own statement, and 10 ms.
 *
 * @category models
 * @since 0.1.0
 */
export const Slow = Schema.Struct({
  at: amount,
  fingerprint: Schema.String,
  ms: amount,
  waitMs: Schema.NullOr(amount),
  rows: Schema.NullOr(count),
  parent: Schema.NullOr(Schema.String),
  why: Schema.Literals(["limit", "outlier"])
})

/**
 * A number that another Layer keeps: what a cache served from where, what a pool had callers wait for.
 *
 * @category models
 * @since 0.1.0
 */
export const Measured = Schema.Struct({
  name: Schema.String,
  attributes: Schema.Record(Schema.String, Schema.String),
  /** Several processes' counts and histograms are added up; of their gauges the highest is kept. */
  type: Schema.Literals(["count", "gauge", "histogram"]),
  /** A count or a gauge; of a histogram, its count. */
  value: amount,
  /** Of a histogram. */
  sum: Schema.NullOr(amount),
  max: Schema.NullOr(amount)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Measured = typeof Measured.Type

/**
 * Operations from the outermost to the innermost, and how long the innermost itself was on the thread.
 *
 * @category models
 * @since 0.1.0
 */
export const Stack = Schema.Struct({ path: Schema.Array(Schema.String), self: amount })

/**
 * What the profiling itself cost, in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export const Cost = Schema.Struct({
  /** Keeping the books: measured on one call in 16. */
  books: amount,
  /** What the run loop did for the calls: measured on 50 calls of nothing when the report was made. */
  runLoop: amount,
  /** The readings of samples: measured on each. */
  samples: amount,
  sampleCount: count,
  /** Changing who holds the thread: measured on one change in 64. */
  slices: amount,
  sliceCount: count,
  /** Primitives that passed the hook of the level `deep`; about 25 ns each, which is not in `total`. */
  primitives: count,
  total: amount,
  /** Of the time that has passed. */
  part: amount,
  /** What went wrong in the profiler itself, and was not counted. */
  failures: count
})

/**
 * @category models
 * @since 0.1.0
 */
export type Cost = typeof Cost.Type

/**
 * A report.
 *
 * @category models
 * @since 0.1.0
 */
export const ProfileReport = Schema.Struct({
  version: Schema.Literal(version),
  /** `mixed`: of several processes that had several levels. */
  level: Schema.Literals(["wall", "standard", "deep", "mixed"]),
  from: amount,
  to: amount,
  /** The part of the time that samples may cost. */
  budget: amount,
  operations: Schema.Array(Operation),
  /** Calls of names beyond the bound, which are counted as `(others)`. */
  overflowed: count,
  /** CPU time at the level `deep` of fibers that worked for no operation, and of what ran outside of fibers. */
  unowned: Schema.NullOr(Schema.Struct({ fibers: amount, elsewhere: amount })),
  statements: Schema.Array(Statement),
  /** Statements that had to make room for others, and their calls. */
  evicted: Schema.Struct({ statements: count, calls: count }),
  slow: Schema.Array(Slow),
  slowDropped: count,
  measured: Schema.Array(Measured),
  stacks: Schema.Array(Stack),
  cost: Cost
})

/**
 * @category models
 * @since 0.1.0
 */
export type ProfileReport = typeof ProfileReport.Type

/**
 * Reads a report from JSON text, and writes it.
 *
 * **Example**
 *
 * ```ts
 * import * as ProfileReport from "athena-hooks/profiler/ProfileReport"
 * import * as Schema from "effect/Schema"
 *
 * const read = Schema.decodeUnknownEffect(ProfileReport.Json)
 * const write = Schema.encodeEffect(ProfileReport.Json)
 * ```
 *
 * @category schemas
 * @since 0.1.0
 */
export const Json = Schema.fromJsonString(ProfileReport)
