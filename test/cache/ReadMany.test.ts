/**
 * Batches of reads, and prefetched reads.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import * as SqlResolver from "effect/sql/SqlResolver"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as Prediction from "../../src/cache/internal/prefetch.ts"
import type { CacheRequest } from "../../src/cache/internal/cachedQuery.ts"
import { QueryCache, read, type QueryCacheOptions } from "../../src/cache/QueryCache.ts"
import * as Dependency from "../../src/query/Dependency.ts"
import * as Query from "../../src/query/Query.ts"
import { QueryExecutor } from "../../src/query/QueryExecutor.ts"
import * as Kit from "./QueryCacheKit.ts"

interface Counts {
  get: number
  getMany: number
  set: number
}

const counted = (counts: Counts) =>
  Layer.effect(
    CacheStore.CacheStore,
    Effect.map(CacheStore.CacheStore, (store): CacheStore.CacheStoreShape => ({
      ...store,
      get: (...args) => {
        counts.get++
        return store.get(...args)
      },
      getMany: (...args) => {
        counts.getMany++
        return store.getMany(...args)
      },
      set: (...args) => {
        counts.set++
        return store.set(...args)
      }
    }))
  ).pipe(Layer.provide(CacheStore.layerMemory()))

const setup = Effect.gen(function* () {
  const control = Kit.control()
  const { price, set } = Kit.queries(control)
  const executor = yield* QueryExecutor
  const cache = yield* QueryCache
  for (let shop = 0; shop < 10; shop++) yield* executor.mutate(set, { shop, price: shop * 10 })
  return { control, executor, cache, price, set }
})

const shops = (...numbers: ReadonlyArray<number>) => numbers.map((shop) => ({ shop }))

const test = (
  what: string,
  body: (counts: Counts) => Effect.Effect<void, unknown, Kit.Services | Scope.Scope>,
  options: QueryCacheOptions = {}
) => {
  const counts = { get: 0, getMany: 0, set: 0 }
  it.effect(what, () => Effect.provide(body(counts), Kit.layer(options, counted(counts))))
}

describe("getMany", () => {
  test("returns results in the order of the inputs with one read of the store", (counts) =>
    Effect.gen(function* () {
      const { cache, control, price } = yield* setup
      yield* cache.get(price, { shop: 3 })
      const before = { ...counts }
      const found = yield* cache.getMany(price, shops(5, 3, 1, 5, 99))
      assert.deepStrictEqual(
        found.map(({ value }) => value),
        [50, 30, 10, 50, null]
      )
      assert.deepStrictEqual(
        found.map(({ coalesced, tier }) => `${tier}${coalesced ? " coalesced" : ""}`),
        ["source", "memory", "source", "source coalesced", "source"]
      )
      assert.deepStrictEqual([counts.getMany - before.getMany, counts.get - before.get, control.loads], [1, 0, 4])
      const other = yield* Kit.another()
      const stored = yield* other.cache.getMany(price, shops(5, 3, 1))
      assert.deepStrictEqual(
        stored.map(({ tier, value }) => [tier, value]),
        [
          ["store", 50],
          ["store", 30],
          ["store", 10]
        ]
      )
      assert.strictEqual(control.loads, 4)
    }))

  test("reads the store in batches of a hundred", (counts) =>
    Effect.gen(function* () {
      const { cache, control, price } = yield* setup
      const found = yield* cache.getMany(
        price,
        Array.from({ length: 250 }, (_, shop) => ({ shop }))
      )
      assert.lengthOf(found, 250)
      assert.strictEqual(found[7]!.value, 70)
      assert.deepStrictEqual([counts.getMany, control.loads], [3, 250])
    }))

  test("joins a load of another reader", () =>
    Effect.gen(function* () {
      const { cache, control, price } = yield* setup
      const gate = yield* Kit.gate
      control.afterRead = gate.wait
      const one = yield* Effect.forkChild(cache.get(price, { shop: 1 }))
      yield* gate.reached
      control.afterRead = Effect.void
      const many = yield* Effect.forkChild(cache.getMany(price, shops(1, 2)), { startImmediately: true })
      yield* gate.open
      assert.strictEqual((yield* Fiber.join(one)).tier, "source")
      assert.deepStrictEqual(
        (yield* Fiber.join(many)).map(({ coalesced, value }) => [value, coalesced]),
        [
          [10, true],
          [20, false]
        ]
      )
      assert.strictEqual(control.loads, 2)
    }))

  test("sends one statement for a query with a resolver", () =>
    Effect.gen(function* () {
      const { cache } = yield* setup
      const sql = yield* SqlClient.SqlClient
      const batches: Array<number> = []
      const byShop = SqlResolver.findById({
        Id: Schema.Int,
        Result: Schema.Struct({ shop: Schema.Int, price: Schema.Int }),
        ResultId: ({ shop }) => shop,
        execute: (ids) => {
          batches.push(ids.length)
          return sql`SELECT shop, price FROM prices WHERE shop IN ${sql.in(ids)}`
        }
      })
      const load = SqlResolver.request(byShop)
      const batched = Query.make({
        name: "batched",
        input: Schema.Struct({ shop: Schema.Int }),
        result: Schema.Int,
        dependencies: ({ shop }) => [Dependency.make("prices", shop)],
        run: ({ shop }) => Effect.map(Effect.orDie(load(shop)), ({ price }) => price)
      })
      const found = yield* cache.getMany(batched, shops(1, 2, 3, 4))
      assert.deepStrictEqual(
        found.map(({ value }) => value),
        [10, 20, 30, 40]
      )
      assert.deepStrictEqual(batches, [4])
    }))

  test("bypasses the cache in a transaction", (counts) =>
    Effect.gen(function* () {
      const { cache, executor, price, set } = yield* setup
      const sql = yield* SqlClient.SqlClient
      const found = yield* sql.withTransaction(
        Effect.andThen(executor.mutate(set, { shop: 1, price: 11 }), cache.getMany(price, shops(1, 2)))
      )
      assert.deepStrictEqual(
        found.map(({ value, reason: why }) => [value, why]),
        [
          [11, "transaction"],
          [20, "transaction"]
        ]
      )
      assert.strictEqual(counts.set, 0)
    }))

  test("fails with the first failure and stores the loaded results", () =>
    Effect.gen(function* () {
      const { cache, control, price } = yield* setup
      yield* cache.get(price, { shop: 1 })
      control.afterRead = Effect.fail(Kit.failure)
      assert.strictEqual(yield* Effect.flip(cache.getMany(price, shops(1, 2))), Kit.failure)
      control.afterRead = Effect.void
      assert.deepStrictEqual(
        (yield* cache.getMany(price, shops(1, 2))).map(({ tier }) => tier),
        ["memory", "source"]
      )
    }))
})

describe("warm", () => {
  it.effect("loads missing results and ignores failures", () =>
    Effect.gen(function* () {
      const { cache, control, price } = yield* setup
      control.afterRead = Effect.suspend(() => (control.loads === 2 ? Effect.fail(Kit.failure) : Effect.void))
      yield* cache.warm(shops(1, 2, 3).map((input) => read(price, input)))
      control.afterRead = Effect.void
      const found = yield* cache.getMany(price, shops(1, 2, 3))
      assert.deepStrictEqual(
        found.map(({ tier }) => tier),
        ["memory", "source", "memory"]
      )
    }).pipe(Effect.provide(Kit.layer()))
  )
})

const asked = (key: string) => ({ key }) as unknown as CacheRequest<any, any>

const observe = (prediction: Prediction.Prefetch, sequence: string, keys: string) =>
  [...keys].map((key) => prediction.observe(sequence, asked(key))?.key ?? "-").join("")

describe("prefetch", () => {
  it("expects a read that followed at least twice and every second time", () => {
    const prediction = Prediction.make()
    assert.strictEqual(observe(prediction, "1", "ababa"), "----b")
    // A newer follower replaces an older one once it is as frequent.
    assert.strictEqual(observe(prediction, "2", "acacac"), "b-b--a")
    assert.strictEqual(prediction.observe("3", asked("a"))?.key, "c")
  })

  it("distinguishes sequences", () => {
    const prediction = Prediction.make()
    for (let i = 0; i < 5; i++) {
      observe(prediction, "one", "ab")
      observe(prediction, "two", "cd")
    }
    assert.strictEqual(prediction.observe("three", asked("a"))?.key, "b")
    assert.strictEqual(prediction.observe("four", asked("c"))?.key, "d")
  })

  it("forgets old reads", () => {
    const prediction = Prediction.make()
    observe(prediction, "1", "abab")
    for (let i = 0; i < 600; i++) prediction.observe("2", asked(`other ${i}`))
    assert.isUndefined(prediction.observe("3", asked("a")))
  })

  it.effect("loads the next read ahead and counts used and unused results", () =>
    Effect.gen(function* () {
      const { cache, control, executor, price, set } = yield* setup
      const session = Effect.gen(function* () {
        yield* cache.get(price, { shop: 1 })
        yield* Effect.yieldNow.pipe(Effect.repeat({ times: 20 }))
        yield* cache.get(price, { shop: 2 })
      }).pipe(Effect.withSpan("session"))
      const write = (shop: number) => executor.mutate(set, { shop, price: 1 })
      for (let i = 0; i < 3; i++) {
        yield* session
        yield* Effect.andThen(write(1), write(2))
      }
      const loads = control.loads
      yield* cache.get(price, { shop: 1 }).pipe(Effect.withSpan("session"))
      yield* Effect.yieldNow.pipe(Effect.repeat({ times: 20 }))
      assert.strictEqual(control.loads, loads + 2)
      assert.strictEqual((yield* cache.get(price, { shop: 2 })).tier, "memory")
      assert.strictEqual(control.loads, loads + 2)
      yield* Effect.andThen(write(1), write(2))
      yield* cache.get(price, { shop: 1 }).pipe(Effect.withSpan("session"))
      yield* Effect.yieldNow.pipe(Effect.repeat({ times: 20 }))
      yield* write(2)
      const { prefetch } = yield* cache.stats
      assert.deepStrictEqual([prefetch.loaded - prefetch.used, prefetch.unused], [1, 1])
    }).pipe(Effect.provide(Kit.layer({ prefetch: true })))
  )
})
