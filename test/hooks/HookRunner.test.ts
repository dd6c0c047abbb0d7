import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as HookFileSystem from "../../src/hookProcess/hookFileSystem.ts"
import * as ClaudeCode from "../../src/hooks/adapters/ClaudeCode.ts"
import * as HookRunner from "../../src/hooks/HookRunner.ts"
import * as MemoryBridge from "../../src/memory/MemoryBridge.ts"
import * as MemoryError from "../../src/memory/MemoryError.ts"
import * as Fixtures from "../utils/Fixtures.ts"

const platform = Layer.merge(HookFileSystem.layer, NodePath.layer)

const session = {
  id: "s-1",
  project: { id: 1, name: "shop", path: "/shop" },
  worktreePath: "/shop"
}

const fake = (verbs: Parameters<typeof MemoryBridge.layerTest>[0]) =>
  MemoryBridge.layerTest({ getSession: () => Effect.succeedSome(session), ...verbs })

const run = <E>(body: unknown, memory: Layer.Layer<MemoryBridge.MemoryBridge, E>) =>
  HookRunner.run(typeof body === "string" ? body : JSON.stringify(body), { memory: () => memory }).pipe(
    Effect.provide(platform)
  )

const stop = Fixtures.body("Stop.plain")

describe("HookRunner", () => {
  it.effect("responds to an ignored event without opening the memory", () =>
    Effect.gen(function* () {
      const unopened = Layer.effect(MemoryBridge.MemoryBridge, Effect.die("opened"))
      assert.deepStrictEqual(yield* run(Fixtures.body("PreToolUse.Bash"), unopened), {
        event: "Ignored",
        response: "{}",
        notices: []
      })
    })
  )

  it.effect("decodes and responds in the format of each agent", () =>
    Effect.gen(function* () {
      const heard: Array<unknown> = []
      const { response: answer } = yield* HookRunner.run('{"said":1}', {
        memory: () => fake({ recordEvent: () => Effect.succeed({ id: 1, recorded: true } as never) }),
        adapter: {
          agent: "a",
          events: [],
          projectVariable: undefined,
          decode: (body) => {
            heard.push(body)
            return ClaudeCode.decode(stop)
          },
          encode: (event) => JSON.stringify({ answer: event._tag })
        }
      }).pipe(Effect.provide(platform))
      assert.deepStrictEqual(heard, [{ said: 1 }])
      assert.strictEqual(answer, '{"answer":"Answer"}')
    })
  )

  it.effect("returns an empty response and a one-line notice on failure", () =>
    Effect.gen(function* () {
      const busy = MemoryError.from("recordEvent", new MemoryError.DatabaseBusy({ cause: new Error("locked") }))
      for (const [body, memory, line] of [
        ["", fake({}), "nothing was sent"],
        [" \n ", fake({}), "nothing was sent"],
        ["{", fake({}), "it is not JSON"],
        ["[1, 2]", fake({}), "Expected object"],
        ['"text"', fake({}), "Expected object"],
        ['{"hook_event_name": "Nonsense", "session_id": "s"}', fake({}), 'unknown event "Nonsense"'],
        [stop, fake({ recordEvent: () => Effect.fail(busy) }), "recordEvent: the memory database is busy"],
        [stop, fake({ recordEvent: () => Effect.die(new Error("a defect\nof two lines")) }), "a defect of two lines"],
        [stop, fake({}), "recordEvent"],
        [stop, fake({ recordEvent: () => Effect.interrupt }), ""],
        [stop, Layer.effect(MemoryBridge.MemoryBridge, Effect.fail(busy)), "locked"],
        [stop, Layer.effect(MemoryBridge.MemoryBridge, Effect.die("no memory")), "no memory"]
      ] as ReadonlyArray<readonly [unknown, Layer.Layer<MemoryBridge.MemoryBridge, MemoryError.MemoryError>, string]>) {
        const result = yield* run(body, memory)
        assert.strictEqual(result.response, "{}")
        assert.strictEqual(result.notices.length, 1)
        assert.include(result.notices[0], line)
        assert.notInclude(result.notices[0], "\n")
      }
    })
  )

  it.effect("returns at the deadline and interrupts the program", () =>
    Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      const started = yield* Deferred.make<void>()
      const hanging = fake({
        recordEvent: () =>
          Deferred.succeed(started, undefined).pipe(
            Effect.andThen(Effect.never),
            Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
          )
      })
      const fiber = yield* Effect.forkChild(run(Fixtures.body("SessionEnd.other"), hanging))
      yield* Deferred.await(started)
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* Fiber.join(fiber), {
        event: "SessionEnd",
        response: "{}",
        notices: ["SessionEnd: no response within 1s"]
      })
      yield* Deferred.await(interrupted)
    })
  )

  it.effect("counts the opening of the memory into the deadline", () =>
    Effect.gen(function* () {
      const never = Layer.effect(MemoryBridge.MemoryBridge, Effect.never)
      const fiber = yield* Effect.forkChild(run(Fixtures.body("UserPromptSubmit.plain"), never))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(fiber)).response, "{}")
    })
  )

  it.effect("applies configured deadlines", () =>
    Effect.gen(function* () {
      const fiber = yield* HookRunner.run(JSON.stringify(stop), {
        memory: () => Layer.effect(MemoryBridge.MemoryBridge, Effect.never),
        deadlines: { Answer: "10 millis" }
      }).pipe(Effect.provide(platform), Effect.forkChild)
      yield* TestClock.adjust("10 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).notices.length, 1)
    })
  )

  it.effect("returns valid JSON without a block for every observed event", () =>
    Effect.gen(function* () {
      for (const { body } of Fixtures.all) {
        const { response: answer } = yield* run(body, fake({}))
        const parsed = JSON.parse(answer) as Record<string, unknown>
        assert.notProperty(parsed, "decision")
        assert.notProperty(parsed, "continue")
      }
    })
  )
})
