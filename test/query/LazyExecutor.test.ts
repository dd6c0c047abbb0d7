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
import * as Query from "../../src/query/Query.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"

const one = Query.make({
  name: "one",
  input: Schema.Void,
  result: Schema.Number,
  dependencies: () => [],
  run: () => Effect.succeed(0)
})

const answering = QueryExecutor.layerTest({ one: () => 1 })

const ask = Effect.flatMap(QueryExecutor.QueryExecutor, (executor) => executor.query(one, undefined))

class Broken extends Data.TaggedError("Broken")<{ readonly message: string }> {}

/** A database that counts how often it is opened and closed, and fails while it is told to. */
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
  it.effect("opens the database for the first that asks, once", () =>
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

  it.effect("says why it could not be opened, rests, and tries again", () =>
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

  it.effect("does not rest longer because the clock was set back", () =>
    Effect.gen(function* () {
      const { layer, state } = database()
      state.failing = true
      yield* TestClock.adjust("1 hour")
      yield* Effect.gen(function* () {
        yield* Effect.flip(ask)
        state.failing = false
        yield* TestClock.setTime(1_000)
        assert.strictEqual(yield* ask, 1)
      }).pipe(Effect.provide(LazyExecutor.layer(layer)))
    })
  )

  it.effect("goes on opening for the next one where the first has gone", () =>
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
})
