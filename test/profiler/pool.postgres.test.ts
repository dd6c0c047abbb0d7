/**
 * The wait for a connection of a real pool, in the report and as measured outside.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { inject } from "vitest"
import * as Profiler from "../../src/profiler/Profiler.ts"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"

const pool = Layer.unwrap(
  Effect.sync(() => {
    const { password, ...server } = inject("postgres")
    return ConnectionPool.layer({
      ...server,
      password: Redacted.make(password),
      database: "postgres",
      maxConnections: 1,
      name: "profiled"
    })
  })
)

describe("profiler and pool", () => {
  it.live("report the same wait for a connection", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { stats } = yield* ConnectionPool.ConnectionPool
      const held = yield* Latch.make()
      const release = yield* Latch.make()
      const holder = yield* Effect.forkChild(
        sql.withTransaction(Effect.andThen(sql`SELECT 'holder'`, Effect.andThen(held.open, release.await)))
      )
      yield* held.await
      const begun = performance.now()
      const waiter = yield* Effect.forkChild(sql`SELECT ${"waiter"}::text AS waiter`)
      yield* Effect.repeat(Effect.andThen(Effect.yieldNow, stats), { until: ({ waiting }) => waiting === 1 })
      const waiting = performance.now()
      yield* Effect.repeat(Effect.yieldNow, { until: () => performance.now() - waiting > 20 })
      const least = performance.now() - waiting
      yield* release.open
      yield* Fiber.join(waiter)
      const most = performance.now() - begun
      yield* Fiber.join(holder)

      const report = yield* Profiler.report
      const found = report.statements.find(({ fingerprint }) => fingerprint.includes("AS waiter"))!
      assert.deepInclude(found, { system: "postgresql", rows: 1 })
      assert.strictEqual(found.wait.count, 1)
      // It waited from before it was seen to wait until after the connection was released, and is over since.
      assert.isAtLeast(found.wait.sum, least)
      assert.isAtMost(found.wall.sum, most)
      assert.closeTo(found.wait.sum + found.execution.sum, found.wall.sum, 1e-6)
      const waits = report.metrics.find(({ name }) => name === "db.client.connection.wait_time")!
      assert.deepInclude(waits.attributes, { "db.client.connection.pool.name": "profiled" })
      assert.strictEqual(waits.value, 2)
      assert.isAtLeast(waits.max!, least / 1_000)
    }).pipe(
      Effect.provide(
        Profiler.layerTracer.pipe(Layer.provideMerge(pool), Layer.provideMerge(Profiler.layer({ level: "deep" })))
      )
    )
  )
})
