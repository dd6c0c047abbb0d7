/**
 * The warnings and metrics of the pool.
 */
import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import * as Stream from "effect/Stream"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import type * as FakePool from "../utils/FakePool.ts"
import { advance, make as setup, type Options, scoped, settle } from "../utils/FakePool.ts"

const collectLogs = () => {
  const logs: Array<string> = []
  const logger = Logger.make(({ fiber, message }) => {
    logs.push(JSON.stringify([message, fiber.getRef(References.CurrentLogAnnotations)]))
  })
  return { logs, layer: Logger.layer([logger]) }
}

it.effect("logs a possible leak once, and a slow acquire", () => {
  const { layer, logs } = collectLogs()
  return scoped(
    Effect.gen(function* () {
      const { run, sql } = yield* setup({ maxConnections: 1 })
      const release = yield* Deferred.make<void>()
      const holder = yield* sql.reserve.pipe(
        Effect.andThen(Deferred.await(release)),
        Effect.scoped,
        Effect.withSpan("SlowReport.render"),
        Effect.forkChild
      )
      yield* settle
      yield* advance(29_000)
      assert.deepStrictEqual(logs, [])
      yield* advance(2_000)
      yield* advance(60_000)
      assert.strictEqual(logs.length, 1)
      assert.include(logs[0], "possible connection leak")
      assert.include(logs[0], "SlowReport.render")

      const waiter = yield* run("x").pipe(Effect.withSpan("Impatient.ask"), Effect.forkChild)
      yield* advance(1_500)
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(holder)
      yield* Fiber.join(waiter)
      yield* settle
      assert.include(logs.at(-1), "slow acquire")
      assert.include(logs.at(-1), "Impatient.ask")
    })
  ).pipe(Effect.provide(layer))
})

const held: ReadonlyArray<readonly [string, Options, (pool: FakePool.FakePool) => Effect.Effect<unknown, unknown>]> = [
  ["a statement", {}, ({ run }) => run("sleep 100000")],
  ["a statement on a shared connection", { multiplex: true }, ({ run }) => run("sleep 100000")],
  ["a stream", {}, ({ sql }) => Stream.runDrain(sql.unsafe("rows").stream)],
  ["a transaction", {}, ({ run, sql }) => sql.withTransaction(run("sleep 100000"))]
]

it.effect("idles with a lifetime that jitter may reduce to zero", () =>
  scoped(
    Effect.gen(function* () {
      const { core } = yield* setup({ lifetimeJitter: 1, minConnections: 0 })
      let looks = 0
      const now = core.now.bind(core)
      core.now = () => {
        looks++
        return now()
      }
      for (let step = 0; step < 200; step++) yield* advance(5)
      assert.isBelow(looks, 20)
    })
  )
)

it.effect.each(held)("logs a long %s once, with its origin", ([, options, program]) => {
  const { layer, logs } = collectLogs()
  return scoped(
    Effect.gen(function* () {
      const pool = yield* setup({ drainTimeout: 0, ...options })
      yield* pool.run("short")
      yield* advance(10_000)
      yield* program(pool).pipe(Effect.withSpan("NightlyReport.rows"), Effect.forkChild)
      yield* settle
      yield* advance(29_900)
      assert.deepStrictEqual(logs, [])
      yield* advance(200)
      yield* advance(60_000)
      assert.strictEqual(logs.length, 1)
      assert.include(logs[0], "possible connection leak")
      assert.include(logs[0], "NightlyReport.rows")
    })
  ).pipe(Effect.provide(layer))
})

/** The metrics of pools as they stand, by pool, name, and state or reason. */
const published = Effect.map(Metric.snapshot, (all) => {
  const pools: Record<string, Record<string, number | bigint | undefined>> = {}
  for (const { attributes, id, state } of all) {
    const pool = attributes?.["db.client.connection.pool.name"]
    if (pool === undefined) continue
    const kind = attributes?.["db.client.connection.state"] ?? attributes?.["db.client.connection.close_reason"]
    const seen = state as { readonly value?: number; readonly count?: number }
    pools[pool] ??= {}
    pools[pool][[id.replace("db.client.connection.", ""), ...(kind === undefined ? [] : [kind])].join(":")] =
      seen.value ?? seen.count
  }
  return pools
})

it.effect("publishes metrics until it is closed", () =>
  Effect.gen(function* () {
    yield* scoped(
      Effect.gen(function* () {
        const { run, sql } = yield* setup({ name: "shown", maxConnections: 2 })
        yield* run("a")
        yield* sql.reserve
        yield* Effect.forkChild(run("sleep 1000").pipe(ConnectionPool.withDeadline("100 millis"), Effect.ignore))
        yield* settle
        yield* Effect.forkChild(Effect.ignore(run("waits")))
        yield* settle
        const { shown } = yield* published
        assert.deepInclude(shown, {
          "count:used": 2,
          "count:idle": 0,
          max: 2,
          "idle.max": 2,
          "idle.min": 1,
          pending_requests: 1,
          created: 2,
          create_time: 2,
          wait_time: 3,
          use_time: 1,
          timeouts: 0
        })
        yield* advance(1_000)
        const later = (yield* published)["shown"]
        assert.deepInclude(later, {
          pending_requests: 0,
          created: 3,
          query_timeouts: 1,
          "closed:cancelled": 1,
          "closed:idle": 0,
          use_time: 3
        })
      })
    )
    assert.deepStrictEqual(yield* published, {})
  }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
)

it.effect("names two pools of one database differently, and removes the metrics of each", () =>
  Effect.gen(function* () {
    const options: Options = { database: "orders" }
    yield* scoped(
      Effect.gen(function* () {
        const first = yield* setup({ ...options, maxConnections: 2 })
        yield* scoped(
          Effect.gen(function* () {
            const second = yield* setup({ ...options, maxConnections: 7 })
            yield* second.run("a")
            yield* second.sql.reserve
            const pools = yield* published
            assert.deepInclude(pools["fake:5432/orders"], { max: 2, "count:used": 0 })
            assert.deepInclude(pools["fake:5432/orders#2"], { max: 7, "count:used": 1 })
          })
        )
        yield* first.run("b")
        assert.deepStrictEqual(Object.keys(yield* published), ["fake:5432/orders"])
      })
    )
    assert.deepStrictEqual(yield* published, {})
  }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
)
