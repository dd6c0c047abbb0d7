/**
 * The second tier of the query cache, in which results outlive the process.
 *
 * A store has texts under keys, a version of each invalidation key, and the announcements of mutations in progress. An
 * entry carries the *stamp* of the keys it watches, read before its load. It is valid while the current stamp is equal
 * and no announcement covers a watched key. A writer announces before it commits and resolves afterwards; the
 * announcement of a killed writer lapses and counts as a change.
 *
 * **When to use**
 *
 * - `layerSqlite`: a file that all processes of a host share
 * - `layerMemory`: tests, and several caches of one process
 * - `layerNoop`: a cache with the memory tier only
 * - a Layer of your own: it must pass `CacheStoreSuite.suite`
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Options from "../internal/options.ts"
import * as CacheClock from "./internal/cacheClock.ts"
import * as MemoryStore from "./internal/memoryStore.ts"
import * as SqliteStore from "./internal/sqliteStore.ts"
import type { CacheStoreShape, StoreBounds } from "./internal/storeModel.ts"

export {
  CacheStoreError,
  type CacheStoreShape,
  type EntryKey,
  type LookupResult,
  type NewEntry,
  type Stats,
  type StoredEntry
} from "./internal/storeModel.ts"

/**
 * Service of the second tier.
 *
 * @category services
 * @since 0.1.0
 */
export class CacheStore extends Context.Service<CacheStore, CacheStoreShape>()("athena-hooks/cache/CacheStore") {}

/**
 * Bounds of a store. A value beyond its own bounds is a `RangeError`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bounds {
  /** The bytes of all entries. From 1 KiB to 16 GiB; 64 MiB when absent. The oldest entries are evicted first. */
  readonly maxBytes?: number | undefined
  /** The number of entries. From 1 to 10,000,000; 20,000 when absent. */
  readonly maxEntries?: number | undefined
  /**
   * The bytes of one entry with its key and the name of its query; a larger one is not stored. From 1 to `maxBytes`; 1
   * MiB when absent.
   */
  readonly maxEntryBytes?: number | undefined
  /** The number of versions. Removing an old one invalidates entries. From 1 to 10,000,000; 100,000 when absent. */
  readonly maxVersions?: number | undefined
}

/**
 * Options of the store in a SQLite file.
 *
 * @category models
 * @since 0.1.0
 */
export interface SqliteStoreOptions extends Bounds {
  /** Path of the file. The folder must exist; the file is created if it does not. Not the file of the database. */
  readonly filename: string
  /**
   * How long a statement waits for another process's lock, without blocking the thread. From 0 to 1 second; 40
   * milliseconds when absent.
   */
  readonly busyTimeout?: Duration.Input | undefined
  /** The interval of cleaning. From 1 second; 1 minute when absent. */
  readonly cleanEvery?: Duration.Input | undefined
}

const read = Options.reader("CacheStore")

const boundsOf = (options: Bounds): StoreBounds => {
  const maxBytes = read.whole("maxBytes", options.maxBytes ?? 64 * 1024 * 1024, 1_024, 16 * 2 ** 30)
  return {
    maxBytes,
    maxEntries: read.whole("maxEntries", options.maxEntries ?? 20_000, 1, 10_000_000),
    maxEntryBytes: read.whole("maxEntryBytes", options.maxEntryBytes ?? Math.min(1_048_576, maxBytes), 1, maxBytes),
    maxVersions: read.whole("maxVersions", options.maxVersions ?? 100_000, 1, 10_000_000)
  }
}

const sqliteSettings = (options: SqliteStoreOptions) => ({
  ...boundsOf(options),
  filename: options.filename,
  busyTimeoutMs: read.duration("busyTimeout", options.busyTimeout ?? 40, 0, 1_000),
  cleanEveryMs: read.duration("cleanEvery", options.cleanEvery ?? 60_000, 1_000, Infinity)
})

const cleaning = (store: CacheStoreShape, everyMs: number) =>
  CacheClock.now.pipe(
    Effect.flatMap(store.clean),
    Effect.ignore,
    Effect.delay(Duration.millis(everyMs)),
    Effect.repeat(Schedule.forever),
    Effect.forkScoped
  )

const sqliteStore = (settings: ReturnType<typeof sqliteSettings>) =>
  Effect.tap(SqliteStore.make(settings), (store) => cleaning(store, settings.cleanEveryMs))

/**
 * Provides a store in a SQLite file that all processes of a host may share.
 *
 * The first operation opens the file, and the next one retries after a failure. A damaged file, or one of an older
 * version, is renamed to `<filename>.damaged-<time>-<process>` with its log, and created anew. Entries from before the
 * machine's last start are invalid.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSqlite = (options: SqliteStoreOptions): Layer.Layer<CacheStore> =>
  Layer.effect(
    CacheStore,
    Effect.suspend(() => sqliteStore(sqliteSettings(options)))
  )

/**
 * As `layerSqlite`, with its options read from `Config`. An invalid option is a `ConfigError`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (config: Config.Wrap<SqliteStoreOptions>): Layer.Layer<CacheStore, Config.ConfigError> =>
  Layer.effect(CacheStore, Effect.flatMap(Options.fromConfig(config, sqliteSettings), sqliteStore))

/**
 * Provides a store in the memory of the process, with the protocol of the file: for tests, and for several caches of one
 * process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory = (options: Bounds = {}): Layer.Layer<CacheStore> =>
  Layer.effect(
    CacheStore,
    Effect.suspend(() => MemoryStore.make(boundsOf(options)))
  )

/**
 * Provides a store without entries: the cache then has the memory tier only.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<CacheStore> = Layer.succeed(CacheStore, {
  shared: false,
  clock: "monotonic",
  generation: () => 0,
  stamp: () => Effect.succeed(""),
  get: () => Effect.succeed({ entry: undefined, stamp: "" }),
  getMany: (requests) => Effect.succeed(requests.map(() => ({ entry: undefined, stamp: "" }))),
  set: () => Effect.succeed(false),
  expire: () => Effect.void,
  claim: () => Effect.succeed(true),
  release: () => Effect.void,
  announce: () => Effect.void,
  resolve: () => Effect.void,
  clear: Effect.void,
  clean: () => Effect.void,
  stats: Effect.succeed({ entries: 0, bytes: 0, versions: 0, announcements: 0 })
})
