import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as TestClock from "effect/testing/TestClock"
import * as Tracer from "effect/Tracer"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import { canonical, fingerprint } from "../../src/cache/internal/cacheKey.ts"
import { policy, QueryCache } from "../../src/cache/QueryCache.ts"
import * as Dependency from "../../src/query/Dependency.ts"
import * as Query from "../../src/query/Query.ts"
import { QueryExecutor } from "../../src/query/QueryExecutor.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Kit from "./QueryCacheKit.ts"

const sqliteStore = Layer.unwrap(
  Effect.map(TempFolder.make, (folder) => CacheStore.layerSqlite({ filename: path.join(folder, "cache.db") }))
)

const stores = [
  ["no store", CacheStore.layerNoop],
  ["a store in memory", CacheStore.layerMemory()],
  ["a store in a file", sqliteStore]
] as const

const base = Kit.queries(Kit.control())

const setup = Effect.gen(function* () {
  const control = Kit.control()
  const { price, set, total } = Kit.queries(control)
  const executor = yield* QueryExecutor
  const cache = yield* QueryCache
  const sql = yield* SqlClient.SqlClient
  return {
    control,
    executor,
    cache,
    sql,
    queries: { price, set, total },
    price: (shop: number) => executor.query(price, { shop }),
    traced: (shop: number) => cache.get(price, { shop }),
    set: (shop: number, value: number) => executor.mutate(set, { shop, price: value }),
    total: executor.query(total, {})
  }
})

