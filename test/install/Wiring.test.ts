import { execFileSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import * as Redacted from "effect/Redacted"
import * as ClaudeCode from "../../src/hooks/adapters/ClaudeCode.ts"
import * as QwenCode from "../../src/hooks/adapters/QwenCode.ts"
import * as Agents from "../../src/install/Agents.ts"
import * as Wiring from "../../src/install/Wiring.ts"

const command: Agents.HookCommand = {
  node: '/o p/it\'s "here"/$HOME/node',
  script: "/a\\b/bin.js",
  version: "1.2.3-beta.1"
}

const endpoint: Agents.HookEndpoint = { url: "http://127.0.0.1:21234/hooks", token: Redacted.make("s3cret-_token") }

const group = (...commands: ReadonlyArray<string>) => ({ hooks: commands.map((command) => ({ command })) })

describe("Wiring", () => {
  it.each(Agents.supported.map((agent) => [agent.name, agent] as const))("of %s contains the mark", (_, agent) => {
    // Codex asks its user to confirm every other command line, so its own is the same for all versions.
    const version = agent.name === "codex" ? Wiring.anyVersion : command.version
    for (const { handler } of agent.wiring(command)) assert.strictEqual(Wiring.installedBy(handler), version)
  })

  it("is equal for all versions if the user confirms it", () => {
    const later = { ...command, version: "9.0.0" }
    assert.deepStrictEqual(Agents.codex.wiring(command), Agents.codex.wiring(later))
    assert.notDeepEqual(Agents.gemini.wiring(command), Agents.gemini.wiring(later))
  })

  it("requests no longer timeout than Codex allows, and no hook before each request of Gemini CLI", () => {
    const timeouts = new Map(Agents.codex.wiring(command).map(({ event, handler }) => [event, handler["timeout"]]))
    assert.deepStrictEqual([timeouts.get("SessionEnd"), timeouts.get("Interrupt"), timeouts.get("Stop")], [3, 3, 10])
    const events = Agents.gemini.wiring(command).map(({ event }) => event)
    assert.deepStrictEqual(events, ["SessionStart", "BeforeAgent", "AfterTool", "AfterAgent", "SessionEnd"])
  })

  it("has a name if the agent shows the command line otherwise", () => {
    for (const agent of [Agents.gemini, Agents.qwen]) {
      for (const { handler } of agent.wiring({ ...command, endpoint })) assert.strictEqual(handler["name"], "athena")
    }
  })

  it("posts all events of Qwen Code except the first to one address", () => {
    const wiring = Agents.qwen.wiring({ ...command, endpoint: { ...endpoint, headers: { "memory-of": "ada" } } })
    const [first, ...posts] = wiring
    assert.deepInclude(first, { event: "SessionStart" })
    assert.deepInclude(first?.handler, { type: "command", timeout: 10_000 })
    assert.deepStrictEqual(
      posts.map(({ event }) => event),
      QwenCode.events.filter((event) => event !== "SessionStart")
    )
    for (const { handler } of posts) {
      assert.deepStrictEqual(handler, {
        name: "athena",
        type: "http",
        url: "http://127.0.0.1:21234/hooks/qwen",
        headers: {
          "memory-of": "ada",
          Authorization: "Bearer s3cret-_token",
          "Athena-Installed-By": "--installed-by=athena-hooks@1.2.3-beta.1"
        },
        timeout: 1
      })
    }
  })

  it.each([
    [{ hooksConfig: { enabled: false } }, ["hooksConfig.enabled"]],
    [{ hooksConfig: { enabled: true, disabled: ["other", "athena"] } }, ["hooksConfig.disabled"]],
    [{ hooksConfig: { disabled: "athena" } }, []],
    [{}, []],
    [undefined, []]
  ])("detects disabled hooks of Gemini CLI: %j", (settings, switches) => {
    assert.deepStrictEqual(Agents.gemini.switches(settings), switches)
  })

  it("posts all events of Claude Code except the first, whose command starts the daemon", () => {
    const wiring = Agents.claude.wiring({ ...command, endpoint: { ...endpoint, headers: { "memory-of": "ada" } } })
    const posts = wiring.filter(({ handler }) => handler["type"] === "http")
    assert.deepStrictEqual(
      posts.map(({ event }) => event),
      ClaudeCode.events.filter((event) => event !== "SessionStart")
    )
    for (const { event, handler } of posts) {
      assert.deepStrictEqual(handler, {
        type: "http",
        url: "http://127.0.0.1:21234/hooks/claude",
        headers: {
          "memory-of": "ada",
          Authorization: "Bearer s3cret-_token",
          "Athena-Installed-By": "--installed-by=athena-hooks@1.2.3-beta.1"
        },
        timeout: event === "SessionEnd" ? 5 : 1
      })
    }
    const args = [command.script, "hook", "--agent", "claude"]
    const mark = Wiring.mark(command.version)
    assert.deepStrictEqual(
      wiring.filter(({ handler }) => handler["type"] !== "http"),
      [
        {
          event: "SessionStart",
          handler: { type: "command", command: command.node, args: [...args, mark], timeout: 10 }
        }
      ]
    )
    for (const { handler } of wiring) assert.strictEqual(Wiring.installedBy(handler), command.version)
  })

  it("contains only commands for agents without HTTP hooks, or without an address", () => {
    const others = Agents.supported.filter(({ posts }) => !posts)
    for (const { wiring } of others) assert.deepStrictEqual(wiring({ ...command, endpoint }), wiring(command))
    const commands = Agents.claude.wiring(command)
    assert.deepStrictEqual(
      commands.map(({ event }) => event),
      ClaudeCode.events
    )
    for (const { handler } of commands) assert.hasAllKeys(handler, ["type", "command", "args", "timeout"])
  })

  it("detects a secret and hides it", () => {
    assert.isFalse(Wiring.hasSecret(Agents.claude.wiring(command)))
    assert.isTrue(Wiring.hasSecret(Agents.claude.wiring({ ...command, endpoint })))
    const text = JSON.stringify(Agents.claude.wiring({ ...command, endpoint }))
    assert.include(text, "s3cret-_token")
    assert.notInclude(Wiring.masked(text), "s3cret")
    assert.strictEqual(
      Wiring.masked("authorization: bearer a/b+c== x, Bearer $VAR"),
      "authorization: bearer *** x, Bearer $VAR"
    )
  })

  it("finds its mark in any text of a handler", () => {
    const mark = Wiring.mark("2.0.0")
    assert.strictEqual(Wiring.installedBy({ type: "http", url: "http://x", headers: { "x-y": mark } }), "2.0.0")
    assert.strictEqual(Wiring.installedBy({ command: `a 'b' ${mark}; c` }), "2.0.0")
    for (const other of [
      { type: "command", command: "athena hook" },
      { type: "command", command: "npx athena-hooks@2.0.0 hook" },
      { type: "command", command: "node /athena-hooks/dist/cli/bin.js hook" },
      { type: "command", command: "x --installed-by=other@1.0.0" },
      { [mark]: "as a name" },
      null,
      1
    ]) {
      assert.isUndefined(Wiring.installedBy(other))
    }
  })

  it("detects a hook command without the mark", () => {
    const mark = Wiring.mark("1.0.0")
    const hooks = {
      Stop: [group("say"), group("say", "athena hook")],
      SessionEnd: [group("/opt/bin/athena hook --agent claude")],
      SessionStart: [group(`athena hook ${mark}`), group("athena hooks", "pathena hook")],
      enabled: true
    }
    assert.deepStrictEqual(Wiring.byHand({ hooks }), ["Stop", "SessionEnd"])
    for (const other of [undefined, null, {}, { hooks: null }, { hooks: { Stop: [null, 1] } }]) {
      assert.deepStrictEqual(Wiring.byHand(other), [])
    }
  })

  it("quotes each word for a shell", () => {
    const [first] = Agents.codex.wiring(command)
    const script = `for word in ${String(first?.handler["command"])}; do printf '%s\\n' "$word"; done`
    assert.deepStrictEqual(execFileSync("/bin/sh", ["-c", script], { encoding: "utf8" }).trimEnd().split("\n"), [
      command.node,
      command.script,
      "hook",
      "--agent",
      "codex",
      Wiring.mark(Wiring.anyVersion)
    ])
  })
})
