import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as QueryCache from "../../src/cache/QueryCache.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as CacheStoreSuite from "../../src/testing/CacheStoreSuite.ts"
import * as Fault from "../../src/testing/Fault.ts"
import * as FaultyStore from "../../src/testing/FaultyStore.ts"
import * as Kit from "../cache/QueryCacheKit.ts"

/** A store as a class, whose operations are not members of its own. */
class Own implements CacheStore.CacheStoreShape {
  readonly #store: CacheStore.CacheStoreShape
  readonly shared = true
  constructor(store: CacheStore.CacheStoreShape) {
    this.#store = store
  }
  generation() {
    return this.#store.generation()
  }
  get stamp() {
    return this.#store.stamp
  }
  get(...args: Parameters<CacheStore.CacheStoreShape["get"]>) {
    return this.#store.get(...args)
  }
  get getMany() {
    return this.#store.getMany
  }
  get set() {
    return this.#store.set
  }
  get expire() {
    return this.#store.expire
  }
  get claim() {
    return this.#store.claim
  }
  get release() {
    return this.#store.release
  }
  get announce() {
    return this.#store.announce
  }
  get resolve() {
    return this.#store.resolve
  }
  get clear() {
    return this.#store.clear
  }
  get clean() {
    return this.#store.clean
  }
  get stats() {
    return this.#store.stats
  }
}

const own = Layer.effect(
  CacheStore.CacheStore,
  Effect.map(CacheStore.CacheStore, (store) => new Own(store))
)

CacheStoreSuite.suite(
  "one without faults, over a store that is a class",
  FaultyStore.layer.pipe(Layer.provide(own), Layer.provide(CacheStore.layerMemory(CacheStoreSuite.bounds)))
)

const overMemory = FaultyStore.layer.pipe(Layer.provide(CacheStore.layerMemory()))

const item: CacheStore.NewEntry = {
  key: "k",
  query: "test",
  value: "0123456789",
  watched: ["a"],
  stamp: "0",
  storedAt: 0,
  freshUntil: 100,
  expiresAt: 100
}

const test = (
  what: string,
  body: (store: CacheStore.CacheStoreShape, faults: FaultyStore.FaultyStore["Service"]) => Effect.Effect<void, unknown>
) =>
  it.effect(what, () =>
    Effect.gen(function* () {
      yield* body(yield* CacheStore.CacheStore, yield* FaultyStore.FaultyStore)
    }).pipe(Effect.provide(overMemory))
  )

