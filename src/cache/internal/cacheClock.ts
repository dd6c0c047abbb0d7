/**
 * The clock of the cache: the monotonic clock in whole milliseconds. It is unaffected by changes of the wall clock, and
 * all processes of a host share it.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { CacheStoreShape, LookupResult } from "./storeModel.ts"

export const read = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

export const now: Effect.Effect<number> = Effect.clockWith((clock) => Effect.sync(() => read(clock)))

/**
 * Runs a finalizer with a timeout, interruptibly. The timeout runs on the machine's clock, because a program under test
 * may have stopped its own and must still terminate.
 */
export const boundedFinalizer = (limitMs: number, effect: Effect.Effect<unknown>): Effect.Effect<void> =>
  Effect.flatMap(Clock.Clock, (clock) =>
    Effect.interruptible(Effect.provideService(effect, Clock.Clock, clock)).pipe(
      Effect.timeoutOption(limitMs),
      Effect.provideService(Clock.Clock, Context.get(Context.empty(), Clock.Clock)),
      Effect.asVoid
    )
  )

const monotonicClocks = new WeakMap<Clock.Clock, Clock.Clock>()

/** A clock whose wall time is the monotonic time, for code that measures timeouts by the wall clock. */
const monotonicClock = (clock: Clock.Clock): Clock.Clock => {
  const known = monotonicClocks.get(clock)
  if (known !== undefined) return known
  const monotonic: Clock.Clock = {
    currentTimeMillisUnsafe: () => read(clock),
    currentTimeMillis: Effect.sync(() => read(clock)),
    currentTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
    currentTimeNanos: clock.monotonicTimeNanos,
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: clock.monotonicTimeNanos,
    sleep: (duration) => clock.sleep(duration)
  }
  monotonicClocks.set(clock, monotonic)
  return monotonic
}

/** Runs a wrapper of an effect on the monotonic clock. The effect itself has the clock of the caller. */
export const withMonotonicClock = <A, E, R, B, E2, R2>(
  effect: Effect.Effect<A, E, R>,
  wrap: (effect: Effect.Effect<A, E, R>) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, E2, R2> =>
  Effect.clockWith((clock) =>
    Effect.provideService(wrap(Effect.provideService(effect, Clock.Clock, clock)), Clock.Clock, monotonicClock(clock))
  )

/** The tolerated difference between two wall clocks, in milliseconds. */
const tolerance = 60_000

/** Passes the difference between the wall clock and the monotonic clock. */
const withOffset = <A, E>(use: (offset: number) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.clockWith((clock) => use(Math.round(clock.currentTimeMillisUnsafe() - read(clock))))

/**
 * Adapts a store with wall-clock times. An entry from the future counts as stored now; beyond the tolerance it is made
 * stale in the store, so that this happens once.
 */
const overWallClock = (store: CacheStoreShape): CacheStoreShape => {
  const adjusted = (key: string, found: LookupResult, offset: number, now: number): Effect.Effect<LookupResult> => {
    const { entry } = found
    if (entry === undefined) return Effect.succeed(found)
    const ahead = Math.max(0, entry.storedAt - offset - now)
    const back = offset + ahead
    const moved: LookupResult = {
      ...found,
      entry: {
        ...entry,
        storedAt: entry.storedAt - back,
        freshUntil: entry.freshUntil - back,
        expiresAt: entry.expiresAt - back
      }
    }
    return ahead <= tolerance ? Effect.succeed(moved) : Effect.as(Effect.ignore(store.expire(key, now + offset)), moved)
  }

  return {
    ...store,
    stamp: (watched, now) => withOffset((offset) => store.stamp(watched, now + offset)),
    get: (key, watched, now) =>
      withOffset((offset) =>
        Effect.flatMap(store.get(key, watched, now + offset), (found) => adjusted(key, found, offset, now))
      ),
    getMany: (requests, now) =>
      withOffset((offset) =>
        Effect.flatMap(store.getMany(requests, now + offset), (all) =>
          Effect.forEach(all, (found, at) => adjusted(requests[at]!.key, found, offset, now))
        )
      ),
    set: (entry) =>
      withOffset((offset) =>
        store.set({
          ...entry,
          storedAt: entry.storedAt + offset,
          freshUntil: entry.freshUntil + offset,
          expiresAt: entry.expiresAt + offset
        })
      ),
    expire: (key, now) => withOffset((offset) => store.expire(key, now + offset)),
    announce: (id, changed, until) => withOffset((offset) => store.announce(id, changed, until + offset)),
    resolve: (id, changed, outcome, until) =>
      withOffset((offset) => store.resolve(id, changed, outcome, until + offset)),
    claim: (key, owner, now, until) => withOffset((offset) => store.claim(key, owner, now + offset, until + offset)),
    clean: (now) => withOffset((offset) => store.clean(now + offset))
  }
}

/** Adapts a store to the times of the monotonic clock. */
export const overStore = (store: CacheStoreShape): CacheStoreShape =>
  store.clock === "monotonic" ? store : overWallClock(store)
