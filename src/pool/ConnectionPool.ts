/**
 * A Postgres connection pool that answers in time: with a connection, or with the reason why not.
 *
 * It provides the `PgClient` and `SqlClient` of a program, over `@effect/sql-pg`'s own connections. A program that
 * runs on `PgClient.layer` runs on it unchanged, but for three things. It has 3 connections where the driver's pool has 10:
 * each listener holds one for as long as it listens, and a program that asks for a second connection while it holds one
 * (a statement outside of the transaction that runs, a transaction on another client of the same pool) waits for others, in
 * the end for itself, where as many do that as there are connections; count both in `maxConnections`. A `BEGIN`, `COMMIT`,
 * `ROLLBACK` or `SAVEPOINT` as a statement of its own fails with `TransactionStatementRefused`, for the statements around
 * it run on any connection: use `sql.withTransaction`, or `sql.reserve` for a connection to control by hand. And times are
 * measured by the clock of the machine, not by the `Clock` of the program: a jump of a `TestClock` says nothing of a server.
 *
 * What it adds are bounds: on the wait for a connection, on connecting,
 * on a statement and on shutdown; connections that are checked before they are handed out and put back in order
 * before the next; and errors that tell an exhausted pool from a database out of reach and from a slow query.
 *
 * @since 0.1.0
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import type { SqlError } from "effect/sql/SqlError"
import * as Connector from "./internal/connector.ts"
import { CurrentDeadline } from "./internal/currentDeadline.ts"
import { monotonicMsOf, systemClock } from "../internal/clock.ts"
import * as PgPoolClient from "./internal/pgClient.ts"
import type { PoolStats } from "./PoolError.ts"
import * as PoolLifecycle from "./internal/poolLifecycle.ts"
import * as PoolSettings from "./internal/poolSettings.ts"
import type { Target } from "./internal/target.ts"

export type { Target } from "./internal/target.ts"
export {
  AcquireTimes,
  ClosedConnections,
  DatabaseProblem,
  DatabaseUnavailable,
  fromSqlError,
  PoolClosed,
  PoolError,
  PoolExhausted,
  PoolStats,
  QueryTimeout,
  TransactionStatementRefused
} from "./PoolError.ts"
export { defaults, InvalidOption } from "./internal/poolSettings.ts"

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

/**
 * The pool of a program.
 *
 * @category services
 * @since 0.1.0
 */
export class ConnectionPool extends Context.Service<
  ConnectionPool,
  {
    /** The client that runs on the pool; the same that the Layer provides as `PgClient` and `SqlClient`. */
    readonly client: PgClient.PgClient
    /** The pool's state now. */
    readonly stats: Effect.Effect<PoolStats>
    /** Succeeds if the database answers within `acquireTimeout`, on a connection of the pool. */
    readonly healthCheck: Effect.Effect<void, SqlError>
    /**
     * Takes a connection out that the caller holds by `sql.reserve` or in a transaction: it is closed when it comes back,
     * and another takes its place. One that is not of this pool is left alone.
     */
    readonly evict: (connection: Connection) => Effect.Effect<void>
    /** Takes all connections out: those that are idle now are closed, those in use when they come back. */
    readonly evictAll: Effect.Effect<void>
    /**
     * Lets nobody have a connection until `resume`. Those who ask meanwhile wait as they do for a connection that is out,
     * and no longer than `acquireTimeout`; those who hold one go on.
     */
    readonly suspend: Effect.Effect<void>
    /** Ends a suspension. */
    readonly resume: Effect.Effect<void>
  }
>()("athena-hooks/pool/ConnectionPool") {}

const open = Effect.fnUntraced(function* (options: ConnectionPoolOptions, settings: PoolSettings.Settings) {
  const lifecycle = PoolLifecycle.make(settings, Connector.make(settings))
  const core = yield* Effect.provideService(lifecycle, Clock.Clock, systemClock)
  const { host, port } = settings.addresses[0]!
  const client = yield* PgPoolClient.make(core, { ...settings.client, url: options.url, host, port })
  const healthCheck = Effect.asVoid(client`SELECT 1`)
  if (options.failFast === true) yield* healthCheck
  return ConnectionPool.of({
    client,
    stats: Effect.sync(() => core.stats()),
    healthCheck,
    evict: (connection) => PgPoolClient.evict(core, connection),
    evictAll: Effect.suspend(() => core.evictAll()),
    suspend: Effect.sync(() => core.suspend()),
    resume: Effect.sync(() => core.resume())
  })
})

