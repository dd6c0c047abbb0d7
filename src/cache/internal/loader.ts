/** Loads from the database: with a timeout, and once at a time per result across the processes of a host. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { SqlError, StatementTimeoutError } from "effect/sql/SqlError"
import { randomId } from "../../internal/randomId.ts"
import type { QueryError } from "../../query/Query.ts"
import type { QueryExecutor } from "../../query/QueryExecutor.ts"
import * as CacheClock from "./cacheClock.ts"
import type { CachedQuery, CacheRequest } from "./cachedQuery.ts"
import { unlimited } from "./settings.ts"
import type { StoreBreaker } from "./storeBreaker.ts"
import type { CacheStoreShape } from "./storeModel.ts"
import type { Lookup } from "./tiers.ts"

const timedOut = (name: string): SqlError =>
  new SqlError({
    reason: new StatementTimeoutError({
      cause: new Error("hardTimeout of the cache exceeded"),
      message: `${name} exceeded its hardTimeout; raise it, or cache the query with a grace`,
      operation: "query"
    })
  })

/** The weight of the latest load in the average duration. */
const latestWeight = 0.25

export const limited = <A>(
  cached: CachedQuery<any, any>,
  effect: Effect.Effect<A, QueryError>
): Effect.Effect<A, QueryError> =>
  cached.hardMs === unlimited
    ? effect
    : Effect.timeoutOrElse(effect, {
        duration: cached.hardMs,
        orElse: () =>
          Effect.suspend(() => {
            cached.counters.loadFailures++
            return Effect.fail(timedOut(cached.name))
          })
      })

export const load = <I, A>(
  executor: QueryExecutor["Service"],
  { cached, input, query }: CacheRequest<I, A>
): Effect.Effect<A, QueryError> =>
  Effect.gen(function* () {
    cached.counters.loads++
    const startedAt = yield* CacheClock.now
    const value = yield* executor.query(query, input)
    const ms = (yield* CacheClock.now) - startedAt
    cached.loadMs = cached.loadMs === undefined ? ms : cached.loadMs * (1 - latestWeight) + ms * latestWeight
    return value
  }).pipe(
    Effect.tapCause(() =>
      Effect.sync(() => {
        cached.counters.loadFailures++
      })
    ),
    Effect.trackDuration(cached.loadTime),
    Effect.withSpan("QueryCache.load", { attributes: { "query.name": cached.name } })
  )

/** The shortest load, in milliseconds, for which other processes wait: for shorter ones polling costs more. */
const minLoadMs = 5

/** The maximum wait for other processes, in leases. */
const maxLeases = 3

/** The first and the longest pause between two polls, in milliseconds. */
const firstPause = 2
const longestPause = 25

export interface LoadLeases {
  /**
   * Waits for the load lease, or until another process has stored the result. Returns the latest lookup, and whether
   * this process has the lease until `release`.
   */
  readonly acquire: (
    cached: CachedQuery<any, any>,
    lookup: Lookup,
    lookupAgain: Effect.Effect<Lookup>
  ) => Effect.Effect<{ readonly lookup: Lookup; readonly isAcquired: boolean; readonly hasWaited: boolean }>
  readonly release: (storeKey: string | undefined) => Effect.Effect<void>
}

export const makeLeases = (store: CacheStoreShape, breaker: StoreBreaker, leaseMs: number): LoadLeases => {
  const owner = randomId()

  const claim = (storeKey: string): Effect.Effect<Option.Option<boolean>> =>
    Effect.flatMap(CacheClock.now, (now) => breaker.write("claim", store.claim(storeKey, owner, now, now + leaseMs)))

  const isLeased = (cached: CachedQuery<any, any>, { reason, stamp, storeKey }: Lookup): boolean =>
    leaseMs > 0 &&
    storeKey !== undefined &&
    stamp !== undefined &&
    reason !== "refreshed" &&
    (cached.loadMs === undefined || cached.loadMs >= minLoadMs)

  const polling = (cached: CachedQuery<any, any>, first: Lookup, lookupAgain: Effect.Effect<Lookup>) =>
    Effect.gen(function* () {
      let lookup = first
      let pause = firstPause
      let hasWaited = false
      const deadline = (yield* CacheClock.now) + maxLeases * leaseMs
      while (
        lookup.storeKey !== undefined &&
        isLeased(cached, lookup) &&
        (!hasWaited || (yield* CacheClock.now) < deadline)
      ) {
        const claimed = yield* claim(lookup.storeKey)
        if (Option.isNone(claimed)) break
        if (claimed.value) return { lookup, isAcquired: true, hasWaited }
        hasWaited = true
        yield* Effect.sleep(pause)
        pause = Math.min(pause * 2, longestPause)
        lookup = yield* lookupAgain
        if (lookup.reason === "hit") break
      }
      return { lookup, isAcquired: false, hasWaited }
    })

  return {
    acquire: (cached, lookup, lookupAgain) =>
      isLeased(cached, lookup)
        ? polling(cached, lookup, lookupAgain)
        : Effect.succeed({ lookup, isAcquired: false, hasWaited: false }),
    release: (storeKey) =>
      storeKey === undefined ? Effect.void : Effect.asVoid(breaker.write("release", store.release(storeKey, owner)))
  }
}
