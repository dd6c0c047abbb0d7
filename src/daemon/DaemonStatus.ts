/**
 * What the resident process says of itself.
 *
 * Times are milliseconds, memory is bytes. A figure that can't be known at the moment is `null`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * The name that the process answers with.
 *
 * @category constants
 * @since 0.1.0
 */
export const name = "athena-hooks"

/**
 * Who the process is.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Health = Schema.Struct({
  name: Schema.Literal(name),
  /** The version of what is said over the socket. */
  protocol: Schema.String,
  version: Schema.String,
  /** A UUID that no other run of the process has. */
  instance: Schema.String,
  pid: Schema.Int,
  startedAt: Schema.String,
  /** The folder of the memory. */
  home: Schema.String,
  /** Tells its database from others; none of an older process, which does not say. */
  database: Schema.optional(Schema.String),
  /** The port on loopback that it listens on. */
  port: Schema.NullOr(Schema.Int),
  /** What is wrong, for a person. */
  problem: Schema.NullOr(Schema.String)
})

/**
 * Who the process is.
 *
 * @category models
 * @since 0.1.0
 */
export type Health = typeof Health.Type

const count = Schema.Finite

/**
 * How long agents have waited for the answers to one kind of event. A percentile is `null` where there are too few answers
 * for it to mean anything.
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
 * What the process has done since it started, and what it holds.
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
  /** `null` until the database has been asked something. `hits` were answered without it. */
  cache: Schema.NullOr(Schema.Struct({ hits: count, reads: count, entries: count, bytes: count })),
  /**
   * Events: taken by this process; stored and set aside by all who use its spool since this one started; those that wait
   * now; and those that are lost, because neither this host's disk nor the database took them. `null` where the spool can't
   * be read.
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
 * What the process has done since it started, and what it holds.
 *
 * @category models
 * @since 0.1.0
 */
export type DaemonStatus = typeof DaemonStatus.Type
