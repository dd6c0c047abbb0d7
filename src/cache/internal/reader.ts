/** The reads of the cache: from memory, or by a load. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type { Query, QueryError } from "../../query/Query.ts"
import type { QueryExecutor } from "../../query/QueryExecutor.ts"
import * as CacheClock from "./cacheClock.ts"
import { watchedBy, type CachedQueries, type CacheRequest } from "./cachedQuery.ts"
import type { InvalidationKeys, InvalidationTracker } from "./invalidationTracker.ts"
import type { MemoryEntry, MemoryTier } from "./memoryTier.ts"
import type { Counters } from "./counters.ts"
import { hasTransaction, type Mutations } from "./mutations.ts"
import * as Prefetch from "./prefetch.ts"
import * as S3Fifo from "./s3Fifo.ts"
import type { Settings } from "./settings.ts"
import type { LoadMode, SingleFlight } from "./singleFlight.ts"
import type { StoreBreaker } from "./storeBreaker.ts"
import type { CacheStoreShape, EntryKey } from "./storeModel.ts"
import { fromSource, generationOf, type CacheReason, type StoreLookup, type Traced } from "./tiers.ts"

/**
 * A query with its input, to be read later.
 *
 * @category models
 * @since 0.1.0
 */
export interface Read {
  readonly query: string
  readonly with: (
    get: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<unknown, QueryError>
  ) => Effect.Effect<unknown, QueryError>
}

/**
 * Constructs a `Read`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const read = <I, A>(query: Query<I, A>, input: I): Read => ({
  query: query.name,
  with: (get) => get(query, input)
})

export interface Reader {
  readonly get: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<Traced<A>, QueryError>
  readonly getMany: <I, A>(
    query: Query<I, A>,
    inputs: ReadonlyArray<I>
  ) => Effect.Effect<ReadonlyArray<Traced<A>>, QueryError>
  /** As `get`, without the trace. */
  readonly value: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<A, QueryError>
  readonly refresh: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<A, QueryError>
  readonly warm: (reads: ReadonlyArray<Read>) => Effect.Effect<void>
  /** The number of prefetched reads, and of those that were read afterwards. */
  readonly prefetches: () => { readonly loaded: number; readonly used: number }
}

/** The maximum number of results per batch of the store, and of concurrent loads of `getMany`. */
const chunkSize = 100

/** The concurrent loads of `warm`, and of prefetching. */
const warmConcurrency = 4
const prefetchConcurrency = 8

interface Options {
  readonly executor: QueryExecutor["Service"]
  readonly store: CacheStoreShape
  readonly breaker: StoreBreaker
  readonly tracker: InvalidationTracker
  readonly memory: MemoryTier
  readonly mutations: Mutations
  readonly singleFlight: SingleFlight
  readonly queries: CachedQueries
  readonly keys: InvalidationKeys
  readonly settings: Settings
}

const valueOf = <A>(traced: Traced<A>): A => traced.value

/** Finds fresh entries in memory and validates them against a shared store. */
const memoryReader = ({ breaker, memory, singleFlight, store, tracker }: Options) => {
  let usedPrefetches = 0

  const fresh = (key: string, now: number): MemoryEntry | undefined => {
    const entry = memory.get(key)
    return entry !== undefined && entry.blocked === 0 && !tracker.isSuspended() && now < entry.freshUntil
      ? entry
      : undefined
  }

  const isUnchanged = (entry: MemoryEntry): Effect.Effect<boolean> =>
    Effect.suspend(() => {
      if (!store.shared) return Effect.succeed(true)
      if (!breaker.isHealthy()) return Effect.succeed(false)
      const generation = generationOf(store)
      if (generation === entry.generation) return Effect.succeed(true)
      return Effect.gen(function* () {
        const now = yield* CacheClock.now
        const stamp = yield* breaker.read("stamp", store.stamp(entry.watched, now))
        if (Option.isNone(stamp) || stamp.value !== entry.stamp) return false
        entry.generation = generation
        return entry.blocked === 0 && !tracker.isSuspended() && memory.get(entry.key) === entry
      })
    })

  const count = (entry: MemoryEntry, counters: Counters): void => {
    if (entry.uses < S3Fifo.maxUses) entry.uses++
    counters.memoryHits++
    if (!entry.isPrefetched) return
    entry.isPrefetched = false
    usedPrefetches++
  }

  const refreshEarly = <I, A>(request: CacheRequest<I, A>, entry: MemoryEntry, now: number): Effect.Effect<void> => {
    if (now < entry.refreshAt || singleFlight.isInProgress(request.key)) return Effect.void
    entry.refreshAt = Infinity
    return singleFlight.start(request, { newerThan: entry.storedAt })
  }

  const serve = <I, A>(request: CacheRequest<I, A>, entry: MemoryEntry, now: number): Effect.Effect<Traced<A>> => {
    count(entry, request.cached.counters)
    if (entry.stale) request.cached.counters.stale++
    const traced: Traced<A> = {
      value: entry.value as A,
      tier: "memory",
      age: Math.max(0, now - entry.storedAt),
      stale: entry.stale,
      coalesced: false,
      reason: entry.stale ? "failed" : "hit"
    }
    return Effect.as(refreshEarly(request, entry, now), traced)
  }

  return { fresh, isUnchanged, count, serve, usedPrefetches: () => usedPrefetches }
}

