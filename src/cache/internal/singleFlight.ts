/**
 * Single flight: one load per result at a time in this process, shared by all reads that wait for it.
 *
 * Reads and loads have a common order. A load serves every read that started before it, because it sees what was
 * committed then. A later read uses its result only if nothing has changed since the load started, and shares the next
 * load otherwise.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { QueryError } from "../../query/Query.ts"
import type { QueryExecutor } from "../../query/QueryExecutor.ts"
import * as CacheClock from "./cacheClock.ts"
import { watchedBy, type CachedQuery, type CacheRequest } from "./cachedQuery.ts"
import type { InvalidationKeys, InvalidationTracker, Watcher } from "./invalidationTracker.ts"
import * as Loader from "./loader.ts"
import type { CacheEntry, MemoryTier } from "./memoryTier.ts"
import { unlimited, type Settings } from "./settings.ts"
import type { StoreBreaker } from "./storeBreaker.ts"
import type { CacheStoreShape } from "./storeModel.ts"
import * as Tiers from "./tiers.ts"

export interface LoadMode {
  /** Skips the lookup and loads. */
  readonly isForced?: boolean
  /** Ignores entries that are not newer than this. */
  readonly newerThan?: number
  /** Continues without waiting reads. */
  readonly isBackground?: boolean
  readonly isPrefetch?: boolean
  /** Yields once, so that concurrent reads join this load. */
  readonly isShared?: boolean
  /** The lookup of the store, if it was part of a batch. */
  readonly storeLookup?: Effect.Effect<Tiers.StoreLookup> | undefined
}

export interface SingleFlight {
  /** A position in the order of reads and loads. */
  readonly nextOrder: () => number
  readonly isInProgress: (key: string) => boolean
  /** The result of the load in progress, or of a new one. */
  readonly result: <I, A>(
    request: CacheRequest<I, A>,
    order: number,
    mode?: LoadMode
  ) => Effect.Effect<Tiers.Traced<A>, QueryError>
  readonly start: <I, A>(request: CacheRequest<I, A>, mode: LoadMode) => Effect.Effect<void>
  /** Invalidates all loads in progress: no further read joins them, and their results are not stored. */
  readonly invalidateAll: () => void
}

interface Flight extends Watcher {
  readonly key: string
  readonly storeKey: string | undefined
  readonly order: number
  /** Whether a watched key was announced or changed in this process since it started. */
  isInvalidated: boolean
  waiters: number
  /** The number of waiting reads that started later than the load. */
  joined: number
  isBackground: boolean
  /** The stale entry to serve if the load is slow or fails; completed once it is known. */
  readonly fallback: Deferred.Deferred<CacheEntry | undefined>
  readonly result: Deferred.Deferred<Tiers.Traced<any>, QueryError>
  /** Whether nothing had changed since the start when the last read joined. */
  readonly isCurrent: Deferred.Deferred<boolean>
  fiber: Fiber.Fiber<unknown, unknown> | undefined
}

interface Options {
  readonly executor: QueryExecutor["Service"]
  readonly store: CacheStoreShape
  readonly breaker: StoreBreaker
  readonly tracker: InvalidationTracker
  readonly memory: MemoryTier
  readonly keys: InvalidationKeys
  readonly settings: Settings
}

interface State extends Options {
  readonly scope: Scope.Scope
  readonly leases: Loader.LoadLeases
  readonly writer: Tiers.TierWriter
  readonly inProgress: Map<string, Flight>
  /** Loads with a result that are not yet confirmed as current. */
  readonly unconfirmed: Set<Flight>
  lastOrder: number
}

interface Run<I, A> {
  readonly state: State
  readonly request: CacheRequest<I, A>
  readonly flight: Flight
  readonly mode: LoadMode
}

/** The maximum duration of a background load without a hard timeout. */
const backgroundTimeout = Duration.seconds(30)

const leave = ({ inProgress }: State, flight: Flight): void => {
  if (inProgress.get(flight.key) === flight) inProgress.delete(flight.key)
}

const invalidate = (state: State, flight: Flight): void => {
  flight.isInvalidated = true
  leave(state, flight)
}

/** Interrupts a load without waiters, unless it runs in the background. */
const interruptUnused = (state: State, flight: Flight): void => {
  if (flight.waiters > 0 || flight.isBackground || Deferred.isDoneUnsafe(flight.result)) return
  leave(state, flight)
  flight.fiber?.interruptUnsafe()
}

