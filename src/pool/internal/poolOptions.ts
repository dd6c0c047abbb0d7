/** The options of a pool, as users write them; `poolSettings.ts` has their defaults and bounds. */
import type * as PgClient from "@effect/sql-pg/PgClient"
import type * as Duration from "effect/Duration"
import type * as Redacted from "effect/Redacted"

/**
 * The role of the server to use. `primary` accepts writes, `standby` is in recovery; the `prefer` forms accept any
 * server where none has the role.
 *
 * @category models
 * @since 0.1.0
 */
export type Target = "any" | "primary" | "standby" | "preferPrimary" | "preferStandby"

/**
 * One of several servers. `port` defaults to 5432.
 *
 * @category models
 * @since 0.1.0
 */
export interface Host {
  readonly host: string
  readonly port?: number | undefined
}

/**
 * Options of the pool, in addition to those of `@effect/sql-pg`'s client, which have the same meaning. An infinite
 * duration disables its timeout or feature.
 *
 * `url` is a connection URI in libpq's format: `postgres://` or `postgresql://`, with several hosts, a Unix socket as
 * `?host=/folder` or percent-encoded as the host, and the parameters `host`, `hostaddr`, `port`, `user`, `password`,
 * `dbname`, `application_name`, `options`, `connect_timeout`, `sslmode` (also `no-verify`, which accepts any
 * certificate) and `target_session_attrs`; `pgbouncer=true` means `prepare: false`. `service` is refused; other
 * parameters are ignored. Special characters in the user and the password are percent-encoded. An option overrides the
 * URL.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConnectionPoolOptions extends PgClient.PgPoolConfig {
  /**
   * The pool's name in metrics and logs. Defaults to `host:port/database` of the first server. A name in use has the
   * suffix `#2` and so on.
   */
  readonly name?: string | undefined
  /**
   * Several servers instead of `host` and `port`, at least one, tried in order beginning with the last successful one.
   */
  readonly hosts?: ReadonlyArray<Host> | undefined
  /**
   * The role of the server to use. Defaults to `any`. A session that refuses to write because its server is read-only
   * is evicted, unless the target is a standby; with `primary` and `preferPrimary` the statement fails with the
   * retryable `DatabaseUnavailable`, problem `readOnly`.
   */
  readonly target?: Target | undefined
  /**
   * The URL of the server itself, where `url` is that of a pooler such as PgBouncer in transaction mode: `listen` opens
   * its session there, in addition to the pool's. Parts that it omits are those of the pool. Without it, listeners use
   * sessions of the pool.
   *
   * The pool detects a pooler by the process id that it assigns to a session. Behind one, statements are not prepared,
   * unless `prepare` is `true`: set that where the pooler supports prepared statements or pools sessions. `prepare:
   * false` saves the first connection the round trip of the detection.
   */
  readonly directUrl?: Redacted.Redacted | undefined
  /**
   * Statements that initialize each session, such as `SET search_path = app`, one per string. They run again after a
   * session is reset, so they must be repeatable. A connection on which one fails is not used.
   */
  readonly connectionInitSql?: string | ReadonlyArray<string> | undefined
  /**
   * Makes the pool fail, with the error of its first statement, where it acquires no connection within
   * `acquireTimeout`. Defaults to `false`: the first statement reports an unavailable database.
   */
  readonly failFast?: boolean | undefined
  /** The number of connections to maintain; lost ones are replaced. From 0 to `maxConnections`; defaults to 1. */
  readonly minConnections?: number | undefined
  /**
   * The maximum number of open connections, including those being opened. From 1 to 10,000; defaults to 3, or to
   * `minConnections` where that is more. With `multiplex` one more may be open while a connection is being terminated.
   */
  readonly maxConnections?: number | undefined
  /** The timeout of acquiring a connection. From 10 ms; defaults to 5 seconds. */
  readonly acquireTimeout?: Duration.Input | undefined
  /**
   * The maximum number of waiting callers, not counting those for whom a connection can still be opened or is being
   * validated; further ones are rejected immediately. From 0 to 1,000,000; defaults to 1,000.
   */
  readonly maxWaiters?: number | undefined
  /**
   * The maximum idle time of a connection beyond the minimum, with a resolution of 50 ms. From 0; defaults to 5
   * minutes.
   */
  readonly idleTimeout?: Duration.Input | undefined
  /**
   * The maximum lifetime of a connection. From 0, which leases each connection once; defaults to 30 minutes. The
   * driver's `connectionTTL` is an alias.
   */
  readonly maxLifetime?: Duration.Input | undefined
  /**
   * The maximum share by which each lifetime is reduced at random, so that connections do not expire together. From 0
   * to 1; defaults to 0.1.
   */
  readonly lifetimeJitter?: number | undefined
  /**
   * The time after its last response during which a connection is leased without validation. From 0, or infinite to
   * never validate on acquire; defaults to 500 milliseconds.
   */
  readonly validationWindow?: Duration.Input | undefined
  /**
   * The timeout of a validation and of a session's reset. From 10 ms to `acquireTimeout`; defaults to 1 second, or to
   * `acquireTimeout` where that is less.
   */
  readonly validationTimeout?: Duration.Input | undefined
  /**
   * The interval at which idle connections are validated. From 50 ms and below `maxLifetime`, or infinite; defaults to
   * 2 minutes, or to half of `maxLifetime` where that is less.
   */
  readonly keepaliveInterval?: Duration.Input | undefined
  /**
   * The idle time of a TCP connection before the operating system probes it. From 1 second, finite; defaults to 30
   * seconds.
   */
  readonly keepAlive?: Duration.Input | undefined
  /**
   * The timeout of opening a connection, including password, TLS and login, for all hosts together. Each host has an
   * equal share of the remaining time, and a preferred role has one more share for the fallback. From 50 ms; defaults
   * to `connect_timeout` of the URL (in seconds, 0 is infinite), else to 5 seconds.
   */
  readonly connectTimeout?: Duration.Input | undefined
  /** The number of retries of a failed connect before it is reported. From 0 to 100; defaults to 2. */
  readonly connectRetries?: number | undefined
  /** The pause before the first retry; it doubles and is jittered. From 1 ms, finite; defaults to 100 milliseconds. */
  readonly connectBackoff?: Duration.Input | undefined
  /** The number of consecutive failed connects that opens the circuit breaker. From 1 to 1,000; defaults to 5. */
  readonly breakerFailures?: number | undefined
  /**
   * The time for which the circuit breaker stays open, and the interval at which the pool retries to reach its minimum.
   * From 10 ms, finite; defaults to 1 second.
   */
  readonly breakerResetTimeout?: Duration.Input | undefined
  /**
   * The deadline of each operation, from acquiring a connection to its result, whatever the state of the network. An
   * expired statement is cancelled in the server, see `withDeadline`, which overrides this one for a part of a program.
   * From 1 ms; defaults to none.
   *
   * Without either, the transaction control statements are bounded, because they are uninterruptible: `BEGIN` and
   * `SAVEPOINT` fail with `QueryTimeout` after `acquireTimeout`, and `COMMIT` after six times that.
   */
  readonly deadline?: Duration.Input | undefined
  /**
   * The time after which a held connection is logged as a possible leak, with its holder. Its return is logged as well.
   * From 100 ms; defaults to 30 seconds.
   */
  readonly leakDetectionThreshold?: Duration.Input | undefined
  /**
   * The time to acquire a connection above which a warning is logged. From 1 ms to `acquireTimeout`, or infinite;
   * defaults to 1 second.
   */
  readonly slowAcquire?: Duration.Input | undefined
  /**
   * The time for which a shutdown waits for connections in use before it destroys them. From 0; defaults to 5 seconds.
   */
  readonly drainTimeout?: Duration.Input | undefined
}
