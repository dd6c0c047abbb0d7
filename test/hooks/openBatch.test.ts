import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as NodePath from "@effect/platform-node/NodePath"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as HookFileSystem from "../../src/hookProcess/hookFileSystem.ts"
import * as ClaudeCode from "../../src/hooks/adapters/ClaudeCode.ts"
import type { Prompt, SessionEnd } from "../../src/hooks/HookEvent.ts"
import * as HookProgram from "../../src/hooks/HookProgram.ts"
import * as OpenBatch from "../../src/hooks/internal/openBatch.ts"
import * as QwenCode from "../../src/hooks/adapters/QwenCode.ts"
import * as MemoryBridge from "../../src/memory/MemoryBridge.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as Fixtures from "../utils/Fixtures.ts"
import * as TempFolder from "../utils/TempFolder.ts"

type Fields = Readonly<Record<string, unknown>>

const session = "s-1"
const files = Layer.merge(HookFileSystem.layer, NodePath.layer)

const recording = (name: string) =>
  path.join(import.meta.dirname, "..", "fixtures", "claude-code", `transcript.${name}.jsonl`)

const event = (transcript: string | undefined, _tag: "Prompt" | "SessionEnd" = "Prompt"): Prompt | SessionEnd => {
  const common = { agent: "claude-code", sessionId: session, cwd: "/p", promptId: "p-2", transcript }
  return _tag === "Prompt"
    ? { ...common, _tag, text: "next", isFromUser: true }
    : { ...common, _tag, reason: "other", endedAtMs: undefined }
}

const use = (message: string, id: string, input: Fields = { command: id }, more: Fields = {}) => ({
  type: "assistant",
  message: { id: message, role: "assistant", content: [{ type: "tool_use", id, name: "Bash", input }] },
  ...more
})
const result = (id: string, content: unknown = "out", more: Fields = {}, entry: Fields = {}) => ({
  type: "user",
  promptId: "p-1",
  message: { role: "user", content: [{ type: "tool_result", tool_use_id: id, content, ...more }] },
  ...entry
})
const says = (message: string, text: string, more: Fields = {}) => ({
  type: "assistant",
  message: { id: message, role: "assistant", content: [{ type: "text", text }], ...more }
})
const prompt = (text: string) => ({ type: "user", promptId: "p-1", message: { role: "user", content: text } })

