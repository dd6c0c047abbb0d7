/**
 * The reading side of the cache: from memory, from the store, from the database.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { SqlError, StatementTimeoutError } from "effect/sql/SqlError"
import type { Query, QueryError } from "../../query/Query.ts"
import { QueryExecutor } from "../../query/QueryExecutor.ts"
import { CacheStore, type Found } from "../CacheStore.ts"
import type { Level, QueryCache, QueryCacheOptions, Traced, Why } from "../QueryCache.ts"
import * as Fences from "./fences.ts"
import * as Flight from "./flight.ts"
import * as Guard from "./guard.ts"
import * as Metrics from "./metrics.ts"
import * as Plan from "./plan.ts"
import * as Sieve from "./sieve.ts"
import * as Size from "./size.ts"
import * as Transaction from "./transaction.ts"
import * as Watch from "./watch.ts"
import * as Writes from "./writes.ts"

/** A result in memory. */
interface Entry extends Sieve.Node, Fences.Watcher {
  readonly value: unknown
  readonly stamp: string
  /** The generation of the store under which the stamp was last seen to be right. */
  generation: number
  readonly storedAt: number
  freshUntil: number
  readonly expiresAt: number
  /** From here on it is loaded again in the background. */
  eagerAt: number
  stale: boolean
}

/** One read: the query, its input, and its keys. */
interface Asked<I, A> {
  readonly plan: Plan.Plan<I, A>
  readonly query: Query<I, A>
  readonly input: I
  readonly key: string
}

/** What is known before the database is asked. */
interface Probe {
  readonly why: Why
  readonly storeKey: string | undefined
  readonly generation: number
  /** The stamp to keep the result under; none where it must not be kept. */
  readonly stamp: string | undefined
  readonly candidate: Candidate | undefined
}

/** A result that is there and unchanged, fresh or not. */
interface Candidate {
  readonly value: unknown
  readonly level: Level
  readonly stamp: string
  readonly storedAt: number
  readonly freshUntil: number
  readonly expiresAt: number
  readonly size: number
}

/** After so many loads that something changed under, a reader asks the database by itself. */
const maxRounds = 3

const clamp = (value: number | undefined, absent: number, minimum: number, maximum: number): number =>
  value === undefined || Number.isNaN(value) ? absent : Math.min(Math.max(value, minimum), maximum)

const between = (input: Duration.Input | undefined, absent: number, minimum: number, maximum: number) =>
  Duration.millis(clamp(input === undefined ? undefined : Duration.toMillis(input), absent, minimum, maximum))

const settingsOf = (options: QueryCacheOptions) => ({
  memoryEntries: Math.round(clamp(options.memoryEntries, 1_000, 1, 1_000_000)),
  memoryBytes: Math.round(clamp(options.memoryBytes, 32 * 1024 * 1024, 1_024, 4 * 2 ** 30)),
  jitter: clamp(options.jitter, 0.1, 0, 0.9),
  storeLimit: between(options.storeLimit, 50, 1, 10_000),
  storeFailures: Math.round(clamp(options.storeFailures, 3, 1, 1_000_000)),
  storePause: between(options.storePause, 5_000, 1, 3_600_000),
  announceWithin: between(options.announceWithin, 500, 0, 60_000),
  lease: between(options.announcementLease, 30_000, 1_000, 3_600_000)
})

const tooSlow = (name: string): SqlError =>
  new SqlError({
    reason: new StatementTimeoutError({
      cause: new Error("over the hard limit of the cache"),
      message: `${name} took longer than its hard limit`,
      operation: "query"
    })
  })

const source = <A>(value: A, why: Why): Traced<A> => ({
  value,
  level: "source",
  age: 0,
  stale: false,
  coalesced: false,
  why
})

const serve = (candidate: Candidate, now: number, why: Why): Traced<unknown> => ({
  value: candidate.value,
  level: candidate.level,
  age: Math.max(0, now - candidate.storedAt),
  stale: now >= candidate.freshUntil,
  coalesced: false,
  why
})

const watchedBy = <I, A>({ input, plan, query }: Asked<I, A>, storeKey: string | undefined, key: string) => [
  Watch.entryKey(storeKey ?? key),
  ...Watch.watched(query.dependencies(input)),
  ...(plan.tags?.(input) ?? []).map(Watch.tagKey)
]

