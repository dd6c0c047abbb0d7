/** Assembles the cache over the executor and the store of the context. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Metrics from "../../internal/metrics.ts"
import type { Query } from "../../query/Query.ts"
import { QueryExecutor } from "../../query/QueryExecutor.ts"
import { CacheStore } from "../CacheStore.ts"
import type { Change, ChangeFeed, FeedEvent } from "../ChangeFeed.ts"
import * as CacheClock from "./cacheClock.ts"
import * as CachedQuery from "./cachedQuery.ts"
import * as InvalidationTracker from "./invalidationTracker.ts"
import * as MemoryTier from "./memoryTier.ts"
import * as Mutations from "./mutations.ts"
import * as Reader from "./reader.ts"
import type { Settings } from "./settings.ts"
import * as SingleFlight from "./singleFlight.ts"
import * as StoreBreaker from "./storeBreaker.ts"

/** The retries of an invalidation for other hosts: for about a minute. */
const publishRetries = Schedule.spaced("500 millis").pipe(Schedule.jittered, Schedule.upTo({ times: 120 }))

/**
 * Applies the changes of other hosts. Nothing is stored or served before the feed is connected or after it is lost. After
 * each connect everything is invalidated, because earlier changes are unknown. A feed that ends is subscribed again.
 */
const subscribe = (
  feed: ChangeFeed["Service"],
  keys: InvalidationTracker.InvalidationKeys,
  tracker: InvalidationTracker.InvalidationTracker,
  mutations: Mutations.Mutations
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    let isConnected = false
    tracker.suspend()

    const disconnect = (): void => {
      if (isConnected) tracker.suspend()
      isConnected = false
    }

    const apply = (event: FeedEvent): void => {
      switch (event._tag) {
        case "Connected":
          mutations.invalidateCommitted(keys.always)
          if (!isConnected) tracker.resume()
          isConnected = true
          return
        case "Changed": {
          const { change } = event
          return mutations.invalidateCommitted(
            change === "everything" ? keys.always : [...keys.changed(change.dependencies), ...change.tags.map(keys.tag)]
          )
        }
        case "Lost":
          return disconnect()
      }
    }

    yield* feed.events.pipe(
      Stream.runForEach((event) => Effect.sync(() => apply(event))),
      Effect.ensuring(Effect.sync(disconnect)),
      Effect.catchCause((cause) => Effect.logWarning("the change feed failed; the cache subscribes again", cause)),
      Effect.repeat(Schedule.spaced("1 second")),
      Effect.forkScoped
    )
  })

/** Publishes an invalidation to other hosts: in the open transaction, or in the background with retries. */
const publisher =
  (feed: ChangeFeed["Service"] | undefined, executor: QueryExecutor["Service"], scope: Scope.Scope) =>
  (change: Change): Effect.Effect<void> =>
    Effect.contextWith((context: Context.Context<never>) => {
      if (feed === undefined) return Effect.void
      if (Mutations.transactionClient(executor, context) !== undefined) return Effect.ignore(feed.publish(change))
      return feed.publish(change).pipe(
        Effect.retry(publishRetries),
        Effect.catchCause((cause) => Effect.logWarning("other hosts did not receive an invalidation", cause)),
        Effect.forkIn(scope, { startImmediately: true }),
        Effect.asVoid
      )
    })

const duplicateName = (name: string): string =>
  `QueryCache: several Query values are named "${name}". If one query is constructed per read, construct it once, at the ` +
  "top of a module: it never hits in memory. If the queries differ, rename one: they share results in the store."

const registerGauges = (
  metrics: Metrics.Metrics,
  memory: MemoryTier.MemoryTier,
  breaker: StoreBreaker.StoreBreaker,
  mutations: Mutations.Mutations,
  reader: Reader.Reader
): void => {
  metrics.gauge("athena_cache_memory_entries", "Results in memory", memory.entries)
  metrics.gauge("athena_cache_memory_bytes", "Approximate bytes of results in memory", memory.bytes)
  metrics.gauge("athena_cache_memory_evictions", "Results evicted from memory", memory.evictions)
  metrics.gauge("athena_cache_store_failures", "Failed operations of the store", breaker.failures)
  metrics.gauge(
    "athena_cache_pending_invalidations",
    "Invalidations that the store has not received",
    mutations.pendingInvalidations
  )
  metrics.gauge("athena_cache_prefetch_used", "Prefetched results that were read", () => reader.prefetches().used)
  metrics.gauge("athena_cache_prefetch_unused", "Prefetched results removed unread", memory.unusedPrefetches)
}

