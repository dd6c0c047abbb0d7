import { assert, describe, it } from "@effect/vitest"
import * as Agents from "../../src/install/Agents.ts"
import * as CodexTrust from "../../src/install/internal/codexTrust.ts"

/** What Codex 0.171.0 recorded for three hooks when its user trusted them. */
const command =
  "'/usr/bin/node' '/opt/athena-hooks/dist/cli/shim.cjs' hook --agent codex --installed-by=athena-hooks@any"
const recorded = {
  session_start: "sha256:6ce68ae02a5fdcfe387c0d6b219fbedc06de7b32a1aee1f344ff60f911a5fd42",
  user_prompt_submit: "sha256:b5c2a38de15b901f16f20ed202c29699dd4a78ca06135229591ba201cc4b3d68",
  session_end: "sha256:2b2bd9ba8586359c677baaac5ec41a87cf233e0cfc326843e6a286e8f9fe08d9"
}

const file = "/home/ada/.codex/hooks.json"
const handler = { type: "command", command, timeout: 10 }
const settings = {
  hooks: {
    SessionStart: [{ hooks: [{ type: "command", command: "say" }] }, { hooks: [handler] }],
    UserPromptSubmit: [{ hooks: [handler] }]
  }
}

const record = (states: Readonly<Record<string, string>>): string =>
  Object.entries(states)
    .map(([place, lines]) => `[hooks.state.${JSON.stringify(`${file}:${place}`)}]\n${lines}\n`)
    .join("\n")

const trusted = {
  "session_start:1:0": `trusted_hash = "${recorded.session_start}"`,
  "user_prompt_submit:0:0": `trusted_hash = "${recorded.user_prompt_submit}"`
}

const wiring = (version: string) => Agents.codex.wiring({ node: "/bin/node", script: "/shim.cjs", version })

const missing = (text: string, value: unknown, files = [file]) => CodexTrust.inactive(text, files, value)

describe("the trust of Codex", () => {
  it("equals the hash of Codex", () => {
    assert.strictEqual(CodexTrust.hashOf("SessionStart", undefined, handler), recorded.session_start)
    assert.strictEqual(CodexTrust.hashOf("UserPromptSubmit", undefined, handler), recorded.user_prompt_submit)
    assert.strictEqual(CodexTrust.hashOf("SessionEnd", undefined, { ...handler, timeout: 3 }), recorded.session_end)
  })

  it("exists for confirmed hooks", () => {
    assert.deepStrictEqual(missing(record(trusted), settings), [])
    // The folder may be a link, and Codex names the file by either name.
    assert.deepStrictEqual(missing(record(trusted), settings, ["/link/hooks.json", file]), [])
  })

  it("is missing for unconfirmed hooks", () => {
    const all: ReadonlyArray<Agents.InactiveHook> = [
      { event: "SessionStart", state: "untrusted" },
      { event: "UserPromptSubmit", state: "untrusted" }
    ]
    for (const text of ["", "not toml [", 'hooks = "x"', "[hooks.state]", 'model = "x"']) {
      assert.deepStrictEqual(missing(text, settings), all)
    }
    assert.deepStrictEqual(missing(record(trusted), settings, ["/elsewhere/hooks.json"]), all)
  })

  it("is missing for replaced and disabled hooks", () => {
    const moved = { ...trusted, "session_start:1:0": trusted["user_prompt_submit:0:0"] }
    assert.deepStrictEqual(missing(record(moved), settings), [{ event: "SessionStart", state: "changed" }])
    const off = { ...trusted, "session_start:1:0": `${trusted["session_start:1:0"]}\nenabled = false` }
    assert.deepStrictEqual(missing(record(off), settings), [{ event: "SessionStart", state: "disabled" }])
    const edited = { hooks: { ...settings.hooks, UserPromptSubmit: [{ hooks: [{ ...handler, timeout: 11 }] }] } }
    assert.deepStrictEqual(missing(record(trusted), edited), [{ event: "UserPromptSubmit", state: "changed" }])
  })

  it("is required for our hooks alone", () => {
    const others = {
      hooks: { Stop: [{ hooks: [{ type: "command", command: "say" }] }], state: { a: 1 }, odd: [1, {}] }
    }
    for (const value of [others, {}, undefined, { hooks: null }, { hooks: [] }]) {
      assert.deepStrictEqual(missing("", value), [])
    }
  })

  it("remains valid across versions in both files of Codex", () => {
    for (const agent of [Agents.codex, Agents.codex.otherwise!]) {
      const text = (version: string) => {
        const result = agent.text.install("", wiring(version))
        if (result._tag === "Failure") throw new Error(result.failure.message)
        const value = agent.text.value(result.success.text)
        return value._tag === "Success" ? value.success.value : undefined
      }
      const states = Object.fromEntries(
        missing("", text("1.0.0")).map(({ event }) => {
          const wire = wiring("1.0.0").find((one) => one.event === event)!
          const place = `${event.replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toLowerCase()}:0:0`
          return [place, `trusted_hash = "${CodexTrust.hashOf(event, undefined, wire.handler)}"`]
        })
      )
      assert.strictEqual(Object.keys(states).length, wiring("1.0.0").length)
      assert.deepStrictEqual(missing(record(states), text("2.0.0")), [])
    }
  })
})
