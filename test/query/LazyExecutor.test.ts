import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import * as LazyExecutor from "../../src/query/LazyExecutor.ts"
import * as Mutation from "../../src/query/Mutation.ts"
import * as Query from "../../src/query/Query.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"

const one = Query.make({
  name: "one",
  input: Schema.Void,
  result: Schema.Number,
  dependencies: () => [],
  run: () => Effect.succeed(0)
})

const write = Mutation.make({
  name: "write",
  input: Schema.Void,
  changes: () => [],
  run: () => Effect.void
})

const reasonOf = (error: Query.QueryError): ReadonlyArray<string> =>
  error._tag === "SqlError" ? [error.reason._tag, error.reason.message ?? ""] : [error._tag]

const answering = QueryExecutor.layerTest({ one: () => 1 })

const ask = Effect.flatMap(QueryExecutor.QueryExecutor, (executor) => executor.query(one, undefined))

class Broken extends Data.TaggedError("Broken")<{ readonly message: string }> {}

/** Runs every fiber that can continue. */
const turn = Effect.promise(() => new Promise((resolve) => setImmediate(resolve))).pipe(Effect.repeat({ times: 20 }))

/** A database that counts its opens and closes, and fails on demand. */
const database = () => {
  const state = { opened: 0, closed: 0, failing: false, gate: Effect.void as Effect.Effect<void> }
  const layer = Layer.unwrap(
    Effect.gen(function* () {
      state.opened++
      yield* Effect.addFinalizer(() => Effect.sync(() => state.closed++))
      yield* state.gate
      return state.failing ? yield* new Broken({ message: "it is away" }) : answering
    })
  )
  return { state, layer }
}

