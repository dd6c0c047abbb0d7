/**
 * Loads that several readers share, in a process and in several: whom a load serves, and when another one begins.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import type { QueryCacheOptions } from "../../src/cache/QueryCache.ts"
import { QueryExecutor } from "../../src/query/QueryExecutor.ts"
import * as Kit from "./QueryCacheKit.ts"

const { begin, rest, setup } = Kit

const test = (
  what: string,
  body: Effect.Effect<void, unknown, Kit.Services | Scope.Scope>,
  options: QueryCacheOptions = {},
  store: Layer.Layer<CacheStore.CacheStore> = CacheStore.layerMemory()
) => it.effect(what, () => Effect.provide(body, Kit.layer(options, store)))

/** A store whose stamps can't be read. */
const away = Layer.effect(
  CacheStore.CacheStore,
  Effect.map(CacheStore.CacheStore, (store): CacheStore.CacheStoreShape => {
    const failing = Effect.fail(new CacheStore.CacheStoreError({ operation: "test", cause: new Error("away") }))
    return { ...store, stamp: () => failing, get: () => failing, set: () => failing, generation: () => undefined }
  })
).pipe(Layer.provide(CacheStore.layerMemory()))

describe("readers of one process", () => {
  test(
    "serves reads from before the load, and shares the next load among later ones, while the store is unavailable",
    Effect.gen(function* () {
      const { control, get, loads } = yield* setup
      const [first, second] = [yield* Kit.gate, yield* Kit.gate]
      control.afterRead = first.wait
      const one = yield* begin(get)
      yield* first.reached
      control.afterRead = second.wait
      const others = yield* begin(
        Effect.all(
          Array.from({ length: 50 }, () => get),
          { concurrency: "unbounded" }
        )
      )
      yield* first.open
      yield* Fiber.join(one)
      yield* second.reached
      yield* rest
      assert.strictEqual(yield* loads, 2)
      yield* second.open
      yield* Fiber.join(others)
      assert.strictEqual(yield* loads, 2)
    }),
    { storeBreakerFailures: 1_000_000 },
    away
  )

  test(
    "serves no read after another process's write with an earlier load, whether or not the store is available",
    Effect.gen(function* () {
      const { control, get, sql } = yield* setup
      const gate = yield* Kit.gate
      control.afterRead = gate.wait
      const first = yield* begin(get)
      yield* gate.reached
      control.afterRead = Effect.void
      yield* sql`INSERT INTO prices VALUES (1, 10)`
      const late = yield* begin(get)
      yield* gate.open
      assert.strictEqual((yield* Fiber.join(first)).value, null)
      assert.strictEqual((yield* Fiber.join(late)).value, 10)
    }),
    {},
    away
  )

  test(
    "shares loads during a mutation and stores none of them",
    Effect.gen(function* () {
      const { control, get, loads, queries, sql } = yield* setup
      const executor = yield* QueryExecutor
      const writing = yield* Kit.gate
      const write = yield* begin(
        executor.mutate(
          { ...queries.set, run: (input) => Effect.tap(Effect.orDie(queries.set.run(input)), () => writing.wait) },
          { shop: 1, price: 10 }
        )
      )
      yield* writing.reached
      // The database is one connection, which the writer has: readers wait for it, and for each other.
      const readers = yield* begin(
        Effect.all(
          Array.from({ length: 20 }, () => get),
          { concurrency: "unbounded" }
        )
      )
      yield* writing.open
      yield* Fiber.join(write)
      for (const { value } of yield* Fiber.join(readers)) assert.include([null, 10], value)
      assert.isAtMost(yield* loads, 2)
      control.afterRead = Effect.void
      assert.strictEqual((yield* get).value, 10)
      assert.lengthOf(yield* sql`SELECT * FROM prices`, 1)
    })
  )

  test(
    "returns a loaded result before the store is written",
    Effect.gen(function* () {
      const { get } = yield* setup
      assert.deepInclude(yield* get, { value: null, tier: "source" })
    }),
    {},
    Layer.effect(
      CacheStore.CacheStore,
      Effect.map(CacheStore.CacheStore, (store) => ({ ...store, set: () => Effect.never }))
    ).pipe(Layer.provide(CacheStore.layerMemory()))
  )
})