/**
 * Opens a pool for the lifetime of the scope. It does not wait for a connection, unless `failFast` says so, and only then
 * it fails, with the error of the first statement.
 *
 * An option that can't be used is a defect, an `InvalidOption` whose message names it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: ConnectionPoolOptions
): Effect.Effect<ConnectionPool["Service"], SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.suspend(() => Effect.orDie(Effect.fromResult(PoolSettings.resolve(options)))).pipe(
    Effect.flatMap((settings) => open(options, settings))
  )

/**
 * Provides the pool and, on it, the `PgClient` and `SqlClient` of a program.
 *
 * **Example**
 *
 * ```ts
 * import * as ConnectionPool from "athena-hooks/pool/ConnectionPool"
 * import * as Effect from "effect/Effect"
 * import * as Redacted from "effect/Redacted"
 * import * as SqlClient from "effect/sql/SqlClient"
 *
 * const Database = ConnectionPool.layer({
 *   url: Redacted.make("postgres://athena@localhost/athena"),
 *   maxConnections: 10,
 *   deadline: "2 seconds"
 * })
 *
 * const program = Effect.gen(function* () {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* sql`SELECT 1 AS one`
 * }).pipe(Effect.provide(Database))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: ConnectionPoolOptions
): Layer.Layer<ConnectionPool | PgClient.PgClient | SqlClient.SqlClient, SqlError> => layerFrom(make(options))

const layerFrom = <E>(
  make: Effect.Effect<ConnectionPool["Service"], E, Scope.Scope | Reactivity.Reactivity>
): Layer.Layer<ConnectionPool | PgClient.PgClient | SqlClient.SqlClient, E> =>
  Layer.effectContext(
    Effect.map(make, (pool) =>
      Context.make(ConnectionPool, pool).pipe(
        Context.add(PgClient.PgClient, pool.client),
        Context.add(SqlClient.SqlClient, pool.client)
      )
    )
  ).pipe(Layer.provide(Reactivity.layer))

/**
 * Provides the pool with its options read from `Config`. One that can't be used is a `ConfigError` whose message names it.
 *
 * **Example**
 *
 * ```ts
 * import * as ConnectionPool from "athena-hooks/pool/ConnectionPool"
 * import * as Config from "effect/Config"
 *
 * const Database = ConnectionPool.layerConfig({ url: Config.Redacted("DATABASE_URL") })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Wrap<ConnectionPoolOptions>
): Layer.Layer<ConnectionPool | PgClient.PgClient | SqlClient.SqlClient, Config.ConfigError | SqlError> =>
  layerFrom(
    Effect.gen(function* () {
      const options = yield* Config.unwrap(config)
      const settings = yield* Effect.mapError(Effect.fromResult(PoolSettings.resolve(options)), asConfigError)
      return yield* open(options, settings)
    })
  )

const asConfigError = ({ message }: PoolSettings.InvalidOption): Config.ConfigError =>
  new Config.ConfigError(new Schema.SchemaError(new SchemaIssue.InvalidValue({ message })))

/**
 * Gives all database operations of an effect one deadline together, counted from its start: the wait for a connection,
 * every statement, and the way to the server and back. When it passes, the operation that runs fails with
 * `PoolExhausted` or `DatabaseUnavailable` where it had no connection yet and with `QueryTimeout` where it had, and its
 * statement is cancelled in the server. One that is begun later fails with `QueryTimeout` at once. A deadline that is set around stays in force where it is earlier.
 *
 * With `multiplex` nothing is cancelled while another caller waits for an answer on the same connection, for the cancel
 * could hit that caller's statement. The connection takes no new callers, and the server ends it together with the late
 * statement as soon as nobody waits on it any more. Those behind a late statement wait for it, so give all operations of
 * a pool that multiplexes a deadline.
 *
 * A transaction, a stream, a listener and a reservation need a connection alone. With `multiplex` they wait until those
 * who share one are done, or for another where the pool may open one; that wait ends like any other for a connection.
 *
 * A statement fails at the deadline, to the resolution of 5 ms, also when the network is dead. A stream fails at most
 * 250 ms later, for it is given the time to hear of the cancel.
 *
 * **Example**
 *
 * ```ts
 * import * as ConnectionPool from "athena-hooks/pool/ConnectionPool"
 * import * as SqlClient from "effect/sql/SqlClient"
 * import * as Effect from "effect/Effect"
 *
 * const recent = Effect.gen(function* () {
 *   const sql = yield* SqlClient.SqlClient
 *   return yield* sql`SELECT id FROM events ORDER BY id DESC LIMIT 10`
 * }).pipe(ConnectionPool.withDeadline("200 millis"))
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const withDeadline: {
  (duration: Duration.Input): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, duration: Duration.Input): Effect.Effect<A, E, R>
} = dual(2, <A, E, R>(self: Effect.Effect<A, E, R>, duration: Duration.Input): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const at = monotonicMsOf(fiber.getRef(Clock.Clock)) + Duration.toMillis(Duration.fromInputUnsafe(duration))
    const outer = fiber.getRef(CurrentDeadline)
    return Effect.provideService(self, CurrentDeadline, outer === undefined ? at : Math.min(at, outer))
  })
)

/**
 * Reads the state of the program's pool.
 *
 * @category accessors
 * @since 0.1.0
 */
export const stats: Effect.Effect<PoolStats, never, ConnectionPool> = Effect.flatMap(
  ConnectionPool,
  (pool) => pool.stats
)
