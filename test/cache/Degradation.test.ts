/**
 * Every fault of the store: the results of a read and a write, and the recovery of the cache.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import { QueryCache } from "../../src/cache/QueryCache.ts"
import { QueryExecutor } from "../../src/query/QueryExecutor.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Kit from "./QueryCacheKit.ts"

type Operation = "stamp" | "get" | "set" | "announce" | "resolve" | "expire"

const operations: ReadonlyArray<Operation> = ["stamp", "get", "set", "announce", "resolve", "expire"]

interface Fault {
  /** Replaces an operation; none while `undefined`. */
  current: Effect.Effect<never, CacheStore.CacheStoreError> | undefined
  /** The number of calls of the store. */
  asked: number
}

const faulty = (fault: Fault) =>
  Layer.effect(
    CacheStore.CacheStore,
    Effect.map(CacheStore.CacheStore, (store) => {
      const wrapped: Record<string, unknown> = {
        ...store,
        generation: () => (fault.current === undefined ? store.generation() : undefined)
      }
      for (const operation of operations) {
        const own = store[operation] as (...args: ReadonlyArray<unknown>) => Effect.Effect<unknown>
        wrapped[operation] = (...args: ReadonlyArray<unknown>) =>
          Effect.suspend(() => {
            fault.asked++
            return fault.current ?? own(...args)
          })
      }
      return wrapped as unknown as CacheStore.CacheStoreShape
    })
  ).pipe(Layer.provide(CacheStore.layerMemory()))

const faults = {
  fails: Effect.fail(new CacheStore.CacheStoreError({ operation: "test", cause: new Error("disk full") })),
  dies: Effect.die(new Error("a defect")),
  "never answers": Effect.never
}

/** Runs with the time going on, as it does while something waits for a limit. */
const inTime = <A, E, R>(effect: Effect.Effect<A, E, R>, longest: number) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    for (let passed = 0; passed < longest && fiber.pollUnsafe() === undefined; passed += 10) {
      yield* TestClock.adjust("10 millis")
    }
    assert.isDefined(fiber.pollUnsafe(), `no answer within ${longest} ms`)
    return yield* Fiber.join(fiber)
  })

const services = Effect.gen(function* () {
  const control = Kit.control()
  const { price, set } = Kit.queries(control)
  const executor = yield* QueryExecutor
  const cache = yield* QueryCache
  return {
    control,
    cache,
    get: cache.get(price, { shop: 1 }),
    set: (value: number) => executor.mutate(set, { shop: 1, price: value })
  }
})

describe("a store that", () => {
  for (const [name, effect] of Object.entries(faults)) {
    it.effect(`${name}: a read loads from the database within the timeout and stores nothing`, () => {
      const fault: Fault = { current: undefined, asked: 0 }
      return Effect.gen(function* () {
        const { control, get } = yield* services
        yield* get
        fault.current = effect
        for (let i = 0; i < 3; i++) {
          const traced = yield* inTime(get, 120)
          assert.deepStrictEqual([traced.tier, traced.reason], ["source", "unavailable"])
        }
        assert.strictEqual(control.loads, 4)
      }).pipe(Effect.provide(Kit.layer({}, faulty(fault))))
    })

    it.effect(`${name}: opens the breaker after consecutive failures and retries after the reset timeout`, () => {
      const fault: Fault = { current: effect, asked: 0 }
      return Effect.gen(function* () {
        const { get } = yield* services
        for (let i = 0; i < 4; i++) yield* inTime(get, 120)
        const asked = fault.asked
        for (let i = 0; i < 100; i++) yield* get
        assert.strictEqual(fault.asked, asked)
        fault.current = undefined
        yield* TestClock.adjust("5 seconds")
        yield* get
        assert.strictEqual((yield* get).tier, "memory")
      }).pipe(Effect.provide(Kit.layer({}, faulty(fault))))
    })

    it.effect(`${name}: a mutation runs, and no replaced result is served after recovery`, () => {
      const fault: Fault = { current: undefined, asked: 0 }
      return Effect.gen(function* () {
        const { cache, get, set } = yield* services
        const other = yield* Kit.another()
        yield* get
        fault.current = effect
        yield* inTime(set(10), 1_000)
        assert.strictEqual((yield* cache.stats).pendingInvalidations, 2)
        fault.current = undefined
        // The store has not received it; this process does not trust the store.
        assert.strictEqual((yield* inTime(get, 120)).value, 10)
        yield* TestClock.adjust("7 seconds")
        assert.strictEqual((yield* cache.stats).pendingInvalidations, 0)
        assert.strictEqual((yield* get).value, 10)
        const { price } = Kit.queries(Kit.control())
        assert.strictEqual((yield* other.cache.get(price, { shop: 1 })).value, 10)
      }).pipe(Effect.provide(Kit.layer({}, faulty(fault))))
    })

    it.effect(`${name}: a failed write of an entry does not fail the read`, () => {
      const fault: Fault = { current: undefined, asked: 0 }
      return Effect.gen(function* () {
        const { control, get } = yield* services
        control.afterRead = Effect.sync(() => {
          fault.current = effect
        })
        assert.strictEqual((yield* inTime(get, 200)).tier, "source")
      }).pipe(Effect.provide(Kit.layer({}, faulty(fault))))
    })
  }
})

