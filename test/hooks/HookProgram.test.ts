import * as fs from "node:fs"
import * as path from "node:path"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as HookFileSystem from "../../src/hookProcess/hookFileSystem.ts"
import * as ClaudeCode from "../../src/hooks/adapters/ClaudeCode.ts"
import * as HookAdapters from "../../src/hooks/HookAdapters.ts"
import { EventSink, type Sink } from "../../src/hooks/EventSink.ts"
import * as HookProgram from "../../src/hooks/HookProgram.ts"
import { fnv1a } from "../../src/internal/fnv1a.ts"
import * as MemoryEvent from "../../src/memory/MemoryEvent.ts"
import * as Goal from "../../src/memory/Goal.ts"
import * as MemoryBridge from "../../src/memory/MemoryBridge.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as Fixtures from "../utils/Fixtures.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const layer = MemoryBridge.layerSql.pipe(
  Layer.provideMerge(Sqlite.layer({ filename: ":memory:" })),
  Layer.provideMerge(Layer.merge(HookFileSystem.layer, NodePath.layer))
)

type Agent = keyof typeof Fixtures.byAgent

const agents: ReadonlyArray<Agent> = ["claude", "codex", "gemini", "qwen"]

interface Row {
  readonly type: string
  readonly content: string
  readonly outcome: string | null
  readonly session: string
  readonly key: string
  readonly duration: number | null
  readonly files: string | null
  readonly changed: number
  readonly project: string
}

/** A repository to work in, and hooks to call in it. */
const setup = Effect.gen(function* () {
  const root = fs.realpathSync(yield* TempFolder.make)
  const folder = (name: string) => {
    fs.mkdirSync(path.join(root, name, ".git"), { recursive: true })
    return path.join(root, name)
  }
  const cwd = folder("shop")
  const sql = yield* SqlClient.SqlClient

  /** Sends a payload from here, as an agent, and gives the context that is answered. */
  const send = (agent: Agent, body: Readonly<Record<string, unknown>>, options?: HookProgram.HookOptions) =>
    HookAdapters.byName[agent].decode({ ...body, cwd }).pipe(
      Effect.flatMap((event) => HookProgram.handle(event, options)),
      Effect.map((output) => output.context)
    )
  /** Sends the payload of a fixture, with some fields replaced, and gives the context that is answered. */
  const hook = (name: string, more?: Readonly<Record<string, unknown>>, options?: HookProgram.HookOptions) =>
    ClaudeCode.decode(Fixtures.body(name, { cwd, ...more })).pipe(
      Effect.flatMap((event) => HookProgram.handle(event, options)),
      Effect.map((output) => output.context)
    )
  const prompt = (text: string, id: string, session = "s-1") =>
    hook("UserPromptSubmit.plain", { prompt: text, prompt_id: id, session_id: session })

  const rows = sql<Row>`SELECT event_type AS type, content, outcome, session_id AS session, event_key AS key,
    duration_ms AS duration, context_files AS files, files_changed AS changed, p.name AS project
    FROM episodic_events e JOIN projects p ON p.id = e.project_id ORDER BY e.id`
  return { cwd, folder, hook, prompt, rows, send }
})

const test = <E, R>(name: string, body: Effect.Effect<void, E, R>) =>
  it.effect(name, () => body.pipe(Effect.scoped, Effect.provide(Layer.fresh(layer)) as never) as Effect.Effect<void, E>)

/** A use of a tool that changes a file, as a batch reports it. */
const written = (tool_use_id: string, tool_response: unknown) => ({
  tool_name: "Write",
  tool_input: { file_path: "/p/f.ts" },
  tool_use_id,
  tool_response
})

