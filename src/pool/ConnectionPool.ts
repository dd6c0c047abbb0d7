/**
 * A Postgres connection pool with a bound on every wait: each operation ends with its result or a typed reason.
 *
 * It provides the `PgClient` and `SqlClient` of a program, over the connections of `@effect/sql-pg`, and bounds the
 * wait for a connection, connecting, statements and shutdown. It validates connections before it leases them and resets
 * them before the next caller. Its errors distinguish an exhausted pool, an unavailable database and a slow query.
 *
 * **When to use**
 *
 * Instead of `PgClient.layer`, wherever a program must respond in time though the database or the network fails.
 *
 * **Gotchas**
 *
 * - The default is 3 connections (10 in the driver's pool). Each listener holds one. A program that acquires a second connection while it holds one (a statement outside its running transaction) may wait for itself: count both in `maxConnections`.
 * - `BEGIN`, `COMMIT`, `ROLLBACK` and `SAVEPOINT` as separate statements fail with `TransactionStatementRefused`, because the statements around them run on any connection. Use `sql.withTransaction`, or `sql.reserve` for manual control.
 * - Timeouts follow the system's monotonic clock and not the program's `Clock`: servers and networks do not follow a `TestClock`.
 *
 * @since 0.1.0
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import type { SqlError } from "effect/sql/SqlError"
import { monotonicMsOf, systemClock } from "../internal/clock.ts"
import * as Options from "../internal/options.ts"
import * as Connector from "./internal/connector.ts"
import { CurrentDeadline } from "./internal/deadlines.ts"
import * as PgPoolClient from "./internal/pgClient.ts"
import type { PoolStats } from "./PoolError.ts"
import * as PoolLifecycle from "./internal/poolLifecycle.ts"
import * as PoolSettings from "./internal/poolSettings.ts"
import type { ConnectionPoolOptions } from "./internal/poolOptions.ts"

export type { ConnectionPoolOptions, Host, Target } from "./internal/poolOptions.ts"
export {
  AcquireTimes,
  catchReason,
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

/**
 * The pool of a program.
 *
 * @category services
 * @since 0.1.0
 */
export class ConnectionPool extends Context.Service<
  ConnectionPool,
  {
    /** The client on the pool, which the Layer also provides as `PgClient` and `SqlClient`. */
    readonly client: PgClient.PgClient
    /** The pool's current state. */
    readonly stats: Effect.Effect<PoolStats>
    /** Succeeds if the database responds within `acquireTimeout`, on a connection of the pool. */
    readonly healthCheck: Effect.Effect<void, SqlError>
    /**
     * Evicts a connection that the caller holds by `sql.reserve` or in a transaction: it is closed when it is returned,
     * and replaced. Ignores connections of other pools.
     */
    readonly evict: (connection: Connection) => Effect.Effect<void>
    /** Evicts all connections: idle ones are closed immediately, those in use when they are returned. */
    readonly evictAll: Effect.Effect<void>
    /** Leases no connection until `resume`. Callers wait for at most `acquireTimeout`; current holders continue. */
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
 * Creates a pool for the lifetime of the scope. With `failFast` it waits for a connection and fails with the error of
 * its first statement; otherwise it does neither.
 *
 * An invalid option is a defect, a `RangeError` that names it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: ConnectionPoolOptions
): Effect.Effect<ConnectionPool["Service"], SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.suspend(() => open(options, PoolSettings.resolve(options)))

/**
 * Provides the pool, and the `PgClient` and `SqlClient` on it. An invalid option is a defect.
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
 * Provides the pool with options from `Config`. An invalid option is a `ConfigError` that names it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Wrap<ConnectionPoolOptions>
): Layer.Layer<ConnectionPool | PgClient.PgClient | SqlClient.SqlClient, Config.ConfigError | SqlError> =>
  layerFrom(
    Effect.flatMap(
      Options.fromConfig(config, (options) => [options, PoolSettings.resolve(options)] as const),
      ([options, settings]) => open(options, settings)
    )
  )

/**
 * Sets one deadline for all database operations of an effect, from its start: acquiring a connection, every statement,
 * and the network. When it passes, the current operation fails, with `PoolExhausted` or `DatabaseUnavailable` before it
 * has a connection and with `QueryTimeout` after, and its statement is cancelled in the server. Later operations fail
 * with `QueryTimeout` immediately. An earlier outer deadline remains in force.
 *
 * **Gotchas**
 *
 * With `multiplex` a cancel request could hit another caller's statement. While other callers await results on the
 * connection nothing is cancelled; the connection accepts no new callers, and the server terminates it with the
 * expired statement once it has no pending callers. Statements behind an expired one wait for it, so set a deadline for all
 * operations of a multiplexing pool.
 *
 * A transaction, a stream, a listener and a reservation need an exclusive connection. With `multiplex` they wait until
 * a shared one is idle or another opens, within the same bounds as for any connection.
 *
 * A statement fails at the deadline, with a resolution of 5 ms, also on a dead network. A stream fails at most 250 ms
 * later, after the time for the cancel.
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
 * Reads the current state of the program's pool.
 *
 * @category accessors
 * @since 0.1.0
 */
export const stats: Effect.Effect<PoolStats, never, ConnectionPool> = Effect.flatMap(
  ConnectionPool,
  (pool) => pool.stats
)
