import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as DateTime from "effect/DateTime"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as HookService from "../../src/daemon/HookService.ts"
import type { EventRecorder } from "../../src/events/EventRecorder.ts"
import { EventRecorderError, SpoolUnavailable } from "../../src/events/EventRecorderError.ts"
import * as ClaudeCode from "../../src/hooks/adapters/ClaudeCode.ts"
import * as MemoryBridge from "../../src/memory/MemoryBridge.ts"
import * as MemoryError from "../../src/memory/MemoryError.ts"
import { MemoryRecorder, type SpooledEvent } from "../../src/memory/MemoryRecorder.ts"
import * as Profiler from "../../src/profiler/Profiler.ts"
import * as Fixtures from "../utils/Fixtures.ts"

const session = { id: "s-1", project: { id: 1, name: "shop", path: "/shop" }, worktreePath: "/shop" }

const found = {
  id: 7,
  type: "assistant_message",
  content: "The parser crashed on umlauts",
  prompt: null,
  timestamp: DateTime.makeUnsafe(0),
  outcome: null,
  files: [],
  score: 1,
  matchedTerms: 4,
  coverage: 0.8,
  rarity: 0.9
}

interface Setting {
  readonly options?: HookService.HookServiceOptions
  readonly service?: ReturnType<typeof HookService.layerConfig>
  /** What keeping an event does. */
  readonly keep?: Effect.Effect<void, EventRecorderError>
  readonly verbs?: Parameters<typeof MemoryBridge.layerTest>[0]
}

const setUp = ({ keep = Effect.void, options, service, verbs = {} }: Setting = {}) => {
  const kept: Array<SpooledEvent> = []
  const calls: Array<string> = []
  const recordAll: EventRecorder<SpooledEvent>["recordAll"] = (events, recording) =>
    Effect.map(keep, () => {
      calls.push(`keep ${recording?.ack}`)
      kept.push(...events)
    })
  const recorder = Layer.succeed(MemoryRecorder, {
    record: (event, recording) => recordAll([event], recording),
    recordAll,
    flush: () =>
      Effect.sync(() => {
        calls.push("flush")
        return { delivered: 0, deadLetters: 0, left: 0 }
      }),
    stats: Effect.die("not asked"),
    deadLetters: { list: () => Effect.die(""), retry: () => Effect.die(""), drop: () => Effect.die("") }
  })
  const memory = MemoryBridge.layerTest({
    getSession: () => Effect.succeedSome(session),
    getInjected: () => Effect.succeed([]),
    getActiveGoals: () => Effect.succeed({ count: 0, goals: [] }),
    getNotes: () => Effect.succeed([]),
    listFacts: () => Effect.succeed([]),
    getDigests: () =>
      Effect.sync(() => {
        calls.push("digests")
        return []
      }),
    ...verbs
  })
  const layer = (service ?? HookService.layer(options)).pipe(
    Layer.provide([recorder, memory, Profiler.layer({ level: "wall" }), NodeServices.layer])
  )
  return { kept, calls, layer }
}

const told = (body: unknown, more: Partial<HookService.HookRequest> = {}): HookService.HookRequest => ({
  adapter: ClaudeCode,
  body: typeof body === "string" ? body : JSON.stringify(body),
  ...more
})

const tool = (more: Readonly<Record<string, unknown>> = {}) =>
  Fixtures.body("PostToolUse.Bash", { cwd: import.meta.dirname, ...more })

/** Something that hangs until the test is over; a shutdown would wait for it. */
const hanging = <A, E>(
  test: (hang: Effect.Effect<never>) => Effect.Effect<A, E, HookService.HookService>,
  setting: (hang: Effect.Effect<never>) => Setting
) =>
  Effect.gen(function* () {
    const over = yield* Deferred.make<never>()
    const hang = Deferred.await(over)
    return yield* Effect.ensuring(test(hang), Deferred.die(over, "over")).pipe(
      Effect.provide(setUp(setting(hang)).layer)
    )
  })

const answer = (request: HookService.HookRequest) => HookService.HookService.use((service) => service.respond(request))
const stats = HookService.HookService.use((service) => service.stats)

const prompt = (id: string) =>
  answer(
    told(
      Fixtures.body("UserPromptSubmit.plain", {
        cwd: import.meta.dirname,
        prompt: "parser umlauts",
        prompt_id: id
      })
    )
  )

const unavailable = new EventRecorderError({
  recorder: "memory.events",
  operation: "record",
  reason: new SpoolUnavailable({ detail: "no disk" })
})