const asWaiter = <A, E>(state: State, flight: Flight, wait: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.uninterruptibleMask((restore) => {
    flight.waiters++
    return Effect.onExit(restore(wait), () =>
      Effect.sync(() => {
        flight.waiters--
        interruptUnused(state, flight)
      })
    )
  })

const lookUp = <I, A>({ flight, mode, request, state }: Run<I, A>): Effect.Effect<Tiers.Lookup> =>
  Effect.gen(function* () {
    const { breaker, memory, store } = state
    const isForced = mode.isForced === true
    const found = yield* store.shared
      ? (mode.storeLookup ?? Tiers.readStore(store, breaker, isForced ? undefined : flight.storeKey, flight.watched))
      : Effect.succeed(Tiers.emptyLookup)
    const now = yield* CacheClock.now
    const lookup = Tiers.combine(request, flight.storeKey, memory, store.shared, found, now)
    const newerThan = isForced ? Infinity : (mode.newerThan ?? -Infinity)
    const isIgnored = newerThan > -Infinity && (lookup.entry === undefined || lookup.entry.storedAt <= newerThan)
    return isIgnored && Option.isSome(found.found) ? { ...lookup, reason: "refreshed", entry: undefined } : lookup
  })

/** Whether no watched key has changed since the stamp was read, as far as it can be known. */
const isUnchanged = (state: State, flight: Flight, stamp: string | undefined): Effect.Effect<boolean> => {
  if (flight.isInvalidated || stamp === undefined) return Effect.succeed(false)
  if (!state.store.shared) return Effect.succeed(true)
  return Effect.map(
    Effect.flatMap(CacheClock.now, (now) => state.breaker.read("stamp", state.store.stamp(flight.watched, now))),
    (current) => Option.isSome(current) && current.value === stamp && !flight.isInvalidated
  )
}

const completeResult = (state: State, flight: Flight, traced: Tiers.Traced<unknown>): void => {
  state.unconfirmed.add(flight)
  Deferred.doneUnsafe(flight.fallback, Effect.undefined)
  Deferred.doneUnsafe(flight.result, Effect.succeed(traced))
}

/** Decides whether the result also serves the reads that joined after the start. */
const confirm = (
  state: State,
  flight: Flight,
  stamp: string | undefined,
  isStored: () => boolean
): Effect.Effect<void> =>
  Effect.gen(function* () {
    leave(state, flight)
    const isCurrent = flight.joined === 0 || isStored() || (yield* isUnchanged(state, flight, stamp))
    Deferred.doneUnsafe(flight.isCurrent, Effect.succeed(isCurrent))
  })

const serveEntry = <I, A>(
  { flight, mode, request, state }: Run<I, A>,
  lookup: Tiers.Lookup,
  entry: CacheEntry,
  hasWaited: boolean
) =>
  Effect.gen(function* () {
    const { counters } = request.cached
    if (entry.tier === "memory") counters.memoryHits++
    else counters.storeHits++
    if (hasWaited) counters.coalesced++
    yield* state.writer.promote(request, flight, lookup, entry, mode.isPrefetch ?? false)
    const now = yield* CacheClock.now
    completeResult(state, flight, { ...Tiers.fromEntry(entry, now, "hit"), coalesced: hasWaited })
    yield* confirm(state, flight, entry.stamp, () => false)
  })

/** Completes the waiting reads before the store is written. Returns whether the store has the result. */
const serveLoaded = <I, A>(
  { flight, mode, request, state }: Run<I, A>,
  lookup: Tiers.Lookup,
  value: A
): Effect.Effect<boolean> =>
  Effect.gen(function* () {
    const setStore = yield* state.writer.set(request, flight, lookup, value, mode.isPrefetch ?? false)
    completeResult(state, flight, Tiers.fromSource(value, lookup.reason))
    const joined = flight.joined
    const isStored = yield* setStore
    yield* confirm(state, flight, lookup.stamp, () => isStored && flight.joined === joined)
    return isStored
  })

/** Loads under the load lease, or serves what another process has loaded meanwhile. */
const loadLeased = <I, A>(run: Run<I, A>, first: Tiers.Lookup): Effect.Effect<void, QueryError> =>
  Effect.gen(function* () {
    const { flight, request, state } = run
    const { cached } = request
    const { hasWaited, isAcquired, lookup } = yield* state.leases.acquire(cached, first, lookUp({ ...run, mode: {} }))
    if (lookup.reason === "hit" && lookup.entry !== undefined) {
      return yield* serveEntry(run, lookup, lookup.entry, hasWaited)
    }
    cached.counters.misses++
    const stale = cached.graceMs === 0 ? undefined : lookup.entry
    yield* Loader.load(state.executor, request).pipe(
      Effect.tapError(() => (stale === undefined ? Effect.void : state.writer.backOff(request, flight, lookup, stale))),
      Effect.flatMap((value) => serveLoaded(run, lookup, value)),
      Effect.onExit((exit) =>
        isAcquired && !(Exit.isSuccess(exit) && exit.value) ? state.leases.release(lookup.storeKey) : Effect.void
      )
    )
  })

const runFlight = <I, A>(run: Run<I, A>): Effect.Effect<void, QueryError> =>
  Effect.gen(function* () {
    const { flight, mode, request } = run
    if (mode.isShared === true) yield* Effect.yieldNow
    const lookup = flight.isInvalidated ? Tiers.writtenLookup : yield* lookUp(run)
    if (lookup.reason === "hit" && lookup.entry !== undefined) {
      return yield* serveEntry(run, lookup, lookup.entry, false)
    }
    const fallback = request.cached.graceMs === 0 ? undefined : lookup.fallback
    Deferred.doneUnsafe(flight.fallback, Effect.succeed(fallback))
    yield* Loader.limited(request.cached, loadLeased(run, lookup))
  })

/** Ends a background load that has no timeout of its own. */
const limitBackground = (state: State, flight: Flight, cached: CachedQuery<any, any>): Effect.Effect<void> =>
  cached.hardMs === unlimited
    ? Deferred.await(flight.isCurrent).pipe(
        Effect.timeoutOption(backgroundTimeout),
        Effect.andThen(
          Effect.sync(() => {
            flight.isBackground = false
            interruptUnused(state, flight)
          })
        ),
        Effect.forkIn(state.scope),
        Effect.asVoid
      )
    : Effect.void

const continueInBackground = (state: State, flight: Flight, cached: CachedQuery<any, any>): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (flight.isBackground) return Effect.void
    flight.isBackground = true
    return limitBackground(state, flight, cached)
  })

