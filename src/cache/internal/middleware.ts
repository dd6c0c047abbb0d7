/**
 * The parts of the cache, put together.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Query } from "../../query/Query.ts"
import { QueryExecutor } from "../../query/QueryExecutor.ts"
import { CacheStore } from "../CacheStore.ts"
import type { Change, ChangeFeed } from "../ChangeFeed.ts"
import type { QueryCache, QueryCacheOptions } from "../QueryCache.ts"
import * as Fences from "./invalidationTracker.ts"
import * as Following from "./changeFeedSubscriber.ts"
import * as Flights from "./singleFlight.ts"
import * as Guard from "./storeBreaker.ts"
import * as MemoryLevel from "./memoryTier.ts"
import * as Metrics from "./metrics.ts"
import * as Plan from "./cachedQuery.ts"
import * as Reader from "./reader.ts"
import * as Settings from "./settings.ts"
import * as Transaction from "./transaction.ts"
import * as Watch from "./invalidationKeys.ts"
import * as Writes from "./mutations.ts"
import * as Time from "./time.ts"

/** For how long an invalidation is tried to be told to other hosts. */
const publishing = Schedule.spaced("500 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 120 }))

/** The middleware and its service, over the executor and the store of the context. */
export const make = (
  options: QueryCacheOptions,
  feed: ChangeFeed["Service"] | undefined
): Effect.Effect<
  { readonly executor: QueryExecutor["Service"]; readonly cache: QueryCache["Service"] },
  never,
  QueryExecutor | CacheStore | Scope.Scope
> =>
  Effect.gen(function* () {
    const executor = yield* QueryExecutor
    const store = Time.overStore(yield* CacheStore)
    const settings = Settings.make(options)
    const guard = yield* Guard.make({
      limit: settings.storeTimeout,
      failures: settings.storeBreakerFailures,
      openFor: settings.storeBreakerResetTimeout
    })
    const watch = Watch.make(settings.namespace, feed !== undefined)
    const fences = Fences.make()
    const memory = MemoryLevel.make(settings.memoryCapacity, settings.memoryBytes, fences)
    const writes = yield* Writes.make({ store, feed, guard, fences, watch, settings })
    const metrics = yield* Metrics.make
    const plans = Plan.make(options, metrics.counters)
    const flights = yield* Flights.make({ executor, store, guard, fences, memory, watch, settings })
    const reader = yield* Reader.make({
      executor,
      store,
      guard,
      fences,
      memory,
      writes,
      flights,
      plans,
      watch,
      settings
    })
    if (feed !== undefined) yield* Following.follow({ feed, fences, watch, writes })
    metrics.gauge("athena_cache_memory_entries", "Results in memory", memory.entries)
    metrics.gauge("athena_cache_memory_bytes", "Bytes of results in memory, about", memory.bytes)
    metrics.gauge("athena_cache_memory_evictions", "Results that had to go for others", memory.evictions)
    metrics.gauge("athena_cache_store_failures", "Operations of the store that failed", guard.failures)
    metrics.gauge(
      "athena_cache_pending_invalidations",
      "Invalidations that the store has not received yet",
      writes.pendingInvalidations
    )
    metrics.gauge("athena_cache_ahead_useful", "Loads ahead that were asked for", () => reader.ahead().useful)
    metrics.gauge("athena_cache_ahead_wasted", "Loads ahead that nobody asked for", memory.wasted)

    /** What stands for one entry: its key in the store too, where it has one. */
    const entryOf = <I, A>(query: Query<I, A>, input: I) => {
      const asked = plans.asked(query, input)
      if (asked === undefined) return undefined
      const storeKey = store.shared ? asked.plan.storeKey(asked.key) : undefined
      return { key: asked.key, storeKey, watchKey: watch.entry(storeKey ?? asked.key) }
    }

    const scope = yield* Effect.scope

    /** Tells the other hosts too: with the transaction that is open, or behind, until it gets through. */
    const publish = (change: Change): Effect.Effect<void> =>
      Effect.contextWith((context: Context.Context<never>) => {
        if (feed === undefined) return Effect.void
        if (Transaction.isOpen(context)) return Effect.ignore(feed.publish(change))
        return feed.publish(change).pipe(
          Effect.retry(publishing),
          Effect.catchCause((cause) => Effect.logWarning("other hosts have not heard of an invalidation", cause)),
          Effect.forkIn(scope, { startImmediately: true }),
          Effect.asVoid
        )
      })

    const cache: QueryCache["Service"] = {
      get: reader.get,
      getMany: reader.getMany,
      refresh: reader.refresh,
      warm: reader.warm,
      invalidate: (query, input) =>
        Effect.suspend(() => {
          const entry = entryOf(query, input)
          return entry === undefined ? Effect.void : writes.invalidate([entry.watchKey])
        }),
      invalidateDependencies: (dependencies) =>
        Effect.suspend(() => writes.invalidate(watch.changed(dependencies))).pipe(
          Effect.andThen(publish({ dependencies, tags: [] }))
        ),
      invalidateTags: (tags) =>
        Effect.suspend(() => writes.invalidate(tags.map(watch.tag))).pipe(
          Effect.andThen(publish({ dependencies: [], tags }))
        ),
      expire: (query, input) =>
        Effect.gen(function* () {
          const entry = entryOf(query, input)
          if (entry === undefined) return
          const now = yield* Time.now
          const kept = memory.get(entry.key)
          if (kept !== undefined) kept.freshUntil = Math.min(kept.freshUntil, now)
          if (entry.storeKey === undefined) return
          const told = yield* guard.insist("expire", store.expire(entry.storeKey, now))
          // What can't be made stale now must not pass for fresh later.
          if (Option.isNone(told)) yield* writes.invalidate([entry.watchKey])
        }),
      clear: Effect.suspend(() => {
        flights.disturbAll()
        memory.clear()
        return writes.clear
      }),
      stats: Effect.gen(function* () {
        const kept = yield* guard.run("stats", store.stats)
        return {
          memory: { entries: memory.entries(), bytes: memory.bytes(), evictions: memory.evictions() },
          store: Option.getOrUndefined(kept),
          storeFailures: guard.failures(),
          pendingInvalidations: writes.pendingInvalidations(),
          ahead: { ...reader.ahead(), wasted: memory.wasted() },
          queries: Object.fromEntries([...plans.counters].map(([name, counters]) => [name, { ...counters }]))
        }
      })
    }

    return {
      executor: QueryExecutor.of({
        ...executor,
        query: reader.value,
        mutate: (mutation, input) => writes.mutate(executor, mutation, input)
      }),
      cache
    }
  })
