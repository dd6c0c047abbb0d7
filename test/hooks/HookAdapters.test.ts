/**
 * The agents beside Claude Code. The payloads are made from what their documentation and sources say that they send.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { HookAdapter } from "../../src/hooks/HookAdapter.ts"
import * as HookAdapters from "../../src/hooks/HookAdapters.ts"
import type { HookEvent } from "../../src/hooks/HookEvent.ts"
import * as HookOutput from "../../src/hooks/HookOutput.ts"
import * as Fixtures from "../utils/Fixtures.ts"

const { claude, codex, gemini, qwen } = HookAdapters.byName

const timestamp = "2026-11-22T18:00:00.000Z"
const common = { session_id: "s-1", transcript_path: null, cwd: "/shop", timestamp }

const decode = (adapter: HookAdapter, name: string, more: object = {}): HookEvent =>
  Effect.runSync(adapter.decode({ ...common, hook_event_name: name, ...more }))

const refuse = (adapter: HookAdapter, body: unknown): string =>
  Effect.runSync(Effect.flip(adapter.decode(body))).message

const call = (event: HookEvent) => (event._tag === "ToolUse" ? event.calls[0] : undefined)

/** An answer that a reader takes which refuses what it does not know. */
const strict = (answer: string, hookEventName: string) =>
  assert.deepStrictEqual(JSON.parse(answer), { hookSpecificOutput: { hookEventName, additionalContext: "facts" } })

/** The least that each event comes with. */
const fields: Readonly<Record<string, object>> = {
  UserPromptSubmit: { prompt: "p" },
  BeforeAgent: { prompt: "p" },
  PostToolUse: { tool_name: "t" },
  PostToolUseFailure: { tool_name: "t" },
  AfterTool: { tool_name: "t" },
  PostToolBatch: { tool_calls: [] }
}

/** Events that are read, for settings of earlier versions and for the user's own, and not installed. */
const decodedOnly = new Set(["PostToolUse", "PostToolBatch"])

/** Gemini CLI loses the prompt of a session whose start had context. */
const takesContext = (adapter: HookAdapter, event: HookEvent): boolean =>
  event._tag === "Prompt" || (event._tag === "SessionStart" && adapter !== gemini)

describe("HookAdapters", () => {
  it.each(Object.entries(HookAdapters.byName))("%s decodes each event of its installed hooks", (_, adapter) => {
    for (const name of adapter.events) {
      const event = decode(adapter, name, fields[name])
      assert.notStrictEqual(event._tag, "Ignored", name)
      assert.strictEqual(event.agent, adapter.agent)
      assert.deepInclude(event, { sessionId: "s-1", cwd: "/shop" })
    }
  })

  it.each(Object.entries(HookAdapters.byName))(
    "%s injects context only into events that preserve the prompt",
    (_, adapter) => {
      for (const name of adapter.events) {
        const event = decode(adapter, name, fields[name])
        const answer = adapter.encode(event, HookOutput.context("facts"))
        if (takesContext(adapter, event)) strict(answer, name)
        else assert.strictEqual(answer, "{}")
        assert.strictEqual(adapter.encode(event, HookOutput.empty), "{}")
      }
    }
  )

  it.each(Object.entries(HookAdapters.byName))("%s encodes a message for the user", (_, adapter) => {
    for (const name of adapter.events) {
      const event = decode(adapter, name, fields[name])
      const isShown = event._tag === "SessionStart" || event._tag === "Prompt"
      const encode = (output: HookOutput.HookOutput) => JSON.parse(adapter.encode(event, output)) as unknown
      assert.deepStrictEqual(
        encode({ context: undefined, message: "not kept" }),
        isShown ? { systemMessage: "not kept" } : {}
      )
      const hookSpecificOutput = { hookEventName: name, additionalContext: "facts" }
      assert.deepStrictEqual(
        encode({ context: "facts", message: "not kept" }),
        isShown ? { systemMessage: "not kept", ...(takesContext(adapter, event) ? { hookSpecificOutput } : {}) } : {}
      )
      assert.deepStrictEqual(encode({ context: undefined, message: "", notice: "for the log" }), {})
    }
  })

  it.each(Object.entries(HookAdapters.byName))("%s names itself in the error of an invalid payload", (_, adapter) => {
    const title = { claude: "Claude Code", codex: "Codex", gemini: "Gemini CLI", qwen: "Qwen Code" }
    const name = Object.entries(HookAdapters.byName).find(([, one]) => one === adapter)![0] as keyof typeof title
    for (const body of [undefined, 1, "x", [], { ...common, hook_event_name: "Nonsense" }, { session_id: "s" }]) {
      assert.include(refuse(adapter, body), `not a ${title[name]} hook event: `)
    }
  })

  it.each(
    Object.entries(Fixtures.byAgent).flatMap(([agent, fixtures]) =>
      fixtures.map(({ body, file }) => ({ agent: agent as keyof typeof Fixtures.byAgent, body, file }))
    )
  )("$agent decodes $file", ({ agent, body, file }) => {
    const event = Effect.runSync(HookAdapters.byName[agent].decode(body))
    assert.strictEqual(event.sessionId, body["session_id"])
    if (event._tag !== "Ignored") assert.strictEqual(event.cwd, body["cwd"])
    // What one agent sends is read as what it is, and what memory has no use for costs nothing.
    const name = file.split(".")[0]!
    const used = HookAdapters.byName[agent].events.includes(name) || decodedOnly.has(name)
    const empty = file === "UserPromptSubmit.empty.json" || file === "SubagentStop.plain-internal-agent.json"
    assert.strictEqual(event._tag !== "Ignored", used && !empty)
  })

  it.each(Object.entries(HookAdapters.byName))(
    "%s quotes no unknown event name that is not an identifier",
    (_, adapter) => {
      for (const name of ["\u001b[2J", "a\nforged log line", "x".repeat(10_000), "token=abcdefgh12345678", ""]) {
        const message = refuse(adapter, { ...common, hook_event_name: name })
        assert.match(message, /unknown event \(\d+ characters, no name\)/)
        if (name !== "") assert.notInclude(message, name)
        assert.isBelow(message.length, 200)
      }
      assert.include(refuse(adapter, { ...common, hook_event_name: "Nonsense" }), '"Nonsense')
    }
  )

  it("distinguishes the agents", () => {
    assert.strictEqual(new Set(Object.values(HookAdapters.byName).map(({ agent }) => agent)).size, 4)
    assert.isUndefined(HookAdapters.find("toString"))
    assert.strictEqual(HookAdapters.find("codex"), codex)
  })
})

