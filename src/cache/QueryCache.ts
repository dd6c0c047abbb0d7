/**
 * A cache between a program and its database: a middleware over `QueryExecutor`, and a service to steer it by.
 *
 * Results are kept in two levels, in the memory of the process and in a `CacheStore`, which may be a file that all
 * processes of a host share. Queries say what they read and mutations what they change, and that is all the cache
 * needs to keep two promises:
 *
 * - once a mutation has committed, no read that starts afterwards gets what was there before, in this process or, with
 *   a shared store, in another one, also when the writer was killed between its commit and anything that follows it;
 * - a load that ran while a mutation committed is kept nowhere.
 *
 * Mutations are seen when they run through the middleware. A transaction that the caller opens around them counts as a
 * whole: its changes count when it commits, and not at all when it rolls back; reads inside it go to the database.
 *
 * A store that is away, slow or damaged never fails a read. While a shared store can't be asked, what others have
 * changed can't be known, so nothing is served from memory either: reads go to the database.
 *
 * Results are shared between those who ask: treat them as immutable.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import { SqlError, StatementTimeoutError } from "effect/sql/SqlError"
import type { Dependency } from "../query/Dependency.ts"
import type { Query, QueryError } from "../query/Query.ts"
import { QueryExecutor } from "../query/QueryExecutor.ts"
import * as CacheStore from "./CacheStore.ts"
import * as Fences from "./internal/fences.ts"
import * as Flight from "./internal/flight.ts"
import * as Guard from "./internal/guard.ts"
import * as Plan from "./internal/plan.ts"
import * as Sieve from "./internal/sieve.ts"
import * as Size from "./internal/size.ts"
import * as Transaction from "./internal/transaction.ts"
import * as Watch from "./internal/watch.ts"
import * as Writes from "./internal/writes.ts"

/**
 * How results of one query are kept. What is absent is as the options of the cache say.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  /** How long a result is fresh, at most, in either level; goes before `Query.timeToLive`. Zero: never cached. */
  readonly timeToLive?: Duration.Input | undefined
  /** How long this result is fresh, at most; `undefined` leaves it to the other limits, zero keeps it nowhere. */
  readonly timeToLiveOf?: ((result: any, input: any) => Duration.Input | undefined) | undefined
  /** Names to invalidate results by, beside what they were read from. */
  readonly tags?: ((input: any) => ReadonlyArray<string>) | undefined
  readonly grace?: Duration.Input | undefined
  readonly softLimit?: Duration.Input | undefined
  readonly hardLimit?: Duration.Input | undefined
  readonly backoff?: Duration.Input | undefined
  readonly eager?: number | undefined
}

/**
 * Options of the cache. Numbers out of their bounds are moved to the nearest bound.
 *
 * @category models
 * @since 0.1.0
 */
export interface QueryCacheOptions {
  /** How long a result is fresh in memory. Up to 400 days; 5 minutes when absent. */
  readonly memoryTimeToLive?: Duration.Input | undefined
  /** How many results are kept in memory. From 1 to 1,000,000; 1,000 when absent. */
  readonly memoryEntries?: number | undefined
  /** How many bytes of results are kept in memory, about. From 1 KiB to 4 GiB; 32 MiB when absent. */
  readonly memoryBytes?: number | undefined
  /** How long a result is fresh in the store. Up to 400 days; 1 hour when absent. */
  readonly storeTimeToLive?: Duration.Input | undefined
  /** The part of a time to live that is taken off by chance, so that entries do not end together. 0 to 0.9; 0.1. */
  readonly jitter?: number | undefined
  /** How long one operation of the store may take. From 1 millisecond to 10 seconds; 50 milliseconds when absent. */
  readonly storeLimit?: Duration.Input | undefined
  /** After how many failures in a row the store is left alone. From 1; 3 when absent. */
  readonly storeFailures?: number | undefined
  /** For how long it is then left alone. From 1 millisecond; 5 seconds when absent. */
  readonly storePause?: Duration.Input | undefined
  /**
   * How long a mutation waits for the store to take its announcement. Unannounced, it is carried out all the same, and
   * other processes may serve what it replaced until the store hears of it. Up to 1 minute; 500 milliseconds.
   */
  readonly announceWithin?: Duration.Input | undefined
  /**
   * How long an announcement stands without word from its writer, after which it counts as a change: what a kill of a
   * writer keeps from being cached. It is renewed while the writer lives. From 1 second to 1 hour; 30 seconds.
   */
  readonly announcementLease?: Duration.Input | undefined
  /**
   * How long a result is kept after it is no longer fresh, to be served where the database is slow or fails. It is never
   * served once what it was read from has changed. None when absent.
   */
  readonly grace?: Duration.Input | undefined
  /**
   * How long a reader waits for the database where there is a stale result within its grace: that is then served, and
   * the load goes on. Zero serves it at once. No limit when absent.
   */
  readonly softLimit?: Duration.Input | undefined
  /** How long the database may take for a query, which then fails with `StatementTimeoutError`. No limit when absent. */
  readonly hardLimit?: Duration.Input | undefined
  /** How long a stale result is served without asking again after the database has failed. 10 seconds when absent. */
  readonly backoff?: Duration.Input | undefined
  /**
   * The part of its time to live after which a result that is asked for is loaded again in the background. From 0.01 to
   * 1, which is never; 1 when absent.
   */
  readonly eager?: number | undefined
  /** What goes for single queries, by their names. */
  readonly policies?: Readonly<Record<string, Policy>> | undefined
}