const makeFlight = <I, A>(state: State, request: CacheRequest<I, A>, mode: LoadMode): Flight => {
  const storeKey = state.store.shared ? request.cached.storeKey(request.key) : undefined
  const flight: Flight = {
    key: request.key,
    storeKey,
    watched: watchedBy(state.keys, request, storeKey),
    order: ++state.lastOrder,
    blocked: 0,
    announced: () => invalidate(state, flight),
    changed: () => invalidate(state, flight),
    isInvalidated: false,
    waiters: 0,
    joined: 0,
    isBackground: mode.isBackground ?? false,
    fallback: Deferred.makeUnsafe(),
    result: Deferred.makeUnsafe(),
    isCurrent: Deferred.makeUnsafe(),
    fiber: undefined
  }
  return flight
}

const finish = (state: State, flight: Flight, exit: Exit.Exit<void, QueryError>): void => {
  state.tracker.remove(flight)
  leave(state, flight)
  state.unconfirmed.delete(flight)
  Deferred.doneUnsafe(flight.fallback, Effect.undefined)
  Deferred.doneUnsafe(flight.isCurrent, Effect.succeed(false))
  if (Exit.isFailure(exit)) Deferred.doneUnsafe(flight.result, Exit.failCause(exit.cause))
}

const startFlight = <I, A>(state: State, request: CacheRequest<I, A>, mode: LoadMode): Effect.Effect<Flight> =>
  Effect.suspend(() => {
    const { inProgress, scope, tracker } = state
    const flight = makeFlight(state, request, mode)
    const last = inProgress.get(request.key)
    if (last !== undefined) invalidate(state, last)
    tracker.add(flight)
    if (flight.blocked > 0 || tracker.isSuspended()) flight.isInvalidated = true
    inProgress.set(request.key, flight)
    return Effect.forkIn(runFlight({ state, request, flight, mode }), scope, { startImmediately: true }).pipe(
      Effect.tap((fiber) =>
        Effect.sync(() => {
          flight.fiber = fiber
          fiber.addObserver((exit) => finish(state, flight, exit))
        })
      ),
      Effect.andThen(flight.isBackground ? limitBackground(state, flight, request.cached) : Effect.void),
      Effect.as(flight)
    )
  }).pipe(Effect.uninterruptible)

