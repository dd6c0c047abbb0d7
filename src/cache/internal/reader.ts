/**
 * The reading side of the cache: from memory, or by a load.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type { Query, QueryError } from "../../query/Query.ts"
import type { QueryExecutor } from "../../query/QueryExecutor.ts"
import type { CacheStoreShape } from "../CacheStore.ts"
import type { Read, Traced, CacheReason } from "../QueryCache.ts"
import * as Candidate from "./cacheEntry.ts"
import * as Eviction from "./s3Fifo.ts"
import type { InvalidationTracker } from "./invalidationTracker.ts"
import type { SingleFlight, LoadMode } from "./singleFlight.ts"
import type { StoreBreaker } from "./storeBreaker.ts"
import { generationOf, type Entry, type MemoryTier } from "./memoryTier.ts"
import * as Plan from "./cachedQuery.ts"
import * as Prediction from "./prefetch.ts"
import type * as Probe from "./lookup.ts"
import type { Settings } from "./settings.ts"
import * as Transaction from "./transaction.ts"
import type { InvalidationKeys } from "./invalidationKeys.ts"
import type { Mutations } from "./mutations.ts"
import * as Time from "./time.ts"

export interface Reader {
  readonly get: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<Traced<A>, QueryError>
  readonly getMany: <I, A>(
    query: Query<I, A>,
    inputs: ReadonlyArray<I>
  ) => Effect.Effect<ReadonlyArray<Traced<A>>, QueryError>
  /** As `get`, for the value alone. */
  readonly value: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<A, QueryError>
  readonly refresh: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<A, QueryError>
  readonly warm: (reads: ReadonlyArray<Read>) => Effect.Effect<void>
  /** Reads that were loaded ahead, and those that somebody then asked for. */
  readonly ahead: () => { readonly loaded: number; readonly useful: number }
}

/** How many results are read from the store, and loaded, at once. */
const chunkSize = 100

/** How many results are warmed at once, and how many are loaded ahead at once. */
const warming = 4
const predicting = 8

const valueOf = <A>(traced: Traced<A>): A => traced.value

