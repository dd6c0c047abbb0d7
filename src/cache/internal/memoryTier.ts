/** The memory tier: results in the memory of the process, removed when their dependencies change. */
import type { InvalidationTracker, Watcher } from "./invalidationTracker.ts"
import * as S3Fifo from "./s3Fifo.ts"

/**
 * The tier that served a result: memory, the store, or the source, which is the database.
 *
 * @category models
 * @since 0.1.0
 */
export type Tier = "memory" | "store" | "source"

export interface CacheEntry {
  readonly value: unknown
  readonly tier: Tier
  /** The stamp of the watched keys, from before the load. */
  readonly stamp: string
  readonly storedAt: number
  readonly freshUntil: number
  readonly expiresAt: number
  /** In bytes, approximately. */
  readonly size: number
}

export interface MemoryEntry extends S3Fifo.Node, Watcher, CacheEntry {
  readonly key: string
  readonly size: number
  readonly tier: "memory"
  /** The generation of the store at which the stamp was last validated. */
  generation: number
  freshUntil: number
  /** The time from which a read reloads the entry in the background. */
  refreshAt: number
  /** Whether it is served because its source fails. */
  readonly stale: boolean
  /** Whether it was prefetched and not read since. */
  isPrefetched: boolean
}

export interface MemoryPut {
  readonly generation: number
  readonly refreshAt?: number
  readonly stale?: boolean
  readonly isPrefetched?: boolean
}

export interface MemoryTier {
  readonly get: (key: string) => MemoryEntry | undefined
  /** The entry if it is unchanged, as far as this process knows, and within its grace. */
  readonly usable: (key: string, now: number) => MemoryEntry | undefined
  readonly set: (key: string, watched: ReadonlyArray<string>, entry: CacheEntry, put: MemoryPut) => void
  readonly clear: () => void
  readonly entries: () => number
  readonly bytes: () => number
  readonly evictions: () => number
  /** Prefetched entries that were removed unread. */
  readonly unusedPrefetches: () => number
}

/** The nodes of a value that are measured; the rest is extrapolated. */
const maxNodes = 10_000

/** Shallow sizes of V8's objects in bytes, with 64-bit pointers: see `test/cache/Size.test.ts`. */
const stringHeader = 20
const heapNumber = 16
const arrayHeader = 48
const objectHeader = 24
const pointer = 8
const dateObject = 96
const collectionHeader = 160
const collectionSlot = 40
const typedArrayHeader = 300

const isOneByte = (text: string): boolean => !/[^\u0000-\u00ff]/.test(text)

/** V8 stores a string with codes up to 255 in one byte per character. */
const textSize = (text: string): number => stringHeader + text.length * (isOneByte(text) ? 1 : 2)

const numberSize = (value: number): number => (Number.isInteger(value) && Math.abs(value) < 2 ** 31 ? 0 : heapNumber)

/** The shallow size of an object; its parts are added to `pending`. */
const objectSize = (value: object, pending: Array<unknown>): number => {
  if (ArrayBuffer.isView(value)) return typedArrayHeader + value.byteLength
  if (value instanceof Date) return dateObject
  if (value instanceof Map || value instanceof Set) {
    for (const item of value instanceof Map ? value.entries() : value) {
      if (value instanceof Map) pending.push(...(item as Iterable<unknown>))
      else pending.push(item)
    }
    return collectionHeader + value.size * collectionSlot
  }
  const items: ReadonlyArray<unknown> = Array.isArray(value) ? value : Object.values(value)
  for (const item of items) pending.push(item)
  return (Array.isArray(value) ? arrayHeader : objectHeader) + items.length * pointer
}

const shallowSize = (value: unknown, pending: Array<unknown>): number => {
  switch (typeof value) {
    case "string":
      return textSize(value)
    case "number":
      return numberSize(value)
    case "bigint":
      return heapNumber + pointer
    case "object":
      return value === null ? 0 : objectSize(value, pending)
    default:
      return 0
  }
}

/** The approximate size of a value in memory, in bytes. */
export const estimateSize = (value: unknown): number => {
  const pending: Array<unknown> = [value]
  let bytes = 0
  for (let seen = 0; pending.length > 0; seen++) {
    if (seen >= maxNodes) return bytes + pending.length * Math.ceil(bytes / seen)
    bytes += shallowSize(pending.pop(), pending)
  }
  return bytes
}

/** The bytes of an entry beside its texts and value, of a watched key without other watchers, and of a shared one. */
const overhead = 440
const ownWatch = 270
const sharedWatch = 35

export const make = (maxEntries: number, maxBytes: number, tracker: InvalidationTracker): MemoryTier => {
  const entries = S3Fifo.make<MemoryEntry>(maxEntries, maxBytes)
  let evictions = 0
  let unusedPrefetches = 0

  const untrack = (entry: MemoryEntry): void => {
    tracker.remove(entry)
    if (entry.isPrefetched) unusedPrefetches++
  }

  /** The load of an entry watches the same keys, and so does the entry that it replaces. */
  const watchedSize = (watched: ReadonlyArray<string>, ownWatchers: number): number =>
    watched.reduce(
      (bytes, key) => bytes + (tracker.watchers(key) > ownWatchers ? sharedWatch : ownWatch + textSize(key)),
      0
    )

  const sizeOf = (key: string, watched: ReadonlyArray<string>, { size, stamp }: CacheEntry): number =>
    size + overhead + textSize(key) + textSize(stamp) + watchedSize(watched, entries.get(key) === undefined ? 1 : 2)

  const drop = (entry: MemoryEntry): void => {
    if (entries.remove(entry)) untrack(entry)
  }

  return {
    get: entries.get,
    usable: (key, now) => {
      const entry = entries.get(key)
      return entry !== undefined && entry.blocked === 0 && !tracker.isSuspended() && now < entry.expiresAt
        ? entry
        : undefined
    },
    set: (key, watched, source, put) => {
      const entry: MemoryEntry = {
        key,
        watched,
        value: source.value,
        tier: "memory",
        size: sizeOf(key, watched, source),
        stamp: source.stamp,
        generation: put.generation,
        storedAt: source.storedAt,
        freshUntil: source.freshUntil,
        expiresAt: source.expiresAt,
        refreshAt: put.refreshAt ?? Infinity,
        stale: put.stale ?? false,
        isPrefetched: put.isPrefetched ?? false,
        uses: 0,
        blocked: 0,
        announced: () => undefined,
        changed: () => drop(entry)
      }
      for (const removed of entries.set(entry)) {
        untrack(removed)
        if (removed.key !== key) evictions++
      }
      if (entries.get(key) === entry) tracker.add(entry)
    },
    clear: () => {
      for (const entry of Array.from(entries.nodes())) drop(entry)
    },
    entries: entries.count,
    bytes: entries.bytes,
    evictions: () => evictions,
    unusedPrefetches: () => unusedPrefetches
  }
}
