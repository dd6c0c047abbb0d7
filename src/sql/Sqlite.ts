/**
 * The embedded database: one SQLite file that many short processes share.
 *
 * It is `@effect/sql-sqlite-node` made safe for that use. The busy timeout is set before anything else touches the
 * file, so that processes wait for each other instead of failing; the file is in WAL mode, so that readers never wait
 * for a writer; and every transaction starts with `BEGIN IMMEDIATE`, so that a writer takes its place in the queue at
 * once instead of failing half-way when it first writes.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import * as SqliteClient from "./internal/sqliteClient.ts"

/**
 * How long an operation waits for another process's lock before it fails: 5 seconds.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultBusyTimeout: Duration.Duration = Duration.seconds(5)

/**
 * Options of the embedded database.
 *
 * @category models
 * @since 0.1.0
 */
export interface SqliteOptions {
  /** Path of the database file, or `:memory:`. The folder must exist; the file is made when it does not. */
  readonly filename: string
  /**
   * How long an operation waits for another process's lock before it fails with `LockTimeoutError`. SQLite waits
   * without yielding the thread, so keep it below the deadline of whoever calls. From 0 up to 60 seconds; 5 seconds
   * when absent.
   */
  readonly busyTimeout?: Duration.Input | undefined
  /**
   * What a commit survives. `normal`: a kill of the process at any moment. `full`: a power loss as well, at the cost
   * of one disk sync a commit. `normal` when absent.
   */
  readonly durability?: "normal" | "full" | undefined
  /**
   * Whether a file that is made now can give space back in small steps, see `SqliteSpace.giveBack`. It makes the file
   * 0.1 % larger. A file that is there stays as it was made. `none` when absent.
   */
  readonly autoVacuum?: "none" | "incremental" | undefined
  /** Opens an existing file without the right to change it. `false` when absent. */
  readonly readonly?: boolean | undefined
}

/**
 * The largest write-ahead log that is kept on disk between checkpoints, in bytes: 16 MiB.
 */
const journalSizeLimit = 16 * 1024 * 1024

const cannotOpen = (cause: unknown, message: string): SqlError =>
  new SqlError({ reason: new ConnectionError({ cause, message, operation: "open" }) })

const busyTimeoutMs = (options: SqliteOptions): Effect.Effect<number, SqlError> => {
  const ms = Duration.toMillis(options.busyTimeout ?? defaultBusyTimeout)
  return ms >= 0 && ms <= 60_000
    ? Effect.succeed(Math.round(ms))
    : Effect.fail(
        cannotOpen(new RangeError(`busyTimeout is ${ms} ms`), "Sqlite: busyTimeout must be from 0 to 60 seconds")
      )
}

/**
 * Switching to WAL needs the file to itself for an instant, and SQLite does not wait for that even with a busy
 * timeout, so the switch is tried again until the processes that open the file together have found their order.
 */
const enableWal = (
  sql: SqlClient.SqlClient,
  timeoutMs: number,
  autoVacuum: SqliteOptions["autoVacuum"]
): Effect.Effect<void, SqlError> =>
  Effect.gen(function* () {
    const current = yield* sql<{ journal_mode: string }>`PRAGMA journal_mode`
    if (current[0]?.journal_mode === "wal" || current[0]?.journal_mode === "memory") return
    // Only the first page that is ever written can say it, and the switch to WAL writes that.
    if (autoVacuum === "incremental") yield* sql`PRAGMA auto_vacuum = INCREMENTAL`
    yield* sql`PRAGMA journal_mode = WAL`
  }).pipe(
    Effect.retry({
      while: (error) => error.reason._tag === "LockTimeoutError",
      schedule: Schedule.exponential(5, 1.5).pipe(Schedule.jittered, Schedule.upTo({ duration: timeoutMs }))
    })
  )

/**
 * Opens the embedded database for the lifetime of the scope.
 *
 * Fails with `SqlError`: reason `ConnectionError` where the file can't be opened, `LockTimeoutError` where it stays
 * locked, `UnknownError` with SQLite's own message where it is not a database or is damaged.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: SqliteOptions
): Effect.Effect<SqlClient.SqlClient, SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function* () {
    const timeoutMs = yield* busyTimeoutMs(options)
    const sql = yield* SqliteClient.make({
      filename: options.filename,
      readonly: options.readonly ?? false,
      // It would switch to WAL before there is a busy timeout; see `enableWal`.
      disableWAL: true
    }).pipe(
      Effect.catchDefect((cause) => Effect.fail(cannotOpen(cause, "Sqlite: the database file could not be opened")))
    )

    yield* sql`PRAGMA busy_timeout = ${sql.literal(String(timeoutMs))}`
    if (options.readonly !== true) {
      yield* enableWal(sql, timeoutMs, options.autoVacuum)
      yield* sql`PRAGMA journal_size_limit = ${sql.literal(String(journalSizeLimit))}`
    }
    yield* sql`PRAGMA synchronous = ${sql.literal(options.durability ?? "normal")}`
    yield* sql`PRAGMA foreign_keys = ON`
    return immediate(sql)
  })

/**
 * A client whose transactions take the write lock when they begin. The statement is provided to the client's own
 * `BEGIN` only: a transaction of another client, opened inside, keeps the statement of that client.
 */
const immediate = (sql: SqlClient.SqlClient): SqlClient.SqlClient => {
  const withTransaction = sql.withTransaction
  return Object.assign(sql, {
    driver: "sqlite-node",
    withTransaction: <R, E, A>(effect: Effect.Effect<A, E, R>) =>
      Effect.flatMap(SqlClient.BeginTransaction, (outer) =>
        Effect.provideService(effect, SqlClient.BeginTransaction, outer).pipe(
          withTransaction,
          Effect.provideService(SqlClient.BeginTransaction, outer ?? "BEGIN IMMEDIATE")
        )
      )
  })
}
/**
 * Provides the embedded database as the `SqlClient`.
 *
 * **Example**
 *
 * ```ts
 * import * as Sqlite from "athena-hooks/sql/Sqlite"
 *
 * const Database = Sqlite.layer({ filename: "memory.db", busyTimeout: "250 millis" })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: SqliteOptions): Layer.Layer<SqlClient.SqlClient, SqlError> =>
  Layer.effect(SqlClient.SqlClient, make(options)).pipe(Layer.provide(Reactivity.layer))

/**
 * Provides the embedded database with its options read from `Config`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Wrap<SqliteOptions>
): Layer.Layer<SqlClient.SqlClient, Config.ConfigError | SqlError> =>
  Layer.unwrap(Effect.map(Config.unwrap(config), layer))