describe("HookProgram", () => {
  test(
    "records each tool use once across its events",
    Effect.gen(function* () {
      const { cwd, hook, rows } = yield* setup
      yield* hook("PostToolUse.Edit", { tool_use_id: "t-1" })
      yield* hook("PostToolUse.Edit", { tool_use_id: "t-1" })
      const given = Object.entries(Fixtures.body("PostToolUse.Edit")["tool_input"] as object).toReversed()
      const again = { tool_name: "Edit", tool_use_id: "t-1", tool_input: Object.fromEntries(given) }
      yield* hook("PostToolBatch.Edit", { tool_calls: [again] })
      yield* hook("PostToolUseFailure.Bash", { tool_use_id: "t-2" })
      yield* hook("PostToolBatch.parallel")
      const recorded = yield* rows
      assert.deepStrictEqual(
        recorded.map((row) => row.content),
        [
          "Edit: /home/dev/project/src/x.ts",
          "Bash: echo broken >&2; exit 3\nfailed: Exit code 3\nbroken",
          "Read: /home/dev/project/a.txt",
          "Read: /home/dev/project/b.txt",
          "Read: /home/dev/project/c.txt",
          "Bash: echo par"
        ]
      )
      const [edit, failed] = recorded
      assert.strictEqual(edit!.outcome, "success")
      assert.strictEqual(edit!.duration, 9)
      assert.deepStrictEqual(JSON.parse(edit!.files!), ["/home/dev/project/src/x.ts"])
      assert.strictEqual(edit!.changed, 1)
      assert.strictEqual(edit!.project, path.basename(cwd))
      assert.strictEqual(failed!.outcome, "failure")
    })
  )

  for (const agent of agents) {
    test(
      `records every event of the fixtures of ${agent} without failing, twice, and stores each once`,
      Effect.gen(function* () {
        const { rows, send } = yield* setup
        const all = Effect.forEach(Fixtures.byAgent[agent], ({ body }) => send(agent, body), { discard: true })
        yield* all
        const once = yield* rows
        yield* all
        assert.deepStrictEqual(yield* rows, once)
        assert.isAtLeast(once.length, 8)
      })
    )
  }

  test(
    "records prompts, answers, compactions and session ends in short form",
    Effect.gen(function* () {
      const { hook, prompt, rows } = yield* setup
      yield* prompt("Do it", "p-1")
      yield* hook("UserPromptSubmit.task-notification")
      yield* hook("Stop.plain", { last_assistant_message: "x".repeat(300_000) })
      yield* hook("Stop.plain", { last_assistant_message: "" })
      yield* hook("SubagentStop.plain")
      yield* hook("SubagentStop.plain-internal-agent")
      yield* hook("PreCompact.auto")
      yield* hook("PostCompact.manual")
      yield* hook("SessionEnd.clear")
      const recorded = yield* rows
      assert.deepStrictEqual(
        recorded.map((row) => row.type),
        [
          "user_question",
          "notification",
          "assistant_message",
          "subagent_message",
          "compaction",
          "compaction",
          "session_end"
        ]
      )
      assert.strictEqual(recorded[2]!.content.length, 2_000)
      assert.include(recorded[5]!.content, "MOCK SUMMARY")
    })
  )

  test(
    "redacts secrets before storage",
    Effect.gen(function* () {
      const { hook, prompt, rows } = yield* setup
      yield* prompt("deploy with TOKEN=supersecretvalue", "p-1")
      yield* prompt(`${"a ".repeat(990)} password=supersecretvalue and more`, "p-2")
      yield* hook("PostToolUse.Bash", { tool_input: { command: "curl -H 'Authorization: Bearer supersecretvalue' x" } })
      yield* hook("PostToolUseFailure.Bash", { tool_use_id: "t-9", error: "login failed: password=supersecretvalue" })
      yield* hook("Stop.plain", { last_assistant_message: "I used postgres://app:supersecretvalue@db/x" })
      for (const row of yield* rows) assert.notInclude(JSON.stringify(row), "supersecret")
    })
  )

  test(
    "assigns a session to the project of its first event",
    Effect.gen(function* () {
      const { folder, hook, prompt, rows } = yield* setup
      const other = folder("other")
      yield* prompt("first", "p-1")
      yield* hook("PostToolUse.Bash", { cwd: other, session_id: "s-1" })
      yield* hook("PostToolUse.Bash", { cwd: "/no/longer/there", session_id: "s-1", tool_use_id: "t-2" })
      yield* hook("PostToolUse.Bash", { cwd: other, session_id: "s-2", tool_use_id: "t-3" })
      yield* hook(
        "PostToolUse.Bash",
        { cwd: other, session_id: "s-3", tool_use_id: "t-4" },
        { projectFolder: folder("told") }
      )
      assert.deepStrictEqual(
        (yield* rows).map((row) => row.project),
        ["shop", "shop", "shop", "other", "told"]
      )
    })
  )

  test(
    "fails with the reason if the folder of a new session does not exist",
    Effect.gen(function* () {
      const { hook, rows } = yield* setup
      const error = yield* Effect.flip(hook("Stop.plain", { cwd: "/no/such/folder" }))
      assert.strictEqual(error._tag, "FolderNotFound")
      assert.deepStrictEqual(yield* rows, [])
    })
  )

  test(
    "stores events from a deleted folder in the sink",
    Effect.gen(function* () {
      const { cwd, hook } = yield* setup
      const kept: Array<string> = []
      const keep: Sink["store"] = (events) =>
        Effect.sync(() => {
          kept.push(...events.map(({ place }) => `${place.project.name} ${place.project.path} ${place.worktreePath}`))
          return true
        })
      const gone = "/no/such/folder"
      const stop = (cwd: string, options?: HookProgram.HookOptions) =>
        Effect.provideService(hook("Stop.plain", { cwd }, options), EventSink, {
          store: keep,
          flush: Effect.succeed(undefined)
        })
      yield* stop(gone)
      yield* stop(cwd, { projectFolder: gone })
      yield* stop("/nor/this/one", { projectFolder: gone })
      assert.deepStrictEqual(kept, [`folder ${gone} ${gone}`, `shop ${cwd} ${cwd}`, `folder ${gone} ${gone}`])
    })
  )

  test(
    "injects memories at a session start, and nothing without memories",
    Effect.gen(function* () {
      const { hook, prompt } = yield* setup
      const memory = yield* MemoryBridge.MemoryBridge
      assert.isUndefined(yield* hook("SessionStart.startup", { session_id: "s-0" }))
      yield* prompt("Why is the checkout page slow today?", "p-1", "s-0")
      const session = yield* memory.getSession("s-0")
      const projectId = session._tag === "Some" ? session.value.project.id : 0
      yield* memory.addGoal(Goal.make({ projectId, title: "A fast checkout", priority: 9 }))
      yield* memory.addGoal(Goal.make({ projectId, title: "Not yet", status: "pending" }))
      const context = yield* hook("SessionStart.startup", { session_id: "s-1" })
      assert.include(context, "A fast checkout (in progress, priority 9 of 10)")
      assert.include(context, "asked: Why is the checkout page slow today?")
      assert.notInclude(context, "Not yet")
    })
  )

  test(
    "injects only new memories on resume, and all after a compaction",
    Effect.gen(function* () {
      const { hook, prompt } = yield* setup
      yield* prompt("The first question about the checkout page", "p-1", "s-0")
      assert.include(yield* hook("SessionStart.startup", { session_id: "s-1" }), "first question")
      assert.isUndefined(yield* hook("SessionStart.resume", { session_id: "s-1" }))
      yield* prompt("The second question about the checkout page", "p-2", "s-0")
      const resumed = yield* hook("SessionStart.resume", { session_id: "s-1" })
      assert.include(resumed, "second question")
      assert.notInclude(resumed, "first question")
      const memory = yield* MemoryBridge.MemoryBridge
      const otherwiseShown = 999
      yield* memory.markInjected("s-1", [otherwiseShown])
      const compacted = yield* hook("SessionStart.compact", { session_id: "s-1" })
      assert.notInclude(yield* memory.getInjected("s-1"), otherwiseShown)
      assert.include(compacted, "first question")
      assert.include(compacted, "second question")
    })
  )

  test(
    "injects no memory of the resumed session itself",
    Effect.gen(function* () {
      const { hook, prompt } = yield* setup
      yield* prompt("The question of another session about the page", "p-0", "s-0")
      yield* prompt("Unrelated words of this very session", "p-1", "s-1")
      const resumed = yield* hook("SessionStart.resume", { session_id: "s-1" })
      assert.include(resumed, "another session")
      assert.notInclude(resumed, "this very session")
    })
  )

  test(
    "stores an event without an id once per delivery",
    Effect.gen(function* () {
      const { hook, rows } = yield* setup
      const tools = [1, 2].map((n) => ({ tool_name: "Read", tool_input: { file_path: `/${n}` } }))
      const deliver = (deliveryId: string | undefined, session_id: string) =>
        Effect.gen(function* () {
          const options = { deliveryId }
          yield* hook("UserPromptSubmit.plain", { session_id, prompt: "Why?", prompt_id: undefined }, options)
          yield* hook("Stop.plain", { session_id, last_assistant_message: "So.", prompt_id: undefined }, options)
          yield* hook("PostToolBatch.parallel", { session_id, tool_calls: tools }, options)
          yield* hook("PostCompact.manual", { session_id, compact_summary: "All.", prompt_id: undefined }, options)
          yield* hook("SessionEnd.other", { session_id, prompt_id: undefined }, options)
        })
      const count = Effect.map(rows, ({ length }) => length)
      for (const session of ["s-1", "s-2"]) {
        for (const delivery of ["d-1", "d-1"]) yield* deliver(delivery, session)
      }
      assert.strictEqual(yield* count, 12)
      // A session may end again shortly after a resume.
      yield* deliver("d-2", "s-1")
      assert.strictEqual(yield* count, 18)
      // Without an id of the delivery, each delivery is an event, except ends of a session at one time.
      for (const _ of [1, 2]) yield* deliver(undefined, "s-1")
      assert.strictEqual(yield* count, 29)
    })
  )

  test(
    "identifies events by the agent's ids across deliveries",
    Effect.gen(function* () {
      const { hook, rows } = yield* setup
      const all = (deliveryId?: string) =>
        Effect.forEach(
          ["UserPromptSubmit.plain", "Stop.plain", "SubagentStop.plain", "PostToolUse.Edit", "PostToolBatch.parallel"],
          (name) => hook(name, { session_id: "s-1", prompt_id: "p-1" }, { deliveryId })
        )
      yield* all()
      const before = yield* rows
      yield* all("d-1")
      assert.deepStrictEqual(yield* rows, before)
      assert.notInclude(JSON.stringify(before), "delivery:")
    })
  )

  test(
    "distinguishes answers without an id by their delivery",
    Effect.gen(function* () {
      const { hook, rows } = yield* setup
      yield* hook("Stop.plain", { prompt_id: undefined, last_assistant_message: "Done with it." })
      yield* hook("Stop.plain", { prompt_id: undefined, last_assistant_message: "Done with it." })
      yield* hook("Stop.plain", { prompt_id: "p", last_assistant_message: "Done with it." })
      yield* hook("Stop.plain", { prompt_id: "p", last_assistant_message: "Done with it." })
      assert.strictEqual((yield* rows).length, 3)
    })
  )

  describe("redacts a secret that crosses a length limit, at each offset", () => {
    const secret = ["ghp", "aB3kQ7xZ0pM9tR5wY2cF8hJ4nV6dG1sLbEuK"].join("_")
    const offsets = Array.from({ length: secret.length + 3 }, (_, offset) => offset)
    /** A text in which the limit falls `offset` units into the secret; the text continues after it for `rest` units. */
    const across = (limit: number, offset: number, rest: number) =>
      `${"word ".repeat(Math.ceil(limit / 5)).slice(0, limit - offset - 1)} ${secret} ${"more ".repeat(rest / 5)}`
    const limits = [100, 500, 1_000, 2_000, 6_976, 8_000, 16_384]

    const assertRedacted = (rows: ReadonlyArray<Row>, count: number) => {
      assert.strictEqual(rows.length, count)
      for (const { content } of rows) {
        for (let at = 4; at + 6 <= secret.length; at++) assert.notInclude(content, secret.slice(at, at + 6))
      }
    }

    test(
      "of a tool's input and of its error",
      Effect.gen(function* () {
        const { hook, rows } = yield* setup
        const calls = limits.flatMap((limit) =>
          offsets.flatMap((offset) => {
            const [short, long] = [across(limit, offset, 10), across(limit, offset, 20_000)]
            const id = `${limit}-${offset}`
            return [
              { tool_name: "Bash", tool_input: { command: short }, tool_use_id: `a-${id}` },
              { tool_name: "mcp__x__y", tool_input: { other: long, text: short }, tool_use_id: `b-${id}` },
              { tool_name: "Bash", tool_input: {}, tool_response: `Exit code 1\n${long}`, tool_use_id: `c-${id}` }
            ]
          })
        )
        for (let at = 0; at < calls.length; at += 1_000) {
          yield* hook("PostToolBatch.Bash", { tool_calls: calls.slice(at, at + 1_000) })
        }
        assertRedacted(yield* rows, calls.length)
      })
    )

    test(
      "of a prompt, a message, a trigger and a reason",
      Effect.gen(function* () {
        const { hook, prompt, rows } = yield* setup
        for (const offset of offsets) {
          yield* prompt(across(2_000, offset, 20_000), `p-${offset}`)
          yield* hook("Stop.plain", { last_assistant_message: across(2_000, offset, 20_000), prompt_id: `p-${offset}` })
          yield* hook("PreCompact.auto", { trigger: across(100, offset, 10), prompt_id: `p-${offset}` })
          yield* hook("SessionEnd.other", { reason: across(100, offset, 10), prompt_id: `p-${offset}` })
        }
        assertRedacted(yield* rows, offsets.length * 4)
      })
    )

    test(
      "of a compaction summary",
      Effect.gen(function* () {
        const { hook, rows } = yield* setup
        for (const offset of offsets.filter((offset) => offset % 6 === 0)) {
          const summary = across(MemoryEvent.maxContentLength, offset, 10)
          yield* hook("PostCompact.manual", { compact_summary: summary, prompt_id: `p-${offset}` })
        }
        assertRedacted(yield* rows, offsets.filter((offset) => offset % 6 === 0).length)
      })
    )
  })

  test(
    "injects at most 10,000 units for any memories and budget",
    Effect.gen(function* () {
      const { hook } = yield* setup
      yield* Effect.forEach(
        Array.from({ length: 30 }),
        (_, index) =>
          hook("Stop.plain", { session_id: "s-0", last_assistant_message: `${index} ${"\u{1F600}x".repeat(5_000)}` }),
        { discard: true }
      )
      const context = yield* hook("SessionStart.startup", { session_id: "s-1" }, { startTokens: 2_500 })
      assert.isAtMost(context!.length, 10_000)
      assert.isTrue(context!.isWellFormed())
      const small = yield* hook("SessionStart.startup", { session_id: "s-2" }, { startTokens: 100 })
      assert.isAtMost(small?.length ?? 0, 400)
    })
  )

  test(
    "dies with the name of a budget out of its bounds",
    Effect.gen(function* () {
      const { hook } = yield* setup
      const named = (name: string, effect: ReturnType<typeof hook>) =>
        Effect.map(Effect.exit(effect), (exit) =>
          assert.include(
            String(Exit.isFailure(exit) && Cause.squash(exit.cause)),
            `RangeError: HookProgram: ${name} is`
          )
        )
      yield* named("startTokens", hook("SessionStart.startup", { session_id: "s-1" }, { startTokens: 2_501 }))
      yield* named("promptTokens", hook("UserPromptSubmit.plain", { session_id: "s-1" }, { promptTokens: 0 }))
      yield* named("maxReminders", hook("UserPromptSubmit.plain", { session_id: "s-1" }, { maxReminders: 31 }))
    })
  )

  test(
    "injects relevant memories of other sessions at a prompt, once per session",
    Effect.gen(function* () {
      const { hook, prompt } = yield* setup
      yield* hook("Stop.plain", {
        session_id: "s-0",
        last_assistant_message: "The payment client retries twice with backoff, see src/payment/retry.ts."
      })
      yield* prompt("Paint the bikeshed of the landing page green", "p-0", "s-0")
      const reminded = yield* prompt("Change the retries of the payment client", "p-1")
      assert.include(reminded, "retries twice with backoff")
      assert.notInclude(reminded, "bikeshed")
      assert.isUndefined(yield* prompt("Change the retries of the payment client again", "p-2"))
      assert.isUndefined(yield* prompt("Something else entirely", "p-3"))
      assert.isUndefined(yield* prompt("what is it?", "p-4"))
      assert.include(yield* prompt("Change the retries of the payment client", "p-5", "s-2"), "retries twice")
    })
  )

  test(
    "injects nothing into a notification",
    Effect.gen(function* () {
      const { hook } = yield* setup
      yield* hook("Stop.plain", {
        session_id: "s-0",
        last_assistant_message: "Background command completed: exit code 0"
      })
      assert.isUndefined(yield* hook("UserPromptSubmit.task-notification", { session_id: "s-1" }))
    })
  )

  test(
    "responds to a prompt that was not stored, with a notice",
    Effect.gen(function* () {
      const { cwd, hook } = yield* setup
      const memory = yield* MemoryBridge.MemoryBridge
      yield* hook("Stop.plain", { session_id: "s-0", last_assistant_message: "The payment client retries twice." })
      const event = yield* ClaudeCode.decode(
        Fixtures.body("UserPromptSubmit.plain", { cwd, prompt: "retries of the payment client", session_id: "s-1" })
      )
      const broken = {
        ...memory,
        recordEvent: () => Effect.flip(memory.setGoalStatus(1, 99, "blocked")).pipe(Effect.flip)
      }
      const output = yield* HookProgram.handle(event).pipe(
        Effect.provideService(MemoryBridge.MemoryBridge, broken as never)
      )
      assert.include(output.context, "retries twice")
      assert.include(output.notice, "the prompt was not recorded")
    })
  )

  test(
    "distinguishes uses with one id by input and prompt",
    Effect.gen(function* () {
      const { rows, send } = yield* setup
      const long = "i".repeat(300)
      for (const agent of ["claude", "codex", "qwen"] as const) {
        for (const id of ["Bash:0", "functions.Bash:0", "call_0", "0", long, `${long}2`, "id with \u0000 and \n"]) {
          const before = (yield* rows).length
          const use = (command: string, turn: string, more: object = {}) =>
            send(agent, {
              session_id: "s-1",
              hook_event_name: "PostToolUse",
              tool_name: "Bash",
              tool_input: { command, cwd: "/" },
              tool_use_id: id,
              prompt_id: turn,
              turn_id: turn,
              ...more
            })
          for (const delivery of [{ duration_ms: 1 }, { duration_ms: 2 }, { tool_input: { cwd: "/", command: "a" } }]) {
            yield* use("a", "p-1", delivery)
          }
          yield* use("b", "p-1")
          yield* use("a", "p-2")
          yield* use("a", "p-1", { tool_name: "Shell" })
          yield* use("a", "p-1", { session_id: "s-2" })
          assert.strictEqual((yield* rows).length - before, 5, `${agent} ${id}`)
        }
      }
    })
  )

  test(
    "identifies a use with a unique id across prompts",
    Effect.gen(function* () {
      const { hook, rows } = yield* setup
      for (const tool_use_id of ["toolu_01A09q90qw90lq917835lq9", "exec-e581f593-a1f9-430a-b058-cb77539cc27d"]) {
        for (const prompt_id of ["p-1", "p-2"]) yield* hook("PostToolUse.Bash", { tool_use_id, prompt_id })
      }
      assert.strictEqual((yield* rows).length, 2)
    })
  )

  test(
    "distinguishes prompts by text and prompt id, and stores a redelivered one once",
    Effect.gen(function* () {
      const { rows, send } = yield* setup
      for (const agent of ["claude", "codex"] as const) {
        const before = (yield* rows).length
        const say = (prompt: string, turn: string) =>
          send(agent, { session_id: "s", hook_event_name: "UserPromptSubmit", prompt, prompt_id: turn, turn_id: turn })
        for (const _ of [1, 2]) yield* say("rename the module", "t-1")
        for (const _ of [1, 2]) yield* say("and never touch the migrations", "t-1")
        yield* say("rename the module", "t-2")
        yield* say("rename the module", "t".repeat(1_000))
        yield* say("rename the module", `${"t".repeat(1_000)}2`)
        assert.strictEqual((yield* rows).length - before, 5, agent)
      }
    })
  )

  test(
    "accepts long session ids",
    Effect.gen(function* () {
      const { prompt, rows } = yield* setup
      const id = "s".repeat(254)
      for (const session of [`${id}1`, `${id}2`, `${id}2`]) yield* prompt("Why?", "p-1", session)
      assert.deepStrictEqual(
        (yield* rows).map(({ session }) => session),
        [`${id}1`, `${id}2`]
      )
    })
  )

  test(
    "identifies a use of Qwen Code by the id that its events share",
    Effect.gen(function* () {
      const { rows, send } = yield* setup
      for (const name of ["PostToolUse.run_shell_command", "PostToolBatch.run_shell_command"]) {
        yield* send("qwen", Fixtures.body(name, {}, "qwen"))
      }
      const again = { ...Fixtures.body("PostToolUse.run_shell_command", {}, "qwen"), tool_use_id: "toolu_made_anew" }
      yield* send("qwen", again)
      assert.strictEqual((yield* rows).length, 1)
    })
  )

  test(
    "stores one of Gemini CLI's two session ends, and another after a resume",
    Effect.gen(function* () {
      const { rows, send } = yield* setup
      const end = (timestamp: string, reason = "exit") =>
        send("gemini", { ...Fixtures.body("SessionEnd.exit", {}, "gemini"), timestamp, reason })
      yield* end("2026-11-30T18:25:29.900Z")
      yield* end("2026-11-30T18:25:30.100Z", "other")
      yield* end("2026-11-30T18:25:30.100Z")
      assert.strictEqual((yield* rows).length, 1)
      yield* end("2026-11-30T18:27:00.000Z")
      assert.strictEqual((yield* rows).length, 2)
    })
  )

  test(
    "stores no event again that an earlier release stored",
    Effect.gen(function* () {
      const { hook, prompt, rows, send } = yield* setup
      const sql = yield* SqlClient.SqlClient
      const stored = (event: Effect.Effect<unknown, unknown, never>, key: string, content?: string) =>
        Effect.gen(function* () {
          const before = (yield* rows).length
          yield* Effect.orDie(event)
          assert.strictEqual((yield* rows).length, before + 1, key)
          yield* sql`UPDATE episodic_events SET event_key = ${key}, content = coalesce(${content ?? null}, content)
            WHERE id = (SELECT max(id) FROM episodic_events)`
          yield* Effect.orDie(event)
          assert.strictEqual((yield* rows).length, before + 1, key)
        })
      const c = yield* Effect.context<never>()
      const run = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.provideContext(effect, c as never) as Effect.Effect<A>
      const bash = (command: string, tool_use_id: string, prompt_id: string) =>
        run(hook("PostToolUse.Bash", { session_id: "s-1", tool_input: { command }, tool_use_id, prompt_id }))
      yield* stored(bash("make a", "Bash:0", "p-1"), "claude-code:tool:s-1:Bash:0")
      yield* stored(
        bash("make a", "toolu_01A09q90qw90lq917", "p-1"),
        "claude-code:tool:s-1:toolu_01A09q90qw90lq917",
        "x"
      )
      yield* stored(run(prompt("First\nprompt", "p-1")), "claude-code:prompt:s-1:p-1")
      yield* stored(
        run(hook("PostToolBatch.Bash-denied", { session_id: "s-2" })),
        "claude-code:tool:s-2:toolu_01Fixture0000000000001",
        "Bash: echo no"
      )
      const notification = Fixtures.body("UserPromptSubmit.task-notification")["prompt"] as string
      yield* stored(
        run(hook("UserPromptSubmit.task-notification", { session_id: "s-1" })),
        `claude-code:notification:s-1:${fnv1a(notification)}`
      )
      yield* stored(run(prompt("<system-reminder>x</system-reminder>", "p-2")), "claude-code:prompt:s-1:p-2")
      yield* stored(
        run(hook("Stop.plain", { session_id: "s-1", prompt_id: "p-1", last_assistant_message: "Done." })),
        `claude-code:answer:s-1:p-1:${fnv1a("Done.")}`
      )
      const compact_summary = "<analysis>a</analysis><summary>b</summary>"
      yield* stored(
        run(hook("PostCompact.manual", { session_id: "s-1", prompt_id: "p-1", compact_summary })),
        `claude-code:compacted:s-1:p-1:${fnv1a(compact_summary)}`,
        "<analysis>a"
      )
      yield* stored(run(hook("SessionEnd.clear", { session_id: "s-1", prompt_id: "p-1" })), "claude-code:end:s-1:p-1")
      const qwen = Fixtures.body("PostToolUse.read_file", {}, "qwen")
      yield* stored(
        run(send("qwen", qwen)),
        `qwen-code:tool:${String(qwen["session_id"])}:${String(qwen["tool_use_id"])}`
      )
      const withContext = Fixtures.body("BeforeAgent.with-hook-context", {}, "gemini")
      yield* stored(
        run(send("gemini", withContext)),
        `gemini-cli:prompt:${String(withContext["session_id"])}:${String(withContext["timestamp"])}`,
        String(withContext["prompt"])
      )
      // What shares the earlier key and is another event.
      const before = (yield* rows).length
      yield* bash("make b", "Bash:0", "p-2")
      yield* prompt("Second prompt of the turn", "p-1")
      assert.strictEqual((yield* rows).length, before + 2)
    })
  )

  test(
    "stores a whole compaction summary without analysis and secrets, and injects its beginning",
    Effect.gen(function* () {
      const { hook, rows } = yield* setup
      const summary = `1. Primary Request and Intent:\n   ${"a long story ".repeat(5_000)}password=supersecretvalue\n9. Next Step:\n   ship`
      yield* hook("PostCompact.manual", {
        session_id: "s-1",
        compact_summary: `<analysis>${"scaffolding ".repeat(1_000)}</analysis>\n<summary>\n${summary}\n</summary>`
      })
      const [row] = yield* rows
      assert.isAbove(row!.content.length, 65_000)
      assert.isTrue(row!.content.startsWith("1. Primary Request and Intent:"))
      assert.isTrue(row!.content.endsWith("9. Next Step:\n   ship"))
      assert.notInclude(row!.content, "supersecret")
      assert.notInclude(row!.content, "scaffolding")
      const context = yield* hook("SessionStart.startup", { session_id: "s-2" })
      assert.include(context, "Primary Request and Intent: a long story")
      assert.isBelow(context!.length, 500)
      yield* hook("PostCompact.manual", {
        session_id: "s-3",
        compact_summary: `<summary>${"word ".repeat(40_000)}</summary>`
      })
      assert.isAtMost((yield* rows)[1]!.content.length, MemoryEvent.maxContentLength)
    })
  )

  test(
    "omits calls of the memory's own tools only",
    Effect.gen(function* () {
      const { hook, rows } = yield* setup
      const others = ["mcp__athenaeum__search", "mcp__aws-athena__query", "athena", "mcp__memory__athena"]
      const own = ["mcp__athena__memory_search", "mcp_athena_memory_search", "mcp__plugin_athena_memory__recall"]
      for (const tool_name of [...own, "MCP__Athena__x", "mcp__athena-hooks__x", ...others]) {
        yield* hook("PostToolUse.mcp", { tool_name, tool_use_id: `t-${tool_name}` })
        yield* hook("PostToolUseFailure.Bash", { tool_name, tool_use_id: `f-${tool_name}` })
      }
      yield* hook("PostToolBatch.parallel", {
        tool_calls: [
          { tool_name: "mcp__athena__x", tool_use_id: "b-1", tool_response: "x" },
          { tool_name: "Read", tool_use_id: "b-2", tool_response: "x" }
        ]
      })
      assert.deepStrictEqual(
        (yield* rows).map(({ content }) => content.split(":")[0]),
        [...others.flatMap((tool) => [tool, tool]), "Read"]
      )
    })
  )

  test(
    "stores denied calls as failures without changed files, and the files of Codex's patches",
    Effect.gen(function* () {
      const { cwd, hook, rows, send } = yield* setup
      const refusal = "Permission to use Write with path /p/f.ts has been denied."
      yield* hook("PostToolBatch.parallel", {
        tool_calls: [
          written("a", refusal),
          written("b", [{ type: "text", text: refusal }]),
          written("c", "File created")
        ]
      })
      yield* send("codex", Fixtures.body("PostToolUse.apply_patch", {}, "codex"))
      yield* send("codex", Fixtures.body("PostToolUse.Bash-exit-code", {}, "codex"))
      yield* send("gemini", Fixtures.body("AfterTool.run_shell_command-exit-code", {}, "gemini"))
      yield* send("qwen", Fixtures.body("PostToolBatch.no_such_tool", {}, "qwen"))
      const recorded = yield* rows
      assert.deepStrictEqual(
        recorded.map(({ changed, outcome }) => [outcome, changed]),
        [
          ["failure", 0],
          ["failure", 0],
          ["success", 1],
          ["success", 1],
          [null, 0],
          ["failure", 0],
          ["failure", 0]
        ]
      )
      assert.deepStrictEqual(JSON.parse(recorded[3]!.files!), [`${cwd}/made.txt`])
    })
  )

  test(
    "injects no generated prompt, also of an earlier release",
    Effect.gen(function* () {
      const { hook, prompt, rows } = yield* setup
      const sql = yield* SqlClient.SqlClient
      const generated = [
        "<task-notification>\n<task-id>b1</task-id>the payment client retries</task-notification>",
        "<system-reminder>the payment client retries</system-reminder>",
        "Stop hook feedback:\n[check.sh]: the payment client retries",
        `<task-notification>\n${"the payment client retries ".repeat(100)}</task-notification>`
      ]
      for (const [index, text] of generated.entries()) yield* prompt(text, `p-${index}`, "s-0")
      yield* hook("SessionEnd.clear", { session_id: "s-0" })
      yield* hook("PreCompact.auto", { session_id: "s-0" })
      assert.deepStrictEqual(
        (yield* rows).map(({ type }) => type),
        [...generated.map(() => "notification"), "session_end", "compaction"]
      )
      for (const type of ["notification", "user_question"]) {
        yield* sql`UPDATE episodic_events SET event_type = ${type}, importance_score = 0.75
          WHERE event_type IN ('notification', 'user_question')`
        assert.isUndefined(yield* hook("SessionStart.startup", { session_id: `s-1-${type}` }))
        assert.isUndefined(yield* prompt("the payment client retries", "p", `s-2-${type}`))
        yield* sql`DELETE FROM episodic_events WHERE session_id = ${`s-2-${type}`}`
      }
    })
  )

  test(
    "injects a text that many sessions share once",
    Effect.gen(function* () {
      const { hook, prompt } = yield* setup
      yield* prompt("The release branch is frozen until the audit", "p", "s-a")
      for (let n = 0; n < 3; n++) {
        yield* prompt("Run the release checks  and go on", `p-${n}`, `s-${n}`)
        yield* hook("Stop.plain", {
          session_id: `s-${n}`,
          last_assistant_message: "The release checks of the branch passed."
        })
      }
      const context = yield* hook("SessionStart.startup", { session_id: "s-x" })
      assert.strictEqual(context!.split("Run the release checks").length, 2)
      assert.include(context, "frozen until the audit")
      const reminded = yield* prompt("did the release checks of the frozen branch pass today?", "p-x", "s-y")
      assert.strictEqual(reminded!.split("checks of the branch passed").length, 2)
      assert.notInclude(yield* hook("SessionStart.resume", { session_id: "s-x" }), "Run the release checks")
    })
  )

  test(
    "injects a note and the findings at a start after fifty sessions and a day of chores",
    Effect.gen(function* () {
      const { hook, prompt } = yield* setup
      const memory = yield* MemoryBridge.MemoryBridge
      yield* prompt("Why are customers charged twice?", "p", "s-found")
      yield* hook("Stop.plain", {
        session_id: "s-found",
        last_assistant_message: `The retry job races the customer, because RETRY_AFTER is parsed from an empty variable. ${Array.from({ length: 40 }, (_, n) => `detail${n}`).join(" ")}`
      })
      const session = yield* memory.getSession("s-found")
      const projectId = session._tag === "Some" ? session.value.project.id : 0
      const note = { projectId, sessionId: "athena-cli", type: "note", importance: 0.9 }
      yield* memory.recordEvent(MemoryEvent.make({ ...note, content: "Never push to main" }))
      const chores = ["commit this", "run the tests", "push", "bump the version", "thanks"]
      for (let n = 0; n < 50; n++) {
        yield* prompt(`${chores[n % chores.length]} (${n})`, `p-${n}`, `s-${n}`)
        yield* hook("Stop.plain", { session_id: `s-${n}`, last_assistant_message: `Done, it is number ${n} today.` })
      }
      const context = yield* hook("SessionStart.startup", { session_id: "s-x" })
      assert.include(context, "noted: Never push to main")
      assert.include(context, "RETRY_AFTER is parsed from an empty variable")
      assert.isUndefined(yield* hook("SessionStart.resume", { session_id: "s-x" }))
    })
  )

  test(
    "reserves room for notes, and leaves the rest to the sessions",
    Effect.gen(function* () {
      const { hook, prompt } = yield* setup
      const memory = yield* MemoryBridge.MemoryBridge
      for (let n = 0; n < 20; n++)
        yield* prompt(`question ${"abcdefghij"[n % 10]}${n} ${"x y ".repeat(60)}`, `p-${n}`, `s-${n}`)
      const session = yield* memory.getSession("s-0")
      const projectId = session._tag === "Some" ? session.value.project.id : 0
      for (let n = 0; n < 60; n++) {
        const content = `note ${n} ${"word ".repeat(70)}`
        yield* memory.recordEvent(MemoryEvent.make({ projectId, sessionId: "athena-cli", type: "note", content }))
      }
      const context = yield* hook("SessionStart.startup", { session_id: "s-x" })
      const notes = context!.split("noted: ").length - 1
      assert.isAtLeast(notes, 5)
      assert.isAtMost(notes, 10)
      assert.isAtLeast(context!.split("asked: ").length - 1, 1)
      // The next context has the notes that were not injected yet.
      const resumed = yield* hook("SessionStart.resume", { session_id: "s-x" })
      assert.notInclude(resumed, "noted: note 59 ")
      assert.include(resumed, "noted: note ")
    })
  )

  test(
    "injects into a fork only memories missing from its parent's context",
    Effect.gen(function* () {
      const { hook, prompt } = yield* setup
      const memory = yield* MemoryBridge.MemoryBridge
      yield* prompt("The first question about the checkout page", "p-1", "s-0")
      assert.include(yield* hook("SessionStart.startup", { session_id: "parent" }), "first question")
      yield* prompt("The parent asks about the payment client", "p-2", "parent")
      assert.isUndefined(yield* hook("SessionStart.fork", { session_id: "fork" }))
      assert.isUndefined(
        yield* prompt("the first question about the checkout page and the payment client", "p-3", "fork")
      )
      // What became known after the fork is news.
      yield* prompt("The payment client times out in the checkout", "p-4", "s-9")
      yield* hook("Stop.plain", {
        session_id: "s-9",
        last_assistant_message: "The payment client had no timeout of its own."
      })
      assert.include(yield* prompt("why does the payment client time out?", "p-5", "fork"), "times out")
      // Another one of the fork, from elsewhere, and one of a session that nobody knows.
      yield* hook("Stop.plain", { session_id: "fork", last_assistant_message: "The fork found that retries are off." })
      assert.isUndefined(yield* prompt("the fork found retries", "p-6", "fork"))
      const again = yield* hook("SessionStart.fork", { session_id: "fork-2" })
      assert.notInclude(again ?? "", "The fork found")
      assert.isNotEmpty(yield* memory.getInjected("fork-2"))
      const { folder } = yield* setup
      assert.isUndefined(yield* hook("SessionStart.fork", { session_id: "fork-3", cwd: folder("other") }))
    })
  )

  test(
    "injects Gemini CLI's start context at the first prompt, and again after a loss",
    Effect.gen(function* () {
      const { prompt, rows, send } = yield* setup
      yield* prompt("Why is the checkout page slow today?", "p-1", "s-0")
      let second = 0
      const gemini = (name: string, session_id: string, more: object = {}) =>
        send("gemini", {
          ...Fixtures.body(name, {}, "gemini"),
          session_id,
          timestamp: `2026-11-30T18:25:${++second + 10}.000Z`,
          ...more
        })
      const say = (text: string, session_id: string) => gemini("BeforeAgent.plain", session_id, { prompt: text })
      assert.isUndefined(yield* gemini("SessionStart.startup", "g-1"))
      assert.include(yield* say("Paint the bikeshed", "g-1"), "asked: Why is the checkout page slow today?")
      assert.isUndefined(yield* say("Paint it again", "g-1"))
      assert.isUndefined(yield* say("Why is the checkout page slow today?", "g-1"))
      assert.isUndefined(yield* gemini("SessionStart.resume", "g-1"))
      const resumed = yield* say("Paint it once more", "g-1")
      assert.include(resumed, "checkout page slow")
      assert.notInclude(resumed, "bikeshed")
      assert.isUndefined(yield* gemini("SessionStart.clear", "g-2"))
      const cleared = yield* say("What now?", "g-2")
      assert.include(cleared, "checkout page slow")
      assert.include(cleared, "Paint the bikeshed")
      // One without hooks at its start.
      assert.include(yield* say("Why is the checkout page slow?", "g-3"), "checkout page slow")
      yield* say("<hook_context>What is remembered</hook_context>\n\nWhat was the codename?", "g-4")
      yield* gemini("AfterAgent.plain", "g-4", {
        prompt_response: "It is <hook_context>a &lt;b&gt;</hook_context>HERON."
      })
      const last = (yield* rows).slice(-2).map(({ content }) => content)
      assert.deepStrictEqual(last, ["What was the codename?", "It is HERON."])
      assert.isUndefined(yield* gemini("PreCompress.auto", "g-4"))
      assert.isFalse((yield* rows).some(({ type }) => type === "compaction"))
    })
  )

  test(
    "injects all context again on Qwen Code's resume, and only new memories on Codex's",
    Effect.gen(function* () {
      const { prompt, send } = yield* setup
      yield* prompt("Why is the checkout page slow today?", "p-1", "s-0")
      const start = (agent: "codex" | "qwen", source: string) =>
        send(agent, Fixtures.body(`SessionStart.${source}`, { session_id: agent, source }, agent))
      for (const agent of ["codex", "qwen"] as const) {
        assert.include(yield* start(agent, "startup"), "checkout page slow")
        const resumed = yield* start(agent, "resume")
        if (agent === "codex") assert.isUndefined(resumed)
        else assert.include(resumed, "checkout page slow")
        assert.include(yield* start(agent, "compact"), "checkout page slow")
      }
    })
  )

  test(
    "ignores an empty prompt and records an interruption",
    Effect.gen(function* () {
      const { rows, send } = yield* setup
      yield* send("qwen", Fixtures.body("UserPromptSubmit.empty", {}, "qwen"))
      yield* send("claude", Fixtures.body("UserPromptSubmit.plain", { prompt: " \n" }))
      assert.deepStrictEqual(yield* rows, [])
      for (const _ of [1, 2]) assert.isUndefined(yield* send("codex", Fixtures.body("Interrupt.plain", {}, "codex")))
      yield* send("codex", Fixtures.body("SessionEnd.other", {}, "codex"))
      assert.deepStrictEqual(
        (yield* rows).map(({ type }) => type),
        ["notification", "session_end"]
      )
    })
  )
})
