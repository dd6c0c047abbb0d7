/**
 * The embedded database: one SQLite file that many short processes share.
 *
 * The file is in WAL mode, so readers never wait for a writer. Every transaction starts with `BEGIN IMMEDIATE`: it waits
 * for the write lock when it begins and does not fail at its first write. Waiting does not block the thread: the clients
 * of a process acquire the lock in FIFO order, and retry while another process holds it.
 *
 * A transaction whose `COMMIT` fails is rolled back and fails with SQLite's error. After a rollback by SQLite itself
 * (`INSERT OR ROLLBACK`, `RAISE(ROLLBACK)`, a full disk), further statements of the transaction fail and write nothing.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Options from "../internal/options.ts"
import * as Client from "./internal/sqliteClient.ts"

/**
 * The default of `busyTimeout`: 5 seconds.
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
  /** Path of the file, or `:memory:`. The folder must exist; the file is created if it does not. */
  readonly filename: string
  /**
   * How long an operation waits for the lock of another connection before it fails with `LockTimeoutError`. The thread
   * is not blocked. From 0 to infinite; 5 seconds when absent.
   */
  readonly busyTimeout?: Duration.Input | undefined
  /**
   * `normal`: a commit survives a kill of the process; `full`: also a power loss, at one disk sync per commit. `normal`
   * when absent.
   */
  readonly durability?: "normal" | "full" | undefined
  /**
   * Whether a new file can return free pages to the disk, see `SqliteSpace.incrementalVacuum`; the file is 0.1 % larger.
   * Existing files are unaffected. `none` when absent.
   */
  readonly autoVacuum?: "none" | "incremental" | undefined
  /** Opens an existing file read-only. `false` when absent. */
  readonly readonly?: boolean | undefined
  /** The capacity of the cache of prepared statements. From 0 to 1,000,000; 200 when absent. */
  readonly prepareCacheSize?: number | undefined
  /** The time to live of a prepared statement. From 0; infinite when absent. */
  readonly prepareCacheTTL?: Duration.Input | undefined
  /** Added to the spans of statements and transactions. */
  readonly spanAttributes?: Record<string, unknown> | undefined
  /** Renames the columns of results, for example to camel case. */
  readonly transformResultNames?: ((name: string) => string) | undefined
  /** Renames identifiers in statements, for example to snake case. */
  readonly transformQueryNames?: ((name: string) => string) | undefined
}

/**
 * A `SqlClient` with the operations of SQLite.
 *
 * @category models
 * @since 0.1.0
 */
export interface SqliteClient extends SqlClient.SqlClient {
  readonly [TypeId]: TypeId
  readonly config: SqliteOptions
  /** Copies a consistent snapshot of the database into another file. */
  readonly backup: (destination: string) => Effect.Effect<BackupMetadata, SqlError>
  readonly loadExtension: (path: string) => Effect.Effect<void, SqlError>
  /** Unsupported by SQLite. */
  readonly updateValues: never
}

/**
 * The result of a backup.
 *
 * @category models
 * @since 0.1.0
 */
export interface BackupMetadata {
  readonly totalPages: number
  readonly remainingPages: number
}

/**
 * The type id of `@effect/sql-sqlite-node`.
 *
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~@effect/sql-sqlite-node/SqliteClient"

/**
 * The type id of `@effect/sql-sqlite-node`.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~@effect/sql-sqlite-node/SqliteClient"

/**
 * The service of the client, with the key of `@effect/sql-sqlite-node`.
 *
 * @category services
 * @since 0.1.0
 */
export const SqliteClient = Context.Service<SqliteClient>("@effect/sql-sqlite-node/SqliteClient")

/** The maximum size of the write-ahead log between checkpoints, in bytes: 16 MiB. */
const journalSizeLimit = 16 * 1024 * 1024

const read = Options.reader("Sqlite")

/** Throws an `InvalidOption`. */
const resolve = (options: SqliteOptions) => ({
  ...options,
  readonly: options.readonly ?? false,
  busyTimeoutMs: read.duration("busyTimeout", options.busyTimeout ?? defaultBusyTimeout, 0, Infinity),
  durability: read.oneOf("durability", options.durability ?? "normal", ["normal", "full"]),
  autoVacuum: read.oneOf("autoVacuum", options.autoVacuum ?? "none", ["none", "incremental"]),
  prepareCacheSize: read.whole("prepareCacheSize", options.prepareCacheSize ?? 200, 0, 1_000_000),
  prepareCacheMs: read.duration("prepareCacheTTL", options.prepareCacheTTL ?? Infinity, 0, Infinity)
})

/** Switching to WAL requires exclusive access, for which the client waits as for any lock. */
const enableWal = (sql: SqlClient.SqlClient, isIncremental: boolean): Effect.Effect<void, SqlError> =>
  Effect.gen(function* () {
    const [current] = yield* sql<{ journal_mode: string }>`PRAGMA journal_mode`
    if (current?.journal_mode === "wal" || current?.journal_mode === "memory") return
    // Before the first page is written: the switch to WAL writes it.
    if (isIncremental) yield* sql`PRAGMA auto_vacuum = INCREMENTAL`
    yield* sql`PRAGMA journal_mode = WAL`
  })

/**
 * Opens the embedded database for the lifetime of the scope.
 *
 * A statement whose result contains an integer beyond 2^53 fails, unless `SqlClient.SafeIntegers` is provided. A
 * statement that may have written does not fail: its result contains a `bigint`.
 *
 * Fails with `SqlError`: reason `ConnectionError` if the file can't be opened, `LockTimeoutError` if it stays locked,
 * `UnknownError` with SQLite's message if it is not a database or is damaged. An invalid option is a defect, a
 * `RangeError` that names it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: SqliteOptions
): Effect.Effect<SqliteClient, SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.suspend(() => open(options, resolve(options)))

const open = Effect.fnUntraced(function* (config: SqliteOptions, settings: ReturnType<typeof resolve>) {
  const sql = yield* Client.make(settings)
  // Transformations do not apply to the columns of pragmas.
  const plain = sql.withoutTransforms()
  if (!settings.readonly) {
    yield* enableWal(plain, settings.autoVacuum === "incremental")
    yield* plain`PRAGMA journal_size_limit = ${plain.literal(String(journalSizeLimit))}`
  }
  yield* plain`PRAGMA synchronous = ${plain.literal(settings.durability)}`
  yield* plain`PRAGMA foreign_keys = ON`
  return Object.assign(sql as typeof sql & { readonly updateValues: never }, { [TypeId]: TypeId, config })
})

const layerFrom = <E>(
  make: Effect.Effect<SqliteClient, E, Scope.Scope | Reactivity.Reactivity>
): Layer.Layer<SqlClient.SqlClient | SqliteClient, E> =>
  Layer.effectContext(
    Effect.map(make, (client) => Context.make(SqlClient.SqlClient, client).pipe(Context.add(SqliteClient, client)))
  ).pipe(Layer.provide(Reactivity.layer))

/**
 * Provides the embedded database as the `SqlClient` and the `SqliteClient`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: SqliteOptions): Layer.Layer<SqlClient.SqlClient | SqliteClient, SqlError> =>
  layerFrom(make(options))

/**
 * As `layer`, with its options read from `Config`. An invalid option is a `ConfigError`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Wrap<SqliteOptions>
): Layer.Layer<SqlClient.SqlClient | SqliteClient, Config.ConfigError | SqlError> =>
  layerFrom(
    Effect.flatMap(
      Options.fromConfig(config, (options) => [options, resolve(options)] as const),
      ([options, settings]) => open(options, settings)
    )
  )
