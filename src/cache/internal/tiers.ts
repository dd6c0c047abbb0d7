/** Reads and writes both tiers: looks a result up, and stores a loaded one with its times to live. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as CacheClock from "./cacheClock.ts"
import type { CachedQuery, CacheRequest } from "./cachedQuery.ts"
import { estimateSize, type CacheEntry, type MemoryTier, type Tier } from "./memoryTier.ts"
import type { Settings } from "./settings.ts"
import type { StoreBreaker } from "./storeBreaker.ts"
import type { CacheStoreShape, LookupResult, StoredEntry } from "./storeModel.ts"

/**
 * Why a result came from its tier.
 *
 * - `hit`: a fresh entry
 * - `miss`: no entry
 * - `expired`: the entry is stale
 * - `changed`: the dependencies of the entry have changed
 * - `written`: a mutation of the dependencies is in progress
 * - `transaction`: the reader is in a transaction
 * - `uncached`: the query is not cached, or its input has no key
 * - `unavailable`: the store is unavailable
 * - `refreshed`: the reader requested a reload
 * - `slow`, `failed`: a stale result, because the database was slow or failed
 *
 * @category models
 * @since 0.1.0
 */
export type CacheReason =
  | "hit"
  | "miss"
  | "expired"
  | "changed"
  | "written"
  | "transaction"
  | "uncached"
  | "unavailable"
  | "refreshed"
  | "slow"
  | "failed"

/**
 * A result with its origin.
 *
 * @category models
 * @since 0.1.0
 */
export interface Traced<out A> {
  readonly value: A
  readonly tier: Tier
  /** The time since it was loaded, in milliseconds. */
  readonly age: number
  /** Whether its time to live has ended. Its dependencies have not changed. */
  readonly stale: boolean
  /** Whether the load of another read served this one. */
  readonly coalesced: boolean
  readonly reason: CacheReason
}

export const fromSource = <A>(value: A, reason: CacheReason): Traced<A> => ({
  value,
  tier: "source",
  age: 0,
  stale: false,
  coalesced: false,
  reason
})

export const fromEntry = (entry: CacheEntry, now: number, reason: CacheReason): Traced<unknown> => ({
  value: entry.value,
  tier: entry.tier,
  age: Math.max(0, now - entry.storedAt),
  stale: now >= entry.freshUntil,
  coalesced: false,
  reason
})

/** What both tiers hold for a read before its load. */
export interface Lookup {
  readonly reason: CacheReason
  /** The key in the store; `undefined` if the store is not shared or the result has no key. */
  readonly storeKey: string | undefined
  /** The generation of the store from before the stamp was read. */
  readonly generation: number
  /** The stamp for storing the result; `undefined` if it must not be stored. */
  readonly stamp: string | undefined
  readonly entry: CacheEntry | undefined
  /** The entry to serve within its grace if the source is slow or fails; also set for a reload. */
  readonly fallback: CacheEntry | undefined
}

/** The lookup of a result while a mutation of this process changes its dependencies. */
export const writtenLookup: Lookup = {
  reason: "written",
  storeKey: undefined,
  generation: NaN,
  stamp: undefined,
  entry: undefined,
  fallback: undefined
}

/** A result of the store, none if it is unavailable, and its generation from before. */
export interface StoreLookup {
  readonly generation: number
  readonly found: Option.Option<LookupResult>
}

/** The lookup in a store that is not shared. */
export const emptyLookup: StoreLookup = { generation: 0, found: Option.some({ entry: undefined, stamp: "" }) }

/** The generation of the store; `NaN`, which equals no other, if it is unknown. */
export const generationOf = (store: CacheStoreShape): number => {
  try {
    return store.generation() ?? NaN
  } catch {
    return NaN
  }
}

/** Reads an entry and its stamp from the store, or the stamp alone. */
export const readStore = (
  store: CacheStoreShape,
  breaker: StoreBreaker,
  storeKey: string | undefined,
  watched: ReadonlyArray<string>
): Effect.Effect<StoreLookup> =>
  Effect.gen(function* () {
    const now = yield* CacheClock.now
    // The generation before the stamp: if another process writes in between, the stamp is read again.
    const generation = generationOf(store)
    const found =
      storeKey === undefined
        ? Option.map(yield* breaker.read("stamp", store.stamp(watched, now)), (stamp) => ({ entry: undefined, stamp }))
        : yield* breaker.read("get", store.get(storeKey, watched, now))
    return { generation, found }
  })

/** Decodes an entry of the store; `undefined` if it is expired, changed or undecodable. */
const decodeEntry = <I, A>(
  cached: CachedQuery<I, A>,
  entry: StoredEntry | undefined,
  stamp: string | undefined,
  now: number
): CacheEntry | undefined => {
  if (entry === undefined || entry.stamp !== stamp || now >= entry.expiresAt) return undefined
  const value = Result.try(() => cached.decode(entry.value))
  return Result.isFailure(value)
    ? undefined
    : { ...entry, value: value.success, tier: "store", size: estimateSize(value.success) }
}

/** Combines the lookup of the store with the entry in memory. */
export const combine = <I, A>(
  request: CacheRequest<I, A>,
  storeKey: string | undefined,
  memory: MemoryTier,
  isShared: boolean,
  { found, generation }: StoreLookup,
  now: number
): Lookup => {
  if (Option.isNone(found)) return { ...writtenLookup, reason: "unavailable", storeKey }
  const { entry: stored, stamp } = found.value
  const inMemory = memory.usable(request.key, now)
  const unchanged = inMemory !== undefined && (!isShared || inMemory.stamp === stamp) ? inMemory : undefined
  const decoded = decodeEntry(request.cached, stored, stamp, now)
  // Another process may have loaded a newer one.
  const entry =
    decoded !== undefined && (unchanged === undefined || decoded.storedAt > unchanged.storedAt) ? decoded : unchanged
  const reason = (): CacheReason => {
    if (stamp === undefined) return "written"
    if (entry !== undefined) return now < entry.freshUntil ? "hit" : "expired"
    return inMemory !== undefined || stored !== undefined ? "changed" : "miss"
  }
  return { reason: reason(), storeKey, generation, stamp, entry, fallback: entry }
}

