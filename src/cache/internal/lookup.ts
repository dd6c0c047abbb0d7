/**
 * What the two levels know about a read before the database is asked.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { CacheStoreShape, Found, StoredEntry } from "../CacheStore.ts"
import type { CacheReason } from "../QueryCache.ts"
import type { CacheEntry } from "./cacheEntry.ts"
import type { StoreBreaker } from "./storeBreaker.ts"
import { generationOf, type MemoryTier } from "./memoryTier.ts"
import type { CacheRequest, CachedQuery } from "./cachedQuery.ts"
import * as Size from "./entrySize.ts"
import * as Time from "./time.ts"

export interface Lookup {
  readonly why: CacheReason
  /** The key in the store, where there is a store that is shared and the result can have one. */
  readonly storeKey: string | undefined
  /** The generation of the store, from before the stamp was read. */
  readonly generation: number
  /** The stamp to keep the result under; none where it must not be kept. */
  readonly stamp: string | undefined
  readonly candidate: CacheEntry | undefined
  /** What may be served within its grace should the source be late or fail; it may have been passed over otherwise. */
  readonly old: CacheEntry | undefined
}

/** What the store was found to hold, and its generation from before. None where it could not be asked. */
export interface TierResult {
  readonly generation: number
  readonly found: Option.Option<Found>
}

/** The answer where there is nothing to ask. */
export const nothing: TierResult = { generation: 0, found: Option.some({ entry: undefined, stamp: "" }) }

/** Asks the store for an entry and its stamp, or for the stamp alone. */
export const ask = (
  store: CacheStoreShape,
  guard: StoreBreaker,
  storeKey: string | undefined,
  watched: ReadonlyArray<string>
): Effect.Effect<TierResult> =>
  Effect.gen(function* () {
    const now = yield* Time.now
    // The generation before the stamp: should another process write between the two, the stamp is read again.
    const generation = generationOf(store)
    const found =
      storeKey === undefined
        ? Option.map(yield* guard.run("stamp", store.stamp(watched, now)), (stamp) => ({ entry: undefined, stamp }))
        : yield* guard.run("get", store.get(storeKey, watched, now))
    return { generation, found }
  })

/** An entry of the store, unless it has expired, what it was read from has changed, or it can't be read. */
const decoded = <I, A>(
  plan: CachedQuery<I, A>,
  entry: StoredEntry | undefined,
  stamp: string | undefined,
  now: number
): CacheEntry | undefined => {
  if (entry === undefined || entry.stamp !== stamp || now >= entry.expiresAt) return undefined
  const value = Result.try(() => plan.decode(entry.value))
  return Result.isFailure(value)
    ? undefined
    : { ...entry, value: value.success, level: "store", size: Size.estimate(value.success) }
}

/** Compares what the store answered with what is in memory. */
export const compare = <I, A>(
  asked: CacheRequest<I, A>,
  storeKey: string | undefined,
  memory: MemoryTier,
  shared: boolean,
  answer: TierResult,
  now: number
): Lookup => {
  const { found, generation } = answer
  if (Option.isNone(found)) {
    return { why: "unavailable", storeKey, generation: NaN, stamp: undefined, candidate: undefined, old: undefined }
  }
  const { entry, stamp } = found.value
  const kept = memory.usable(asked.key, now)
  const unchanged = kept !== undefined && (!shared || kept.stamp === stamp) ? kept : undefined
  const stored = decoded(asked.plan, entry, stamp, now)
  // Another process may have loaded it anew since.
  const candidate =
    stored !== undefined && (unchanged === undefined || stored.storedAt > unchanged.storedAt) ? stored : unchanged
  const why = (): CacheReason => {
    if (stamp === undefined) return "written"
    if (candidate !== undefined) return now < candidate.freshUntil ? "hit" : "expired"
    return kept !== undefined || entry !== undefined ? "changed" : "miss"
  }
  return { why: why(), storeKey, generation, stamp, candidate, old: candidate }
}