describe("a stale result", () => {
  const stale: QueryCacheOptions = {
    grace: "10 minutes",
    softTimeout: "100 millis",
    memoryTimeToLive: "1 minute",
    storeTimeToLive: "1 minute"
  }

  /** A load that hangs, with a stale result to serve. */
  const hanging = Effect.gen(function* () {
    const all = yield* setup
    yield* all.get
    yield* TestClock.adjust("1 minute")
    all.control.afterRead = Effect.never
    const first = yield* begin(all.get)
    yield* TestClock.adjust("100 millis")
    assert.deepInclude(yield* Fiber.join(first), { value: null, reason: "slow" })
    return all
  })

  test(
    "is not served to a read that joins a hanging load after another process has written",
    Effect.gen(function* () {
      const { get, queries } = yield* hanging
      const other = yield* Kit.another()
      yield* other.executor.mutate(queries.set, { shop: 1, price: 10 })
      const late = yield* begin(get)
      yield* TestClock.adjust("1 second")
      assert.isUndefined(late.pollUnsafe())
      yield* Fiber.interrupt(late)
    }),
    stale
  )

  test(
    "is not served beyond its grace while a load hangs",
    Effect.gen(function* () {
      const { get } = yield* hanging
      yield* TestClock.adjust("20 seconds")
      assert.deepInclude(
        yield* Effect.andThen(begin(get), (late) => Effect.andThen(TestClock.adjust("100 millis"), Fiber.join(late))),
        {
          reason: "slow"
        }
      )
      yield* TestClock.adjust("4900 millis")
      const late = yield* begin(get)
      yield* TestClock.adjust("1 second")
      assert.isUndefined(late.pollUnsafe())
      yield* Fiber.interrupt(late)
    }),
    { ...stale, grace: "25 seconds" }
  )

  test(
    "is served while a load continues in the background, for at most 30 seconds",
    Effect.gen(function* () {
      const { control, get } = yield* setup
      const ended = yield* Deferred.make<void>()
      yield* get
      yield* TestClock.adjust("1 minute")
      control.afterRead = Effect.onInterrupt(Effect.never, () => Deferred.succeed(ended, undefined))
      const first = yield* begin(get)
      yield* TestClock.adjust("100 millis")
      yield* Fiber.join(first)
      yield* TestClock.adjust("29 seconds")
      assert.isFalse(Deferred.isDoneUnsafe(ended))
      yield* TestClock.adjust("1 second")
      yield* Deferred.await(ended)
      control.afterRead = Effect.void
      assert.strictEqual((yield* get).tier, "source")
    }),
    stale
  )
})

describe("a reader that joins while the store is written", () => {
  it.effect("does not share the load after another process has written", () =>
    Effect.gen(function* () {
      const store = yield* CacheStore.CacheStore
      const gate = yield* Kit.gate
      const slow = Layer.succeed(CacheStore.CacheStore, {
        ...store,
        set: (...args: Parameters<typeof store.set>) => Effect.tap(store.set(...args), () => gate.wait)
      })
      const { queries } = yield* setup
      const [one, other] = [yield* Kit.another({}, slow), yield* Kit.another()]
      const get = one.cache.get(queries.price, { shop: 1 })
      assert.strictEqual((yield* get).value, null)
      yield* gate.reached
      yield* other.executor.mutate(queries.set, { shop: 1, price: 10 })
      const late = yield* begin(get)
      yield* gate.open
      assert.strictEqual((yield* Fiber.join(late)).value, 10)
    }).pipe(Effect.provide(Kit.layer({}, CacheStore.layerMemory())))
  )
})

