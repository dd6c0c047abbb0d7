import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as QueryCache from "../../src/cache/QueryCache.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as Fault from "../../src/testing/Fault.ts"
import * as FaultyExecutor from "../../src/testing/FaultyExecutor.ts"
import * as Kit from "../cache/QueryCacheKit.ts"

const { price, set, total } = Kit.queries(Kit.control())

const answers = QueryExecutor.layerTest({ price: ({ shop }) => shop * 10, total: () => 7, set: () => undefined })

/** A cache over the faults, with a name for each side. */
const cached = QueryCache.layer({ grace: "10 minutes", memoryTimeToLive: "1 minute", jitter: 0 }).pipe(
  Layer.provideMerge(FaultyExecutor.layer),
  Layer.provide([answers, CacheStore.layerNoop])
)

describe("FaultyExecutor", () => {
  it.effect("fails, hangs and delays the selected queries and counts all", () =>
    Effect.gen(function* () {
      const executor = yield* QueryExecutor.QueryExecutor
      const faults = yield* FaultyExecutor.FaultyExecutor
      yield* faults.inject(FaultyExecutor.unavailable, { operations: ["price"], times: 1 })
      const error = yield* Effect.flip(executor.query(price, { shop: 1 }))
      assert.isTrue(error._tag === "SqlError" && error.reason._tag === "ConnectionError" && error.isRetryable)
      assert.strictEqual(yield* executor.query(price, { shop: 2 }), 20)
      yield* faults.inject(Fault.hang, { operations: ["total"], times: 1 })
      assert.isTrue(
        (yield* Effect.forkChild(executor.query(total, {}), { startImmediately: true })).pollUnsafe() === undefined
      )
      yield* faults.inject(Fault.delay("1 second"), { operations: ["set"] })
      const late = yield* Effect.forkChild(executor.mutate(set, { shop: 1, price: 1 }), { startImmediately: true })
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(late.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(late)
      assert.deepStrictEqual(
        (yield* faults.calls).map(({ args, operation, outcome }) => [operation, args[0], outcome]),
        [
          ["price", { shop: 1 }, "failed"],
          ["price", { shop: 2 }, "succeeded"],
          ["total", {}, "running"],
          ["set", { shop: 1, price: 1 }, "succeeded"]
        ]
      )
    }).pipe(Effect.provide(Layer.provide(FaultyExecutor.layer, answers)))
  )

  it.effect("counts one load for concurrent readers and hides an outage below a cache", () =>
    Effect.gen(function* () {
      const executor = yield* QueryExecutor.QueryExecutor
      const database = yield* FaultyExecutor.FaultyExecutor
      const gate = yield* Fault.gate
      yield* database.inject(gate.fault)
      const readers = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 16 }, () => executor.query(price, { shop: 3 })),
          { concurrency: "unbounded" }
        )
      )
      yield* gate.reached
      yield* gate.open
      assert.deepStrictEqual(new Set(yield* Fiber.join(readers)), new Set([30]))
      assert.strictEqual(yield* database.count("price"), 1)
      yield* TestClock.adjust("2 minutes")
      yield* database.inject(FaultyExecutor.unavailable)
      assert.strictEqual(yield* executor.query(price, { shop: 3 }), 30)
      assert.strictEqual(yield* database.count("price"), 2)
    }).pipe(Effect.provide(cached))
  )
})
