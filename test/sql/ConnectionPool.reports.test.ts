/**
 * What the pool says of itself: warnings and metrics.
 */
import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as References from "effect/References"
import * as Stream from "effect/Stream"
import type * as FakePool from "../utils/FakePool.ts"
import { advance, make as setup, type Options, scoped, settle } from "../utils/FakePool.ts"

const collectLogs = () => {
  const logs: Array<string> = []
  const logger = Logger.make(({ fiber, message }) => {
    logs.push(JSON.stringify([message, fiber.getRef(References.CurrentLogAnnotations)]))
  })
  return { logs, layer: Logger.layer([logger]) }
}

it.effect("reports who holds a connection for long, once, and who waited long for one", () => {
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
      assert.include(logs[0], "held for long")
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

it.effect.each(held)("reports %s that takes long, once, with where it was begun", ([, options, program]) => {
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
      assert.include(logs[0], "held for long")
      assert.include(logs[0], "NightlyReport.rows")
    })
  ).pipe(Effect.provide(layer))
})

it.effect("publishes itself as metrics until it is closed", () =>
  Effect.gen(function* () {
    const values = Effect.map(Metric.snapshot, (all) =>
      Object.fromEntries(
        all
          .filter((metric) => metric.attributes?.["db.client.connection.pool.name"] === "shown")
          .map((metric) => {
            const state = metric.state as { readonly value?: number; readonly count?: number }
            const kind = metric.attributes?.["db.client.connection.state"]
            return [kind === undefined ? metric.id : `${metric.id}:${kind}`, state.value ?? state.count]
          })
      )
    )
    yield* scoped(
      Effect.gen(function* () {
        const { run, sql } = yield* setup({ name: "shown", maxConnections: 2 })
        yield* run("a")
        yield* sql.reserve
        const seen = yield* values
        assert.strictEqual(seen["db.client.connection.count:used"], 1)
        assert.strictEqual(seen["db.client.connection.count:idle"], 0)
        assert.strictEqual(seen["db.client.connection.max"], 2)
        assert.strictEqual(seen["db.client.connection.pending_requests"], 0)
        assert.strictEqual(seen["db.client.connection.timeouts"], 0)
        assert.strictEqual(seen["db.client.connection.wait_time"], 2)
        assert.strictEqual(seen["db.client.connection.use_time"], 1)
        assert.strictEqual(seen["db.client.connection.create_time"], 1)
      })
    )
    assert.deepStrictEqual(yield* values, {})
  }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
)