/** The part of a load that storing its result depends on. */
interface Target {
  readonly watched: ReadonlyArray<string>
  /** Whether a watched key was announced or changed in this process since the load started. */
  isInvalidated: boolean
}

export interface TierWriter {
  /** Copies a fresh entry of the store to memory. */
  readonly promote: <I, A>(
    request: CacheRequest<I, A>,
    target: Target,
    lookup: Lookup,
    entry: CacheEntry,
    isPrefetched: boolean
  ) => Effect.Effect<void>
  /** Serves a stale entry from memory for the backoff after a failed load. */
  readonly backOff: <I, A>(
    request: CacheRequest<I, A>,
    target: Target,
    lookup: Lookup,
    entry: CacheEntry
  ) => Effect.Effect<void>
  /** Stores a loaded result in memory, unless it is invalidated. The returned effect stores it in the store too. */
  readonly set: <I, A>(
    request: CacheRequest<I, A>,
    target: Target,
    lookup: Lookup,
    value: A,
    isPrefetched: boolean
  ) => Effect.Effect<Effect.Effect<boolean>>
}

const refreshAt = <I, A>({ earlyRefresh }: CachedQuery<I, A>, now: number, freshUntil: number): number =>
  earlyRefresh === 1 ? Infinity : now + (freshUntil - now) * earlyRefresh

/** The time to live that the policy assigns to this result, in milliseconds. */
const ownTimeToLive = <I, A>({ cached, input }: CacheRequest<I, A>, value: A): number => {
  const own = Result.try(() => {
    const timeToLive = cached.timeToLiveOf?.(value, input)
    return timeToLive === undefined ? Infinity : Duration.toMillis(Duration.fromInputUnsafe(timeToLive))
  })
  // A policy that throws stores nothing and must not fail the read.
  return Result.isFailure(own) ? 0 : own.success
}

const notStored = Effect.succeed(false)

export const makeWriter = (options: {
  readonly store: CacheStoreShape
  readonly breaker: StoreBreaker
  readonly memory: MemoryTier
  readonly settings: Settings
}): TierWriter => {
  const { breaker, memory, settings, store } = options

  const jittered = (ms: number): Effect.Effect<number> =>
    settings.jitter === 0 ? Effect.succeed(ms) : Effect.map(Random.next, (r) => ms * (1 - r * settings.jitter))

  const setStore = <I, A>(
    { cached }: CacheRequest<I, A>,
    target: Target,
    entry: { readonly key: string; readonly stamp: string; readonly value: string },
    ms: number
  ): Effect.Effect<boolean> =>
    Effect.gen(function* () {
      if (target.isInvalidated) return false
      const now = yield* CacheClock.now
      const freshUntil = Math.round(now + ms)
      const stored = yield* breaker.write(
        "set",
        store.set({
          ...entry,
          query: cached.name,
          watched: target.watched,
          storedAt: now,
          freshUntil,
          expiresAt: freshUntil + cached.graceMs
        })
      )
      return Option.isSome(stored) && stored.value
    })

  return {
    promote: (request, target, lookup, entry, isPrefetched) =>
      Effect.gen(function* () {
        if (entry.tier === "memory") return
        const now = yield* CacheClock.now
        const freshUntil = Math.min(entry.freshUntil, now + (yield* jittered(request.cached.memoryMs)))
        if (target.isInvalidated || freshUntil <= now) return
        memory.set(
          request.key,
          target.watched,
          { ...entry, freshUntil, expiresAt: Math.max(freshUntil, entry.expiresAt) },
          { generation: lookup.generation, refreshAt: refreshAt(request.cached, now, freshUntil), isPrefetched }
        )
      }),
    backOff: (request, target, lookup, entry) =>
      Effect.map(CacheClock.now, (now) => {
        if (target.isInvalidated) return
        const freshUntil = Math.min(now + request.cached.backoffMs, entry.expiresAt)
        memory.set(
          request.key,
          target.watched,
          { ...entry, freshUntil },
          { generation: lookup.generation, stale: true }
        )
      }),
    set: (request, target, { generation, stamp, storeKey }, value, isPrefetched) =>
      Effect.gen(function* () {
        const { cached } = request
        const own = ownTimeToLive(request, value)
        const memoryMs = yield* jittered(Math.min(cached.memoryMs, own))
        const storeMs = yield* jittered(Math.min(cached.storeMs, own))
        const now = yield* CacheClock.now
        if (target.isInvalidated || stamp === undefined) {
          cached.counters.discarded++
          return notStored
        }
        const isForStore = storeKey !== undefined && storeMs > 0
        const text = isForStore ? Result.getOrUndefined(Result.try(() => cached.encode(value))) : undefined
        if (memoryMs > 0) {
          const freshUntil = now + memoryMs
          memory.set(
            request.key,
            target.watched,
            {
              value,
              tier: "source",
              stamp,
              storedAt: now,
              freshUntil,
              expiresAt: freshUntil + cached.graceMs,
              size: estimateSize(value)
            },
            { generation, refreshAt: refreshAt(cached, now, freshUntil), isPrefetched }
          )
        }
        return text === undefined || storeKey === undefined
          ? notStored
          : setStore(request, target, { key: storeKey, stamp, value: text }, storeMs)
      })
  }
}