const decoded = <I, A>(plan: Plan.Plan<I, A>, found: Found | undefined, now: number) => {
  const entry = found?.entry
  if (entry === undefined || entry.stamp !== found?.stamp || now >= entry.expiresAt) return undefined
  const value = Result.try(() => plan.decode(entry.value))
  if (Result.isFailure(value)) return undefined
  return { ...entry, value: value.success as unknown, level: "store" as const, size: entry.value.length * 2 }
}

const encoded = <I, A>(plan: Plan.Plan<I, A>, value: A): string | undefined =>
  Result.getOrUndefined(Result.try(() => plan.encode(value)))

/** Waits for a load, or takes the stale result where there is one and the load is late or fails. */
const awaited = <I, A>({ plan }: Asked<I, A>, flight: Flight.Flight): Effect.Effect<Flight.Landing, QueryError> => {
  const landed = Deferred.await(flight.done)
  if (plan.graceMs === 0) return landed
  const instead = (traced: Traced<unknown>, why: Why): Flight.Landing => {
    plan.counters.stale++
    return { traced: { ...traced, why, stale: true }, good: true }
  }
  return Effect.flatMap(Deferred.await(flight.stale), (stale) => {
    if (stale === undefined) return landed
    const guarded = Effect.orElseSucceed(landed, () => instead(stale, "failed"))
    if (plan.softMs === Plan.unlimited) return guarded
    return Effect.timeoutOrElse(guarded, {
      duration: plan.softMs,
      orElse: () =>
        Effect.sync(() => {
          flight.background = true
          return instead(stale, "late")
        })
    })
  })
}

const valueOf = <A>(traced: Traced<A>): A => traced.value

/** The middleware and its service, over the executor and the store of the context. */
export const make = (
  options: QueryCacheOptions
): Effect.Effect<
  { readonly executor: QueryExecutor["Service"]; readonly cache: QueryCache["Service"] },
  never,
  QueryExecutor | CacheStore | Scope.Scope
