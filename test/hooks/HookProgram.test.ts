import * as fs from "node:fs"
import * as path from "node:path"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as HookFileSystem from "../../src/cli/HookFileSystem.ts"
import * as ClaudeCode from "../../src/hooks/ClaudeCode.ts"
import * as HookAdapters from "../../src/hooks/HookAdapters.ts"
import { EventSink, type Sink } from "../../src/hooks/EventSink.ts"
import * as HookProgram from "../../src/hooks/HookProgram.ts"
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

describe("HookProgram", () => {
  test(
    "records each tool use once, whichever events tell of it",
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
    "records prompts, answers, compactions and ends, each in short",
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
    "keeps secrets out of what is stored",
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
    "keeps a session in the project that it began in",
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
    "fails with what is wrong where the folder of a new session does not exist",
    Effect.gen(function* () {
      const { hook, rows } = yield* setup
      const error = yield* Effect.flip(hook("Stop.plain", { cwd: "/no/such/folder" }))
      assert.strictEqual(error._tag, "FolderNotFound")
      assert.deepStrictEqual(yield* rows, [])
    })
  )

  test(
    "keeps, where events are kept, also those from a folder that is gone",
    Effect.gen(function* () {
      const { cwd, hook } = yield* setup
      const kept: Array<string> = []
      const keep: Sink["keep"] = (events) =>
        Effect.sync(() => {
          kept.push(...events.map(({ place }) => `${place.project.name} ${place.project.path} ${place.worktreePath}`))
          return true
        })
      const gone = "/no/such/folder"
      const stop = (cwd: string, options?: HookProgram.HookOptions) =>
        Effect.provideService(hook("Stop.plain", { cwd }, options), EventSink, {
          keep,
          settle: Effect.succeed(undefined)
        })
      yield* stop(gone)
      yield* stop(cwd, { projectFolder: gone })
      yield* stop("/nor/this/one", { projectFolder: gone })
      assert.deepStrictEqual(kept, [`folder ${gone} ${gone}`, `shop ${cwd} ${cwd}`, `folder ${gone} ${gone}`])
    })
  )

  test(
    "tells a session at its start what is remembered, and nothing where nothing is",
    Effect.gen(function* () {
      const { hook, prompt } = yield* setup
      const memory = yield* MemoryBridge.MemoryBridge
      assert.isUndefined(yield* hook("SessionStart.startup", { session_id: "s-0" }))
      yield* prompt("Why is the checkout page slow today?", "p-1", "s-0")
      const session = yield* memory.getSession("s-0")
      const projectId = session._tag === "Some" ? session.value.project.id : 0
      yield* memory.addGoal({ projectId, title: "A fast checkout", priority: 9 })
      yield* memory.addGoal({ projectId, title: "Not yet", status: "pending" })
      const context = yield* hook("SessionStart.startup", { session_id: "s-1" })
      assert.include(context, "A fast checkout (in progress, priority 9 of 10)")
      assert.include(context, "asked: Why is the checkout page slow today?")
      assert.notInclude(context, "Not yet")
    })
  )

  test(
    "respects how a session starts: taken up again it is told only what is new, compacted all",
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
      yield* memory.markShown("s-1", [otherwiseShown])
      const compacted = yield* hook("SessionStart.compact", { session_id: "s-1" })
      assert.notInclude(yield* memory.getShown("s-1"), otherwiseShown)
      assert.include(compacted, "first question")
      assert.include(compacted, "second question")
    })
  )

  test(
    "does not tell a session that is taken up again what it said itself",
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
    "takes an event without an id for one, however often the same delivery tells of it",
    Effect.gen(function* () {
      const { hook, rows } = yield* setup
      const tools = [1, 2].map((n) => ({ tool_name: "Read", tool_input: { file_path: `/${n}` } }))
      const told = (deliveryId: string | undefined, session_id: string) =>
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
        for (const delivery of ["d-1", "d-1"]) yield* told(delivery, session)
      }
      assert.strictEqual(yield* count, 12)
      yield* told("d-2", "s-1")
      assert.strictEqual(yield* count, 18)
      // Without either, each telling is an event, but for two ends of a session at the same time.
      for (const _ of [1, 2]) yield* told(undefined, "s-1")
      assert.strictEqual(yield* count, 29)
    })
  )

  test(
    "goes by the agent's own ids, whatever the delivery",
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
    "takes two answers without an id for two, and one that is told twice for one",
    Effect.gen(function* () {
      const { hook, rows } = yield* setup
      yield* hook("Stop.plain", { prompt_id: undefined, last_assistant_message: "Done with it." })
      yield* hook("Stop.plain", { prompt_id: undefined, last_assistant_message: "Done with it." })
      yield* hook("Stop.plain", { prompt_id: "p", last_assistant_message: "Done with it." })
      yield* hook("Stop.plain", { prompt_id: "p", last_assistant_message: "Done with it." })
      assert.strictEqual((yield* rows).length, 3)
    })
  )

  test(
    "takes a secret out wherever a text is cut",
    Effect.gen(function* () {
      const { hook, rows } = yield* setup
      const secret = "postgres://app:hunter2supersecret@db/shop"
      const cuts = [100, 500, 1_000, 2_000, 8_000]
      for (const cut of cuts) {
        for (let offset = 0; offset <= secret.length; offset += 7) {
          const text = `${"x".repeat(cut - offset - 1)} ${secret} tail`
          yield* hook("PostToolUse.Bash", { tool_input: { command: text }, tool_use_id: `a-${cut}-${offset}` })
          yield* hook("PostToolUseFailure.Bash", { error: text, tool_use_id: `b-${cut}-${offset}` })
          yield* hook("PostToolUse.mcp", { tool_input: { text }, tool_use_id: `c-${cut}-${offset}` })
          yield* hook("Stop.plain", { last_assistant_message: text })
        }
      }
      for (const row of yield* rows) assert.notInclude(row.content, "hunter2")
    })
  )

  test(
    "never tells more than ten thousand units, whatever is remembered and asked for",
    Effect.gen(function* () {
      const { hook } = yield* setup
      yield* Effect.forEach(
        Array.from({ length: 30 }),
        (_, index) =>
          hook("Stop.plain", { session_id: "s-0", last_assistant_message: `${index} ${"\u{1F600}x".repeat(5_000)}` }),
        { discard: true }
      )
      const context = yield* hook("SessionStart.startup", { session_id: "s-1" }, { startTokens: 1_000_000 })
      assert.isAtMost(context!.length, 10_000)
      assert.isTrue(context!.isWellFormed())
      const small = yield* hook("SessionStart.startup", { session_id: "s-2" }, { startTokens: 100 })
      assert.isAtMost(small?.length ?? 0, 400)
    })
  )

  test(
    "reminds at a prompt of what it is about, once a session, and not of the session itself",
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
    "does not remind a notification",
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
    "answers a prompt that could not be recorded, and says so",
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
})