describe("processes of one host", () => {
  const two = Effect.gen(function* () {
    const all = yield* setup
    const other = yield* Kit.another()
    return { ...all, other: other.cache.get(all.queries.price, { shop: 1 }) }
  })

  test(
    "load one at a time and share the stored entry",
    Effect.gen(function* () {
      const { control, get, other } = yield* two
      const gate = yield* Kit.gate
      control.afterRead = gate.wait
      const first = yield* begin(get)
      yield* gate.reached
      const second = yield* begin(other)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(control.loads, 1)
      yield* gate.open
      yield* Fiber.join(first)
      yield* TestClock.adjust("25 millis")
      assert.deepInclude(yield* Fiber.join(second), { tier: "store", coalesced: true, reason: "hit" })
      assert.strictEqual(control.loads, 1)
    })
  )

  test(
    "load after the first load fails",
    Effect.gen(function* () {
      const { control, get, other } = yield* two
      const gate = yield* Kit.gate
      control.afterRead = Effect.andThen(gate.wait, Effect.fail(Kit.failure))
      const first = yield* begin(Effect.flip(get))
      yield* gate.reached
      const second = yield* begin(other)
      control.afterRead = Effect.void
      yield* gate.open
      yield* Fiber.join(first)
      yield* TestClock.adjust("25 millis")
      assert.deepInclude(yield* Fiber.join(second), { tier: "source", value: null })
      assert.strictEqual(control.loads, 2)
    })
  )

  test(
    "load after the lease of a slow or killed process lapses",
    Effect.gen(function* () {
      const { control, get, other } = yield* two
      control.afterRead = Effect.never
      const first = yield* begin(get)
      const second = yield* begin(other)
      control.afterRead = Effect.void
      yield* TestClock.adjust("999 millis")
      assert.strictEqual(control.loads, 1)
      yield* TestClock.adjust("30 millis")
      assert.deepInclude(yield* Fiber.join(second), { tier: "source" })
      yield* Fiber.interrupt(first)
    })
  )

  test(
    "wait for three leases at most",
    Effect.gen(function* () {
      const { control, queries } = yield* setup
      control.afterRead = Effect.never
      for (let i = 0; i < 6; i++) yield* begin((yield* Kit.another()).cache.get(queries.price, { shop: 1 }))
      yield* TestClock.adjust("2900 millis")
      assert.strictEqual(control.loads, 3)
      yield* TestClock.adjust("200 millis")
      assert.strictEqual(control.loads, 6)
    })
  )

  test(
    "do not wait for short loads, or with a lease of zero",
    Effect.gen(function* () {
      const { cache, control, get, other, queries } = yield* two
      yield* other
      yield* cache.invalidate(queries.price, { shop: 1 })
      control.afterRead = Effect.never
      const first = yield* begin(get)
      control.afterRead = Effect.void
      assert.deepInclude(yield* other, { tier: "source" })
      yield* Fiber.interrupt(first)
      const hasty = yield* Kit.another({ loadLease: 0 })
      yield* cache.invalidate(queries.price, { shop: 1 })
      control.afterRead = Effect.never
      const again = yield* begin(get)
      control.afterRead = Effect.void
      assert.deepInclude(yield* hasty.cache.get(queries.price, { shop: 1 }), { tier: "source" })
      yield* Fiber.interrupt(again)
    })
  )

  test(
    "load immediately when the store fails while they wait",
    Effect.gen(function* () {
      const store = yield* CacheStore.CacheStore
      const { control, get, queries } = yield* setup
      let failing = false
      const failingStore = Layer.succeed(CacheStore.CacheStore, {
        ...store,
        claim: (...args: Parameters<typeof store.claim>) =>
          failing
            ? Effect.fail(new CacheStore.CacheStoreError({ operation: "claim", cause: new Error("away") }))
            : store.claim(...args)
      })
      const other = yield* Kit.another({}, failingStore)
      control.afterRead = Effect.never
      const first = yield* begin(get)
      control.afterRead = Effect.void
      const second = yield* begin(other.cache.get(queries.price, { shop: 1 }))
      failing = true
      yield* TestClock.adjust("25 millis")
      assert.deepInclude(yield* Fiber.join(second), { tier: "source" })
      yield* Fiber.interrupt(first)
    })
  )
})