> =>
  Effect.gen(function* () {
    const inner = yield* QueryExecutor
    const store = yield* CacheStore
    const scope = yield* Effect.scope
    const settings = settingsOf(options)
    const guard = yield* Guard.make({
      limit: settings.storeLimit,
      failures: settings.storeFailures,
      openFor: settings.storePause
    })
    const fences = Fences.make()
    const writes = yield* Writes.make({
      store,
      guard,
      fences,
      lease: settings.lease,
      announceWithin: settings.announceWithin
    })
    const metrics = yield* Metrics.make
    const plans = Plan.make(options, metrics.counters)
    const memory = Sieve.make<Entry>(settings.memoryEntries, settings.memoryBytes)
    const flights = new Map<string, Flight.Flight>()
    let evictions = 0
    metrics.gauge("athena_cache_memory_entries", "Results in memory", memory.count)
    metrics.gauge("athena_cache_memory_bytes", "Bytes of results in memory, about", memory.bytes)
    metrics.gauge("athena_cache_memory_evictions", "Results that had to go for others", () => evictions)
    metrics.gauge("athena_cache_store_failures", "Operations of the store that failed", guard.failures)
    metrics.gauge("athena_cache_owed", "Changes that the store has not been told of", writes.owed)

    const drop = (entry: Entry): void => {
      if (memory.remove(entry)) fences.remove(entry)
    }

    const abandon = (flight: Flight.Flight): void => {
      flight.fenced = true
      if (flights.get(flight.key) === flight) flights.delete(flight.key)
    }

    /** Shortened by chance. */
    const jittered = (ms: number): Effect.Effect<number> =>
      settings.jitter === 0 ? Effect.succeed(ms) : Effect.map(Random.next, (r) => ms * (1 - r * settings.jitter))

    const keepInMemory = (key: string, watched: ReadonlyArray<string>, candidate: Candidate, more: Partial<Entry>) => {
      // What is being written is not kept, not even for the moment.
      if (fences.isPending(watched)) return
      const entry: Entry = {
        key,
        watched,
        value: candidate.value,
        size: candidate.size + key.length * 2 + 256,
        stamp: candidate.stamp,
        generation: 0,
        storedAt: candidate.storedAt,
        freshUntil: candidate.freshUntil,
        expiresAt: candidate.expiresAt,
        eagerAt: Infinity,
        stale: false,
        used: false,
        newer: undefined,
        older: undefined,
        blocked: 0,
        announced: () => undefined,
        changed: () => drop(entry),
        ...more
      }
      const gone = memory.set(entry)
      for (const last of gone) {
        fences.remove(last)
        if (last.key !== key) evictions++
      }
      if (memory.get(key) === entry) fences.add(entry)
    }

    /** An entry that is there, unchanged as far as this process knows, and within its grace. */
    const inMemory = (key: string, now: number): Entry | undefined => {
      const entry = memory.get(key)
      return entry !== undefined && entry.blocked === 0 && now < entry.expiresAt ? entry : undefined
    }

    const ofEntry = (entry: Entry, stamp: string | undefined): Candidate | undefined =>
      store.shared && entry.stamp !== stamp ? undefined : { ...entry, level: "memory" }

    /** Looks into the levels. Whatever comes of the database is kept under the stamp that is read here. */
    const probe = <I, A>(
      asked: Asked<I, A>,
      storeKey: string | undefined,
      watched: ReadonlyArray<string>,
      anew: boolean
    ) =>
      Effect.gen(function* (): Effect.fn.Return<Probe> {
        const now = yield* Clock.currentTimeMillis
        // The generation before the stamp: should another process write between the two, the stamp is read again.
        const generation = store.generation() ?? NaN
        const found =
          storeKey === undefined || anew
            ? Option.map(yield* guard.run("stamp", store.stamp(watched, now)), (stamp) => ({ entry: undefined, stamp }))
            : yield* guard.run("get", store.get(storeKey, watched, now))
        if (Option.isNone(found)) {
          return { why: "unavailable", storeKey, generation, stamp: undefined, candidate: undefined }
        }
        const stamp = found.value.stamp
        const entry = inMemory(asked.key, now)
        const kept = entry === undefined ? undefined : ofEntry(entry, stamp)
        const stored = decoded(asked.plan, found.value, now)
        // Another process may have loaded it anew since.
        const candidate =
          stored !== undefined && (kept === undefined || stored.storedAt > kept.storedAt) ? stored : kept
        const there = entry !== undefined || found.value.entry !== undefined
        const why: Why = anew
          ? "refreshed"
          : stamp === undefined
            ? "written"
            : candidate !== undefined
              ? now < candidate.freshUntil
                ? "hit"
                : "expired"
              : there
                ? "changed"
                : "miss"
        return { why, storeKey, generation, stamp, candidate }
      })

    const load = <I, A>({ input, plan, query }: Asked<I, A>): Effect.Effect<A, QueryError> =>
      Effect.suspend(() => {
        plan.counters.loads++
        const run = inner.query(query, input)
        return plan.hardMs === Plan.unlimited
          ? run
          : Effect.timeoutOrElse(run, { duration: plan.hardMs, orElse: () => Effect.fail(tooSlow(plan.name)) })
      }).pipe(
        Effect.tapCause(() =>
          Effect.sync(() => {
            plan.counters.loadFailures++
          })
        ),
        Effect.trackDuration(Metric.withAttributes(Metrics.loadTime, { query: plan.name })),
        Effect.withSpan("QueryCache.load", { attributes: { "query.name": plan.name } })
      )

    /** Keeps what was loaded in both levels, unless something has changed; and says whether nothing has. */
    const keep = <I, A>(asked: Asked<I, A>, flight: Flight.Flight, probed: Probe, value: A) =>
      Effect.gen(function* () {
        const { plan } = asked
        const stamp = probed.stamp
        if (flight.fenced || stamp === undefined) {
          plan.counters.refused++
          return probed.why === "unavailable" && !flight.fenced
        }
        const now = yield* Clock.currentTimeMillis
        const own = plan.ofResult?.(value, asked.input)
        const ownMs = own === undefined ? Infinity : Duration.toMillis(own)
        const memoryMs = yield* jittered(Math.min(plan.memoryMs, ownMs))
        const storeMs = yield* jittered(Math.min(plan.storeMs, ownMs))
        const text = store.shared && probed.storeKey !== undefined ? encoded(plan, value) : undefined
        let good = !store.shared
        if (text !== undefined && probed.storeKey !== undefined && storeMs > 0) {
          const freshUntil = Math.round(now + storeMs)
          const stored = yield* guard.run(
            "set",
            store.set({
              key: probed.storeKey,
              query: plan.name,
              watched: flight.watched,
              value: text,
              stamp,
              storedAt: now,
              freshUntil,
              expiresAt: freshUntil + plan.graceMs
            })
          )
          good = Option.isSome(stored) && stored.value
        }
        if (!good && flight.joined) good = yield* stillGood(flight, stamp)
        if (flight.fenced) {
          plan.counters.refused++
          return false
        }
        if (memoryMs > 0) {
          const candidate = {
            value,
            level: "source" as const,
            stamp,
            storedAt: now,
            freshUntil: now + memoryMs,
            expiresAt: now + memoryMs + plan.graceMs,
            size: text === undefined ? Size.estimate(value) : text.length * 2
          }
          const eagerAt = plan.eager === 1 ? Infinity : now + memoryMs * plan.eager
          keepInMemory(asked.key, flight.watched, candidate, { generation: probed.generation, eagerAt })
        }
        return good
      })

    /** Whether nothing that is watched has changed since the stamp was read. */
    const stillGood = (flight: Flight.Flight, stamp: string): Effect.Effect<boolean> =>
      Effect.gen(function* () {
        if (!store.shared) return true
        const now = yield* Clock.currentTimeMillis
        const again = yield* guard.run("stamp", store.stamp(flight.watched, now))
        return Option.isNone(again) || again.value === stamp
      })

    /** A fresh result of the store goes to memory. */
    const promote = <I, A>(asked: Asked<I, A>, flight: Flight.Flight, probed: Probe, candidate: Candidate) =>
      Effect.gen(function* () {
        const { plan } = asked
        const now = yield* Clock.currentTimeMillis
        if (candidate.level === "memory") return
        const freshUntil = Math.min(candidate.freshUntil, now + (yield* jittered(plan.memoryMs)))
        if (flight.fenced || freshUntil <= now) return
        const eagerAt = plan.eager === 1 ? Infinity : now + (freshUntil - now) * plan.eager
        const kept = { ...candidate, freshUntil, expiresAt: Math.max(freshUntil, candidate.expiresAt) }
        keepInMemory(asked.key, flight.watched, kept, { generation: probed.generation, eagerAt })
      })

    /** After a failure the stale result is served for a while without asking again. */
    const backOff = <I, A>(asked: Asked<I, A>, flight: Flight.Flight, probed: Probe, candidate: Candidate) =>
      Effect.map(Clock.currentTimeMillis, (now) => {
        if (flight.fenced) return
        const freshUntil = Math.min(now + asked.plan.backoffMs, candidate.expiresAt)
        keepInMemory(
          asked.key,
          flight.watched,
          { ...candidate, freshUntil },
          {
            generation: probed.generation,
            stale: true
          }
        )
      })

    const fly = <I, A>(asked: Asked<I, A>, flight: Flight.Flight, storeKey: string | undefined, anew: boolean) =>
      Effect.gen(function* (): Effect.fn.Return<Flight.Landing, QueryError> {
        const { plan } = asked
        const probed = yield* probe(asked, storeKey, flight.watched, anew)
        const candidate = probed.candidate
        const now = yield* Clock.currentTimeMillis
        if (probed.why === "hit" && candidate !== undefined) {
          if (candidate.level === "memory") plan.counters.memoryHits++
          else plan.counters.storeHits++
          yield* promote(asked, flight, probed, candidate)
          const good = !flight.joined || (yield* stillGood(flight, candidate.stamp))
          return { traced: serve(candidate, now, "hit"), good: good && !flight.fenced }
        }
        plan.counters.misses++
        const stale = candidate === undefined || plan.graceMs === 0 ? undefined : candidate
        yield* Deferred.succeed(flight.stale, stale === undefined ? undefined : serve(stale, now, "late"))
        const value = yield* load(asked).pipe(
          Effect.tapError(() => (stale === undefined ? Effect.void : backOff(asked, flight, probed, stale)))
        )
        const good = yield* keep(asked, flight, probed, value)
        return { traced: source(value, probed.why), good: good && !flight.fenced }
      })

    const takeOff = <I, A>(asked: Asked<I, A>, anew: boolean, background: boolean) =>
      Effect.suspend(() => {
        const storeKey = store.shared ? asked.plan.storeKey(asked.key) : undefined
        const flight: Flight.Flight = {
          key: asked.key,
          watched: watchedBy(asked, storeKey, asked.key),
          blocked: 0,
          announced: () => abandon(flight),
          changed: () => abandon(flight),
          fenced: false,
          waiters: 0,
          joined: false,
          background,
          stale: Deferred.makeUnsafe(),
          done: Deferred.makeUnsafe(),
          fiber: undefined
        }
        const last = flights.get(asked.key)
        if (last !== undefined) abandon(last)
        fences.add(flight)
        if (flight.blocked > 0) flight.fenced = true
        else flights.set(asked.key, flight)
        return Effect.map(
          Effect.forkIn(fly(asked, flight, storeKey, anew), scope, { startImmediately: true }),
          (fiber: Fiber.Fiber<Flight.Landing, QueryError>) => {
            flight.fiber = fiber
            fiber.addObserver((exit) => {
              fences.remove(flight)
              if (flights.get(asked.key) === flight) flights.delete(asked.key)
              Deferred.doneUnsafe(flight.stale, Effect.undefined)
              Deferred.doneUnsafe(flight.done, exit)
            })
            return flight
          }
        )
      }).pipe(Effect.uninterruptible)

    const direct = <I, A>(asked: Asked<I, A>, why: Why): Effect.Effect<Traced<A>, QueryError> =>
      Effect.suspend(() => {
        asked.plan.counters.bypassed++
        return Effect.map(load(asked), (value) => source(value, why))
      })

    /** Begins a load and waits for it. Nothing can come between the two: a load that nobody waits for would go on. */
    const first = <I, A>(asked: Asked<I, A>, anew: boolean) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(takeOff(asked, anew, false), (flight) =>
          Flight.waiting(flight, restore(awaited(asked, flight)), abandon)
        )
      )

    /** Waits for the load that is under way, or begins one. */
    const slow = <I, A>(asked: Asked<I, A>, anew: boolean, round = 0): Effect.Effect<Traced<A>, QueryError> =>
      Effect.suspend(() => {
        if (round >= maxRounds) return direct(asked, "written")
        const current = anew ? undefined : flights.get(asked.key)
        if (current !== undefined) {
          current.joined = true
          return Effect.flatMap(Flight.waiting(current, awaited(asked, current), abandon), ({ good, traced }) => {
            if (!good) return slow(asked, false, round + 1)
            asked.plan.counters.coalesced++
            return Effect.succeed({ ...traced, coalesced: true } as Traced<A>)
          })
        }
        return Effect.flatMap(settledFirst(asked), (written) =>
          written ? direct(asked, "written") : Effect.map(first(asked, anew), ({ traced }) => traced as Traced<A>)
        )
      })

    /** Whether what is asked for is being written by this process. */
    const settledFirst = <I, A>(asked: Asked<I, A>): Effect.Effect<boolean> => {
      const isWritten = () => fences.isPending(watchedBy(asked, undefined, asked.key))
      return isWritten() ? Effect.map(writes.settle, isWritten) : Effect.succeed(false)
    }

    /** Checks an entry against a store that others write to. */
    const checked = <I, A>(asked: Asked<I, A>, entry: Entry): Effect.Effect<boolean> =>
      Effect.gen(function* () {
        if (!guard.healthy()) return false
        const generation = store.generation()
        if (generation === undefined || generation !== entry.generation) {
          const now = yield* Clock.currentTimeMillis
          const stamp = yield* guard.run("stamp", store.stamp(entry.watched, now))
          if (Option.isNone(stamp) || stamp.value !== entry.stamp) return false
          entry.generation = generation ?? NaN
        }
        return entry.blocked === 0 && memory.get(asked.key) === entry
      })

    const refreshEagerly = <I, A>(asked: Asked<I, A>, entry: Entry, now: number): Effect.Effect<void> => {
      if (now < entry.eagerAt || flights.has(asked.key)) return Effect.void
      entry.eagerAt = Infinity
      return Effect.asVoid(takeOff(asked, true, true))
    }

    const fromMemory = <I, A>(asked: Asked<I, A>, entry: Entry, now: number): Effect.Effect<Traced<A>> => {
      const { counters } = asked.plan
      entry.used = true
      counters.memoryHits++
      if (entry.stale) counters.stale++
      const traced: Traced<A> = {
        value: entry.value as A,
        level: "memory",
        age: Math.max(0, now - entry.storedAt),
        stale: entry.stale,
        coalesced: false,
        why: entry.stale ? "failed" : "hit"
      }
      return Effect.as(refreshEagerly(asked, entry, now), traced)
    }

    const asking = <I, A>(query: Query<I, A>, input: I): Asked<I, A> | undefined => {
      const plan = plans.of(query)
      if (!plan.cached) return undefined
      // An input that can't be encoded or has no dependencies to name is the executor's to refuse.
      const key = Result.getOrUndefined(
        Result.try(() => {
          const key = plan.key(input)
          query.dependencies(input)
          plan.tags?.(input)
          return key
        })
      )
      return key === undefined ? undefined : { plan, query, input, key }
    }

    const around = <I, A>(query: Query<I, A>, input: I, why: Why): Effect.Effect<Traced<A>, QueryError> =>
      Effect.suspend(() => {
        plans.of(query).counters.bypassed++
        return Effect.map(inner.query(query, input), (value) => source(value, why))
      })

    const get = <I, A>(query: Query<I, A>, input: I): Effect.Effect<Traced<A>, QueryError> =>
      Effect.withFiber((fiber) => {
        if (Transaction.isOpen(fiber.context)) return around(query, input, "transaction")
        const asked = asking(query, input)
        if (asked === undefined) return around(query, input, "uncached")
        const now = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
        const entry = memory.get(asked.key)
        if (entry === undefined || entry.blocked > 0 || now >= entry.freshUntil) return slow(asked, false)
        return store.shared
          ? Effect.flatMap(checked(asked, entry), (good) => (good ? fromMemory(asked, entry, now) : slow(asked, false)))
          : fromMemory(asked, entry, now)
      })

    /** As `get`, with a short way for what is in the memory of a process that shares its store with nobody. */
    const query = <I, A>(query: Query<I, A>, input: I): Effect.Effect<A, QueryError> =>
      store.shared
        ? Effect.map(get(query, input), valueOf)
        : Effect.withFiber((fiber) => {
            const plan = plans.of(query)
            const key = plan.cached ? plan.key(input) : undefined
            const entry = key === undefined ? undefined : memory.get(key)
            if (entry !== undefined && entry.blocked === 0 && !entry.stale) {
              const now = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
              if (now < entry.freshUntil && now < entry.eagerAt && !Transaction.isOpen(fiber.context)) {
                entry.used = true
                plan.counters.memoryHits++
                return Effect.succeed(entry.value as A)
              }
            }
            return Effect.map(get(query, input), valueOf)
          })

    const executor = QueryExecutor.of({
      query,
      mutate: (mutation, input) => writes.mutate(inner, mutation, input)
    })

    const cache: QueryCache["Service"] = {
      get,
      refresh: (query, input) =>
        Effect.withFiber((fiber) => {
          const asked = Transaction.isOpen(fiber.context) ? undefined : asking(query, input)
          return Effect.map(
            asked === undefined ? around(query, input, "uncached") : slow(asked, true),
            ({ value }) => value
          )
        }),
      invalidate: (query, input) =>
        Effect.suspend(() => {
          const asked = asking(query, input)
          if (asked === undefined) return Effect.void
          const storeKey = store.shared ? asked.plan.storeKey(asked.key) : undefined
          return writes.invalidate([Watch.entryKey(storeKey ?? asked.key)])
        }),
      invalidateDependencies: (dependencies) => Effect.suspend(() => writes.invalidate(Watch.changed(dependencies))),
      invalidateTags: (tags) => Effect.suspend(() => writes.invalidate(tags.map(Watch.tagKey))),
      expire: (query, input) =>
        Effect.gen(function* () {
          const asked = asking(query, input)
          if (asked === undefined) return
          const now = yield* Clock.currentTimeMillis
          const entry = memory.get(asked.key)
          if (entry !== undefined) entry.freshUntil = Math.min(entry.freshUntil, now)
          const storeKey = store.shared ? asked.plan.storeKey(asked.key) : undefined
          if (storeKey !== undefined) yield* guard.run("expire", store.expire(storeKey, now))
        }),
      clear: Effect.suspend(() => {
        for (const flight of flights.values()) abandon(flight)
        for (const entry of memory.nodes()) drop(entry)
        return Effect.asVoid(guard.run("clear", store.clear))
      }),
      stats: Effect.gen(function* () {
        const kept = yield* guard.run("stats", store.stats)
        return {
          memory: { entries: memory.count(), bytes: memory.bytes(), evictions },
          store: Option.getOrUndefined(kept),
          storeFailures: guard.failures(),
          owed: writes.owed(),
          queries: Object.fromEntries([...plans.counters].map(([name, counters]) => [name, { ...counters }]))
        }
      })
    }

    return { executor, cache }
  })