export const make = (settings: Settings, feed: ChangeFeed["Service"] | undefined) =>
  Effect.gen(function* () {
    const executor = yield* QueryExecutor
    const store = CacheClock.overStore(yield* CacheStore)
    const scope = yield* Effect.scope
    const context = yield* Effect.context<never>()
    const keys = InvalidationTracker.makeKeys(settings.namespace, feed !== undefined)
    const tracker = InvalidationTracker.make()
    const breaker = yield* StoreBreaker.make(settings)
    const memory = MemoryTier.make(settings.memoryCapacity, settings.memoryBytes, tracker)
    const metrics = yield* Metrics.make()
    const duplicate = (name: string) => void Effect.runForkWith(context)(Effect.logWarning(duplicateName(name)))
    const queries = CachedQuery.make({ settings, metrics, duplicate })
    const parts = { executor, store, feed, keys, tracker, breaker, memory, settings, queries }
    const mutations = yield* Mutations.make(parts)
    const singleFlight = yield* SingleFlight.make(parts)
    const reader = yield* Reader.make({ ...parts, mutations, singleFlight })
    if (feed !== undefined) yield* subscribe(feed, keys, tracker, mutations)
    registerGauges(metrics, memory, breaker, mutations, reader)
    yield* executor.intercept(mutations.intercept)
    const publish = publisher(feed, executor, scope)

    const entryKeys = <I, A>(query: Query<I, A>, input: I) => {
      const request = queries.request(query, input)
      if (request === undefined) return undefined
      const storeKey = store.shared ? request.cached.storeKey(request.key) : undefined
      return { key: request.key, storeKey, invalidationKey: keys.entry(storeKey ?? request.key) }
    }

    const cache = {
      get: reader.get,
      getMany: reader.getMany,
      refresh: reader.refresh,
      warm: reader.warm,
      invalidate: <I, A>(query: Query<I, A>, input: I) =>
        Effect.suspend(() => {
          const entry = entryKeys(query, input)
          return entry === undefined ? Effect.void : mutations.invalidate([entry.invalidationKey])
        }),
      invalidateDependencies: (dependencies: Parameters<typeof keys.changed>[0]) =>
        Effect.suspend(() => mutations.invalidate(keys.changed(dependencies))).pipe(
          Effect.andThen(publish({ dependencies, tags: [] }))
        ),
      invalidateTags: (tags: ReadonlyArray<string>) =>
        Effect.suspend(() => mutations.invalidate(tags.map(keys.tag))).pipe(
          Effect.andThen(publish({ dependencies: [], tags }))
        ),
      expire: <I, A>(query: Query<I, A>, input: I) =>
        Effect.gen(function* () {
          const entry = entryKeys(query, input)
          if (entry === undefined) return
          const now = yield* CacheClock.now
          const inMemory = memory.get(entry.key)
          if (inMemory !== undefined) inMemory.freshUntil = Math.min(inMemory.freshUntil, now)
          if (entry.storeKey === undefined) return
          const expired = yield* breaker.attempt("expire", store.expire(entry.storeKey, now))
          // An entry that could not be expired must not be served as fresh later.
          if (Option.isNone(expired)) yield* mutations.invalidate([entry.invalidationKey])
        }),
      clear: Effect.suspend(() => {
        singleFlight.invalidateAll()
        memory.clear()
        return mutations.clear
      }),
      stats: Effect.gen(function* () {
        const storeStats = yield* breaker.read("stats", store.stats)
        return {
          memory: { entries: memory.entries(), bytes: memory.bytes(), evictions: memory.evictions() },
          store: Option.getOrUndefined(storeStats),
          storeFailures: breaker.failures(),
          pendingInvalidations: mutations.pendingInvalidations(),
          prefetch: { ...reader.prefetches(), unused: memory.unusedPrefetches() },
          queries: Object.fromEntries([...queries.counters].map(([name, counters]) => [name, { ...counters }]))
        }
      })
    }
    return { executor: QueryExecutor.of({ ...executor, query: reader.value }), cache }
  })