describe("HookService", () => {
  it.effect("stores an event in the spool before the response, without a query", () => {
    const { kept, layer } = setUp({ verbs: { getSession: () => Effect.die("queried") } })
    return Effect.gen(function* () {
      assert.deepStrictEqual(yield* answer(told(tool())), { _tag: "Stored", body: undefined })
      assert.strictEqual(kept.length, 1)
      const { accepted, stored: answered } = yield* stats
      assert.deepStrictEqual([accepted, answered], [1, 1])
    }).pipe(Effect.provide(layer))
  })

  it.effect("responds at the deadline and stores the event afterwards", () =>
    Effect.gen(function* () {
      const latch = yield* Deferred.make<void>()
      const { kept, layer } = setUp({ keep: Deferred.await(latch) })
      yield* Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(answer(told(tool())))
        yield* TestClock.adjust("9 millis")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(yield* Fiber.join(fiber), { _tag: "Uncertain", body: undefined })
        yield* Deferred.succeed(latch, undefined)
        while ((yield* stats).running > 0) yield* Effect.yieldNow
        assert.strictEqual(kept.length, 1)
        assert.strictEqual((yield* stats).timedOut, 1)
      }).pipe(Effect.provide(layer))
    })
  )

  it.effect("marks no memory as injected after the deadline", () =>
    Effect.gen(function* () {
      const latch = yield* Deferred.make<void>()
      const marked: Array<unknown> = []
      const { layer } = setUp({
        verbs: {
          searchMemories: () => Effect.as(Deferred.await(latch), { found: 1, results: [found] }),
          markInjected: (_, ids) => Effect.sync(() => void marked.push(...ids))
        }
      })
      yield* Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(prompt("p-1"))
        yield* TestClock.adjust("100 millis")
        assert.deepStrictEqual(yield* Fiber.join(fiber), { _tag: "Uncertain", body: undefined })
        yield* Deferred.succeed(latch, undefined)
        while ((yield* stats).running > 0) yield* Effect.yieldNow
        assert.deepStrictEqual(marked, [])
        const told = yield* prompt("p-2")
        assert.include(told._tag === "Overloaded" ? "" : told.body, "umlauts")
        assert.deepStrictEqual(marked, [7])
      }).pipe(Effect.provide(layer))
    })
  )

  it.effect("shows the message at a session start only", () => {
    const { layer } = setUp({ options: { message: Effect.succeed("the port is taken") } })
    return Effect.gen(function* () {
      const start = yield* answer(told(Fixtures.body("SessionStart.startup", { cwd: import.meta.dirname })))
      assert.deepStrictEqual(start, { _tag: "Stored", body: JSON.stringify({ systemMessage: "the port is taken" }) })
      assert.deepStrictEqual(yield* answer(told(tool())), { _tag: "Stored", body: undefined })
    }).pipe(Effect.provide(layer))
  })

  it.effect("names an invalid duration", () =>
    Effect.gen(function* () {
      for (const options of [
        { deadlines: { ToolUse: "10 milis" as never } },
        { workTimeout: "soon" as never },
        { maxConcurrent: Number.NaN }
      ]) {
        const exit = yield* Effect.exit(Effect.provide(stats, setUp({ options }).layer))
        assert.include(String(exit), `HookService: ${Object.keys(options)[0]}`)
      }
    })
  )

  it.effect("interrupts work after its timeout", () =>
    hanging(
      () =>
        Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(answer(told(tool())))
          yield* TestClock.adjust("10 millis")
          yield* Fiber.join(fiber)
          yield* TestClock.adjust("4 seconds")
          assert.strictEqual((yield* stats).running, 1)
          yield* TestClock.adjust("1 second")
          assert.strictEqual((yield* stats).running, 0)
        }),
      (hang) => ({ keep: hang, options: { workTimeout: "5 seconds" } })
    )
  )

  it.effect.each([
    ["SessionStart.startup", 300],
    ["UserPromptSubmit.plain", 100],
    ["PostToolUse.Bash", 10],
    ["Stop.plain", 10],
    ["PreCompact.manual", 10],
    ["SessionEnd.other", 500]
  ] as const)("responds to %s within %d ms", ([name, limit]) =>
    hanging(
      () =>
        Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(answer(told(Fixtures.body(name, { cwd: import.meta.dirname }))))
          yield* TestClock.adjust(limit - 1)
          assert.isUndefined(fiber.pollUnsafe())
          yield* TestClock.adjust(1)
          assert.strictEqual((yield* Fiber.join(fiber))._tag, "Uncertain")
        }),
      (hang) => ({ keep: hang, verbs: { getSession: () => hang } })
    )
  )

  it.effect("responds Uncertain if neither spool nor database stores the event", () => {
    const { layer } = setUp({
      keep: Effect.fail(unavailable),
      verbs: {
        recordEvents: () =>
          Effect.fail(MemoryError.from("recordEvents", new MemoryError.InvalidInput({ detail: "no" })))
      }
    })
    return Effect.gen(function* () {
      assert.deepStrictEqual(yield* answer(told(tool())), { _tag: "Uncertain", body: undefined })
      const { dropped, failed } = yield* stats
      assert.deepStrictEqual([dropped, failed], [1, 1])
    }).pipe(Effect.provide(layer))
  })

  it.effect("stores an event in the database if the spool fails", () => {
    const recorded: Array<unknown> = []
    const { layer } = setUp({
      keep: Effect.fail(unavailable),
      verbs: {
        recordEvents: (events) =>
          Effect.sync(() => {
            recorded.push(...events)
            return []
          })
      }
    })
    return Effect.gen(function* () {
      assert.strictEqual((yield* answer(told(tool())))._tag, "Stored")
      assert.strictEqual(recorded.length, 1)
      assert.strictEqual((yield* stats).dropped, 0)
    }).pipe(Effect.provide(layer))
  })

  it.effect("responds to an invalid payload without an error", () => {
    const { kept, layer } = setUp()
    return Effect.gen(function* () {
      for (const body of ["", "{", "[]", "7", { hook_event_name: "Unheard", session_id: "s" }, { session_id: "s" }]) {
        assert.deepStrictEqual(yield* answer(told(body)), { _tag: "Stored", body: undefined })
      }
      assert.strictEqual((yield* stats).invalid, 6)
      assert.deepStrictEqual(kept, [])
    }).pipe(Effect.provide(layer))
  })

  it.effect("rejects payloads beyond maxConcurrent", () =>
    hanging(
      () =>
        Effect.gen(function* () {
          yield* Effect.forkChild(answer(told(tool())))
          yield* Effect.forkChild(answer(told(tool())))
          yield* TestClock.adjust("1 millis")
          assert.strictEqual((yield* stats).running, 2)
          assert.deepStrictEqual(yield* answer(told(tool())), { _tag: "Overloaded" })
          assert.strictEqual((yield* stats).overloaded, 1)
        }),
      (hang) => ({ keep: hang, options: { maxConcurrent: 2 } })
    )
  )

  it.effect("flushes the spool before a session starts", () => {
    const { calls, layer } = setUp()
    return Effect.gen(function* () {
      yield* answer(told(Fixtures.body("SessionStart.startup", { cwd: import.meta.dirname })))
      assert.deepStrictEqual(calls, ["flush", "digests"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("records the location of a session's first event", () => {
    const { kept, layer } = setUp()
    return Effect.gen(function* () {
      yield* answer(told(tool({ tool_use_id: "t-1" })))
      yield* answer(told(tool({ tool_use_id: "t-2", cwd: "/nowhere/at/all" })))
      assert.strictEqual(kept.length, 2)
      assert.deepStrictEqual(kept[0]!.project, kept[1]!.project)
    }).pipe(Effect.provide(layer))
  })

  it.effect("identifies an event without an id by its delivery", () => {
    const { kept, layer } = setUp()
    return Effect.gen(function* () {
      const stop = Fixtures.body("Stop.plain", { cwd: import.meta.dirname, prompt_id: undefined })
      yield* answer(told(stop, { deliveryId: "d-1" }))
      yield* answer(told(stop, { deliveryId: "d-1" }))
      yield* answer(told(stop, { deliveryId: "d-2" }))
      const keys = kept.map(({ key }) => key)
      assert.strictEqual(keys[0], keys[1])
      assert.notStrictEqual(keys[1], keys[2])
    }).pipe(Effect.provide(layer))
  })

  it.effect("waits for work in progress on shutdown", () =>
    Effect.gen(function* () {
      const latch = yield* Deferred.make<void>()
      const { kept, layer } = setUp({ keep: Deferred.await(latch) })
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(layer, scope)
      const fiber = yield* Effect.forkChild(Effect.provide(answer(told(tool())), context))
      yield* TestClock.adjust("10 millis")
      yield* Fiber.join(fiber)
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* TestClock.adjust("1 second")
      assert.isUndefined(closing.pollUnsafe())
      yield* Deferred.succeed(latch, undefined)
      yield* Fiber.join(closing)
      assert.strictEqual(kept.length, 1)
    })
  )

  it.effect("names an option out of its bounds, as a defect in code and as a ConfigError from the environment", () =>
    Effect.gen(function* () {
      const { layer } = setUp({ options: { maxConcurrent: 0 } })
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(layer)))
      const defect = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
      assert.instanceOf(defect, RangeError)
      assert.include(String(defect), "HookService: maxConcurrent is 0; specify a whole number of at least 1")
      const configured = HookService.layerConfig({
        deadlines: { Answer: Config.Duration("ANSWER_DEADLINE") },
        maxConcurrent: Config.Int("MAX_CONCURRENT")
      })
      const build = (env: Record<string, string>) =>
        Effect.scoped(Layer.build(setUp({ service: configured }).layer)).pipe(
          Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env }))
        )
      yield* build({ ANSWER_DEADLINE: "20 millis", MAX_CONCURRENT: "8" })
      for (const [name, value] of [
        ["maxConcurrent", "0"],
        ["MAX_CONCURRENT", "many"]
      ] as const) {
        const error = yield* Effect.flip(build({ ANSWER_DEADLINE: "20 millis", MAX_CONCURRENT: value }))
        assert.strictEqual(error._tag, "ConfigError")
        assert.include(error.message, name)
      }
    })
  )
})
