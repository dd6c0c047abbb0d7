/**
 * The loads that are under way in this process: one for a result at a time, shared by all who wait for it.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { QueryError } from "../../query/Query.ts"
import type { QueryExecutor } from "../../query/QueryExecutor.ts"
import type { CacheStoreShape } from "../CacheStore.ts"
import type { Traced, CacheReason } from "../QueryCache.ts"
import * as Candidate from "./cacheEntry.ts"
import type { InvalidationTracker } from "./invalidationTracker.ts"
import * as Flight from "./flight.ts"
import type { StoreBreaker } from "./storeBreaker.ts"
import * as Keeping from "./cacheWriter.ts"
import * as LastWait from "./boundedFinalizer.ts"
import type { MemoryTier } from "./memoryTier.ts"
import * as Plan from "./cachedQuery.ts"
import * as Probe from "./lookup.ts"
import type { Settings } from "./settings.ts"
import * as Source from "./loader.ts"
import * as Turns from "./loadLease.ts"
import type { InvalidationKeys } from "./invalidationKeys.ts"
import * as Time from "./time.ts"

/** What is particular about a load. */
export interface LoadMode {
  /** Does not look into the levels first. */
  readonly anew?: boolean
  /** Takes from the levels only what was stored later than this. */
  readonly newerThan?: number
  /** Goes on though nobody waits for it. */
  readonly background?: boolean
  /** Nobody has asked for it: it is loaded ahead. */
  readonly ahead?: boolean
  /** Others who waited for the last load will want this one. */
  readonly shared?: boolean
  /** What the store was found to hold, by somebody who asked it for many things at once. */
  readonly answer?: Effect.Effect<Probe.TierResult> | undefined
}

export interface SingleFlight {
  /** A place in the order of reads and loads. */
  readonly order: () => number
  readonly isUnderWay: (key: string) => boolean
  /** The result of the load that is under way, or of one that begins now. */
  readonly result: <I, A>(
    asked: Plan.CacheRequest<I, A>,
    order: number,
    manner?: LoadMode
  ) => Effect.Effect<Traced<A>, QueryError>
  /** Begins a load for which nobody waits. */
  readonly begin: <I, A>(asked: Plan.CacheRequest<I, A>, manner: LoadMode) => Effect.Effect<void>
  /** Nobody joins the loads that are under way any more, and nothing of them is kept. */
  readonly disturbAll: () => void
}

/** How long a load goes on that nobody waits for, where the query has no hard limit. */
const backgroundLimit = Duration.seconds(30)

const serveStale = (plan: Plan.CachedQuery<any, any>, candidate: Candidate.CacheEntry, why: CacheReason) =>
  Effect.map(Time.now, (now) => {
    plan.counters.stale++
    return { traced: { ...Candidate.serve(candidate, now, why), stale: true }, good: true }
  })

/** What is known where the process itself is writing what would be read: nothing that could be kept. */
const written: Probe.Lookup = {
  why: "written",
  storeKey: undefined,
  generation: NaN,
  stamp: undefined,
  candidate: undefined,
  old: undefined
}

