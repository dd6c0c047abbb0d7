/**
 * The second level of the query cache: where results outlive the process.
 *
 * A store keeps texts under keys, and beside them what makes them trustworthy: a version for everything that a mutation
 * can change, and the announcements of mutations that are under way. An entry carries the *stamp* (the state of the
 * versions it watches) that was read before its source was asked; it is good for as long as the stamp of what it
 * watches is still the same and nothing of it is announced as being written. A writer announces before it commits and
 * resolves after; an announcement that nobody resolves, because its writer was killed, lapses and counts as a change.
 *
 * `layerSqlite` is a file that all processes of a host share, `layerMemory` lives in the process, `layerNoop` keeps
 * nothing. Any other store is a Layer over this service.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as MemoryStore from "./internal/memoryStore.ts"
import * as SqliteStore from "./internal/sqliteStore.ts"
import * as Time from "./internal/time.ts"

/**
 * A store could not do what it was asked. The cache answers from elsewhere; a user of the cache never sees this error.
 *
 * @category errors
 * @since 0.1.0
 */
export class CacheStoreError extends Schema.TaggedError<CacheStoreError>("athena-hooks/cache/CacheStoreError")(
  "CacheStoreError",
  {
    /** The operation that failed, for example `get`. */
    operation: Schema.String,
    cause: Schema.Defect()
  }
) {
  override get message(): string {
    return `the cache store failed: ${this.operation}`
  }
}

/**
 * An entry as it is kept. Times are milliseconds of the clock of the store, see `CacheStoreShape.clock`.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoredEntry {
  /** The encoded result. */
  readonly value: string
  /** The stamp of what the entry watches, read before the source was asked. */
  readonly stamp: string
  readonly storedAt: number
  /** From here on the entry is stale. */
  readonly freshUntil: number
  /** From here on the entry is gone. Not before `freshUntil`. */
  readonly expiresAt: number
}

/**
 * What was found under a key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Found {
  readonly entry: StoredEntry | undefined
  /** The stamp of what the reader watches, now; `undefined` while any of it is announced as being written. */
  readonly stamp: string | undefined
}

/**
 * A key, and what an entry under it depends on.
 *
 * @category models
 * @since 0.1.0
 */
export interface Wanted {
  readonly key: string
  readonly watched: ReadonlyArray<string>
}

/**
 * An entry to be kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface NewEntry extends Wanted, StoredEntry {
  /** The name of the query, for people who look into the store. */
  readonly query: string
}

/**
 * How full a store is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly entries: number
  /** The bytes of the entries: keys, names and values. */
  readonly bytes: number
  /** How many changed things the store knows a version of. */
  readonly versions: number
  /** How many announcements are not resolved. */
  readonly intents: number
}

/**
 * The operations of a store.
 *
 * @category models
 * @since 0.1.0
 */
export interface CacheStoreShape {
  /** Whether others than this process may write to the store, so that what is in memory must be checked against it. */
  readonly shared: boolean
  /**
   * Which clock the times are of that the store is given, and gives back. `wall`: milliseconds since 1970; an entry from
   * the future counts as stored now. `monotonic`: the clock of the host, which never jumps and begins when the machine
   * starts, for a store that no other host uses and that forgets what is from before then. `wall` when absent.
   */
  readonly clock?: "monotonic" | "wall" | undefined
  /**
   * A number that differs from the last one whenever anything may have been written since; `undefined` where that can't
   * be told. Asked at every hit in memory of a shared store: it answers at once and does not throw.
   */
  readonly generation: () => number | undefined
  /** The stamp of what is watched; `undefined` while any of it is announced as being written. */
  readonly stamp: (watched: ReadonlyArray<string>, now: number) => Effect.Effect<string | undefined, CacheStoreError>
  /** The entry and the stamp, read in the same instant. */
  readonly get: (key: string, watched: ReadonlyArray<string>, now: number) => Effect.Effect<Found, CacheStoreError>
  /** As `get`, for at most 100 keys at once. The answers have the order of the requests. */
  readonly getMany: (
    requests: ReadonlyArray<Wanted>,
    now: number
  ) => Effect.Effect<ReadonlyArray<Found>, CacheStoreError>
  /**
   * Keeps the entry where the stamp of what it watches is still the entry's own and none of it is announced, checked
   * and done in the same instant. `false` where it was not kept, also for want of room.
   */
  readonly set: (entry: NewEntry) => Effect.Effect<boolean, CacheStoreError>
  /** Makes an entry stale and keeps it. */
  readonly expire: (key: string, now: number) => Effect.Effect<void, CacheStoreError>
  /** Announces that these things are being written, until a time at most. Announcing an id again moves its end. */
  readonly announce: (id: string, changed: ReadonlyArray<string>, until: number) => Effect.Effect<void, CacheStoreError>
  /**
   * Whether an announcement stands. Asked before a mutation commits, because a store may have been replaced since; where
   * a store can't say, one that has stood for long is made again instead.
   */
  readonly isAnnounced?: ((id: string) => Effect.Effect<boolean, CacheStoreError>) | undefined
  /**
   * Ends an announcement. `changed` gives all of them a new version, whether or not the announcement is still there;
   * `rolledBack` leaves the versions as they are.
   */
  readonly resolve: (
    id: string,
    changed: ReadonlyArray<string>,
    outcome: "changed" | "rolledBack",
    until: number
  ) => Effect.Effect<void, CacheStoreError>
  /**
   * Whether this owner may load the entry now. It may where nobody else has claimed it, until a time at most; an entry
   * that is stored under the key, by whomever, ends the claim. A claim saves work and guards nothing: what may be stored
   * is for the stamp to say.
   */
  readonly claim: (key: string, owner: string, now: number, until: number) => Effect.Effect<boolean, CacheStoreError>
  /** Gives up a claim of this owner. */
  readonly release: (key: string, owner: string) => Effect.Effect<void, CacheStoreError>
  /** Removes all entries; a result that is being loaded is not stored any more. */
  readonly clear: Effect.Effect<void, CacheStoreError>
  /** Removes what has expired and what is over the bounds, and ends announcements and claims that have lapsed. */
  readonly clean: (now: number) => Effect.Effect<void, CacheStoreError>
  readonly stats: Effect.Effect<Stats, CacheStoreError>
}