const withFile = (what: string, body: (filename: string) => Effect.Effect<void, unknown, Kit.Services>) =>
  it.live(what, () =>
    Effect.flatMap(TempFolder.make, (folder) => {
      const filename = path.join(folder, "cache.db")
      return Effect.provide(
        body(filename),
        Kit.layer(
          { storeBreakerResetTimeout: "10 millis" },
          CacheStore.layerSqlite({ filename, busyTimeout: "5 millis" })
        )
      )
    })
  )

describe("a store file that", () => {
  withFile("is a folder: reads and writes go to the database", (filename) =>
    Effect.gen(function* () {
      fs.mkdirSync(filename)
      const { get, set } = yield* services
      assert.strictEqual((yield* get).reason, "unavailable")
      yield* set(10)
      assert.strictEqual((yield* get).value, 10)
      fs.rmdirSync(filename)
      // After its recovery the store receives the missed invalidations.
      const again = Effect.andThen(Effect.sleep("20 millis"), get)
      yield* Effect.repeat(again, { until: ({ tier }) => tier === "memory" })
    })
  )

  withFile("is locked by another process: reads go to the database", (filename) =>
    Effect.gen(function* () {
      const { get, set } = yield* services
      yield* get
      const other = new DatabaseSync(filename)
      other.exec("BEGIN IMMEDIATE")
      yield* set(10)
      assert.strictEqual((yield* get).value, 10)
      other.exec("ROLLBACK")
      other.close()
    })
  )

  withFile("is damaged while it is open: it is set aside and made anew", (filename) =>
    Effect.gen(function* () {
      const { cache, get } = yield* services
      yield* get
      const damage = new DatabaseSync(filename)
      damage.exec("PRAGMA wal_checkpoint(TRUNCATE)")
      damage.close()
      fs.writeFileSync(filename, Buffer.alloc(fs.statSync(filename).size, 7))
      for (let i = 0; i < 20; i++) {
        assert.strictEqual((yield* get).value, null)
        yield* cache.invalidate(Kit.queries(Kit.control()).price, { shop: 1 })
        yield* Effect.sleep("5 millis")
      }
      const files = fs.readdirSync(path.dirname(filename))
      assert.isAbove(files.filter((name) => name.includes(".damaged-")).length, 0)
      assert.isDefined((yield* cache.stats).store)
    })
  )

  withFile("holds a row that can't be decoded: it is loaded anew", (filename) =>
    Effect.gen(function* () {
      const { control, get } = yield* services
      yield* get
      const other = new DatabaseSync(filename)
      for (const value of ["not json", '"text"', "{}"]) {
        other.prepare("UPDATE entry SET value = ?").run(value)
        const process = yield* Kit.another()
        const before = control.loads
        const { price } = Kit.queries(control)
        const traced = yield* process.cache.get(price, { shop: 1 })
        assert.deepStrictEqual([traced.tier, traced.value], ["source", null])
        assert.strictEqual(control.loads, before + 1)
      }
      other.close()
    }).pipe(Effect.scoped)
  )
})