describe("LazyExecutor", () => {
  it.effect("opens the database once, on first use", () =>
    Effect.gen(function* () {
      const { layer, state } = database()
      yield* Effect.gen(function* () {
        assert.strictEqual(state.opened, 0)
        assert.deepStrictEqual(yield* Effect.all([ask, ask], { concurrency: "unbounded" }), [1, 1])
        assert.strictEqual(yield* ask, 1)
        assert.deepStrictEqual([state.opened, state.closed], [1, 0])
      }).pipe(Effect.provide(LazyExecutor.layer(layer)))
      assert.strictEqual(state.closed, 1)
    })
  )

  it.effect("returns the open failure until retryAfter has passed, then retries", () =>
    Effect.gen(function* () {
      const { layer, state } = database()
      state.failing = true
      yield* Effect.gen(function* () {
        const error = yield* Effect.flip(ask)
        assert.strictEqual(error._tag, "SqlError")
        if (error._tag !== "SqlError") return
        assert.strictEqual(error.reason._tag, "ConnectionError")
        assert.strictEqual(error.reason.message, "it is away")
        assert.instanceOf(error.reason.cause, Broken)
        assert.strictEqual(state.closed, 1)
        yield* Effect.flip(ask)
        assert.strictEqual(state.opened, 1)
        state.failing = false
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* ask, 1)
        assert.strictEqual(state.opened, 2)
      }).pipe(Effect.provide(LazyExecutor.layer(layer)))
    })
  )

  it.effect("does not extend retryAfter when the clock is set back", () =>
    Effect.gen(function* () {
      const { layer, state } = database()
      state.failing = true
      yield* TestClock.adjust("1 hour")
      yield* Effect.gen(function* () {
        yield* Effect.flip(ask)
        state.failing = false
        yield* TestClock.setTime(1_000)
        yield* TestClock.adjust("1 second")
        assert.strictEqual(yield* ask, 1)
      }).pipe(Effect.provide(LazyExecutor.layer(layer)))
    })
  )

  it.effect("continues the open after its first waiter is interrupted", () =>
    Effect.gen(function* () {
      const { layer, state } = database()
      const gate = yield* Deferred.make<void>()
      const begun = yield* Deferred.make<void>()
      state.gate = Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(gate))
      yield* Effect.gen(function* () {
        const first = yield* Effect.forkChild(ask)
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(first)
        assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(first)))
        const second = yield* Effect.forkChild(ask)
        yield* Deferred.succeed(gate, undefined)
        assert.strictEqual(yield* Fiber.join(second), 1)
        assert.strictEqual(state.opened, 1)
      }).pipe(Effect.provide(LazyExecutor.layer(layer)))
    })
  )

  it.effect("reopens a database that is no longer current", () =>
    Effect.gen(function* () {
      const { layer, state } = database()
      let name = 1
      const watch = Effect.sync(() => {
        const opened = name
        return Effect.sync(() => name === opened)
      })
      yield* Effect.gen(function* () {
        yield* ask
        yield* ask
        assert.deepStrictEqual([state.opened, state.closed], [1, 0])
        name++
        assert.deepStrictEqual(yield* Effect.all([ask, ask], { concurrency: "unbounded" }), [1, 1])
        assert.deepStrictEqual([state.opened, state.closed], [2, 1])
      }).pipe(Effect.provide(LazyExecutor.layer(layer, { watch })))
      assert.strictEqual(state.closed, 2)
    })
  )

  it.effect("closes a replaced database only after its users are done", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<number>()
      const queried = yield* Deferred.make<void>()
      const closed: Array<string> = []
      let isCurrent = true
      const layer = Layer.merge(
        QueryExecutor.layerTest({
          one: () => Effect.andThen(Deferred.succeed(queried, undefined), Deferred.await(gate))
        }),
        Layer.effectDiscard(Effect.addFinalizer(() => Effect.sync(() => closed.push("closed"))))
      )
      const watch = Effect.sync(() => {
        isCurrent = true
        return Effect.sync(() => isCurrent)
      })
      yield* Effect.gen(function* () {
        const first = yield* Effect.forkChild(ask)
        yield* Deferred.await(queried)
        isCurrent = false
        const second = yield* Effect.forkChild(ask)
        yield* turn
        assert.deepStrictEqual(closed, [])
        yield* Deferred.succeed(gate, 2)
        assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], [2, 2])
        assert.deepStrictEqual(closed, ["closed"])
      }).pipe(Effect.provide(LazyExecutor.layer(layer, { watch })))
    })
  )

  it.effect("fails a mutation, and an open, of a replaced database", () =>
    Effect.gen(function* () {
      let isCurrent = true
      let isReplaced = false
      const layer = QueryExecutor.layerTest({
        write: () =>
          Effect.sync(() => {
            isCurrent = !isReplaced
          })
      })
      const watch = Effect.sync(() => Effect.sync(() => isCurrent))
      yield* Effect.gen(function* () {
        const executor = yield* QueryExecutor.QueryExecutor
        yield* executor.mutate(write, undefined)
        isReplaced = true
        const errors = [
          yield* Effect.flip(executor.mutate(write, undefined)),
          yield* Effect.flip(executor.mutate(write, undefined))
        ]
        assert.deepStrictEqual(errors.map(reasonOf), [
          ["ConnectionError", "the database was replaced while it was written to"],
          ["ConnectionError", "the database was replaced while it was opened"]
        ])
      }).pipe(Effect.provide(LazyExecutor.layer(layer, { watch })))
    })
  )

  it.effect("treats a defect during the open as a failure", () =>
    Effect.gen(function* () {
      let opened = 0
      const layer = Layer.effect(
        QueryExecutor.QueryExecutor,
        Effect.suspend(() => {
          opened++
          return Effect.die(new Error("Cannot find package 'driver'"))
        })
      )
      yield* Effect.gen(function* () {
        const expected = ["ConnectionError", "Cannot find package 'driver'"]
        assert.deepStrictEqual(reasonOf(yield* Effect.flip(ask)), expected)
        assert.deepStrictEqual(reasonOf(yield* Effect.flip(ask)), expected)
        assert.strictEqual(opened, 1)
      }).pipe(Effect.provide(LazyExecutor.layer(layer)))
    })
  )

  it.effect("abandons a hanging open, also an uninterruptible one, and releases its result", () =>
    Effect.gen(function* () {
      const { layer, state } = database()
      const gate = yield* Deferred.make<void>()
      const begun = yield* Deferred.make<void>()
      state.gate = Effect.uninterruptible(Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(gate)))
      yield* Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(Effect.flip(ask))
        yield* Deferred.await(begun)
        yield* TestClock.adjust("10 seconds")
        const expected = ["ConnectionError", "the database could not be opened within 10s"]
        assert.deepStrictEqual(reasonOf(yield* Fiber.join(fiber)), expected)
        assert.deepStrictEqual(reasonOf(yield* Effect.flip(ask)), expected)
        assert.strictEqual(state.opened, 1)
        yield* Deferred.succeed(gate, undefined)
        yield* turn
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual([state.opened, state.closed], [1, 1])
        assert.strictEqual(yield* ask, 1)
      }).pipe(Effect.provide(LazyExecutor.layer(layer, { openTimeout: "10 seconds" })))
    })
  )

  it.effect("uses or releases an open that ends at the timeout", () =>
    Effect.gen(function* () {
      const { layer, state } = database()
      const begun = yield* Deferred.make<void>()
      state.gate = Effect.andThen(Deferred.succeed(begun, undefined), Effect.sleep("10 seconds"))
      yield* Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(Effect.exit(ask))
        yield* Deferred.await(begun)
        yield* turn
        yield* TestClock.adjust("10 seconds")
        const exit = yield* Fiber.join(fiber)
        yield* turn
        assert.strictEqual(state.closed, Exit.isSuccess(exit) ? 0 : 1)
      }).pipe(Effect.provide(LazyExecutor.layer(layer, { openTimeout: "10 seconds" })))
    })
  )
})
