/**
 * The daemon's report about itself. Times are milliseconds, memory is bytes; an unknown figure is `null`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Name of the program in the health report.
 *
 * @category constants
 * @since 0.1.0
 */
export const name = "athena-hooks"

/**
 * Identity and problems of the daemon.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Health = Schema.Struct({
  name: Schema.Literal(name),
  /** Version of the protocol over the socket. */
  protocol: Schema.String,
  version: Schema.String,
  /** A UUID of this run of the daemon. */
  instance: Schema.String,
  pid: Schema.Int,
  startedAt: Schema.String,
  /** The folder of the memory. */
  home: Schema.String,
  /** Hash that identifies its database. Absent in older versions. */
  database: Schema.optional(Schema.String),
  /** The port on loopback; `null` while it can't listen. */
  port: Schema.NullOr(Schema.Int),
  /** A problem and its next step, for the user. */
  problem: Schema.NullOr(Schema.String)
})

/**
 * Identity and problems of the daemon.
 *
 * @category models
 * @since 0.1.0
 */
export type Health = typeof Health.Type

const count = Schema.Finite

/**
 * How long agents waited for the responses to one kind of event. A percentile is `null` if there are too few responses
 * for it to be meaningful.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Latency = Schema.Struct({
  event: Schema.String,
  count,
  p50: Schema.NullOr(Schema.Finite),
  p95: Schema.NullOr(Schema.Finite),
  p99: Schema.NullOr(Schema.Finite),
  max: Schema.Finite
})

/**
 * Activity and resources of the daemon since it started.
 *
 * @category schemas
 * @since 0.1.0
 */
export const DaemonStatus = Schema.Struct({
  health: Health,
  uptimeMs: Schema.Finite,
  idleMs: Schema.Finite,
  database: Schema.Literals(["embedded", "postgres"]),
  memory: Schema.Struct({ rss: count, heapUsed: count }),
  responses: Schema.Struct({
    stored: count,
    timedOut: count,
    failed: count,
    invalid: count,
    overloaded: count,
    running: count
  }),
  latencies: Schema.Array(Latency),
  /** `null` until the first query. `hits` are reads without the database. */
  cache: Schema.NullOr(Schema.Struct({ hits: count, reads: count, entries: count, bytes: count })),
  /**
   * Events: `accepted` by this daemon; `stored` and `deadLetters` by all processes that use its spool since it started;
   * `waiting` now; and `dropped`, which neither this host's disk nor the database stored. `null` if the spool can't be
   * read.
   */
  events: Schema.NullOr(
    Schema.Struct({
      accepted: count,
      stored: count,
      waiting: count,
      deadLetters: count,
      dropped: count,
      lastFailure: Schema.NullOr(Schema.String)
    })
  ),
  /** Connections to Postgres. */
  pool: Schema.NullOr(Schema.Struct({ inUse: count, idle: count, waiting: count, max: count }))
})

/**
 * Activity and resources of the daemon since it started.
 *
 * @category models
 * @since 0.1.0
 */
export type DaemonStatus = typeof DaemonStatus.Type
