/**
 * Wall clocks that jump: entries expire after their time to live, neither earlier nor later.
 */
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import type { QueryCacheOptions } from "../../src/cache/QueryCache.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Kit from "./QueryCacheKit.ts"

const day = 24 * 60 * 60 * 1_000

/** A settable wall clock over the even clock of the test. */
const settable = Effect.map(Clock.Clock, (clock) => {
  const shift = { ms: 0 }
  const wall: Clock.Clock = {
    ...clock,
    currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + shift.ms,
    currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + shift.ms),
    currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe() + BigInt(shift.ms) * 1_000_000n,
    currentTimeNanos: Effect.sync(() => clock.currentTimeNanosUnsafe() + BigInt(shift.ms) * 1_000_000n)
  }
  return { wall, setBy: (ms: number) => Effect.sync(() => void (shift.ms = ms)) }
})

/** A store of the wall clock, as one that several hosts share: it sees the times of that. */
const wallStore = Layer.effect(
  CacheStore.CacheStore,
  Effect.map(CacheStore.CacheStore, (store) => ({ ...store, clock: "wall" as const }))
).pipe(Layer.provide(CacheStore.layerMemory()))

const stores = {
  "in memory": Effect.succeed(CacheStore.layerMemory()),
  "in a file": Effect.map(TempFolder.make, (folder) =>
    CacheStore.layerSqlite({ filename: path.join(folder, "cache.db") })
  ),
  "of the wall clock": Effect.succeed(wallStore)
}

const times: QueryCacheOptions = { memoryTimeToLive: "500 millis", storeTimeToLive: "500 millis" }

type SetBy = (ms: number) => Effect.Effect<void>

const test = (
  what: string,
  store: keyof typeof stores,
  body: (setBy: SetBy) => Effect.Effect<void, unknown, Kit.Services | Scope.Scope>,
  options: QueryCacheOptions = times
) =>
  it.effect(`${what}, a store ${store}`, () =>
    Effect.gen(function* () {
      const { setBy, wall } = yield* settable
      yield* body(setBy).pipe(
        Effect.provide(Kit.layer(options, yield* stores[store])),
        Effect.provideService(Clock.Clock, wall)
      )
    })
  )

for (const store of Object.keys(stores) as Array<keyof typeof stores>) {
  describe(`a store ${store}`, () => {
    for (const by of [-day, -3_600_000, 3_600_000, day, 400 * day]) {
      test(`ends a result after its time to live, the clock set by ${by} ms`, store, (setBy) =>
        Effect.gen(function* () {
          const { get } = yield* Kit.setup
          yield* get
          yield* TestClock.adjust("200 millis")
          yield* setBy(by)
          const { age, reason: why } = yield* get
          assert.deepStrictEqual([why, age], ["hit", 200])
          // An entry from the future counts as stored when it is first read.
          if (store === "of the wall clock" && by < 0) {
            yield* TestClock.adjust("501 millis")
            assert.strictEqual((yield* get).tier, "store")
          }
          for (let round = 0; round < 3; round++) {
            yield* TestClock.adjust("501 millis")
            assert.strictEqual((yield* get).tier, "source")
            assert.strictEqual((yield* get).tier, "memory")
          }
        })
      )

      test(`ends results stored while the clock was set by ${by} ms, also for other processes`, store, (setBy) =>
        Effect.gen(function* () {
          const { get, queries } = yield* Kit.setup
          yield* setBy(by)
          yield* get
          yield* setBy(0)
          const read = Effect.fnUntraced(function* () {
            const { cache } = yield* Kit.another(times)
            return (yield* cache.get(queries.price, { shop: 1 })).tier
          })
          // A clock that was behind has stored an entry that is old now.
          if (store !== "of the wall clock" || by > 0) assert.strictEqual(yield* read(), "store")
          let loads = 0
          for (let round = 0; round < 4; round++) {
            yield* TestClock.adjust("501 millis")
            if ((yield* read()) === "source") loads++
          }
          assert.isAtLeast(loads, 3)
        })
      )

      test(`invalidates after a mutation, the clock set by ${by} ms before, within and after`, store, (setBy) =>
        Effect.gen(function* () {
          const { get, queries, set } = yield* Kit.setup
          const { cache } = yield* Kit.another(times)
          const other = cache.get(queries.price, { shop: 1 })
          yield* Effect.all([get, other])
          yield* setBy(by)
          yield* set(1)
          assert.deepStrictEqual([(yield* get).value, (yield* other).value], [1, 1])
          yield* setBy(0)
          yield* set(2)
          assert.deepStrictEqual([(yield* get).value, (yield* other).value], [2, 2])
          assert.strictEqual((yield* other).tier, "memory")
        })
      )
    }
  })
}

describe("a store with an open breaker", () => {
  let failing = false
  const broken = Effect.fail(new CacheStore.CacheStoreError({ operation: "get", cause: new Error("away") }))
  const store = Layer.effect(
    CacheStore.CacheStore,
    Effect.map(CacheStore.CacheStore, (store) => ({
      ...store,
      get: (...args: Parameters<typeof store.get>) => (failing ? broken : store.get(...args))
    }))
  ).pipe(Layer.provide(CacheStore.layerMemory()))

  for (const by of [-day, day]) {
    it.effect(`is retried after the reset timeout, the clock set by ${by} ms`, () =>
      Effect.gen(function* () {
        const { setBy, wall } = yield* settable
        yield* Effect.gen(function* () {
          const { get } = yield* Kit.setup
          failing = true
          for (let i = 0; i < 4; i++) yield* get
          failing = false
          yield* setBy(by)
          assert.strictEqual((yield* get).reason, "unavailable")
          yield* TestClock.adjust("5 seconds")
          yield* get
          assert.strictEqual((yield* get).tier, "memory")
        }).pipe(
          Effect.provide(Kit.layer({ storeBreakerFailures: 3, storeBreakerResetTimeout: "5 seconds" }, store)),
          Effect.provideService(Clock.Clock, wall)
        )
      })
    )
  }
})
