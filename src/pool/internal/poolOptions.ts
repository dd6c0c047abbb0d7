/**
 * The options of a pool, as users write them; `poolSettings.ts` has their defaults and bounds.
 */
import type * as PgClient from "@effect/sql-pg/PgClient"
import type * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"

/**
 * Which server of several to use. `primary` takes one that accepts writes, `standby` one in recovery; with the
 * `prefer` forms any other will do when there is none.
 *
 * @category models
 * @since 0.1.0
 */
export type Target = "any" | "primary" | "standby" | "preferPrimary" | "preferStandby"

/**
 * A server of several. The port is 5432 when absent.
 *
 * @category models
 * @since 0.1.0
 */
export interface Host {
  readonly host: string
  readonly port?: number | undefined
}

/**
 * Options of the pool, beside those of `@effect/sql-pg`'s client, which mean here what they mean there. Times are
 * `Duration.Input`; an infinite one waits for ever, or turns its feature off.
 *
 * A `url` is a connection URI as libpq reads it: `postgres://` or `postgresql://`, with several hosts, a Unix socket as
 * `?host=/folder` or escaped in the place of the host, and the parameters `host`, `hostaddr`, `port`, `user`, `password`,
 * `dbname`, `application_name`, `options`, `connect_timeout`, `sslmode` (`no-verify` too, which takes any certificate) and
 * `target_session_attrs`; `pgbouncer=true` means `prepare: false`. Others are ignored, but for `service`, which is refused.
 * What is special in a user or a password is escaped. An option goes before what the URL says.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConnectionPoolOptions extends PgClient.PgPoolConfig {
  /**
   * Names the pool in metrics and logs. `host:port/database` of its first server when absent. A pool whose name another
   * of the program has gets `#2` and so on behind it.
   */
  readonly name?: string | undefined
  /**
   * Several servers instead of `host` and `port`, tried in order beginning with the one that worked last. At least
   * one.
   */
  readonly hosts?: ReadonlyArray<Host> | undefined
  /**
   * Which of the servers to use. `any` when absent. A session that refuses to write because its server is read-only is
   * ended, unless a standby was asked for; with `primary` and `preferPrimary` the statement fails with
   * `DatabaseUnavailable`, problem `readOnly`, which is worth a retry.
   */
  readonly target?: Target | undefined
  /**
   * The URL of the server itself, where `url` is that of a pooler such as PgBouncer in transaction mode: `listen` opens its
   * session there, beside the pool's. What it leaves out is as for all others. Sessions of the pool where it is absent.
   *
   * A pooler is recognised by the number it gives a session, which is not that of the server's process. Behind one,
   * statements are not prepared, unless `prepare` is `true`: set that where the pooler keeps prepared statements, or pools
   * sessions. With `prepare` `false` the pool need not find out, which spares the first connection a round trip.
   */
  readonly directUrl?: Redacted.Redacted | undefined
  /**
   * Statements that each session begins with, such as `SET search_path = app`, one in each string. They run again after
   * what a caller left in a session was put back, so they must be repeatable. A connection on which one fails is not used.
   */
  readonly connectionInitSql?: string | ReadonlyArray<string> | undefined
  /**
   * Makes the pool fail where no connection can be had within `acquireTimeout`, with the error of the first statement.
   * `false` when absent: a database that is down shows when the first statement runs.
   */
  readonly failFast?: boolean | undefined
  /** Connections kept open when nothing runs; lost ones are replaced. From 0 to `maxConnections`; 1 when absent. */
  readonly minConnections?: number | undefined
  /**
   * Connections open at the same time at most, those being opened included. From 1 to 10,000; 3 when absent, or
   * `minConnections` where that is more. With `multiplex` one more may be open beside a connection for as long as it takes to end that one.
   */
  readonly maxConnections?: number | undefined
  /** How long a caller waits for a connection. From 10 ms; 5 seconds when absent. */
  readonly acquireTimeout?: Duration.Input | undefined
  /**
   * How many callers may wait beside those for whom a connection can still be opened and those whose connection is being
   * pinged; one more is turned away at once. From 0 to 1,000,000; 1,000 when absent.
   */
  readonly maxWaiters?: number | undefined
  /** How long a connection beyond the minimum may lie idle, to the resolution of 50 ms. From 0; 5 minutes when absent. */
  readonly idleTimeout?: Duration.Input | undefined
  /**
   * How old a connection may get. From 0, which hands each out once; 30 minutes when absent. The driver's `connectionTTL`
   * is taken for it where only that is given.
   */
  readonly maxLifetime?: Duration.Input | undefined
  /**
   * By what share at most each connection's lifetime is shortened at random, so that they do not all end at once.
   * From 0 to 1; 0.1 when absent.
   */
  readonly lifetimeJitter?: number | undefined
  /**
   * How long after its last answer a connection is handed out without a ping. From 0, or infinite to never ping before
   * a borrow; 500 milliseconds when absent.
   */
  readonly validationWindow?: Duration.Input | undefined
  /**
   * How long a ping, or putting a session back in order, may take before the connection counts as broken. From 10 ms
   * up to `acquireTimeout`; 1 second when absent, or `acquireTimeout` where that is less.
   */
  readonly validationTimeout?: Duration.Input | undefined
  /**
   * How often an idle connection is pinged. From 50 ms and below `maxLifetime`, or infinite; 2 minutes when absent, or half
   * of `maxLifetime` where that is less.
   */
  readonly keepaliveInterval?: Duration.Input | undefined
  /** Idle time of a TCP connection before the operating system probes it. From 1 second, finite; 30 seconds when absent. */
  readonly keepAlive?: Duration.Input | undefined
  /**
   * How long opening a connection may take, password, TLS and login included. With several hosts it is the time for all
   * of them together, the question for their role included: each gets an equal share of what those before it have left,
   * and a preferred role one share more, for the server that is taken when none has it. From 50 ms; when absent
   * `connect_timeout` of the URL, in seconds, 0 for ever, or else 5 seconds.
   */
  readonly connectTimeout?: Duration.Input | undefined
  /** How often a failed connect is tried again before somebody hears of it. From 0 to 100; 2 when absent. */
  readonly connectRetries?: number | undefined
  /** The pause before the first retry; it doubles and is jittered. From 1 ms, finite; 100 milliseconds when absent. */
  readonly connectBackoff?: Duration.Input | undefined
  /** Failed connects in a row after which the pool stops trying for `breakerResetTimeout`. From 1 to 1,000; 5 when absent. */
  readonly breakerFailures?: number | undefined
  /** How long the pool stops trying then, and how often it tries to refill itself. From 10 ms, finite; 1 second when absent. */
  readonly breakerResetTimeout?: Duration.Input | undefined
  /**
   * How long each operation may take, from the wait for a connection to its answer, however the network is. A
   * statement that is late is cancelled in the server, see `withDeadline`. From 1 ms; no deadline when absent. `withDeadline` sets one for
   * a part of a program and goes before this one.
   *
   * Without either, the statements of a transaction's own still end, for they can't be interrupted: `BEGIN` and
   * `SAVEPOINT` fail with `QueryTimeout` after `acquireTimeout`, and `COMMIT` after six times that.
   */
  readonly deadline?: Duration.Input | undefined
  /**
   * How long one caller may hold a connection before a warning says who. Its return is logged too. From 100 ms; 30 s when
   * absent.
   */
  readonly leakDetectionThreshold?: Duration.Input | undefined
  /** How long a caller may wait for a connection before a warning. Up to `acquireTimeout`, or infinite; 1 s when absent. */
  readonly slowAcquire?: Duration.Input | undefined
  /** How long shutdown waits for connections in use before it ends them. From 0; 5 seconds when absent. */
  readonly drainTimeout?: Duration.Input | undefined
}