export const make = (options: {
  readonly executor: QueryExecutor["Service"]
  readonly store: CacheStoreShape
  readonly guard: StoreBreaker
  readonly fences: InvalidationTracker
  readonly memory: MemoryTier
  readonly watch: InvalidationKeys
  readonly settings: Settings
}): Effect.Effect<SingleFlight, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { executor, fences, guard, memory, settings, store, watch } = options
    const scope = yield* Effect.flatMap(Effect.scope, Scope.fork)
    const turns = Turns.make(store, guard, settings.loadLease)
    const keeping = Keeping.make({ store, guard, memory, settings })
    const underWay = new Map<string, Flight.Flight>()
    const landing = new Set<Flight.Flight>()
    let places = 0
    // A process that ends at once after its only read still stores what it read.
    yield* Effect.addFinalizer(() =>
      LastWait.boundedFinalizer(
        settings.storeTimeout,
        Effect.forEach([...landing], (flight) => Deferred.await(flight.verified), { discard: true })
      )
    )

    const leave = (flight: Flight.Flight): void => {
      if (underWay.get(flight.key) === flight) underWay.delete(flight.key)
    }

    const disturb = (flight: Flight.Flight): void => {
      flight.undisturbed = false
      leave(flight)
    }

    const storeKeyOf = <I, A>({ key, plan }: Plan.CacheRequest<I, A>): string | undefined =>
      store.shared ? plan.storeKey(key) : undefined

    const probe = <I, A>(
      asked: Plan.CacheRequest<I, A>,
      flight: Flight.Flight,
      manner: LoadMode
    ): Effect.Effect<Probe.Lookup> =>
      Effect.gen(function* () {
        const { storeKey } = flight
        const answer = yield* store.shared
          ? (manner.answer ?? Probe.ask(store, guard, manner.anew === true ? undefined : storeKey, flight.watched))
          : Effect.succeed(Probe.nothing)
        const now = yield* Time.now
        const probed = Probe.compare(asked, storeKey, memory, store.shared, answer, now)
        const least = manner.anew === true ? Infinity : (manner.newerThan ?? -Infinity)
        const passed = least > -Infinity && (probed.candidate === undefined || probed.candidate.storedAt <= least)
        return passed && Option.isSome(answer.found) ? { ...probed, why: "refreshed", candidate: undefined } : probed
      })

    /** Whether nothing that is watched has changed since the stamp was read, as far as can be known. */
    const isUnchanged = (flight: Flight.Flight, stamp: string | undefined): Effect.Effect<boolean> => {
      if (!flight.undisturbed || stamp === undefined) return Effect.succeed(false)
      if (!store.shared) return Effect.succeed(true)
      return Effect.map(
        Effect.flatMap(Time.now, (now) => guard.run("stamp", store.stamp(flight.watched, now))),
        (again) => Option.isSome(again) && again.value === stamp && flight.undisturbed
      )
    }

    /** Gives the result to those who wait. */
    const land = (flight: Flight.Flight, traced: Traced<unknown>): void => {
      landing.add(flight)
      Deferred.doneUnsafe(flight.stale, Effect.undefined)
      Deferred.doneUnsafe(flight.landed, Effect.succeed(traced))
    }

    /** Says whether the result also serves those who came after the load had begun. */
    const verify = (flight: Flight.Flight, stamp: string | undefined, isKnown: () => boolean): Effect.Effect<void> =>
      Effect.gen(function* () {
        leave(flight)
        const good = flight.joined === 0 || isKnown() || (yield* isUnchanged(flight, stamp))
        Deferred.doneUnsafe(flight.verified, Effect.succeed(good))
      })

    const serveFound = <I, A>(
      asked: Plan.CacheRequest<I, A>,
      flight: Flight.Flight,
      probed: Probe.Lookup,
      candidate: Candidate.CacheEntry,
      manner: LoadMode,
      waited: boolean
    ) =>
      Effect.gen(function* () {
        const { counters } = asked.plan
        if (candidate.level === "memory") counters.memoryHits++
        else counters.storeHits++
        if (waited) counters.coalesced++
        yield* keeping.promote(asked, flight, probed, candidate, manner.ahead ?? false)
        const now = yield* Time.now
        land(flight, { ...Candidate.serve(candidate, now, "hit"), coalesced: waited })
        yield* verify(flight, candidate.stamp, () => false)
      })

    /** Gives what was loaded to those who wait, keeps it unless something has changed, and says whether the store has it. */
    const landLoaded = <I, A>(
      asked: Plan.CacheRequest<I, A>,
      flight: Flight.Flight,
      probed: Probe.Lookup,
      value: A,
      manner: LoadMode
    ): Effect.Effect<boolean> =>
      Effect.gen(function* () {
        const store = yield* keeping.loaded(asked, flight, probed, value, manner.ahead ?? false)
        // The reader need not wait for the store.
        land(flight, Candidate.fresh(value, probed.why))
        const joined = flight.joined
        const stored = yield* store()
        yield* verify(flight, probed.stamp, () => stored && flight.joined === joined)
        return stored
      })

    const fly = <I, A>(asked: Plan.CacheRequest<I, A>, flight: Flight.Flight, manner: LoadMode) =>
      Effect.gen(function* (): Effect.fn.Return<void, QueryError> {
        const { plan } = asked
        if (manner.shared === true) yield* Effect.yieldNow
        const first = flight.undisturbed ? yield* probe(asked, flight, manner) : written
        if (first.why === "hit" && first.candidate !== undefined) {
          return yield* serveFound(asked, flight, first, first.candidate, manner, false)
        }
        Deferred.doneUnsafe(flight.stale, Effect.succeed(plan.graceMs === 0 ? undefined : first.old))
        yield* Source.limited(plan, byTurns(asked, flight, first, manner))
      })

    /** Loads when it is this process's turn, or takes what another one has loaded meanwhile. */
    const byTurns = <I, A>(
      asked: Plan.CacheRequest<I, A>,
      flight: Flight.Flight,
      first: Probe.Lookup,
      manner: LoadMode
    ): Effect.Effect<void, QueryError> =>
      Effect.gen(function* () {
        const { plan } = asked
        const { probed, taken, waited } = yield* turns.take(plan, first, probe(asked, flight, {}))
        if (probed.why === "hit" && probed.candidate !== undefined) {
          return yield* serveFound(asked, flight, probed, probed.candidate, manner, waited)
        }
        plan.counters.misses++
        const stale = plan.graceMs === 0 ? undefined : probed.candidate
        yield* Source.load(executor, asked).pipe(
          Effect.tapError(() => (stale === undefined ? Effect.void : keeping.backOff(asked, flight, probed, stale))),
          Effect.flatMap((value) => landLoaded(asked, flight, probed, value, manner)),
          Effect.onExit((exit) =>
            taken && !(Exit.isSuccess(exit) && exit.value) ? turns.done(probed.storeKey) : Effect.void
          )
        )
      })

    /** Ends a load that is nobody's any more and has no limit of its own. */
    const limitBackground = (flight: Flight.Flight, plan: Plan.CachedQuery<any, any>): Effect.Effect<void> =>
      plan.hardMs === Plan.unlimited
        ? Deferred.await(flight.verified).pipe(
            Effect.timeoutOption(backgroundLimit),
            Effect.andThen(
              Effect.sync(() => {
                flight.background = false
                Flight.abandon(flight, leave)
              })
            ),
            Effect.forkIn(scope),
            Effect.asVoid
          )
        : Effect.void

    const goOn = (flight: Flight.Flight, plan: Plan.CachedQuery<any, any>): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (flight.background) return Effect.void
        flight.background = true
        return limitBackground(flight, plan)
      })

    const takeOff = <I, A>(asked: Plan.CacheRequest<I, A>, manner: LoadMode): Effect.Effect<Flight.Flight> =>
      Effect.suspend(() => {
        const storeKey = storeKeyOf(asked)
        const flight = Flight.make({
          key: asked.key,
          storeKey,
          watched: Plan.watchedBy(watch, asked, storeKey),
          began: ++places,
          background: manner.background ?? false,
          disturbed: disturb
        })
        const last = underWay.get(asked.key)
        if (last !== undefined) disturb(last)
        fences.add(flight)
        if (flight.blocked > 0 || fences.isSuspended()) flight.undisturbed = false
        underWay.set(asked.key, flight)
        return Effect.forkIn(fly(asked, flight, manner), scope, { startImmediately: true }).pipe(
          Effect.tap((fiber) =>
            Effect.sync(() => {
              flight.fiber = fiber
              fiber.addObserver((exit) => {
                fences.remove(flight)
                leave(flight)
                landing.delete(flight)
                Deferred.doneUnsafe(flight.stale, Effect.undefined)
                Deferred.doneUnsafe(flight.verified, Effect.succeed(false))
                if (Exit.isFailure(exit)) Deferred.doneUnsafe(flight.landed, Exit.failCause(exit.cause))
              })
            })
          ),
          Effect.andThen(flight.background ? limitBackground(flight, asked.plan) : Effect.void),
          Effect.as(flight)
        )
      }).pipe(Effect.uninterruptible)

    /** Whether a stale result may be served now: within its grace, and what it was read from has not changed. */
    const isServable = (flight: Flight.Flight, candidate: Candidate.CacheEntry): Effect.Effect<boolean> =>
      Effect.flatMap(Time.now, (now) =>
        now < candidate.expiresAt ? isUnchanged(flight, candidate.stamp) : Effect.succeed(false)
      )

    /** Waits for a load, or takes the stale result where there is one and the load is late or fails. */
    const awaited = <I, A>(
      { plan }: Plan.CacheRequest<I, A>,
      flight: Flight.Flight,
      order: number,
      acceptsStale: boolean
    ) => {
      const landed = Effect.flatMap(Deferred.await(flight.landed), (traced) =>
        order < flight.began
          ? Effect.succeed({ traced, good: true })
          : Effect.map(Deferred.await(flight.verified), (good) => ({ traced, good }))
      )
      if (plan.graceMs === 0 || !acceptsStale) return landed
      return Effect.flatMap(Deferred.await(flight.stale), (candidate) => {
        if (candidate === undefined) return landed
        const servable = isServable(flight, candidate)
        const guarded = Effect.catch(landed, (error) =>
          Effect.flatMap(servable, (is) => (is ? serveStale(plan, candidate, "failed") : Effect.fail(error)))
        )
        if (plan.softMs === Plan.unlimited) return guarded
        return Effect.timeoutOrElse(guarded, {
          duration: plan.softMs,
          orElse: () =>
            Effect.flatMap(servable, (is) =>
              is ? Effect.andThen(goOn(flight, plan), serveStale(plan, candidate, "late")) : guarded
            )
        })
      })
    }

    const result: SingleFlight["result"] = <I, A>(
      asked: Plan.CacheRequest<I, A>,
      order: number,
      manner: LoadMode = {}
    ) =>
      Effect.suspend((): Effect.Effect<Traced<A>, QueryError> => {
        const current = manner.anew === true ? undefined : underWay.get(asked.key)
        if (current === undefined) {
          // Nothing can come between taking off and waiting: a load that nobody waits for would go on.
          return Effect.uninterruptibleMask((restore) =>
            Effect.flatMap(takeOff(asked, manner), (flight) =>
              Flight.waiting(flight, restore(awaited(asked, flight, order, manner.anew !== true)), leave)
            )
          ).pipe(Effect.map(({ traced }) => traced as Traced<A>))
        }
        if (order > current.began) current.joined++
        return Effect.flatMap(
          Flight.waiting(current, awaited(asked, current, order, true), leave),
          ({ good, traced }) => {
            if (!good) return result(asked, order, { shared: true })
            asked.plan.counters.coalesced++
            return Effect.succeed({ ...traced, coalesced: true } as Traced<A>)
          }
        )
      })

    return {
      order: () => ++places,
      isUnderWay: (key) => underWay.has(key),
      result,
      begin: (asked, manner) => Effect.asVoid(takeOff(asked, { ...manner, background: true })),
      disturbAll: () => {
        for (const flight of Array.from(underWay.values())) disturb(flight)
      }
    }
  })