for (const [name, store] of stores) {
  describe(`QueryCache with ${name}`, () => {
    // oxlint-disable-next-line unicorn/consistent-function-scoping
    const test = (what: string, body: Effect.Effect<void, unknown, Kit.Services | Scope.Scope>, options = {}) =>
      it.effect(what, () => Effect.provide(body, Kit.layer(options, store)))

    test(
      "loads once and stores an empty result too",
      Effect.gen(function* () {
        const { control, price } = yield* setup
        assert.strictEqual(yield* price(1), null)
        assert.strictEqual(yield* price(1), null)
        assert.strictEqual(yield* price(2), null)
        assert.strictEqual(control.loads, 2)
      })
    )

    test(
      "does not store an error",
      Effect.gen(function* () {
        const { control, price } = yield* setup
        control.afterRead = Effect.fail(Kit.failure)
        assert.strictEqual(yield* Effect.flip(price(1)), Kit.failure)
        control.afterRead = Effect.void
        assert.strictEqual(yield* price(1), null)
        assert.strictEqual(control.loads, 2)
      })
    )

    test(
      "rejects an invalid input as the executor does",
      Effect.gen(function* () {
        const { executor, queries } = yield* setup
        for (const input of [{ shop: 1.5 }, null, { shop: "1" }]) {
          const error = yield* Effect.flip(executor.query(queries.price, input as never))
          assert.strictEqual(error._tag, "SchemaError")
          const refused = yield* Effect.flip(executor.mutate(queries.set, input as never))
          assert.strictEqual(refused._tag, "SchemaError")
        }
      })
    )

    test(
      "invalidates the changes of a mutation and nothing else",
      Effect.gen(function* () {
        const { control, price, set, total } = yield* setup
        yield* price(1)
        yield* price(2)
        yield* total
        yield* set(1, 10)
        assert.strictEqual(control.loads, 3)
        assert.strictEqual(yield* price(2), null)
        assert.strictEqual(control.loads, 3)
        assert.strictEqual(yield* price(1), 10)
        assert.strictEqual(yield* total, 10)
        assert.strictEqual(control.loads, 5)
      })
    )

    test(
      "invalidates nothing after a failed mutation",
      Effect.gen(function* () {
        const { control, price, set } = yield* setup
        yield* price(1)
        yield* Effect.flip(set(1, -1))
        assert.strictEqual(yield* price(1), null)
        assert.strictEqual(control.loads, 1)
      })
    )

    test(
      "stores no load that ran while a mutation committed",
      Effect.gen(function* () {
        const { control, price, set } = yield* setup
        const gate = yield* Kit.gate
        control.afterRead = gate.wait
        const slow = yield* Effect.forkChild(price(1))
        yield* gate.reached
        control.afterRead = Effect.void
        yield* set(1, 10)
        // A read from now on must not be served by the earlier load.
        assert.strictEqual(yield* price(1), 10)
        yield* gate.open
        assert.strictEqual(yield* Fiber.join(slow), null)
        assert.strictEqual(yield* price(1), 10)
        const other = yield* Kit.another()
        assert.strictEqual(yield* other.executor.query(Kit.queries(control).price, { shop: 1 }), 10)
      })
    )

    test(
      "invalidates when the outermost transaction commits, and reads inside it see its writes",
      Effect.gen(function* () {
        const { control, price, set, sql } = yield* setup
        yield* price(1)
        yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* sql.withTransaction(set(1, 10))
            assert.strictEqual(yield* price(1), 10)
            yield* set(1, 11)
            assert.strictEqual(yield* price(1), 11)
          })
        )
        assert.strictEqual(yield* price(1), 11)
        const loads = control.loads
        assert.strictEqual(yield* price(1), 11)
        assert.strictEqual(control.loads, loads)
      })
    )

    test(
      "serves no uncommitted result after a rollback and invalidates no other scope",
      Effect.gen(function* () {
        const { control, price, set, sql } = yield* setup
        yield* set(2, 20)
        yield* price(1)
        yield* price(2)
        const loads = control.loads
        yield* Effect.flip(set(1, -1))
        assert.strictEqual(yield* price(1), null)
        assert.strictEqual(control.loads, loads, "the failure of the mutation itself is a known rollback")
        yield* set(1, 10).pipe(Effect.andThen(Effect.fail("no")), sql.withTransaction, Effect.flip)
        assert.deepStrictEqual([yield* price(1), yield* price(1)], [null, null])
        yield* set(1, 10).pipe(Effect.andThen(Effect.interrupt), sql.withTransaction, Effect.exit)
        assert.deepStrictEqual([yield* price(1), yield* price(1)], [null, null])
        assert.strictEqual(control.loads, loads + 2, "the rollback of the caller's transaction counts as a change")
        yield* sql.withTransaction(set(1, 10).pipe(Effect.andThen(Effect.fail("no")), sql.withTransaction, Effect.flip))
        assert.strictEqual(yield* price(1), null)
        const afterSavepoint = control.loads
        assert.strictEqual(yield* price(2), 20)
        assert.strictEqual(control.loads, afterSavepoint)
      })
    )

    test(
      "shares one load among a hundred concurrent readers",
      Effect.gen(function* () {
        const { cache, control, price } = yield* setup
        const gate = yield* Kit.gate
        control.afterRead = gate.wait
        let asked = 0
        const reader = Effect.suspend(() => {
          asked++
          return price(1)
        })
        const readers = yield* Effect.forkChild(
          Effect.all(
            Array.from({ length: 100 }, () => reader),
            { concurrency: "unbounded" }
          )
        )
        yield* gate.reached
        yield* Effect.yieldNow.pipe(Effect.repeat({ until: () => asked === 100 }))
        yield* gate.open
        assert.strictEqual((yield* Fiber.join(readers)).length, 100)
        assert.strictEqual(control.loads, 1)
        assert.strictEqual((yield* cache.stats).queries["price"]!.coalesced, 99)
      })
    )

    test(
      "interrupts a load only when its last reader leaves",
      Effect.gen(function* () {
        const { control, price } = yield* setup
        const gate = yield* Kit.gate
        const interrupted = yield* Deferred.make<void>()
        const waits = (wait: typeof gate.wait) =>
          Effect.onInterrupt(wait, () => Effect.asVoid(Deferred.succeed(interrupted, undefined)))
        control.afterRead = waits(gate.wait)
        const one = yield* Effect.forkChild(price(1))
        yield* gate.reached
        const two = yield* Effect.forkChild(price(1), { startImmediately: true })
        yield* Fiber.interrupt(one)
        assert.isFalse(Deferred.isDoneUnsafe(interrupted))
        yield* gate.open
        assert.strictEqual(yield* Fiber.join(two), null)

        const next = yield* Kit.gate
        control.afterRead = waits(next.wait)
        const three = yield* Effect.forkChild(price(3))
        yield* next.reached
        yield* Fiber.interrupt(three)
        yield* Deferred.await(interrupted)
      })
    )

    test(
      "invalidates by key, by dependency and by tag; refreshes; clears",
      Effect.gen(function* () {
        const { cache, control, price, queries, sql, total } = yield* setup
        const load = Effect.all([price(1), price(2), total])
        const loadsOf = (effect: Effect.Effect<unknown, unknown>) =>
          Effect.gen(function* () {
            yield* load
            yield* effect
            const before = control.loads
            yield* load
            return control.loads - before
          })
        assert.strictEqual(yield* loadsOf(Effect.void), 0)
        assert.strictEqual(yield* loadsOf(cache.invalidate(queries.price, { shop: 1 })), 1)
        assert.strictEqual(yield* loadsOf(cache.invalidateDependencies([Dependency.make("prices", 2)])), 2)
        assert.strictEqual(yield* loadsOf(cache.invalidateDependencies([Dependency.make("prices")])), 3)
        assert.strictEqual(yield* loadsOf(cache.invalidateDependencies([Dependency.make("other")])), 0)
        assert.strictEqual(yield* loadsOf(cache.invalidateTags(["price-1"])), 1)
        assert.strictEqual(yield* loadsOf(cache.clear), 3)
        yield* sql`INSERT INTO prices VALUES (1, 99)`
        assert.strictEqual(yield* price(1), null)
        assert.strictEqual(yield* cache.refresh(queries.price, { shop: 1 }), 99)
        assert.strictEqual(yield* price(1), 99)
      }),
      { policies: [policy(base.price, { tags: ({ shop }) => [`price-${shop}`] })] }
    )

    test(
      "traces the origin of a result",
      Effect.gen(function* () {
        const { set, sql, traced } = yield* setup
        const why = (shop: number) => Effect.map(traced(shop), ({ reason, tier }) => `${tier}: ${reason}`)
        assert.strictEqual(yield* why(1), "source: miss")
        yield* TestClock.adjust("10 seconds")
        const hit = yield* traced(1)
        assert.deepStrictEqual(hit, {
          value: null,
          tier: "memory",
          age: 10_000,
          stale: false,
          coalesced: false,
          reason: "hit"
        })
        assert.strictEqual(yield* sql.withTransaction(why(1)), "source: transaction")
        yield* set(1, 10)
        assert.match(yield* why(1), /source: (changed|miss)/)
      })
    )

    test(
      "observes the time to live of the cache, the policy, the query and the result",
      Effect.gen(function* () {
        const { control, executor, price, queries, total } = yield* setup
        const short = Query.make({ ...queries.price, name: "short", timeToLive: "2 seconds" })
        const never = Query.make({ ...queries.price, name: "never", timeToLive: 0 })
        const all = Effect.all([
          price(1),
          price(7),
          total,
          executor.query(short, { shop: 1 }),
          executor.query(never, { shop: 1 })
        ])
        yield* all
        const loadsAfter = (duration: Duration.Input) =>
          Effect.gen(function* () {
            yield* TestClock.adjust(duration)
            const before = control.loads
            yield* all
            return control.loads - before
          })
        assert.strictEqual(yield* loadsAfter("999 millis"), 1)
        // The time to live of the policy of `total`.
        assert.strictEqual(yield* loadsAfter("1 millis"), 2)
        // `short`, and `total` again.
        assert.strictEqual(yield* loadsAfter("1 second"), 3)
        // The result of shop 7.
        assert.strictEqual(yield* loadsAfter("8 seconds"), 4)
      }),
      {
        memoryTimeToLive: "1 hour",
        policies: [
          policy(base.total, { timeToLive: "1 second" }),
          policy(base.price, { timeToLive: (_, { shop }) => (shop === 7 ? "10 seconds" : undefined) })
        ]
      }
    )

    test(
      "observes its bounds in memory",
      Effect.gen(function* () {
        const { cache, price } = yield* setup
        for (let shop = 0; shop < 50; shop++) yield* price(shop)
        const { memory } = yield* cache.stats
        assert.strictEqual(memory.entries, 10)
        assert.strictEqual(memory.evictions, 40)
      }),
      { memoryCapacity: 10 }
    )
  })
}

