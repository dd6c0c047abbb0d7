import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as SqlClient from "effect/sql/SqlClient"
import * as TestClock from "effect/testing/TestClock"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import { QueryCache, type QueryCacheOptions } from "../../src/cache/QueryCache.ts"
import { QueryExecutor } from "../../src/query/QueryExecutor.ts"
import * as Kit from "./QueryCacheKit.ts"

const setup = Effect.gen(function* () {
  const control = Kit.control()
  const { price, set } = Kit.queries(control)
  const executor = yield* QueryExecutor
  const cache = yield* QueryCache
  const sql = yield* SqlClient.SqlClient
  return {
    control,
    cache,
    get: cache.get(price, { shop: 1 }),
    expire: cache.expire(price, { shop: 1 }),
    refresh: cache.refresh(price, { shop: 1 }),
    /** Changes the database behind the back of the cache. */
    change: (value: number) => sql`INSERT OR REPLACE INTO prices VALUES (1, ${value})`,
    set: (value: number) => executor.mutate(set, { shop: 1, price: value })
  }
})

const brief = Effect.map(
  ({ tier, reason, stale, value }: { tier: string; stale: boolean; value: number | null; reason: string }) =>
    `${value} ${stale ? "stale" : "fresh"} ${tier} ${reason}`
)

for (const [name, store] of [
  ["no store", CacheStore.layerNoop],
  ["a store", CacheStore.layerMemory()]
] as const) {
  describe(`grace, with ${name}`, () => {
    // oxlint-disable-next-line unicorn/consistent-function-scoping
    const test = (what: string, options: QueryCacheOptions, body: Effect.Effect<void, unknown, Kit.Services>) =>
      it.effect(what, () =>
        Effect.provide(
          body,
          Kit.layer({ memoryTimeToLive: "1 minute", storeTimeToLive: "1 minute", ...options }, store)
        )
      )

    test(
      "serves the stale result of a failing database without another load for the backoff",
      { grace: "10 minutes", backoff: "20 seconds" },
      Effect.gen(function* () {
        const { change, control, get } = yield* setup
        yield* get
        yield* change(5)
        yield* TestClock.adjust("1 minute")
        control.afterRead = Effect.fail(Kit.failure)
        assert.strictEqual(yield* brief(get), "null stale memory failed")
        assert.strictEqual(control.loads, 2)
        yield* TestClock.adjust("19 seconds")
        assert.strictEqual(yield* brief(get), "null stale memory failed")
        assert.strictEqual(control.loads, 2)
        yield* TestClock.adjust("1 second")
        control.afterRead = Effect.void
        assert.strictEqual(yield* brief(get), "5 fresh source expired")
      })
    )

    test(
      "fails after the grace of a failing database",
      { grace: "10 minutes" },
      Effect.gen(function* () {
        const { control, get } = yield* setup
        yield* get
        yield* TestClock.adjust("11 minutes")
        control.afterRead = Effect.fail(Kit.failure)
        assert.strictEqual(yield* Effect.flip(get), Kit.failure)
      })
    )

    test(
      "does not serve a stale result to a refresh",
      { grace: "10 minutes", softTimeout: "1 second" },
      Effect.gen(function* () {
        const { control, get, refresh } = yield* setup
        yield* get
        control.afterRead = Effect.fail(Kit.failure)
        assert.strictEqual(yield* Effect.flip(refresh), Kit.failure)
        assert.strictEqual(yield* brief(get), "null fresh memory hit")
      })
    )

    test(
      "never serves a changed result within its grace",
      { grace: "10 minutes", softTimeout: 0 },
      Effect.gen(function* () {
        const { control, get, set } = yield* setup
        yield* get
        yield* set(5)
        control.afterRead = Effect.fail(Kit.failure)
        assert.strictEqual(yield* Effect.flip(get), Kit.failure)
        control.afterRead = Effect.void
        assert.strictEqual((yield* get).value, 5)
      })
    )

    test(
      "serves a stale result after softTimeout and stores the late result",
      { grace: "10 minutes", softTimeout: "100 millis" },
      Effect.gen(function* () {
        const { change, control, get } = yield* setup
        yield* get
        yield* change(5)
        yield* TestClock.adjust("1 minute")
        const gate = yield* Kit.gate
        control.afterRead = gate.wait
        const reader = yield* Effect.forkChild(brief(get))
        yield* gate.reached
        yield* TestClock.adjust("99 millis")
        assert.isUndefined(reader.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* Fiber.join(reader), "null stale memory slow")
        yield* gate.open
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* brief(get), "5 fresh memory hit")
        assert.strictEqual(control.loads, 2)
      })
    )

    test(
      "serves immediately with a softTimeout of zero and loads in the background",
      { grace: "10 minutes", softTimeout: 0 },
      Effect.gen(function* () {
        const { change, control, expire, get } = yield* setup
        yield* get
        yield* change(5)
        yield* expire
        const gate = yield* Kit.gate
        control.afterRead = gate.wait
        const reader = yield* Effect.forkChild(brief(get), { startImmediately: true })
        yield* TestClock.adjust(0)
        assert.strictEqual(yield* Fiber.join(reader), "null stale memory slow")
        yield* gate.open
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* brief(get), "5 fresh memory hit")
      })
    )

    test(
      "ignores softTimeout without a stale result and fails with a typed error at hardTimeout",
      { grace: "10 minutes", softTimeout: 0, hardTimeout: "1 second" },
      Effect.gen(function* () {
        const { control, get } = yield* setup
        control.afterRead = Effect.never
        const reader = yield* Effect.forkChild(Effect.flip(get), { startImmediately: true })
        yield* TestClock.adjust("999 millis")
        assert.isUndefined(reader.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        const error = yield* Fiber.join(reader)
        assert.strictEqual(error._tag === "SqlError" ? error.reason._tag : "", "StatementTimeoutError")
      })
    )

    test(
      "removes an expired result without a grace",
      {},
      Effect.gen(function* () {
        const { change, control, expire, get } = yield* setup
        yield* get
        yield* change(5)
        yield* expire
        control.afterRead = Effect.fail(Kit.failure)
        assert.strictEqual(yield* Effect.flip(get), Kit.failure)
        control.afterRead = Effect.void
        assert.strictEqual((yield* get).value, 5)
      })
    )

    test(
      "refreshes early in the background on a read",
      { earlyRefresh: 0.5 },
      Effect.gen(function* () {
        const { change, control, get } = yield* setup
        yield* get
        yield* change(5)
        yield* TestClock.adjust("29 seconds")
        assert.strictEqual(yield* brief(get), "null fresh memory hit")
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* brief(get), "null fresh memory hit")
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* brief(get), "5 fresh memory hit")
        assert.strictEqual(control.loads, 2)
        yield* TestClock.adjust("29 seconds")
        assert.strictEqual(control.loads, 2)
      })
    )

    test(
      "reduces times to live randomly by the jitter",
      { jitter: 0.5 },
      Effect.gen(function* () {
        const { control } = yield* setup
        const executor = yield* QueryExecutor
        const { price } = Kit.queries(control)
        const all = Effect.forEach(
          Array.from({ length: 40 }, (_, shop) => shop),
          (shop) => executor.query(price, { shop })
        )
        yield* all
        const before = control.loads
        yield* TestClock.adjust("29 seconds")
        yield* all
        assert.strictEqual(control.loads, before)
        yield* TestClock.adjust("16 seconds")
        yield* all
        assert.isAbove(control.loads, before)
        assert.isBelow(control.loads, before + 40)
      })
    )
  })
}
