import { execFileSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import * as Agents from "../../src/install/Agents.ts"
import * as Wiring from "../../src/install/Wiring.ts"

const command: Agents.HookCommand = {
  node: '/o p/it\'s "here"/$HOME/node',
  script: "/a\\b/bin.js",
  version: "1.2.3-beta.1"
}

const group = (...commands: ReadonlyArray<string>) => ({ hooks: commands.map((command) => ({ command })) })

describe("Wiring", () => {
  it.each(Agents.supported.map((agent) => [agent.name, agent] as const))("of %s carries the mark", (_, agent) => {
    for (const { handler } of agent.wiring(command)) assert.strictEqual(Wiring.installedBy(handler), command.version)
  })

  it("knows its mark in any text of a handler, and nothing else for it", () => {
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

  it("sees where the hook is called by hand", () => {
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

  it("gives a shell each word as it is", () => {
    const [first] = Agents.codex.wiring(command)
    const script = `for word in ${String(first?.handler["command"])}; do printf '%s\\n' "$word"; done`
    assert.deepStrictEqual(execFileSync("/bin/sh", ["-c", script], { encoding: "utf8" }).trimEnd().split("\n"), [
      command.node,
      command.script,
      "hook",
      "--agent",
      "codex",
      Wiring.mark(command.version)
    ])
  })
})
