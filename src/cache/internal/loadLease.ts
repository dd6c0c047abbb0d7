/**
 * Taking turns with the other processes of the host: where one of them is loading a result, the others wait for the
 * row it stores.
 */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { CacheStoreShape } from "../CacheStore.ts"
import type { StoreBreaker } from "./storeBreaker.ts"
import type { CachedQuery } from "./cachedQuery.ts"
import type { Lookup } from "./lookup.ts"
import * as Time from "./time.ts"

/** What a load takes at least, in milliseconds, for others to wait for it: less than they lose by looking for its end. */
const worthWhile = 5

/** How many leases a process waits for others at most. */
const mostLeases = 3

/** How long a process that waits does nothing, in milliseconds: at first, and at most. */
const firstPause = 2
const longestPause = 25

export interface LoadLeases {
  /**
   * Waits until this process may load, or until there is nothing to load any more. Answers what is known by then, and
   * whether others are kept from loading until `done`.
   */
  readonly take: (
    plan: CachedQuery<any, any>,
    probed: Lookup,
    again: Effect.Effect<Lookup>
  ) => Effect.Effect<{ readonly probed: Lookup; readonly taken: boolean; readonly waited: boolean }>
  readonly done: (storeKey: string | undefined) => Effect.Effect<void>
}

export const make = (store: CacheStoreShape, guard: StoreBreaker, leaseMs: number): LoadLeases => {
  const owner = Buffer.from(SecureRandom.randomBytesUnsafe(12)).toString("base64url")

  const claim = (storeKey: string): Effect.Effect<Option.Option<boolean>> =>
    Effect.flatMap(Time.now, (now) => guard.put("claim", store.claim(storeKey, owner, now, now + leaseMs)))

  const isWorthIt = (plan: CachedQuery<any, any>, { stamp, storeKey, why }: Lookup): boolean =>
    leaseMs > 0 &&
    storeKey !== undefined &&
    stamp !== undefined &&
    why !== "refreshed" &&
    (plan.loadMs === undefined || plan.loadMs >= worthWhile)

  const waiting = (plan: CachedQuery<any, any>, probed: Lookup, again: Effect.Effect<Lookup>) =>
    Effect.gen(function* () {
      let known = probed
      let pause = firstPause
      let waited = false
      const patience = (yield* Time.now) + mostLeases * leaseMs
      while (known.storeKey !== undefined && isWorthIt(plan, known) && (!waited || (yield* Time.now) < patience)) {
        const claimed = yield* claim(known.storeKey)
        if (Option.isNone(claimed)) break
        if (claimed.value) return { probed: known, taken: true, waited }
        waited = true
        yield* Effect.sleep(pause)
        pause = Math.min(pause * 2, longestPause)
        known = yield* again
        if (known.why === "hit") break
      }
      return { probed: known, taken: false, waited }
    })

  return {
    take: (plan, probed, again) =>
      isWorthIt(plan, probed) ? waiting(plan, probed, again) : Effect.succeed({ probed, taken: false, waited: false }),
    done: (storeKey) =>
      storeKey === undefined ? Effect.void : Effect.asVoid(guard.put("release", store.release(storeKey, owner)))
  }
}
