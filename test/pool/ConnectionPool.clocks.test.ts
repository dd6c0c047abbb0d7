/**
 * The pool on a real server under a clock that jumps, and its start.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import type { SqlError } from "effect/sql/SqlError"
import * as TestClock from "effect/testing/TestClock"
import { inject } from "vitest"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import { freePort } from "../utils/freePort.ts"

const poolOn = (options: Partial<ConnectionPool.ConnectionPoolOptions> = {}) => {
  const server = inject("postgres")
  return ConnectionPool.make({ ...server, password: Redacted.make(server.password), database: "postgres", ...options })
}

const reasonOf = (error: SqlError) => Option.getOrThrow(ConnectionPool.fromSqlError(error)).reason

it.effect("fails no statement, validation or connect when the program's clock jumps", () =>
  Effect.gen(function* () {
    const { client: sql, stats } = yield* poolOn({ validationWindow: 0, acquireTimeout: "30 seconds" })
    const ask = sql<{ n: number }>`SELECT 42 AS n, pg_sleep(0.01)`
    const asking = yield* Effect.forkChild(
      Effect.forEach(Array.from({ length: 60 }), (_, index) => (index % 3 === 0 ? sql.withTransaction(ask) : ask), {
        concurrency: 6
      })
    )
    while (asking.pollUnsafe() === undefined) yield* TestClock.adjust("31 minutes")
    assert.strictEqual((yield* Fiber.join(asking)).length, 60)
    const { closed, exhausted, timedOut, unavailable } = yield* stats
    assert.deepStrictEqual([exhausted, unavailable, timedOut], [0, 0, 0])
    assert.deepStrictEqual([closed.validation, closed.lost, closed.lifetime, closed.idle], [0, 0, 0, 0])
  }).pipe(Effect.scoped, Effect.provide(Reactivity.layer))
)

it.effect(
  "deadlines pass on a clock that stands still, and one that has passed on the program's clock has passed",
  () =>
    Effect.gen(function* () {
      const { client: sql } = yield* poolOn({ maxConnections: 1 })
      const late = yield* sql`SELECT pg_sleep(60)`.pipe(ConnectionPool.withDeadline("100 millis"), Effect.flip)
      assert.strictEqual(reasonOf(late as SqlError)._tag, "QueryTimeout")
      const over = yield* TestClock.adjust("2 seconds").pipe(
        Effect.andThen(sql`SELECT 1`),
        ConnectionPool.withDeadline("1 second"),
        Effect.flip
      )
      assert.strictEqual(reasonOf(over as SqlError)._tag, "QueryTimeout")
    }).pipe(Effect.scoped, Effect.provide(Reactivity.layer))
)

it.live("opens a connection with failFast, or fails with the reason", () =>
  Effect.gen(function* () {
    const { stats } = yield* poolOn({ failFast: true, minConnections: 0 })
    assert.strictEqual((yield* stats).created, 1)
    const port = yield* Effect.promise(freePort)
    const error = yield* Effect.flip(poolOn({ failFast: true, port }))
    const reason = reasonOf(error)
    assert.strictEqual(reason._tag === "DatabaseUnavailable" && reason.problem, "refused")
    assert.include(error.message, "ECONNREFUSED")
  }).pipe(Effect.scoped, Effect.provide(Reactivity.layer))
)

it.live("reports the database's health", () =>
  Effect.gen(function* () {
    const { healthCheck } = yield* poolOn()
    yield* healthCheck
    const port = yield* Effect.promise(freePort)
    const { healthCheck: failing } = yield* poolOn({ port })
    assert.strictEqual(reasonOf(yield* Effect.flip(failing))._tag, "DatabaseUnavailable")
  }).pipe(Effect.scoped, Effect.provide(Reactivity.layer))
)

it.live("runs connectionInitSql on open and after a reset, and rejects the session where it fails", () =>
  Effect.gen(function* () {
    const { client: sql } = yield* poolOn({
      maxConnections: 1,
      connectionInitSql: ["SET search_path = mine", "SELECT set_config('app.tenant', 'seven', false)"]
    })
    const settings = sql`SELECT current_setting('search_path') AS path, current_setting('app.tenant') AS tenant`
    const expected = [{ path: "mine", tenant: "seven" }]
    assert.deepStrictEqual(yield* settings, expected)
    yield* sql`SET search_path = theirs`
    assert.deepStrictEqual(yield* settings, expected)
    const { client: failing } = yield* poolOn({ connectionInitSql: "SELEKT 1" })
    const error = yield* Effect.flip(failing`SELECT 1`)
    const reason = reasonOf(error)
    assert.strictEqual(reason._tag === "DatabaseUnavailable" && reason.problem, "rejected")
    assert.isFalse(reason.isRetryable)
    assert.include(error.message, "SELEKT")
  }).pipe(Effect.scoped, Effect.provide(Reactivity.layer))
)
