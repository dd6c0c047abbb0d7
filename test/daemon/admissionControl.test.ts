import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Intake from "../../src/daemon/internal/admissionControl.ts"

const count = (intake: Intake.AdmissionControl, times: number) =>
  Effect.map(
    Effect.all(Array.from({ length: times }, () => intake.admit)),
    (all) => all.filter((admitted) => admitted).length
  )

describe("admissionControl", () => {
  it.effect("admits a burst, then the sustained rate", () =>
    Effect.gen(function* () {
      const intake = Intake.make({ perSecond: 10, burst: 20, bytes: 1, largeBytes: 1 })
      assert.strictEqual(yield* count(intake, 30), 20)
      yield* TestClock.adjust("500 millis")
      assert.strictEqual(yield* count(intake, 30), 5)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(yield* count(intake, 30), 20)
    })
  )

  it.effect("limits the bytes in flight and releases them after any exit", () =>
    Effect.gen(function* () {
      const intake = Intake.make({ perSecond: 1, burst: 1, bytes: 100, largeBytes: 100 })
      const hold = (bytes: number) => intake.withBytes(bytes, Effect.succeed("held"), Effect.succeed("no room"))
      const latch = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(intake.withBytes(60, Deferred.await(latch), Effect.void))
      yield* Effect.yieldNow
      assert.strictEqual(yield* hold(41), "no room")
      assert.strictEqual(yield* hold(40), "held")
      yield* Fiber.interrupt(fiber)
      yield* Effect.exit(intake.withBytes(100, Effect.die("defect"), Effect.void))
      assert.strictEqual(yield* hold(100), "held")
    })
  )

  it.effect("processes one large payload at a time beside small ones", () =>
    Effect.gen(function* () {
      const large = 1024 * 1024
      const intake = Intake.make({ perSecond: 1, burst: 1, bytes: 64 * large, largeBytes: 2 * large })
      const latch = yield* Deferred.make<void>()
      const begun: Array<string> = []
      const hold = (name: string, bytes: number) =>
        Effect.forkChild(
          intake.withBytes(
            bytes,
            Effect.andThen(
              Effect.sync(() => begun.push(name)),
              Deferred.await(latch)
            ),
            Effect.void
          ),
          { startImmediately: true }
        )
      const first = yield* hold("larger than all the room", 3 * large)
      const waiting = yield* Effect.all([hold("a", large), hold("b", large), hold("c", large)])
      yield* hold("small", 1_000)
      assert.deepStrictEqual(begun, ["larger than all the room", "small"])
      yield* Fiber.interrupt(first)
      yield* Effect.yieldNow
      assert.deepStrictEqual(begun, ["larger than all the room", "small", "a", "b"])
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.joinAll(waiting)
      assert.strictEqual(begun.at(-1), "c")
    })
  )
})