describe("QueryCache with a shared store", () => {
  for (const [name, store] of stores.slice(1)) {
    const test = (what: string, body: Effect.Effect<void, unknown, Kit.Services | Scope.Scope>, options = {}) =>
      it.effect(`${what} (${name})`, () => Effect.provide(body, Kit.layer(options, store)))

    test(
      "serves the first read of a new process from the store and the next from memory",
      Effect.gen(function* () {
        const { control, price, queries } = yield* setup
        yield* price(1)
        yield* TestClock.adjust("1 minute")
        const other = yield* Kit.another()
        const traced = yield* other.cache.get(queries.price, { shop: 1 })
        assert.deepStrictEqual([traced.tier, traced.age], ["store", 60_000])
        assert.strictEqual((yield* other.cache.get(queries.price, { shop: 1 })).tier, "memory")
        assert.strictEqual(control.loads, 1)
      })
    )

    test(
      "reads the store after the time to live in memory",
      Effect.gen(function* () {
        const { control, price, traced } = yield* setup
        yield* price(1)
        yield* TestClock.adjust("5 minutes")
        assert.strictEqual((yield* traced(1)).tier, "store")
        yield* TestClock.adjust("55 minutes")
        assert.strictEqual((yield* traced(1)).tier, "source")
        assert.strictEqual(control.loads, 2)
      })
    )

    test(
      "invalidates the memory of another process after a mutation",
      Effect.gen(function* () {
        const { price, queries, set } = yield* setup
        const other = yield* Kit.another()
        yield* price(1)
        yield* other.executor.query(queries.price, { shop: 1 })
        yield* set(1, 10)
        assert.strictEqual(yield* other.executor.query(queries.price, { shop: 1 }), 10)
        yield* other.executor.mutate(queries.set, { shop: 1, price: 11 })
        assert.strictEqual(yield* price(1), 11)
      })
    )

    test(
      "does not share a load with a read after another process has written",
      Effect.gen(function* () {
        const { control, price, queries } = yield* setup
        const other = yield* Kit.another()
        const gate = yield* Kit.gate
        control.afterRead = gate.wait
        const first = yield* Effect.forkChild(price(1))
        yield* gate.reached
        control.afterRead = Effect.void
        yield* other.executor.mutate(queries.set, { shop: 1, price: 10 })
        const late = yield* Effect.forkChild(price(1), { startImmediately: true })
        yield* gate.open
        assert.strictEqual(yield* Fiber.join(first), null)
        assert.strictEqual(yield* Fiber.join(late), 10)
      })
    )

    test(
      "reads no entries of another result schema",
      Effect.gen(function* () {
        const { control, executor, price, queries } = yield* setup
        yield* price(1)
        const deployed = Query.make({
          ...queries.price,
          result: Schema.NullOr(Schema.Int.check(Schema.isGreaterThan(-1)))
        })
        yield* executor.query(deployed, { shop: 1 })
        assert.strictEqual(control.loads, 2)
      })
    )
  }
})

