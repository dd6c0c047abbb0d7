/**
 * The time that results live by: that of the monotonic clock, in whole milliseconds. It goes on evenly whatever is done to
 * the wall clock, and on one host it is the same for all processes.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { CacheStoreShape, Found } from "../CacheStore.ts"

export const read = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)

export const now: Effect.Effect<number> = Effect.clockWith((clock) => Effect.sync(() => read(clock)))

const clocks = new WeakMap<Clock.Clock, Clock.Clock>()

/** A clock whose wall time is the monotonic one: for what measures its waits by the wall clock. */
const evenClock = (clock: Clock.Clock): Clock.Clock => {
  const known = clocks.get(clock)
  if (known !== undefined) return known
  const even: Clock.Clock = {
    currentTimeMillisUnsafe: () => read(clock),
    currentTimeMillis: Effect.sync(() => read(clock)),
    currentTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
    currentTimeNanos: clock.monotonicTimeNanos,
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: clock.monotonicTimeNanos,
    sleep: (duration) => clock.sleep(duration)
  }
  clocks.set(clock, even)
  return even
}

/** Something around an effect on a clock that goes on evenly. The effect itself has the clock of the caller. */
export const evenly = <A, E, R, B, E2, R2>(
  effect: Effect.Effect<A, E, R>,
  around: (effect: Effect.Effect<A, E, R>) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, E2, R2> =>
  Effect.clockWith((clock) =>
    Effect.provideService(around(Effect.provideService(effect, Clock.Clock, clock)), Clock.Clock, evenClock(clock))
  )

/** How far two wall clocks may be apart, in milliseconds, without anything being wrong with one of them. */
const tolerance = 60_000

/** With what is between the two clocks. */
const withOffset = <A, E>(use: (offset: number) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.clockWith((clock) => use(Math.round(clock.currentTimeMillisUnsafe() - read(clock))))

/**
 * A store whose times are those of the wall clock, asked with those of the monotonic one. What was stored in the future
 * counts as stored now, and not again and again: it is made stale in the store.
 */
const overWallClock = (store: CacheStoreShape): CacheStoreShape => {
  const taken = (key: string, found: Found, offset: number, now: number): Effect.Effect<Found> => {
    const { entry } = found
    if (entry === undefined) return Effect.succeed(found)
    const ahead = Math.max(0, entry.storedAt - offset - now)
    const back = offset + ahead
    const moved: Found = {
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
        Effect.flatMap(store.get(key, watched, now + offset), (found) => taken(key, found, offset, now))
      ),
    getMany: (requests, now) =>
      withOffset((offset) =>
        Effect.flatMap(store.getMany(requests, now + offset), (all) =>
          Effect.forEach(all, (found, at) => taken(requests[at]!.key, found, offset, now))
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

/** A store that is asked with times of the monotonic clock. */
export const overStore = (store: CacheStoreShape): CacheStoreShape =>
  store.clock === "monotonic" ? store : overWallClock(store)