describe("FaultyStore", () => {
  test("fails the given number of times, and runs no operation", (store, faults) =>
    Effect.gen(function* () {
      yield* faults.inject(FaultyStore.unavailable, { operations: ["set", "stats"], times: 2 })
      const error = yield* Effect.flip(store.set(item))
      assert.deepStrictEqual([error._tag, error.operation], ["CacheStoreError", "set"])
      assert.strictEqual((yield* store.get("k", ["a"], 0)).entry, undefined)
      assert.strictEqual((yield* Effect.flip(store.stats)).operation, "stats")
      assert.isTrue(yield* store.set(item))
    }))

  test("loses an answer after it has carried the operation out", (store, faults) =>
    Effect.gen(function* () {
      yield* faults.inject(Fault.after(FaultyStore.unavailable), { times: 1 })
      yield* Effect.flip(store.set(item))
      assert.strictEqual((yield* store.get("k", ["a"], 0)).entry?.value, "0123456789")
    }))

  test("is late by the clock of the test, before the operation or after it", (store, faults) =>
    Effect.gen(function* () {
      for (const [fault, entries] of [
        [Fault.delay("80 millis"), 0],
        [Fault.after(Fault.delay("80 millis")), 1]
      ] as const) {
        yield* store.clear
        const stamp = (yield* store.stamp(["a"], 0))!
        yield* faults.inject(fault, { operations: ["set"], times: 1 })
        const fiber = yield* Effect.forkChild(store.set({ ...item, stamp }), { startImmediately: true })
        yield* TestClock.adjust("79 millis")
        assert.strictEqual((yield* store.stats).entries, entries)
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.isTrue(yield* Fiber.join(fiber))
        assert.strictEqual((yield* store.stats).entries, 1)
      }
    }))

  test("never answers, dies, and is well again; what hung goes on hanging", (store, faults) =>
    Effect.gen(function* () {
      yield* faults.inject(Fault.hang)
      const fiber = yield* Effect.forkChild(store.stats, { startImmediately: true })
      yield* TestClock.adjust("1 day")
      yield* faults.inject(Fault.die("defect"))
      assert.isTrue(Exit.hasDies(yield* Effect.exit(store.stats)))
      assert.isUndefined(store.generation())
      yield* faults.heal
      assert.strictEqual((yield* store.stats).entries, 0)
      assert.isDefined(store.generation())
      assert.isUndefined(fiber.pollUnsafe())
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(
        (yield* faults.calls).map(({ outcome }) => outcome),
        ["interrupted", "died", "succeeded"]
      )
    }))

  test("answers damaged entries, one by one and many at once", (store, faults) =>
    Effect.gen(function* () {
      yield* store.set(item)
      yield* faults.inject(FaultyStore.corrupt())
      assert.strictEqual((yield* store.get("k", ["a"], 0)).entry?.value, "01234")
      assert.strictEqual((yield* store.get("none", ["a"], 0)).entry, undefined)
      yield* faults.inject(FaultyStore.corrupt(() => "{"))
      const found = yield* store.getMany([{ key: "k", watched: ["a"] }], 0)
      assert.strictEqual(found[0]?.entry?.value, "{")
      assert.strictEqual((yield* store.stats).entries, 1)
    }))

  test("lets operations wait at a gate, and goes on when it is opened", (store, faults) =>
    Effect.gen(function* () {
      const gate = yield* Fault.gate
      yield* faults.inject(gate.fault, { operations: ["set"] })
      const fiber = yield* Effect.forkChild(store.set(item))
      yield* gate.reached
      assert.strictEqual((yield* store.stats).entries, 0)
      yield* gate.open
      assert.isTrue(yield* Fiber.join(fiber))
    }))

  test("records its calls, and counts them", (store, faults) =>
    Effect.gen(function* () {
      yield* TestClock.setTime(5_000)
      yield* store.get("k", ["a"], 7)
      yield* store.clear
      yield* store.get("l", [], 8)
      assert.deepStrictEqual(yield* faults.calls, [
        { operation: "get", args: ["k", ["a"], 7], startedAt: 5_000, outcome: "succeeded" },
        { operation: "clear", args: [], startedAt: 5_000, outcome: "succeeded" },
        { operation: "get", args: ["l", [], 8], startedAt: 5_000, outcome: "succeeded" }
      ])
      assert.deepStrictEqual(
        [yield* faults.count(), yield* faults.count("get"), yield* faults.count("set", "clear")],
        [3, 2, 1]
      )
      for (let i = 0; i < 10_000; i++) yield* store.clear
      assert.deepStrictEqual([(yield* faults.calls).length, yield* faults.count()], [10_000, 10_003])
    }))
})

describe("QueryCache over a FaultyStore", () => {
  const cached = QueryCache.layer({ memoryTimeToLive: 0 }).pipe(
    Layer.provideMerge(overMemory),
    Layer.provide(QueryExecutor.layerTest({ price: () => 3 }))
  )
  const { price } = Kit.queries(Kit.control())

  it.effect("reads the database while the store is slow or corrupt, and the store afterwards", () =>
    Effect.gen(function* () {
      const cache = yield* QueryCache.QueryCache
      const faults = yield* FaultyStore.FaultyStore
      const get = Effect.map(cache.get(price, { shop: 1 }), ({ tier, value }) => [tier, value])
      yield* faults.inject(Fault.delay("1 hour"), { times: 1 })
      const fiber = yield* Effect.forkChild(get, { startImmediately: true })
      yield* TestClock.adjust("50 millis")
      assert.deepStrictEqual(yield* Fiber.join(fiber), ["source", 3])
      yield* get
      assert.deepStrictEqual(yield* get, ["store", 3])
      yield* faults.inject(FaultyStore.corrupt(() => "{"))
      assert.deepStrictEqual(yield* get, ["source", 3])
      yield* faults.heal
      assert.deepStrictEqual(yield* get, ["store", 3])
    }).pipe(Effect.provide(cached))
  )
})