describe("metrics and spans", () => {
  it.effect("count by query name, time loads, and unregister with the cache", () =>
    Effect.gen(function* () {
      const registry = yield* Metric.MetricRegistry
      const context = Context.make(Metric.MetricRegistry, registry)
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const shown = () =>
        Object.fromEntries(
          Metric.snapshotUnsafe(context).map(({ attributes, id, state }) => [
            attributes === undefined ? id : `${id} ${attributes["query"]}`,
            "count" in state ? state.count : "value" in state ? state.value : undefined
          ])
        )
      yield* Effect.gen(function* () {
        const { price } = yield* setup
        yield* price(1)
        yield* price(1)
        yield* price(1)
        yield* price(2)
      }).pipe(Effect.provide(Kit.layer()), Effect.provideService(Tracer.Tracer, tracer))
      assert.strictEqual(shown()["athena_cache_memory_hits_total price"], undefined)
      yield* Effect.gen(function* () {
        const { price } = yield* setup
        yield* price(1)
        yield* price(1)
        yield* price(1)
        yield* price(2)
        const now = shown()
        assert.strictEqual(now["athena_cache_memory_hits_total price"], 2)
        assert.strictEqual(now["athena_cache_loads_total price"], 2)
        assert.strictEqual(now["athena_cache_memory_entries"], 2)
        assert.strictEqual(now["athena_cache_load price"], 4)
      }).pipe(Effect.provide(Kit.layer()))
      const loads = spans.filter(
        ({ attributes, name }) => name === "QueryCache.load" && attributes.get("query.name") === "price"
      )
      assert.strictEqual(loads.length, 2)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )
})

describe("keys", () => {
  it("distinguish inputs that JSON does not", () => {
    const date = new Date(0)
    const values = [
      date,
      date.toISOString(),
      0,
      -0,
      0n,
      "0",
      NaN,
      null,
      undefined,
      true,
      "true",
      [],
      {},
      [null],
      [undefined],
      ["a,b"],
      ["a", "b"],
      { a: 1 },
      { a: undefined },
      { 'a":1,"b': 1 },
      { a: 1, b: 1 },
      { date },
      { date: date.toISOString() },
      DateTime.makeUnsafe(0),
      DateTime.makeZonedUnsafe(0, { timeZone: "Europe/Berlin" })
    ]
    const keys = values.map((value) => canonical(value))
    assert.strictEqual(new Set(keys).size, values.length)
    assert.notInclude(keys, undefined)
    assert.strictEqual(canonical({ a: 1, b: [2] }), canonical({ b: [2], a: 1 }))
    assert.strictEqual(canonical(new Map()), undefined)
    assert.strictEqual(canonical({ f: () => 1 }), undefined)
  })

  it("change with the schema of the result", () => {
    const schemas = [
      Schema.Struct({ a: Schema.String }),
      Schema.Struct({ a: Schema.DateFromString }),
      Schema.Struct({ a: Schema.Date }),
      Schema.Struct({ a: Schema.optional(Schema.String) }),
      Schema.Struct({ a: Schema.String.check(Schema.isMaxLength(3)) }),
      Schema.Struct({ a: Schema.String.check(Schema.isMaxLength(4)) }),
      Schema.Struct({ a: Schema.String.check(Schema.isPattern(/a/)) }),
      Schema.Struct({ a: Schema.String.check(Schema.isPattern(/b/)) }),
      Schema.Struct({ b: Schema.String }),
      Schema.Array(Schema.String)
    ]
    const prints = schemas.map((schema) => fingerprint(schema as never))
    assert.strictEqual(new Set(prints).size, schemas.length)
    assert.strictEqual(fingerprint(Schema.Struct({ a: Schema.String })), prints[0])
  })
})
