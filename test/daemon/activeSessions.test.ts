import { assert, describe, it } from "@effect/vitest"
import * as OpenSessions from "../../src/daemon/internal/activeSessions.ts"
import type { HookEvent } from "../../src/hooks/HookEvent.ts"

const hour = 3_600_000

const of = (sessionId: string, _tag: "Prompt" | "SessionEnd" | "Ignored", agent = "claude-code"): HookEvent =>
  ({ _tag, agent, sessionId, cwd: "/" }) as never

describe("activeSessions", () => {
  it("counts sessions with an event and without an end", () => {
    const sessions = OpenSessions.make()
    sessions.record(of("a", "Prompt"), 0)
    sessions.record(of("a", "Prompt"), 1)
    sessions.record(of("b", "Prompt"), 3)
    assert.strictEqual(sessions.count(4), 2)
    sessions.record(of("a", "SessionEnd"), 5)
    sessions.record(of("c", "SessionEnd"), 6)
    sessions.record(of("d", "Ignored"), 7)
    // Its hooks are commands, which start the process where it is missing.
    sessions.record(of("e", "Prompt", "codex"), 7)
    assert.strictEqual(sessions.count(8), 1)
  })

  it("removes sessions after three silent days", () => {
    const sessions = OpenSessions.make()
    sessions.record(of("a", "Prompt"), 0)
    sessions.record(of("b", "Prompt"), hour)
    sessions.record(of("a", "Prompt"), 2 * hour)
    assert.strictEqual(sessions.count(73 * hour - 1), 2)
    assert.strictEqual(sessions.count(73 * hour), 1)
    assert.strictEqual(sessions.count(74 * hour), 0)
  })

  it("limits the number of sessions", () => {
    const sessions = OpenSessions.make()
    for (let i = 0; i < 5_000; i++) sessions.record(of(`s-${i}`, "Prompt"), i)
    assert.strictEqual(sessions.count(5_000), 1_000)
  })
})