const written = (lines: ReadonlyArray<unknown>, name = "session.jsonl") =>
  Effect.map(TempFolder.make, (folder) => {
    const file = path.join(folder, name)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`).join(""))
    return file
  })

/** The calls of an event, one line each. */
const callsOf = (transcript: string | undefined, tag?: "Prompt" | "SessionEnd") =>
  Effect.map(OpenBatch.read(event(transcript, tag)), (found) =>
    found.flatMap(({ calls }) => calls.map(({ outcome, subject }) => `${subject} ${outcome}`))
  )

const test = (name: string, body: Effect.Effect<void, unknown, any>) =>
  it.effect(name, () => body.pipe(Effect.scoped, Effect.provide(files)) as Effect.Effect<void>)

describe("openBatch", () => {
  test(
    "returns the ended calls of a recorded interruption, with the client's times and prompt",
    Effect.gen(function* () {
      const [found, ...others] = yield* OpenBatch.read(event(recording("interrupted")))
      assert.deepStrictEqual(others, [])
      assert.isDefined(found)
      assert.strictEqual(found.promptId, "00000000-0000-4000-8000-0000000000a1")
      assert.deepStrictEqual(
        found.calls.map(({ endedAtMs, files, id, outcome, tool }) => ({ endedAtMs, files, id, outcome, tool })),
        [
          {
            endedAtMs: Date.UTC(2026, 10, 30, 23, 50, 20, 333),
            files: ["/home/dev/project/notes.txt"],
            id: "toolu_01Fixture0000000000021",
            outcome: "success",
            tool: "Read"
          }
        ]
      )
    })
  )

  test(
    "returns nothing when a message of the model follows the recorded calls",
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* OpenBatch.read(event(recording("continued"))), [])
    })
  )

  const batch = [prompt("go"), use("m-1", "a"), result("a"), use("m-1", "b"), result("b")]

  const layouts: ReadonlyArray<readonly [string, ReadonlyArray<unknown>, ReadonlyArray<string>]> = [
    ["calls whose results precede later calls of the message", batch, ["a success", "b success"]],
    ["no call without a result", [...batch, use("m-1", "c")], ["a success", "b success"]],
    ["nothing of an earlier message", [...batch, use("m-2", "c"), result("c")], ["c success"]],
    ["nothing after an answer", [...batch, says("m-2", "done"), prompt("next")], []],
    [
      "the calls before a message of the client",
      [...batch, says("x", "none", { model: "<synthetic>" })],
      ["a success", "b success"]
    ],
    ["the calls before a cut line", [...batch, '{"type":"assistant","mess'], ["a success", "b success"]],
    [
      "the calls between lines of other types",
      [...batch, { type: "mode" }, "", "[]", "null"],
      ["a success", "b success"]
    ],
    [
      "no call that the interruption ended",
      [
        ...batch,
        use("m-1", "c"),
        use("m-1", "d"),
        use("m-1", "e"),
        result(
          "c",
          "The user doesn't want to proceed with this tool use.",
          { is_error: true },
          { toolDenialKind: "user-rejected" }
        ),
        result("d", "[Request interrupted by user for tool use]", { is_error: true }),
        result("e", "Exit code 137", { is_error: true })
      ],
      ["a success", "b success"]
    ],
    [
      "refused calls, which no other event reports",
      [
        prompt("go"),
        use("m-1", "a"),
        use("m-1", "b"),
        result("a", "<tool_use_error>Error: No such tool available: X</tool_use_error>", { is_error: true }),
        result("b", [{ type: "text", text: "Permission to use Bash has been denied." }], { is_error: true })
      ],
      ["a failure", "b failure"]
    ],
    [
      "a success whose output reads like a failure",
      [use("m-1", "a"), result("a", "Exit code 1\nas printed", { is_error: false })],
      ["a success"]
    ],
    ["no copy of a parent's calls", [use("m-1", "a", { command: "a" }, { requestSessionId: "s-0" }), result("a")], []],
    [
      "no call of Athena's tools",
      [
        {
          type: "assistant",
          message: { id: "m-1", content: [{ type: "tool_use", id: "a", name: "mcp__athena__search", input: {} }] }
        },
        result("a")
      ],
      []
    ]
  ]
  for (const [title, lines, expected] of layouts) {
    test(
      `returns ${title}`,
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* callsOf(yield* written(lines)), expected)
      })
    )
  }

  test(
    "finds a batch before more text than one read returns, up to its bound",
    Effect.gen(function* () {
      for (const kibibytes of [10, 100, 2_000]) {
        const large = { type: "attachment", text: "é".repeat(kibibytes * 512) }
        const transcript = yield* written([{ type: "x", text: "é".repeat(70_001) }, ...batch, large, large])
        assert.deepStrictEqual(yield* callsOf(transcript), ["a success", "b success"], `${kibibytes} KiB`)
      }
      const huge = { type: "attachment", text: "x".repeat(17 * 1024 * 1024) }
      assert.deepStrictEqual(yield* callsOf(yield* written([...batch, huge])), [])
    })
  )

  test(
    "returns nothing for a transcript that is missing, empty, a folder or a pipe",
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      for (const file of [undefined, "", folder, path.join(folder, "missing.jsonl"), "/dev/zero", yield* written([])]) {
        assert.deepStrictEqual(yield* callsOf(file, "SessionEnd"), [])
      }
    })
  )

  test(
    "returns the calls of subagents at the end of the session only",
    Effect.gen(function* () {
      const transcript = yield* written(batch)
      const folder = path.join(path.dirname(transcript), "session", "subagents")
      fs.mkdirSync(folder, { recursive: true })
      const lines = [use("m-9", "in-subagent"), result("in-subagent")].map((line) => JSON.stringify(line)).join("\n")
      fs.writeFileSync(path.join(folder, "agent-1.jsonl"), lines)
      fs.writeFileSync(path.join(folder, "agent-1.meta.json"), lines)
      assert.deepStrictEqual(yield* callsOf(transcript), ["a success", "b success"])
      const all = ["a success", "b success", "in-subagent success"]
      assert.deepStrictEqual(yield* callsOf(transcript, "SessionEnd"), all)
      assert.deepStrictEqual(
        yield* Effect.provide(callsOf(transcript, "SessionEnd"), NodeServices.layer),
        all,
        "with the platform's file system"
      )
    })
  )

  it.effect("stores the calls of an interrupted batch once, with those that other events report", () =>
    Effect.gen(function* () {
      const cwd = fs.realpathSync(yield* TempFolder.make)
      const sql = yield* SqlClient.SqlClient
      const transcript_path = yield* written([
        prompt("go"),
        use("m-1", "a"),
        use("m-1", "b"),
        use("m-1", "c"),
        result("a", "out", { is_error: false }),
        result("b", "Exit code 2\nbroken", { is_error: true })
      ])
      const send = (name: string, more: Fields) =>
        ClaudeCode.decode(Fixtures.body(name, { cwd, session_id: session, transcript_path, ...more })).pipe(
          Effect.flatMap((event) => HookProgram.handle(event)),
          Effect.map(({ notice }) => assert.isUndefined(notice))
        )
      const failed = { tool_name: "Bash", tool_use_id: "b", tool_input: { command: "b" } }
      yield* send("PostToolUseFailure.Bash", { prompt_id: "p-1", error: "Exit code 2\nbroken", ...failed })
      // Settings of an earlier version report the call itself too.
      const done = {
        tool_name: "Bash",
        tool_use_id: "a",
        tool_input: { command: "a" },
        tool_response: { stdout: "out" }
      }
      yield* send("PostToolUse.Bash", { prompt_id: "p-1", ...done })
      yield* send("UserPromptSubmit.plain", { prompt_id: "p-2" })
      yield* send("UserPromptSubmit.plain", { prompt_id: "p-3" })
      yield* send("SessionEnd.other", { prompt_id: "p-3" })
      const rows = yield* sql<{ content: string; outcome: string | null }>`
        SELECT content, outcome FROM episodic_events WHERE event_type = 'tool_execution' ORDER BY content`
      assert.deepStrictEqual(rows, [
        { content: "Bash: a", outcome: "success" },
        { content: "Bash: b\nfailed: Exit code 2\nbroken", outcome: "failure" }
      ])
    }).pipe(
      Effect.scoped,
      Effect.provide(
        MemoryBridge.layerSql.pipe(
          Layer.provideMerge(Sqlite.layer({ filename: ":memory:" })),
          Layer.provideMerge(files)
        )
      )
    )
  )

  it.effect("reads no transcript of another agent", () =>
    Effect.gen(function* () {
      const body = { ...Fixtures.body("UserPromptSubmit.plain"), transcript_path: recording("interrupted") }
      const [claude, qwen] = [yield* ClaudeCode.decode(body), yield* QwenCode.decode(body)]
      assert.propertyVal(claude, "transcript", recording("interrupted"))
      assert.propertyVal(qwen, "transcript", undefined)
    })
  )
})
