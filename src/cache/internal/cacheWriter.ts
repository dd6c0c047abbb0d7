/**
 * What is kept of a load, in which level, and for how long.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type { CacheStoreShape } from "../CacheStore.ts"
import type { CacheEntry } from "./cacheEntry.ts"
import type { Flight } from "./flight.ts"
import type { StoreBreaker } from "./storeBreaker.ts"
import type { MemoryTier } from "./memoryTier.ts"
import type { CacheRequest, CachedQuery } from "./cachedQuery.ts"
import type { Lookup } from "./lookup.ts"
import type { Settings } from "./settings.ts"
import * as Size from "./entrySize.ts"
import * as Time from "./time.ts"

export interface CacheWriter {
  /** A fresh result of the store goes to memory. */
  readonly promote: <I, A>(
    asked: CacheRequest<I, A>,
    flight: Flight,
    probed: Lookup,
    candidate: CacheEntry,
    ahead: boolean
  ) => Effect.Effect<void>
  /** After a failure the stale result is served for a while without asking again. */
  readonly backOff: <I, A>(
    asked: CacheRequest<I, A>,
    flight: Flight,
    probed: Lookup,
    candidate: CacheEntry
  ) => Effect.Effect<void>
  /**
   * What was loaded goes to memory at once, unless something has changed. Gives what is left to do: to put it into the
   * store, and to say whether it is there.
   */
  readonly loaded: <I, A>(
    asked: CacheRequest<I, A>,
    flight: Flight,
    probed: Lookup,
    value: A,
    ahead: boolean
  ) => Effect.Effect<() => Effect.Effect<boolean>>
}

const eagerAt = <I, A>(plan: CachedQuery<I, A>, now: number, freshUntil: number): number =>
  plan.eager === 1 ? Infinity : now + (freshUntil - now) * plan.eager

/** How long this result may be fresh, in milliseconds, whatever the level. */
const ownTimeToLive = <I, A>({ input, plan }: CacheRequest<I, A>, value: A): number => {
  const own = Result.try(() => plan.ofResult?.(value, input))
  // A policy that throws keeps nothing: whatever it meant, it did not mean to fail the read.
  if (Result.isFailure(own)) return 0
  return own.success === undefined ? Infinity : Duration.toMillis(own.success)
}

const notStored = () => Effect.succeed(false)

export const make = (options: {
  readonly store: CacheStoreShape
  readonly guard: StoreBreaker
  readonly memory: MemoryTier
  readonly settings: Settings
}): CacheWriter => {
  const { guard, memory, settings, store } = options

  /** Shortened by chance. */
  const jittered = (ms: number): Effect.Effect<number> =>
    settings.jitter === 0 ? Effect.succeed(ms) : Effect.map(Random.next, (r) => ms * (1 - r * settings.jitter))

  const put = <I, A>(
    { plan }: CacheRequest<I, A>,
    flight: Flight,
    key: string,
    stamp: string,
    value: string,
    ms: number
  ) =>
    Effect.gen(function* () {
      if (!flight.undisturbed) return false
      const now = yield* Time.now
      const freshUntil = Math.round(now + ms)
      const expiresAt = freshUntil + plan.graceMs
      const entry = {
        key,
        query: plan.name,
        watched: flight.watched,
        value,
        stamp,
        storedAt: now,
        freshUntil,
        expiresAt
      }
      const stored = yield* guard.put("set", store.set(entry))
      return Option.isSome(stored) && stored.value
    })

  return {
    promote: (asked, flight, probed, candidate, ahead) =>
      Effect.gen(function* () {
        if (candidate.level === "memory") return
        const now = yield* Time.now
        const freshUntil = Math.min(candidate.freshUntil, now + (yield* jittered(asked.plan.memoryMs)))
        if (!flight.undisturbed || freshUntil <= now) return
        memory.keep(
          asked.key,
          flight.watched,
          { ...candidate, freshUntil, expiresAt: Math.max(freshUntil, candidate.expiresAt) },
          { generation: probed.generation, eagerAt: eagerAt(asked.plan, now, freshUntil), ahead }
        )
      }),
    backOff: (asked, flight, probed, candidate) =>
      Effect.map(Time.now, (now) => {
        if (!flight.undisturbed) return
        const freshUntil = Math.min(now + asked.plan.backoffMs, candidate.expiresAt)
        const kept = { ...candidate, freshUntil }
        memory.keep(asked.key, flight.watched, kept, { generation: probed.generation, stale: true })
      }),
    loaded: (asked, flight, { generation, stamp, storeKey }, value, ahead) =>
      Effect.gen(function* () {
        const { plan } = asked
        const own = ownTimeToLive(asked, value)
        const memoryMs = yield* jittered(Math.min(plan.memoryMs, own))
        const storeMs = yield* jittered(Math.min(plan.storeMs, own))
        const now = yield* Time.now
        if (!flight.undisturbed || stamp === undefined) {
          plan.counters.refused++
          return notStored
        }
        const isForStore = storeKey !== undefined && storeMs > 0
        const text = isForStore ? Result.getOrUndefined(Result.try(() => plan.encode(value))) : undefined
        if (memoryMs > 0) {
          const freshUntil = now + memoryMs
          const size = Size.estimate(value)
          memory.keep(
            asked.key,
            flight.watched,
            { value, level: "source", stamp, storedAt: now, freshUntil, expiresAt: freshUntil + plan.graceMs, size },
            { generation, eagerAt: eagerAt(plan, now, freshUntil), ahead }
          )
        }
        return text === undefined || storeKey === undefined
          ? notStored
          : () => put(asked, flight, storeKey, stamp, text, storeMs)
      })
  }
}