type MemoryReader = ReturnType<typeof memoryReader>

/** Reads around the cache, by a load, and from memory or else by a load. */
const steps = (options: Options, inMemory: MemoryReader) => {
  const { executor, keys, mutations, queries, singleFlight, store, tracker } = options

  const bypass = <I, A>(query: Query<I, A>, input: I, reason: CacheReason): Effect.Effect<Traced<A>, QueryError> =>
    Effect.suspend(() => {
      queries.of(query).counters.bypassed++
      return Effect.map(executor.query(query, input), (value) => fromSource(value, reason))
    })

  /** Ends the open mutations whose transactions have ended. */
  const settle = <I, A>(request: CacheRequest<I, A>): Effect.Effect<void> =>
    tracker.isAnyPending()
      ? mutations.settle(watchedBy(keys, request, store.shared ? request.cached.storeKey(request.key) : undefined))
      : Effect.void

  const load = <I, A>(request: CacheRequest<I, A>, order: number, mode?: LoadMode) =>
    Effect.andThen(
      Effect.suspend(() => settle(request)),
      singleFlight.result(request, order, mode)
    )

  const read = <I, A>(request: CacheRequest<I, A>, now: number, storeLookup?: Effect.Effect<StoreLookup>) =>
    Effect.suspend((): Effect.Effect<Traced<A>, QueryError> => {
      const order = singleFlight.nextOrder()
      const entry = inMemory.fresh(request.key, now)
      if (entry === undefined) return load(request, order, { storeLookup })
      return Effect.flatMap(inMemory.isUnchanged(entry), (isUnchanged) =>
        isUnchanged ? inMemory.serve(request, entry, now) : load(request, order, { storeLookup })
      )
    })

  return { bypass, load, read }
}

type Steps = ReturnType<typeof steps>

/** Records reads and loads the expected next one. */
const prefetcher = ({ singleFlight }: Options, inMemory: MemoryReader, { load }: Steps, scope: Scope.Scope) => {
  const prefetch = Prefetch.make()
  let loaded = 0
  let running = 0

  const start = (request: CacheRequest<any, any>, now: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const isNeeded = !singleFlight.isInProgress(request.key) && inMemory.fresh(request.key, now) === undefined
      if (running >= prefetchConcurrency || !isNeeded) return Effect.void
      running++
      loaded++
      return load(request, singleFlight.nextOrder(), { isPrefetch: true }).pipe(
        Effect.ignoreCause,
        Effect.ensuring(
          Effect.sync(() => {
            running--
          })
        ),
        Effect.forkIn(scope),
        Effect.asVoid
      )
    })

  return {
    loaded: () => loaded,
    observe: (fiber: Fiber.Fiber<unknown, unknown>, request: CacheRequest<any, any>, now: number) => {
      const sequence = Context.getOrUndefined(fiber.context, Tracer.ParentSpan)?.traceId ?? String(fiber.id)
      const next = prefetch.observe(sequence, request)
      return next === undefined ? Effect.void : start(next, now)
    }
  }
}