/**
 * Service that keeps results beyond the process.
 *
 * @category services
 * @since 0.1.0
 */
export class CacheStore extends Context.Service<CacheStore, CacheStoreShape>()("athena-hooks/cache/CacheStore") {}

/**
 * Bounds of a store.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bounds {
  /** The bytes of all entries. From 1 KiB to 16 GiB; 64 MiB when absent. The oldest entries go first. */
  readonly maxBytes?: number | undefined
  /** The number of entries. From 1 to 10,000,000; 20,000 when absent. */
  readonly maxEntries?: number | undefined
  /** The bytes of one entry, its key and the name of its query included; a larger one is not kept. From 1 to `maxBytes`; 1 MiB when absent. */
  readonly maxEntryBytes?: number | undefined
  /** How many changed things are remembered. Older ones take entries with them. From 1 to 10,000,000; 100,000. */
  readonly maxVersions?: number | undefined
}

/**
 * Options of the store in a SQLite file.
 *
 * @category models
 * @since 0.1.0
 */
export interface SqliteStoreOptions extends Bounds {
  /** Path of the file. The folder must exist; the file is made when it does not. Not the file of the database. */
  readonly filename: string
  /**
   * How long a statement waits for another process's lock. The thread is free meanwhile. From 0 to 1 second; 40
   * milliseconds when absent.
   */
  readonly busyTimeout?: Duration.Input | undefined
  /** How often the store is cleaned. From 1 second; 1 minute when absent. */
  readonly cleanEvery?: Duration.Input | undefined
}

const within = (value: number | undefined, absent: number, minimum: number, maximum: number): number =>
  value === undefined || Number.isNaN(value) ? absent : Math.min(Math.max(Math.round(value), minimum), maximum)

const bounds = (options: Bounds) => {
  const maxBytes = within(options.maxBytes, 64 * 1024 * 1024, 1_024, 16 * 2 ** 30)
  return {
    maxBytes,
    maxEntries: within(options.maxEntries, 20_000, 1, 10_000_000),
    maxEntryBytes: within(options.maxEntryBytes, Math.min(1_048_576, maxBytes), 1, maxBytes),
    maxVersions: within(options.maxVersions, 100_000, 1, 10_000_000)
  }
}

const cleaning = (store: CacheStoreShape, every: Duration.Input) =>
  Time.now.pipe(
    Effect.flatMap(store.clean),
    Effect.ignore,
    Effect.delay(every),
    Effect.repeat(Schedule.forever),
    Effect.forkScoped
  )

/**
 * Provides a store in a SQLite file that all processes of a host may share.
 *
 * The file is opened by the first operation, and again where that failed. A damaged file is renamed to
 * `<filename>.damaged-<time>-<process>`, with its log, and made anew; so is one of an older version. Options out of their bounds are moved to the nearest bound.
 * Nothing is believed that was stored before the machine last started.
 *
 * **Example**
 *
 * ```ts
 * import * as CacheStore from "athena-hooks/cache/CacheStore"
 *
 * const Store = CacheStore.layerSqlite({ filename: "cache.db", maxBytes: 16 * 1024 * 1024 })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSqlite = (options: SqliteStoreOptions): Layer.Layer<CacheStore> =>
  Layer.effect(
    CacheStore,
    Effect.gen(function* () {
      const busyTimeoutMs = within(Duration.toMillis(options.busyTimeout ?? "40 millis"), 40, 0, 1_000)
      const store = yield* SqliteStore.make({ ...bounds(options), filename: options.filename, busyTimeoutMs })
      const every = Duration.max(Duration.fromInputUnsafe(options.cleanEvery ?? "1 minute"), Duration.seconds(1))
      yield* cleaning(store, every)
      return store
    })
  )

/**
 * Provides a store in the memory of the process, with the same rules as the file: for tests, and for several caches of
 * one process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory = (options: Bounds = {}): Layer.Layer<CacheStore> =>
  Layer.effect(CacheStore, MemoryStore.make(bounds(options)))

/**
 * Provides a store that keeps nothing: the cache then has one level, and is of this process alone.
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
  stats: Effect.succeed({ entries: 0, bytes: 0, versions: 0, intents: 0 })
})
