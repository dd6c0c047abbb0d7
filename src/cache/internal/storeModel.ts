/** The protocol between the cache and its store. */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/**
 * An operation of the store failed. The cache reads from elsewhere; its users never receive this error.
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
 * An entry as stored. Times are milliseconds of the clock of the store, see `CacheStoreShape.clock`.
 *
 * @category models
 * @since 0.1.0
 */
export interface StoredEntry {
  /** The encoded result. */
  readonly value: string
  /** The stamp of the watched keys, read before the load. */
  readonly stamp: string
  readonly storedAt: number
  /** The time from which the entry is stale. */
  readonly freshUntil: number
  /** The time at which the entry expires. Not before `freshUntil`. */
  readonly expiresAt: number
}

/**
 * The result of a lookup.
 *
 * @category models
 * @since 0.1.0
 */
export interface LookupResult {
  readonly entry: StoredEntry | undefined
  /** The current stamp of the watched keys; `undefined` while an announcement covers any of them. */
  readonly stamp: string | undefined
}

/**
 * The key of an entry, and the invalidation keys that it watches.
 *
 * @category models
 * @since 0.1.0
 */
export interface EntryKey {
  readonly key: string
  readonly watched: ReadonlyArray<string>
}

/**
 * An entry to store.
 *
 * @category models
 * @since 0.1.0
 */
export interface NewEntry extends EntryKey, StoredEntry {
  /** The name of the query, for inspection of the store. */
  readonly query: string
}

/**
 * The size of a store.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly entries: number
  /** The bytes of the entries: keys, names and values. */
  readonly bytes: number
  /** The invalidation keys with a version. */
  readonly versions: number
  /** The unresolved announcements. */
  readonly announcements: number
}

/** How a mutation ended: `changed` includes an unknown end. */
export type Outcome = "changed" | "rolledBack"

/**
 * The operations of a store.
 *
 * @category models
 * @since 0.1.0
 */
export interface CacheStoreShape {
  /** Whether other processes may write to the store, so that entries in memory must be validated against it. */
  readonly shared: boolean
  /**
   * The clock of the times in the store. `wall`: milliseconds since 1970; an entry from the future counts as stored now.
   * `monotonic`: the host's clock since the machine's start, which never jumps, for a store that no other host uses and
   * that invalidates everything from before the start. `wall` when absent.
   */
  readonly clock?: "monotonic" | "wall" | undefined
  /**
   * A number that changes with every write; `undefined` if unknown. Read at each hit in memory of a shared store, so it
   * is synchronous and does not throw.
   */
  readonly generation: () => number | undefined
  /** The current stamp of the watched keys; `undefined` while an announcement covers any of them. */
  readonly stamp: (watched: ReadonlyArray<string>, now: number) => Effect.Effect<string | undefined, CacheStoreError>
  /** Reads the entry and the stamp atomically. */
  readonly get: (
    key: string,
    watched: ReadonlyArray<string>,
    now: number
  ) => Effect.Effect<LookupResult, CacheStoreError>
  /** As `get`, for at most 100 keys. The results have the order of the requests. */
  readonly getMany: (
    requests: ReadonlyArray<EntryKey>,
    now: number
  ) => Effect.Effect<ReadonlyArray<LookupResult>, CacheStoreError>
  /**
   * Stores the entry if its stamp is still the current one and no announcement covers a watched key, atomically.
   * `false` if the entry was not stored, also for lack of room.
   */
  readonly set: (entry: NewEntry) => Effect.Effect<boolean, CacheStoreError>
  /** Makes an entry stale and retains it. */
  readonly expire: (key: string, now: number) => Effect.Effect<void, CacheStoreError>
  /** Announces changes of these keys, until a time at most. Announcing an id again extends it. */
  readonly announce: (id: string, changed: ReadonlyArray<string>, until: number) => Effect.Effect<void, CacheStoreError>
  /**
   * Whether an announcement exists, checked before a mutation commits, because a store may have been replaced since.
   * Without this operation, announcements are renewed instead after 100 milliseconds.
   */
  readonly isAnnounced?: ((id: string) => Effect.Effect<boolean, CacheStoreError>) | undefined
  /**
   * Ends an announcement. `changed` increments the versions of all keys, whether or not the announcement still exists;
   * `rolledBack` leaves the versions unchanged.
   */
  readonly resolve: (
    id: string,
    changed: ReadonlyArray<string>,
    outcome: Outcome,
    until: number
  ) => Effect.Effect<void, CacheStoreError>
  /**
   * Acquires the load lease of an entry, until a time at most; `false` if another owner has it. Storing the entry, by
   * any owner, releases the lease. A lease saves work only; the stamp decides what may be stored.
   */
  readonly claim: (key: string, owner: string, now: number, until: number) => Effect.Effect<boolean, CacheStoreError>
  /** Releases a load lease of this owner. */
  readonly release: (key: string, owner: string) => Effect.Effect<void, CacheStoreError>
  /** Removes all entries; results of loads in progress are not stored. */
  readonly clear: Effect.Effect<void, CacheStoreError>
  /** Removes expired entries and those beyond the bounds, and ends lapsed announcements and leases. */
  readonly clean: (now: number) => Effect.Effect<void, CacheStoreError>
  readonly stats: Effect.Effect<Stats, CacheStoreError>
}

export interface StoreBounds {
  readonly maxBytes: number
  readonly maxEntries: number
  readonly maxEntryBytes: number
  readonly maxVersions: number
}
