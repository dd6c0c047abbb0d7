/**
 * The first level: results in the memory of the process, which go when what they were read from changes.
 */
import type { CacheStoreShape } from "../CacheStore.ts"
import type { CacheEntry } from "./cacheEntry.ts"
import type { InvalidationTracker, Watcher } from "./invalidationTracker.ts"
import * as Eviction from "./s3Fifo.ts"
import * as Size from "./entrySize.ts"

export interface Entry extends Eviction.Node, Watcher, CacheEntry {
  readonly key: string
  readonly size: number
  readonly level: "memory"
  /** The generation of the store under which the stamp was last seen to be right. */
  generation: number
  freshUntil: number
  /** From here on it is loaded again in the background. */
  eagerAt: number
  /** It is served in place of a source that fails. */
  readonly stale: boolean
  /** It was loaded ahead and nobody has asked for it yet. */
  ahead: boolean
}

export interface MemoryPut {
  readonly generation: number
  readonly eagerAt?: number
  readonly stale?: boolean
  readonly ahead?: boolean
}

export interface MemoryTier {
  /** What is under a key, whatever has become of it. */
  readonly get: (key: string) => Entry | undefined
  /** What may be served, as far as this process knows: unchanged, and within its grace. */
  readonly usable: (key: string, now: number) => Entry | undefined
  readonly keep: (key: string, watched: ReadonlyArray<string>, candidate: CacheEntry, keeping: MemoryPut) => void
  readonly clear: () => void
  readonly entries: () => number
  readonly bytes: () => number
  readonly evictions: () => number
  /** Entries that were loaded ahead and went before anybody asked for them. */
  readonly wasted: () => number
}

/**
 * What an entry takes beside its texts and its value, in bytes; what a thing that is watched takes that nobody else
 * watches, and what it takes to watch it as well.
 */
const overhead = 440
const ownWatch = 270
const sharedWatch = 35

/** A number that differs where anything may have been written to the store; one that equals nothing where none can be told. */
export const generationOf = (store: CacheStoreShape): number => {
  try {
    return store.generation() ?? NaN
  } catch {
    return NaN
  }
}

export const make = (maxEntries: number, maxBytes: number, fences: InvalidationTracker): MemoryTier => {
  const kept = Eviction.make<Entry>(maxEntries, maxBytes)
  let evictions = 0
  let wasted = 0

  const forget = (entry: Entry): void => {
    fences.remove(entry)
    if (entry.ahead) wasted++
  }

  /** Whoever loads an entry watches the same as long, and so does the entry that this one replaces. */
  const sizeOfWatched = (watched: ReadonlyArray<string>, others: number): number =>
    watched.reduce(
      (bytes, name) => bytes + (fences.watchers(name) > others ? sharedWatch : ownWatch + Size.ofText(name)),
      0
    )

  const sizeOf = (key: string, watched: ReadonlyArray<string>, { size, stamp }: CacheEntry): number =>
    size +
    overhead +
    Size.ofText(key) +
    Size.ofText(stamp) +
    sizeOfWatched(watched, kept.get(key) === undefined ? 1 : 2)

  const drop = (entry: Entry): void => {
    if (kept.remove(entry)) forget(entry)
  }

  return {
    get: kept.get,
    usable: (key, now) => {
      const entry = kept.get(key)
      return entry !== undefined && entry.blocked === 0 && !fences.isSuspended() && now < entry.expiresAt
        ? entry
        : undefined
    },
    keep: (key, watched, candidate, keeping) => {
      const entry: Entry = {
        key,
        watched,
        value: candidate.value,
        level: "memory",
        size: sizeOf(key, watched, candidate),
        stamp: candidate.stamp,
        generation: keeping.generation,
        storedAt: candidate.storedAt,
        freshUntil: candidate.freshUntil,
        expiresAt: candidate.expiresAt,
        eagerAt: keeping.eagerAt ?? Infinity,
        stale: keeping.stale ?? false,
        ahead: keeping.ahead ?? false,
        uses: 0,
        blocked: 0,
        announced: () => undefined,
        changed: () => drop(entry)
      }
      for (const gone of kept.set(entry)) {
        forget(gone)
        if (gone.key !== key) evictions++
      }
      if (kept.get(key) === entry) fences.add(entry)
    },
    clear: () => {
      for (const entry of Array.from(kept.nodes())) drop(entry)
    },
    entries: kept.count,
    bytes: kept.bytes,
    evictions: () => evictions,
    wasted: () => wasted
  }
}