const serveStale = (cached: CachedQuery<any, any>, entry: CacheEntry, reason: Tiers.CacheReason) =>
  Effect.map(CacheClock.now, (now) => {
    cached.counters.stale++
    return { traced: { ...Tiers.fromEntry(entry, now, reason), stale: true }, isCurrent: true }
  })

/** Waits for a load, or serves a stale entry if there is one and the load is slow or fails. */
const awaitResult = <I, A>(
  state: State,
  { cached }: CacheRequest<I, A>,
  flight: Flight,
  order: number,
  acceptsStale: boolean
) => {
  const loaded = Effect.flatMap(Deferred.await(flight.result), (traced) =>
    order < flight.order
      ? Effect.succeed({ traced, isCurrent: true })
      : Effect.map(Deferred.await(flight.isCurrent), (isCurrent) => ({ traced, isCurrent }))
  )
  if (cached.graceMs === 0 || !acceptsStale) return loaded
  return Effect.flatMap(Deferred.await(flight.fallback), (entry) => {
    if (entry === undefined) return loaded
    const isServable = Effect.flatMap(CacheClock.now, (now) =>
      now < entry.expiresAt ? isUnchanged(state, flight, entry.stamp) : Effect.succeed(false)
    )
    const loadedOrStale = Effect.catch(loaded, (error) =>
      Effect.flatMap(isServable, (is) => (is ? serveStale(cached, entry, "failed") : Effect.fail(error)))
    )
    if (cached.softMs === unlimited) return loadedOrStale
    return Effect.timeoutOrElse(loadedOrStale, {
      duration: cached.softMs,
      orElse: () =>
        Effect.flatMap(isServable, (is) =>
          is
            ? Effect.andThen(continueInBackground(state, flight, cached), serveStale(cached, entry, "slow"))
            : loadedOrStale
        )
    })
  })
}

const result = <I, A>(
  state: State,
  request: CacheRequest<I, A>,
  order: number,
  mode: LoadMode
): Effect.Effect<Tiers.Traced<A>, QueryError> =>
  Effect.suspend(() => {
    const current = mode.isForced === true ? undefined : state.inProgress.get(request.key)
    if (current === undefined) {
      // Uninterruptible from the start to the wait: a load without a waiter would never be interrupted.
      return Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(startFlight(state, request, mode), (flight) =>
          asWaiter(state, flight, restore(awaitResult(state, request, flight, order, mode.isForced !== true)))
        )
      ).pipe(Effect.map(({ traced }) => traced as Tiers.Traced<A>))
    }
    if (order > current.order) current.joined++
    return Effect.flatMap(
      asWaiter(state, current, awaitResult(state, request, current, order, true)),
      ({ isCurrent, traced }) => {
        if (!isCurrent) return result(state, request, order, { isShared: true })
        request.cached.counters.coalesced++
        return Effect.succeed({ ...traced, coalesced: true } as Tiers.Traced<A>)
      }
    )
  })

export const make = (options: Options): Effect.Effect<SingleFlight, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { breaker, settings, store } = options
    const state: State = {
      ...options,
      scope: yield* Effect.flatMap(Effect.scope, Scope.fork),
      leases: Loader.makeLeases(store, breaker, settings.loadLeaseMs),
      writer: Tiers.makeWriter(options),
      inProgress: new Map(),
      unconfirmed: new Set(),
      lastOrder: 0
    }
    // A process that ends after its only read still stores the result.
    yield* Effect.addFinalizer(() =>
      CacheClock.boundedFinalizer(
        settings.storeTimeoutMs,
        Effect.forEach([...state.unconfirmed], (flight) => Deferred.await(flight.isCurrent), { discard: true })
      )
    )
    return {
      nextOrder: () => ++state.lastOrder,
      isInProgress: (key) => state.inProgress.has(key),
      result: (request, order, mode = {}) => result(state, request, order, mode),
      start: (request, mode) => Effect.asVoid(startFlight(state, request, { ...mode, isBackground: true })),
      invalidateAll: () => {
        for (const flight of Array.from(state.inProgress.values())) invalidate(state, flight)
      }
    }
  })