/**
 * Where a result came from.
 *
 * @category models
 * @since 0.1.0
 */
export type Level = "memory" | "store" | "source"

/**
 * Why a result came from where it did.
 *
 * - `hit`: it was there and fresh
 * - `miss`: it was nowhere
 * - `expired`: it was there and no longer fresh
 * - `changed`: it was there, and what it was read from has changed since
 * - `written`: what it is read from is being written at this moment
 * - `transaction`: the reader is in a transaction
 * - `uncached`: the query is not cached, or its input has no key
 * - `unavailable`: the store could not be asked
 * - `refreshed`: it was asked for anew
 * - `late`, `failed`: it is stale, and the database was late, or failed
 *
 * @category models
 * @since 0.1.0
 */
export type Why =
  | "hit"
  | "miss"
  | "expired"
  | "changed"
  | "written"
  | "transaction"
  | "uncached"
  | "unavailable"
  | "refreshed"
  | "late"
  | "failed"

/**
 * A result, and how it came about.
 *
 * @category models
 * @since 0.1.0
 */
export interface Traced<out A> {
  readonly value: A
  readonly level: Level
  /** How long ago it was loaded, in milliseconds. */
  readonly age: number
  /** Whether its time to live is over. What it was read from has not changed for all that. */
  readonly stale: boolean
  /** Whether another reader's load served this one. */
  readonly coalesced: boolean
  readonly why: Why
}

/**
 * What the cache did with one query.
 *
 * @category models
 * @since 0.1.0
 */
export interface QueryStats {
  readonly memoryHits: number
  readonly storeHits: number
  /** Reads that were in neither level. */
  readonly misses: number
  readonly loads: number
  readonly loadFailures: number
  /** Reads that another one's load served. */
  readonly coalesced: number
  /** Reads that got a result past its time to live. */
  readonly stale: number
  /** Loads that were not kept, because something was written meanwhile or the store could not be asked. */
  readonly refused: number
  /** Reads that went by the cache: in a transaction, of an uncached query, or of what was being written. */
  readonly bypassed: number
}

/**
 * What the cache holds and did since it was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly memory: { readonly entries: number; readonly bytes: number; readonly evictions: number }
  /** `undefined` where the store could not be asked. */
  readonly store: CacheStore.Stats | undefined
  readonly storeFailures: number
  /** Changes that the store has not been told of yet. */
  readonly owed: number
  /** By name, for the first 1,000 names; the rest together as `(others)`. */
  readonly queries: Readonly<Record<string, QueryStats>>
}

/**
 * Service to look into the cache and to steer it. Reading and writing go through `QueryExecutor`.
 *
 * @category services
 * @since 0.1.0
 */
export class QueryCache extends Context.Service<
  QueryCache,
  {
    /** As `QueryExecutor.query`, and tells how the result came about. */
    readonly get: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<Traced<A>, QueryError>
    /** Loads the result anew and keeps it. */
    readonly refresh: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<A, QueryError>
    /** Drops one result, here and for all who share the store. */
    readonly invalidate: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<void>
    /** Drops what was read from these: for writes that do not run through the middleware. */
    readonly invalidateDependencies: (dependencies: ReadonlyArray<Dependency>) => Effect.Effect<void>
    /** Drops what has one of these tags. */
    readonly invalidateTags: (tags: ReadonlyArray<string>) => Effect.Effect<void>
    /** Ends the time to live of one result, which is kept for its grace. */
    readonly expire: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<void>
    /** Drops everything, here and in the store. */
    readonly clear: Effect.Effect<void>
    readonly stats: Effect.Effect<Stats>
  }
>()("athena-hooks/cache/QueryCache") {}

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

