/**
 * The cache as a part of a program: mutations past it, names of queries, invalid options.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as QueryCache from "../../src/cache/QueryCache.ts"
import { QueryExecutor } from "../../src/query/QueryExecutor.ts"
import * as Executor from "../../src/query/QueryExecutor.ts"
import * as Kit from "./QueryCacheKit.ts"

const { price, set } = Kit.queries(Kit.control())

describe("a mutation", () => {
  for (const path of ["the executor under the cache", "the cache"] as const) {
    it.effect(`through ${path} is announced once and invalidates`, () =>
      Effect.gen(function* () {
        const under = yield* QueryExecutor
        let announcements = 0
        const store: CacheStore.CacheStoreShape = yield* Effect.map(CacheStore.CacheStore, (store) => ({
          ...store,
          announce: (...args: Parameters<typeof store.announce>) => {
            announcements++
            return store.announce(...args)
          }
        }))
        const cached = yield* Layer.build(
          QueryCache.layer({ jitter: 0 }).pipe(Layer.provide(Layer.succeed(CacheStore.CacheStore, store)))
        )
        const executor = Context.get(cached, QueryExecutor)
        assert.strictEqual(yield* executor.query(price, { shop: 1 }), null)
        yield* (path === "the cache" ? executor : under).mutate(set, { shop: 1, price: 10 })
        assert.strictEqual(yield* executor.query(price, { shop: 1 }), 10)
        assert.strictEqual(announcements, 1)
      }).pipe(Effect.provide([Executor.layer.pipe(Layer.provide(Kit.database())), CacheStore.layerMemory()]))
    )
  }
})

describe("the name of a query", () => {
  it.effect("logs a warning once if several values share it", () =>
    Effect.gen(function* () {
      const warnings: Array<string> = []
      const logger = Logger.make(({ message }) => void warnings.push(String(message)))
      const cached = yield* Layer.build(Kit.layer()).pipe(Effect.provide(Logger.layer([logger])))
      const executor = Context.get(cached, QueryExecutor)
      for (let i = 0; i < 5; i++) yield* executor.query(Kit.queries(Kit.control()).price, { shop: 1 })
      assert.strictEqual(warnings.length, 1)
      assert.include(warnings[0], 'several Query values are named "price"')
    })
  )
})

describe("an option beyond its bounds", () => {
  const cases: ReadonlyArray<readonly [string, Layer.Layer<any, any>]> = [
    ["memoryCapacity", Kit.layer({ memoryCapacity: 0 })],
    ["jitter", Kit.layer({ jitter: NaN })],
    ['grace of "price"', Kit.layer({ policies: [QueryCache.policy(price, { grace: -1 })] })],
    ["maxBytes", CacheStore.layerMemory({ maxBytes: 1 })],
    ["busyTimeout", CacheStore.layerSqlite({ filename: ":memory:", busyTimeout: "2 seconds" })]
  ]
  for (const [name, layer] of cases) {
    it.effect(`is a defect that names it: ${name}`, () =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(Layer.build(layer))
        const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
        assert.instanceOf(defect, RangeError)
        assert.include(String(defect), name)
      })
    )
  }

  it.effect("is a ConfigError if it comes from the configuration", () =>
    Effect.gen(function* () {
      const layer = CacheStore.layerConfig({
        filename: Config.succeed(":memory:"),
        maxBytes: Config.Int("MAX_BYTES")
      })
      const error = yield* Effect.flip(Layer.build(layer))
      assert.instanceOf(error, Config.ConfigError)
      assert.include(String(error), "maxBytes is 1")
    }).pipe(Effect.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ MAX_BYTES: 1 }))))
  )
})
