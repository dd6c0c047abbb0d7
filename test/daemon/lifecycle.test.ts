import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Lifecycle from "../../src/daemon/internal/lifecycle.ts"

let openSessions = 0
let isOfHome = true

const layer = Lifecycle.layer({
  idleTimeout: Duration.minutes(30),
  maxMemory: 256,
  interval: Duration.seconds(5),
  activeSessions: () => openSessions,
  ownsHome: () => isOfHome
})

const started = Effect.gen(function* () {
  const lifecycle = yield* Lifecycle.Lifecycle
  return { lifecycle, ended: yield* Effect.forkChild(lifecycle.ended) }
})

describe("lifecycle", () => {
  it.effect("ends after its idle timeout", () =>
    Effect.gen(function* () {
      const { ended, lifecycle } = yield* started
      yield* TestClock.adjust("29 minutes")
      yield* lifecycle.touch
      yield* TestClock.adjust("29 minutes")
      assert.isUndefined(ended.pollUnsafe())
      assert.strictEqual(yield* lifecycle.idleMs, Duration.toMillis("29 minutes"))
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(yield* Fiber.join(ended), "idle")
    }).pipe(
      Effect.provide(layer),
      Effect.provideService(Lifecycle.CurrentMemory, () => 1)
    )
  )

  it.effect("continues while a session is active", () =>
    Effect.gen(function* () {
      openSessions = 1
      const { ended } = yield* started
      yield* TestClock.adjust("5 hours")
      assert.isUndefined(ended.pollUnsafe())
      openSessions = 0
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(ended), "idle")
    }).pipe(
      Effect.provide(layer),
      Effect.provideService(Lifecycle.CurrentMemory, () => 1)
    )
  )

  it.effect("ends if its memory exceeds the bound after garbage collections", () => {
    let memory = 256
    let garbage = 1
    return Effect.gen(function* () {
      const { ended } = yield* started
      yield* TestClock.adjust("10 seconds")
      assert.isUndefined(ended.pollUnsafe())
      for (let time = 0; time < 3; time++) {
        garbage = 1
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(garbage, 1, "nothing is collected below the bound")
        memory = 257
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(memory, 256)
      }
      yield* TestClock.adjust("5 seconds")
      garbage = 0
      memory = 257
      yield* TestClock.adjust("15 seconds")
      assert.isUndefined(ended.pollUnsafe())
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(ended), "memory")
    }).pipe(
      Effect.provide(layer),
      Effect.provideService(Lifecycle.CurrentMemory, () => memory),
      Effect.provideService(Lifecycle.CollectGarbage, () => {
        memory -= garbage
        garbage = 0
      })
    )
  })

  it.effect("ends when it no longer owns its home", () =>
    Effect.gen(function* () {
      const { ended } = yield* started
      yield* TestClock.adjust("10 seconds")
      assert.isUndefined(ended.pollUnsafe())
      isOfHome = false
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* Fiber.join(ended), "removed")
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          isOfHome = true
        })
      ),
      Effect.provide(layer),
      Effect.provideService(Lifecycle.CurrentMemory, () => 1)
    )
  )

  it.effect("ends on request", () =>
    Effect.gen(function* () {
      const { ended, lifecycle } = yield* started
      yield* lifecycle.stop
      assert.strictEqual(yield* Fiber.join(ended), "stop")
    }).pipe(
      Effect.provide(layer),
      Effect.provideService(Lifecycle.CurrentMemory, () => 1)
    )
  )
})