/**
 * Constructs the middleware and its service.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: QueryCacheOptions = {}
): Effect.Effect<
  { readonly executor: QueryExecutor["Service"]; readonly cache: QueryCache["Service"] },
  never,
  QueryExecutor | CacheStore.CacheStore | Scope.Scope
> =>
  Effect.gen(function* () {
    const inner = yield* QueryExecutor
    const store = yield* CacheStore.CacheStore
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
    const plans = Plan.make(options)
    const memory = Sieve.make<Entry>(settings.memoryEntries, settings.memoryBytes)
    const flights = new Map<string, Flight.Flight>()
    let evictions = 0

    const drop = (entry: Entry): void => {
      if (memory.remove(entry)) fences.remove(entry)
    }

    const abandon = (flight: Flight.Flight): void => {
      flight.fenced = true
      if (flights.get(flight.key) === flight) flights.delete(flight.key)
    }

    const watchedBy = <I, A>({ input, plan, query }: Asked<I, A>, storeKey: string | undefined, key: string) => [
      Watch.entryKey(storeKey ?? key),
      ...Watch.watched(query.dependencies(input)),
      ...(plan.tags?.(input) ?? []).map(Watch.tagKey)
    ]

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

    const decoded = <I, A>(plan: Plan.Plan<I, A>, found: CacheStore.Found | undefined, now: number) => {
      const entry = found?.entry
      if (entry === undefined || entry.stamp !== found?.stamp || now >= entry.expiresAt) return undefined
      const value = Result.try(() => plan.decode(entry.value))
      if (Result.isFailure(value)) return undefined
      return { ...entry, value: value.success as unknown, level: "store" as const, size: entry.value.length * 2 }
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
        const generation = store.shared ? yield* guard.run("generation", store.generation) : Option.some(0)
        const found = Option.isNone(generation)
          ? Option.none<CacheStore.Found>()
          : storeKey === undefined || anew
            ? Option.map(yield* guard.run("stamp", store.stamp(watched, now)), (stamp) => ({ entry: undefined, stamp }))
            : yield* guard.run("get", store.get(storeKey, watched, now))
        if (Option.isNone(generation) || Option.isNone(found)) {
          return { why: "unavailable", storeKey, generation: 0, stamp: undefined, candidate: undefined }
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
        return { why, storeKey, generation: generation.value, stamp, candidate }
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

    const encoded = <I, A>(plan: Plan.Plan<I, A>, value: A): string | undefined =>
      Result.getOrUndefined(Result.try(() => plan.encode(value)))

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
              Deferred.doneUnsafe(flight.stale, Effect.succeed(undefined))
              Deferred.doneUnsafe(flight.done, exit)
            })
            return flight
          }
        )
      }).pipe(Effect.uninterruptible)

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
        const guarded = Effect.catch(landed, () => Effect.succeed(instead(stale, "failed")))
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

    const direct = <I, A>(asked: Asked<I, A>, why: Why): Effect.Effect<Traced<A>, QueryError> =>
      Effect.suspend(() => {
        asked.plan.counters.bypassed++
        return Effect.map(load(asked), (value) => source(value, why))
      })

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
          written
            ? direct(asked, "written")
            : Effect.flatMap(takeOff(asked, anew, false), (flight) =>
                Effect.map(Flight.waiting(flight, awaited(asked, flight), abandon), ({ traced }) => traced as Traced<A>)
              )
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
        const generation = yield* Effect.option(store.generation)
        if (Option.isNone(generation)) return false
        if (generation.value !== entry.generation) {
          const now = yield* Clock.currentTimeMillis
          const stamp = yield* guard.run("stamp", store.stamp(entry.watched, now))
          if (Option.isNone(stamp) || stamp.value !== entry.stamp) return false
          entry.generation = generation.value
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

    const cache = QueryCache.of({
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
    })

    return { executor, cache }
  })

const valueOf = <A>(traced: Traced<A>): A => traced.value

/**
 * Provides the middleware, as the `QueryExecutor`, and its service. Below it goes the executor that asks the database.
 *
 * **Example**
 *
 * ```ts
 * import * as CacheStore from "athena-hooks/cache/CacheStore"
 * import * as QueryCache from "athena-hooks/cache/QueryCache"
 * import * as QueryExecutor from "athena-hooks/query/QueryExecutor"
 * import * as Sqlite from "athena-hooks/sql/Sqlite"
 * import * as Layer from "effect/Layer"
 *
 * const Cached = QueryCache.layer({ grace: "10 minutes", softLimit: "200 millis" }).pipe(
 *   Layer.provide(CacheStore.layerSqlite({ filename: "cache.db" })),
 *   Layer.provide(QueryExecutor.layer),
 *   Layer.provide(Sqlite.layer({ filename: "memory.db" }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: QueryCacheOptions = {}
): Layer.Layer<QueryExecutor | QueryCache, never, QueryExecutor | CacheStore.CacheStore> =>
  Layer.effectContext(
    Effect.map(make(options), ({ cache, executor }) =>
      Context.make(QueryExecutor, executor).pipe(Context.add(QueryCache, cache))
    )
  )
