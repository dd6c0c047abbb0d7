import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { LockTimeoutError, SqlError } from "effect/sql/SqlError"
import * as TestClock from "effect/testing/TestClock"
import * as SqliteBackend from "../../src/host/sqliteBackend.ts"
import * as Query from "../../src/query/Query.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"

const query = Query.make({
  name: "locked",
  input: Schema.Void,
  result: Schema.Number,
  dependencies: () => [],
  run: () => Effect.succeed(0)
})

const locked = new SqlError({ reason: new LockTimeoutError({ cause: undefined, message: "locked", operation: "x" }) })

const ask = QueryExecutor.QueryExecutor.use((executor) => executor.query(query, undefined))

const over = (answer: () => Effect.Effect<number, SqlError>) =>
  SqliteBackend.layerLockRetry.pipe(Layer.provide(QueryExecutor.layerTest({ locked: answer })))

describe("waiting for a lock", () => {
  it.effect("waits until the lock is free", () => {
    let attempts = 0
    return Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(ask)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(fiber), 7)
      assert.strictEqual(attempts, 10)
    }).pipe(
      Effect.provide(over(() => Effect.suspend(() => (++attempts < 10 ? Effect.fail(locked) : Effect.succeed(7)))))
    )
  })

  it.effect("attempts one lock at a time, because each blocks the thread", () => {
    let attempts = 0
    return Effect.gen(function* () {
      const fibers = yield* Effect.forEach(Array.from({ length: 20 }), () => Effect.forkChild(Effect.exit(ask)))
      yield* TestClock.adjust("30 millis")
      // Each has tried once, and one of them since.
      assert.isBelow(attempts, 20 + 20)
      yield* Fiber.interruptAll(fibers)
    }).pipe(
      Effect.provide(
        over(() =>
          Effect.suspend(() => {
            attempts++
            return Effect.fail(locked)
          })
        )
      )
    )
  })

  it.effect("times out", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Effect.flip(ask))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), locked)
    }).pipe(Effect.provide(over(() => Effect.fail(locked))))
  )
})
