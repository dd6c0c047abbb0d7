/**
 * The embedded database: one SQLite file that many short processes share.
 *
 * The file is in WAL mode, so that readers never wait for a writer, and every transaction starts with `BEGIN IMMEDIATE`,
 * so that a writer takes its place in the queue at once instead of failing half-way when it first writes. Locks are
 * waited for without holding the thread: the clients of one process that write to the same file do so in their order,
 * and where another process has the lock, the attempt is made again after a pause.
 *
 * The client survives what becomes of a transaction. Where `COMMIT` fails, it is rolled back and fails with SQLite's
 * error; where SQLite itself rolls a transaction back, as `INSERT OR ROLLBACK`, `RAISE(ROLLBACK)` or a full disk make it,
 * further statements in it fail and write nothing.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import * as Client from "./internal/sqliteClient.ts"

/**
 * How long an operation waits for the lock of another connection before it fails: 5 seconds.
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
   * How long an operation waits for the lock of another connection, of this process or another one, before it fails with
   * `LockTimeoutError`. The thread is free meanwhile. Zero does not wait; may be infinite; 5 seconds when absent.
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
  /** How many statements stay prepared; 200 when absent, and none at zero. */
  readonly prepareCacheSize?: number | undefined
  /** For how long a statement stays prepared. As long as there is room for it when absent. */
  readonly prepareCacheTTL?: Duration.Input | undefined
  /** Added to the spans of statements and transactions. */
  readonly spanAttributes?: Record<string, unknown> | undefined
  /** Renames the columns of results, for example to camel case. */
  readonly transformResultNames?: ((name: string) => string) | undefined
  /** Renames identifiers in statements, for example to snake case. */
  readonly transformQueryNames?: ((name: string) => string) | undefined
}

/**
 * The `SqlClient` with what only SQLite can do.
 *
 * @category models
 * @since 0.1.0
 */
export interface SqliteClient extends SqlClient.SqlClient {
  readonly [TypeId]: TypeId
  readonly config: SqliteOptions
  /** Copies the database into another file, as it was at one instant between two transactions. */
  readonly backup: (destination: string) => Effect.Effect<BackupMetadata, SqlError>
  readonly loadExtension: (path: string) => Effect.Effect<void, SqlError>
  /** SQLite has no such statement. */
  readonly updateValues: never
}

/**
 * What a backup has copied.
 *
 * @category models
 * @since 0.1.0
 */
export interface BackupMetadata {
  readonly totalPages: number
  readonly remainingPages: number
}

/**
 * The mark of a `SqliteClient`: that of `@effect/sql-sqlite-node`.
 *
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~@effect/sql-sqlite-node/SqliteClient"

/**
 * The mark of a `SqliteClient`: that of `@effect/sql-sqlite-node`.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~@effect/sql-sqlite-node/SqliteClient"

/**
 * Service tag of the client, which programs that know `@effect/sql-sqlite-node` ask for: the keys are the same.
 *
 * @category services
 * @since 0.1.0
 */
export const SqliteClient = Context.Service<SqliteClient>("@effect/sql-sqlite-node/SqliteClient")

/**
 * The largest write-ahead log on disk between checkpoints, in bytes: 16 MiB.
 */
const journalSizeLimit = 16 * 1024 * 1024

const busyTimeoutMs = (options: SqliteOptions): Effect.Effect<number, SqlError> => {
  const ms = Duration.toMillis(options.busyTimeout ?? defaultBusyTimeout)
  return ms >= 0
    ? Effect.succeed(ms)
    : Effect.fail(
        new SqlError({
          reason: new ConnectionError({
            cause: new RangeError(`busyTimeout is ${ms} ms`),
            message: "Sqlite: busyTimeout must not be negative",
            operation: "open"
          })
        })
      )
}

/** Switching to WAL needs the file to itself for an instant, which is waited for like any other lock. */
const enableWal = (sql: SqlClient.SqlClient, autoVacuum: SqliteOptions["autoVacuum"]): Effect.Effect<void, SqlError> =>
  Effect.gen(function* () {
    const current = yield* sql<{ journal_mode: string }>`PRAGMA journal_mode`
    if (current[0]?.journal_mode === "wal" || current[0]?.journal_mode === "memory") return
    // Only the first page that is ever written can say it, and the switch to WAL writes that.
    if (autoVacuum === "incremental") yield* sql`PRAGMA auto_vacuum = INCREMENTAL`
    yield* sql`PRAGMA journal_mode = WAL`
  })

/**
 * Opens the embedded database for the lifetime of the scope.
 *
 * An integer of a result that is beyond 2^53 fails the statement, unless `SqlClient.SafeIntegers` is provided; in what a
 * statement returns that may have written, it is a `bigint` instead, for the write has happened.
 *
 * Fails with `SqlError`: reason `ConnectionError` where the file can't be opened, `LockTimeoutError` where it stays
 * locked, `UnknownError` with SQLite's own message where it is not a database or is damaged.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: SqliteOptions
): Effect.Effect<SqliteClient, SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function* () {
    const sql = yield* Client.make({
      ...options,
      readonly: options.readonly ?? false,
      busyTimeoutMs: yield* busyTimeoutMs(options)
    })
    // The names of what SQLite itself answers stay as they are.
    const plain = sql.withoutTransforms()
    if (options.readonly !== true) {
      yield* enableWal(plain, options.autoVacuum)
      yield* plain`PRAGMA journal_size_limit = ${plain.literal(String(journalSizeLimit))}`
    }
    yield* plain`PRAGMA synchronous = ${plain.literal(options.durability ?? "normal")}`
    yield* plain`PRAGMA foreign_keys = ON`
    return Object.assign(sql as typeof sql & { readonly updateValues: never }, {
      [TypeId]: TypeId,
      config: options
    })
  })

/**
 * Provides the embedded database as the `SqlClient` and the `SqliteClient`.
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
export const layer = (options: SqliteOptions): Layer.Layer<SqlClient.SqlClient | SqliteClient, SqlError> =>
  Layer.effectContext(
    Effect.map(make(options), (client) =>
      Context.make(SqlClient.SqlClient, client).pipe(Context.add(SqliteClient, client))
    )
  ).pipe(Layer.provide(Reactivity.layer))

/**
 * Provides the embedded database with its options read from `Config`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Wrap<SqliteOptions>
): Layer.Layer<SqlClient.SqlClient | SqliteClient, Config.ConfigError | SqlError> =>
  Layer.unwrap(Effect.map(Config.unwrap(config), layer))
