/**
 * How long a recording waits, where the clock of the host is set meanwhile.
 */
import { assert, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { DatabaseSync } from "node:sqlite"
import * as Kit from "./RecorderKit.ts"

/** A clock whose time of day can be set and whose monotonic time is that of the test. */
const settable = Effect.map(Clock.Clock, (clock) => {
  const wall = { offsetMs: 0 }
  const skewed: Clock.Clock = {
    ...clock,
    currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + wall.offsetMs,
    currentTimeMillis: Effect.map(clock.currentTimeMillis, (ms) => ms + wall.offsetMs),
    currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe() + BigInt(wall.offsetMs) * 1_000_000n,
    currentTimeNanos: Effect.map(clock.currentTimeNanos, (ns) => ns + BigInt(wall.offsetMs) * 1_000_000n)
  }
  return { clock: skewed, wall }
})

for (const [name, offsetMs] of [
  ["ahead", 86_400_000],
  ["back", -86_400_000]
] as const) {
  it.effect(`a recording waits for its time, and no longer, where the clock is set ${name} by a day`, () =>
    Effect.gen(function* () {
      const { clock, wall } = yield* settable
      yield* Effect.gen(function* () {
        const { context, folder } = yield* Kit.scratch({ drain: false, busyTimeout: 0 })
        const recorder = Context.get(context, Kit.Ticks)
        yield* recorder.record(Kit.tick(1))
        const other = new DatabaseSync(Kit.spoolOf(folder))
        other.exec("BEGIN IMMEDIATE")
        const waiting = yield* Effect.forkChild(Effect.result(recorder.record(Kit.tick(2), { timeout: "10 seconds" })))
        yield* TestClock.adjust("1 second")
        wall.offsetMs = offsetMs
        yield* TestClock.adjust("8 seconds")
        assert.isUndefined(waiting.pollUnsafe(), "it was given up before its time")
        yield* TestClock.adjust("2 seconds")
        const result = yield* Fiber.join(waiting)
        assert.strictEqual(result._tag === "Failure" && result.failure.reason._tag, "SpoolUnavailable")
        other.exec("ROLLBACK")
        other.close()
      }).pipe(Effect.scoped, Effect.provideService(Clock.Clock, clock))
    })
  )
}