describe("Codex", () => {
  it("identifies a prompt by its prompt id", () => {
    const event = decode(codex, "UserPromptSubmit", { turn_id: "turn-1", model: "m", prompt: "deploy" })
    assert.deepInclude(event, { _tag: "Prompt", promptId: "turn-1", text: "deploy", isFromUser: true })
    const stop = decode(codex, "Stop", { turn_id: "turn-1", last_assistant_message: null, stop_hook_active: false })
    assert.deepInclude(stop, { _tag: "Answer", promptId: "turn-1", text: "" })
  })

  it("decodes a tool use", () => {
    const body = {
      tool_name: "apply_patch",
      tool_input: { command: "*** Begin Patch" },
      tool_use_id: "c-1",
      tool_response: "ok"
    }
    assert.deepInclude(call(decode(codex, "PostToolUse", body)), {
      id: "c-1",
      tool: "apply_patch",
      subject: "*** Begin Patch",
      outcome: "success",
      changesFiles: true
    })
    assert.isFalse(call(decode(claude, "PostToolUse", body))?.changesFiles)
  })
})

describe("Qwen Code", () => {
  it("records only submitted text as a prompt", () => {
    const prompt = "expanded text"
    assert.deepInclude(decode(qwen, "UserPromptSubmit", { prompt, submitted_prompt: "typed" }), {
      text: "typed",
      isFromUser: true
    })
    assert.deepInclude(decode(qwen, "UserPromptSubmit", { prompt }), { text: prompt, isFromUser: false })
    assert.deepInclude(decode(qwen, "UserPromptSubmit", { prompt, submitted_prompt: 1 }), { isFromUser: false })
  })

  it("identifies the tools that change files", () => {
    const body = { tool_name: "write_file", tool_input: { file_path: "/shop/a.ts" }, tool_use_id: "t-1" }
    assert.deepInclude(call(decode(qwen, "PostToolUse", body)), { changesFiles: true, files: ["/shop/a.ts"] })
    assert.deepInclude(call(decode(qwen, "PostToolUseFailure", { ...body, error: "no" })), {
      outcome: "failure",
      error: "no"
    })
  })
})

const use = (tool_input: object, tool_response: object) =>
  call(decode(gemini, "AfterTool", { tool_name: "replace", tool_input, tool_response }))

describe("Gemini CLI", () => {
  it("decodes only its own events", () => {
    assert.deepInclude(decode(gemini, "BeforeAgent", { prompt: "deploy" }), {
      _tag: "Prompt",
      promptId: timestamp,
      text: "deploy",
      isFromUser: true
    })
    assert.deepInclude(decode(gemini, "AfterAgent", { prompt: "p", prompt_response: "done" }), {
      _tag: "Answer",
      text: "done"
    })
    assert.deepInclude(decode(gemini, "SessionEnd", { reason: "exit" }), { _tag: "SessionEnd", reason: "exit" })
    assert.deepInclude(decode(gemini, "SessionStart", { source: "resume" }), { _tag: "SessionStart", source: "resume" })
    for (const name of [
      "BeforeTool",
      "BeforeModel",
      "AfterModel",
      "BeforeToolSelection",
      "Notification",
      "PreCompress"
    ]) {
      assert.strictEqual(decode(gemini, name)._tag, "Ignored")
    }
    assert.include(refuse(gemini, { ...common, hook_event_name: "UserPromptSubmit", prompt: "p" }), "unknown event")
  })

  it("detects a failed tool by its response and distinguishes concurrent uses by their input", () => {
    const first = use({ file_path: "/shop/a.ts" }, { llmContent: "ok" })
    assert.deepInclude(first, { outcome: "success", changesFiles: true, files: ["/shop/a.ts"] })
    assert.deepInclude(use({ file_path: "/a" }, { error: { message: "no such text", type: "edit" } }), {
      outcome: "failure",
      error: "no such text"
    })
    assert.deepInclude(use({}, { error: "no" }), { outcome: "failure", error: "no" })
    assert.deepInclude(use({}, { error: null }), { outcome: "success" })
    assert.strictEqual(use({ file_path: "/shop/a.ts" }, {})?.id, first?.id)
    assert.notStrictEqual(use({ file_path: "/shop/b.ts" }, {})?.id, first?.id)
    assert.isAtMost(first!.id!.length, 96)
  })
})