export const make = (options: {
  readonly executor: QueryExecutor["Service"]
  readonly store: CacheStoreShape
  readonly guard: StoreBreaker
  readonly fences: InvalidationTracker
  readonly memory: MemoryTier
  readonly writes: Mutations
  readonly flights: SingleFlight
  readonly plans: Plan.CachedQueries
  readonly watch: InvalidationKeys
  readonly settings: Settings
}): Effect.Effect<Reader, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { executor, fences, flights, guard, memory, plans, settings, store, watch, writes } = options
    const scope = yield* Effect.scope
    const prediction = settings.prefetch ? Prediction.make() : undefined
    let loadedAhead = 0
    let useful = 0
    let predicted = 0

    /** Past the cache. */
    const around = <I, A>(query: Query<I, A>, input: I, why: CacheReason): Effect.Effect<Traced<A>, QueryError> =>
      Effect.suspend(() => {
        plans.of(query).counters.bypassed++
        return Effect.map(executor.query(query, input), (value) => Candidate.fresh(value, why))
      })

    /** What is taken for being written may have been rolled back since. */
    const settled = <I, A>(asked: Plan.CacheRequest<I, A>): Effect.Effect<void> =>
      fences.isAnyPending()
        ? writes.settle(Plan.watchedBy(watch, asked, store.shared ? asked.plan.storeKey(asked.key) : undefined))
        : Effect.void

    const byLoad = <I, A>(asked: Plan.CacheRequest<I, A>, order: number, manner?: LoadMode) =>
      Effect.andThen(
        Effect.suspend(() => settled(asked)),
        flights.result(asked, order, manner)
      )

    const freshEntry = (key: string, now: number): Entry | undefined => {
      const entry = memory.get(key)
      return entry !== undefined && entry.blocked === 0 && !fences.isSuspended() && now < entry.freshUntil
        ? entry
        : undefined
    }

    /** Checks an entry against a store that others write to. */
    const isUnchanged = (entry: Entry): Effect.Effect<boolean> =>
      Effect.suspend(() => {
        if (!store.shared) return Effect.succeed(true)
        if (!guard.healthy()) return Effect.succeed(false)
        const generation = generationOf(store)
        if (generation === entry.generation) return Effect.succeed(true)
        return Effect.gen(function* () {
          const now = yield* Time.now
          const stamp = yield* guard.run("stamp", store.stamp(entry.watched, now))
          if (Option.isNone(stamp) || stamp.value !== entry.stamp) return false
          entry.generation = generation
          return entry.blocked === 0 && !fences.isSuspended() && memory.get(entry.key) === entry
        })
      })

    const use = (entry: Entry, counters: Plan.Counters): void => {
      if (entry.uses < Eviction.maxUses) entry.uses++
      counters.memoryHits++
      if (!entry.ahead) return
      entry.ahead = false
      useful++
    }

    const refreshEagerly = <I, A>(asked: Plan.CacheRequest<I, A>, entry: Entry, now: number): Effect.Effect<void> => {
      if (now < entry.eagerAt || flights.isUnderWay(asked.key)) return Effect.void
      entry.eagerAt = Infinity
      return flights.begin(asked, { newerThan: entry.storedAt })
    }

    const fromMemory = <I, A>(asked: Plan.CacheRequest<I, A>, entry: Entry, now: number): Effect.Effect<Traced<A>> => {
      use(entry, asked.plan.counters)
      if (entry.stale) asked.plan.counters.stale++
      const traced: Traced<A> = {
        value: entry.value as A,
        level: "memory",
        age: Math.max(0, now - entry.storedAt),
        stale: entry.stale,
        coalesced: false,
        reason: entry.stale ? "failed" : "hit"
      }
      return Effect.as(refreshEagerly(asked, entry, now), traced)
    }

    const read = <I, A>(asked: Plan.CacheRequest<I, A>, now: number, answer?: Effect.Effect<Probe.TierResult>) =>
      Effect.suspend((): Effect.Effect<Traced<A>, QueryError> => {
        const order = flights.order()
        const entry = freshEntry(asked.key, now)
        if (entry === undefined) return byLoad(asked, order, { answer })
        return Effect.flatMap(isUnchanged(entry), (unchanged) =>
          unchanged ? fromMemory(asked, entry, now) : byLoad(asked, order, { answer })
        )
      })

    const loadAhead = <I, A>(asked: Plan.CacheRequest<I, A>, now: number): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (predicted >= predicting || flights.isUnderWay(asked.key) || freshEntry(asked.key, now) !== undefined) {
          return Effect.void
        }
        predicted++
        loadedAhead++
        return byLoad(asked, flights.order(), { ahead: true }).pipe(
          Effect.ignoreCause,
          Effect.ensuring(
            Effect.sync(() => {
              predicted--
            })
          ),
          Effect.forkIn(scope),
          Effect.asVoid
        )
      })

    /** Notes the read, and loads what is expected to be read next. */
    const predict = (fiber: Fiber.Fiber<unknown, unknown>, asked: Plan.CacheRequest<any, any>, now: number) => {
      const next = prediction?.observe(
        Context.getOrUndefined(fiber.context, Tracer.ParentSpan)?.traceId ?? String(fiber.id),
        asked
      )
      return next === undefined ? Effect.void : loadAhead(next, now)
    }

    const get: Reader["get"] = <I, A>(query: Query<I, A>, input: I) =>
      Effect.withFiber((fiber): Effect.Effect<Traced<A>, QueryError> => {
        if (Transaction.isOpen(fiber.context)) return around(query, input, "transaction")
        const asked = plans.asked(query, input)
        if (asked === undefined) return around(query, input, "uncached")
        const now = Time.read(fiber.getRef(Clock.Clock))
        return prediction === undefined
          ? read(asked, now)
          : Effect.andThen(predict(fiber, asked, now), read(asked, now))
      })

    /** What is in the memory of a process that shares its store with nobody has a short way. */
    const value: Reader["value"] =
      store.shared || prediction !== undefined
        ? (query, input) => Effect.map(get(query, input), valueOf)
        : <I, A>(query: Query<I, A>, input: I) =>
            Effect.withFiber((fiber): Effect.Effect<A, QueryError> => {
              const plan = plans.of(query)
              const key = plan.cached ? plan.key(input) : undefined
              if (key !== undefined) {
                const now = Time.read(fiber.getRef(Clock.Clock))
                const entry = freshEntry(key, now)
                if (entry !== undefined && !entry.stale && now < entry.eagerAt && !Transaction.isOpen(fiber.context)) {
                  use(entry, plan.counters)
                  return Effect.succeed(entry.value as A)
                }
              }
              return Effect.map(get(query, input), valueOf)
            })

    /** Asks the store for many results at once; each of them finds its own in the answer. */
    const answers = (asked: ReadonlyArray<Plan.CacheRequest<any, any>>) =>
      Effect.gen(function* () {
        const byKey = new Map<string, Effect.Effect<Probe.TierResult>>()
        if (!store.shared) return byKey
        const now = yield* Time.now
        const wanted = new Map<string, { readonly key: string; readonly watched: ReadonlyArray<string> }>()
        for (const one of asked) {
          const storeKey = one.plan.storeKey(one.key)
          if (storeKey === undefined || flights.isUnderWay(one.key) || freshEntry(one.key, now) !== undefined) continue
          wanted.set(one.key, { key: storeKey, watched: Plan.watchedBy(watch, one, storeKey) })
        }
        if (wanted.size < 2) return byKey
        const generation = generationOf(store)
        // In a fiber of its own: whoever waits for one of them may leave the others waiting.
        const fiber = yield* Effect.forkIn(guard.run("getMany", store.getMany([...wanted.values()], now)), scope)
        for (const [at, key] of [...wanted.keys()].entries()) {
          byKey.set(
            key,
            Effect.map(Fiber.join(fiber), (found) => ({
              generation,
              found: Option.flatMap(found, (all) => Option.fromUndefinedOr(all[at]))
            }))
          )
        }
        return byKey
      })

    const getChunk = <I, A>(query: Query<I, A>, inputs: ReadonlyArray<I>) =>
      Effect.gen(function* () {
        const now = yield* Time.now
        const all = inputs.map((input) => ({ input, asked: plans.asked(query, input) }))
        const found = yield* answers(all.flatMap(({ asked }) => asked ?? []))
        return yield* Effect.forEach(
          all,
          ({ asked, input }) =>
            asked === undefined ? around(query, input, "uncached") : read(asked, now, found.get(asked.key)),
          { concurrency: "unbounded" }
        )
      })

    const getMany: Reader["getMany"] = <I, A>(query: Query<I, A>, inputs: ReadonlyArray<I>) =>
      Effect.withFiber((fiber): Effect.Effect<ReadonlyArray<Traced<A>>, QueryError> => {
        if (Transaction.isOpen(fiber.context)) {
          return Effect.forEach(inputs, (input) => around(query, input, "transaction"), { concurrency: chunkSize })
        }
        const chunks = Array.from({ length: Math.ceil(inputs.length / chunkSize) }, (_, at) =>
          inputs.slice(at * chunkSize, (at + 1) * chunkSize)
        )
        return Effect.map(
          Effect.forEach(chunks, (chunk) => getChunk(query, chunk)),
          (found) => found.flat()
        )
      })

    const refresh: Reader["refresh"] = (query, input) =>
      Effect.withFiber((fiber) => {
        const asked = Transaction.isOpen(fiber.context) ? undefined : plans.asked(query, input)
        return Effect.map(
          asked === undefined
            ? around(query, input, Transaction.isOpen(fiber.context) ? "transaction" : "uncached")
            : Effect.suspend(() => byLoad(asked, flights.order(), { anew: true })),
          valueOf
        )
      })

    return {
      get,
      getMany,
      value,
      refresh,
      warm: (reads) =>
        Effect.forEach(reads, ({ input, query }) => Effect.ignore(get(query, input)), {
          concurrency: warming,
          discard: true
        }),
      ahead: () => ({ loaded: loadedAhead, useful })
    }
  })
