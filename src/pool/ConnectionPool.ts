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
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import type { SqlError } from "effect/sql/SqlError"
import * as Connector from "./internal/connector.ts"
import { CurrentDeadline } from "./internal/deadlines.ts"
import { monotonicMsOf, systemClock } from "../internal/clock.ts"
import * as PgPoolClient from "./internal/pgClient.ts"
import type { PoolStats } from "./PoolError.ts"
import * as PoolLifecycle from "./internal/poolLifecycle.ts"
import * as PoolSettings from "./internal/poolSettings.ts"
import type { ConnectionPoolOptions } from "./internal/poolOptions.ts"

export type { ConnectionPoolOptions, Host, Target } from "./internal/poolOptions.ts"
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