/** Reads the store in batches. */
const batchReader = (options: Options, inMemory: MemoryReader, { bypass, read }: Steps, scope: Scope.Scope) => {
  const { breaker, keys, queries, singleFlight, store } = options

  /** The shared lookup of many results, by key. */
  const lookUpAll = (requests: ReadonlyArray<CacheRequest<any, any>>) =>
    Effect.gen(function* () {
      const byKey = new Map<string, Effect.Effect<StoreLookup>>()
      if (!store.shared) return byKey
      const now = yield* CacheClock.now
      const missing = new Map<string, EntryKey>()
      for (const request of requests) {
        const { cached, key } = request
        const storeKey = cached.storeKey(key)
        if (storeKey === undefined || singleFlight.isInProgress(key) || inMemory.fresh(key, now) !== undefined) continue
        missing.set(key, { key: storeKey, watched: watchedBy(keys, request, storeKey) })
      }
      if (missing.size < 2) return byKey
      const generation = generationOf(store)
      // In its own fiber: interrupting one of the reads must not interrupt the others.
      const fiber = yield* Effect.forkIn(breaker.read("getMany", store.getMany([...missing.values()], now)), scope)
      for (const [at, key] of [...missing.keys()].entries()) {
        const lookup = Effect.map(Fiber.join(fiber), (found) => ({
          generation,
          found: Option.flatMap(found, (all) => Option.fromUndefinedOr(all[at]))
        }))
        byKey.set(key, lookup)
      }
      return byKey
    })

  return <I, A>(query: Query<I, A>, inputs: ReadonlyArray<I>) =>
    Effect.gen(function* () {
      const now = yield* CacheClock.now
      const all = inputs.map((input) => ({ input, request: queries.request(query, input) }))
      const lookups = yield* lookUpAll(all.flatMap(({ request }) => request ?? []))
      return yield* Effect.forEach(
        all,
        ({ input, request }) =>
          request === undefined ? bypass(query, input, "uncached") : read(request, now, lookups.get(request.key)),
        { concurrency: "unbounded" }
      )
    })
}

export const make = (options: Options): Effect.Effect<Reader, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { executor, queries, settings, singleFlight, store } = options
    const scope = yield* Effect.scope
    const inMemory = memoryReader(options)
    const step = steps(options, inMemory)
    const { bypass, load } = step
    const prefetch = settings.prefetch ? prefetcher(options, inMemory, step, scope) : undefined
    const readChunk = batchReader(options, inMemory, step, scope)

    const get: Reader["get"] = <I, A>(query: Query<I, A>, input: I) =>
      Effect.withFiber((fiber): Effect.Effect<Traced<A>, QueryError> => {
        if (hasTransaction(executor, fiber.context)) return bypass(query, input, "transaction")
        const request = queries.request(query, input)
        if (request === undefined) return bypass(query, input, "uncached")
        const now = CacheClock.read(fiber.getRef(Clock.Clock))
        return prefetch === undefined
          ? step.read(request, now)
          : Effect.andThen(prefetch.observe(fiber, request, now), step.read(request, now))
      })

    /** A hit without a shared store and without prefetching takes a short path. */
    const value: Reader["value"] =
      store.shared || prefetch !== undefined
        ? (query, input) => Effect.map(get(query, input), valueOf)
        : <I, A>(query: Query<I, A>, input: I) =>
            Effect.withFiber((fiber): Effect.Effect<A, QueryError> => {
              const cached = queries.of(query)
              const key = cached.isCached ? cached.key(input) : undefined
              if (key !== undefined) {
                const now = CacheClock.read(fiber.getRef(Clock.Clock))
                const entry = inMemory.fresh(key, now)
                const isServable = entry !== undefined && !entry.stale && now < entry.refreshAt
                if (isServable && !hasTransaction(executor, fiber.context)) {
                  inMemory.count(entry, cached.counters)
                  return Effect.succeed(entry.value as A)
                }
              }
              return Effect.map(get(query, input), valueOf)
            })

    const getMany: Reader["getMany"] = <I, A>(query: Query<I, A>, inputs: ReadonlyArray<I>) =>
      Effect.withFiber((fiber): Effect.Effect<ReadonlyArray<Traced<A>>, QueryError> => {
        if (hasTransaction(executor, fiber.context)) {
          return Effect.forEach(inputs, (input) => bypass(query, input, "transaction"), { concurrency: chunkSize })
        }
        const chunks = Array.from({ length: Math.ceil(inputs.length / chunkSize) }, (_, at) =>
          inputs.slice(at * chunkSize, (at + 1) * chunkSize)
        )
        return Effect.map(
          Effect.forEach(chunks, (chunk) => readChunk(query, chunk)),
          (found) => found.flat()
        )
      })

    const refresh: Reader["refresh"] = (query, input) =>
      Effect.withFiber((fiber) => {
        const isInTransaction = hasTransaction(executor, fiber.context)
        const request = isInTransaction ? undefined : queries.request(query, input)
        return Effect.map(
          request === undefined
            ? bypass(query, input, isInTransaction ? "transaction" : "uncached")
            : Effect.suspend(() => load(request, singleFlight.nextOrder(), { isForced: true })),
          valueOf
        )
      })

    return {
      get,
      getMany,
      value,
      refresh,
      warm: (reads) =>
        Effect.forEach(reads, (read) => Effect.ignore(read.with(get)), {
          concurrency: warmConcurrency,
          discard: true
        }),
      prefetches: () => ({ loaded: prefetch?.loaded() ?? 0, used: inMemory.usedPrefetches() })
    }
  })
