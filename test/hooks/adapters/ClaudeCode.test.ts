import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ClaudeCode from "../../../src/hooks/adapters/ClaudeCode.ts"
import type { HookEvent } from "../../../src/hooks/HookEvent.ts"
import * as HookOutput from "../../../src/hooks/HookOutput.ts"
import { sha256 } from "../../../src/internal/sha256.ts"
import * as Fixtures from "../../utils/Fixtures.ts"

const decode = (name: string, more?: Readonly<Record<string, unknown>>): HookEvent =>
  Effect.runSync(ClaudeCode.decode(Fixtures.body(name, more)))

const refuse = (body: unknown): string => Effect.runSync(Effect.flip(ClaudeCode.decode(body))).message

const calls = (event: HookEvent) => (event._tag === "ToolUse" ? event.calls : [])

describe("ClaudeCode", () => {
  it.each(Fixtures.all)("reads $file", ({ body }) => {
    const event = Effect.runSync(ClaudeCode.decode(body))
    assert.strictEqual(event.agent, "claude-code")
    assert.strictEqual(event.sessionId, body["session_id"])
    if (event._tag !== "Ignored") assert.strictEqual(event.cwd, body["cwd"])
  })

  it("tells a person's prompt from a notification of the agent itself", () => {
    const person = decode("UserPromptSubmit.plain")
    const notification = decode("UserPromptSubmit.task-notification")
    assert.isTrue(person._tag === "Prompt" && person.isFromUser)
    assert.isTrue(notification._tag === "Prompt" && !notification.isFromUser)
  })

  it("decodes a tool use", () => {
    assert.deepStrictEqual(calls(decode("PostToolUse.Edit")), [
      {
        id: "toolu_01Fixture0000000000001",
        earlierId: "toolu_01Fixture0000000000001",
        tool: "Edit",
        inputHash: sha256(
          `Edit\n{"file_path":"/home/dev/project/src/x.ts","new_string":"x = 2","old_string":"x = 1","replace_all":false}`
        ),
        subject: "/home/dev/project/src/x.ts",
        outcome: "success",
        error: undefined,
        durationMs: 9,
        endedAtMs: undefined,
        files: ["/home/dev/project/src/x.ts"],
        changesFiles: true
      }
    ])
    const [failed] = calls(decode("PostToolUseFailure.Bash"))
    assert.strictEqual(failed?.outcome, "failure")
    assert.strictEqual(failed?.error, "Exit code 3\nbroken")
    assert.strictEqual(failed?.subject, "echo broken >&2; exit 3")
  })

  it("finds the failures that only a batch tells of", () => {
    const outcome = (name: string) => calls(decode(name)).map((call) => call.outcome)
    assert.deepStrictEqual(outcome("PostToolBatch.Edit-tool-use-error"), ["failure"])
    assert.deepStrictEqual(outcome("PostToolBatch.none-unknown-tool"), ["failure"])
    assert.deepStrictEqual(outcome("PostToolBatch.Read-invalid-input"), ["failure"])
    assert.deepStrictEqual(outcome("PostToolBatch.Bash-denied"), ["failure"])
    assert.deepStrictEqual(outcome("PostToolBatch.parallel"), ["success", "success", "success", "success"])
    const [call] = calls(decode("PostToolBatch.Edit-tool-use-error"))
    assert.strictEqual(call?.error, "String to replace not found in file.\nString: nothing like this")
  })

  it("takes the summary of a compaction from its event and not from the helper that wrote it", () => {
    assert.strictEqual(decode("SubagentStop.plain-internal-agent")._tag, "Ignored")
    const compacted = decode("PostCompact.manual")
    assert.isTrue(compacted._tag === "Compaction" && compacted.summary?.includes("MOCK SUMMARY") === true)
    const compacting = decode("PreCompact.auto")
    assert.isTrue(compacting._tag === "Compaction" && compacting.summary === undefined)
  })

  it("passes over fields it does not know and does without those it can", () => {
    const event = decode("PostToolUse.Edit", {
      new_field: { of: ["a", "later", "version"] },
      prompt_id: 7,
      tool_use_id: null,
      duration_ms: "9",
      tool_input: "not an object"
    })
    const [call] = calls(event)
    assert.deepStrictEqual([call?.id, call?.durationMs, call?.subject, call?.files], [undefined, undefined, "", []])
    assert.isTrue(
      decode("SessionStart.startup", { source: "something new" })._tag === "SessionStart" &&
        decode("SessionStart.startup", { source: null })._tag === "SessionStart"
    )
  })

  it("refuses what is no event, names the field and shows no value", () => {
    const secret = "hunter2"
    for (const [body, named] of [
      [null, "object"],
      [[], "object"],
      ["text", "object"],
      [{}, "Missing"],
      [{ hook_event_name: "Stop" }, "session_id"],
      [{ hook_event_name: "Nonsense", session_id: "s" }, 'unknown event "Nonsense"'],
      [{ hook_event_name: "toString", session_id: "s" }, "unknown event"],
      [{ hook_event_name: "__proto__", session_id: "s" }, "unknown event"],
      [{ ...Fixtures.body("UserPromptSubmit.plain"), prompt: { secret } }, "prompt"],
      [{ ...Fixtures.body("UserPromptSubmit.plain"), session_id: secret.repeat(100) }, "session_id"],
      [{ ...Fixtures.body("PostToolUse.Edit"), tool_name: [secret] }, "tool_name"],
      [{ ...Fixtures.body("PostToolBatch.parallel"), tool_calls: secret }, "tool_calls"],
      [{ ...Fixtures.body("Stop.plain"), cwd: "" }, "cwd"]
    ] as const) {
      const message = refuse(body)
      assert.include(message, named)
      assert.notInclude(message, secret)
      assert.notInclude(message, "\n")
    }
  })

  it("answers with context only where context does no harm", () => {
    const output = HookOutput.context("a fact")
    const harmless = new Set(["SessionStart", "UserPromptSubmit"])
    for (const { body } of Fixtures.all) {
      const event = Effect.runSync(ClaudeCode.decode(body))
      const name = String(body["hook_event_name"])
      const answer = JSON.parse(ClaudeCode.encode(event, output)) as unknown
      assert.deepStrictEqual(
        answer,
        harmless.has(name) ? { hookSpecificOutput: { hookEventName: name, additionalContext: "a fact" } } : {}
      )
      assert.strictEqual(ClaudeCode.encode(event, HookOutput.empty), "{}")
    }
  })
})
