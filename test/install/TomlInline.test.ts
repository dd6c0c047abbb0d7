/**
 * Hooks in values of TOML, as other programs leave them when they write a whole file anew.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Edit from "../../src/install/internal/textEdit.ts"
import { hooks } from "../../src/install/internal/tomlHooks.ts"
import { keyOf } from "../../src/install/internal/tomlText.ts"
import * as Wiring from "../../src/install/Wiring.ts"

const get = <A, E extends Error>(result: Result.Result<A, E>): A =>
  Result.getOrThrowWith(result, (problem) => new Error(problem.message))

const events = ["SessionStart", "Stop", "PreCompact"]
const wiring = (version: string): Wiring.Wiring =>
  events.map((event) => ({
    event,
    handler: { type: "command", command: `'/bin/node' "x\\y#]}" hook ${Wiring.mark(version)}`, timeout: 10 }
  }))
const current = wiring("1.0.0")

const valueOf = (text: string): any => get(hooks.value(text)).value
const found = (text: string) =>
  get(hooks.found(text)).map(({ event, handler }) => `${event} ${Wiring.installedBy(handler)}`)

const ours = (version = "1.0.0") => {
  const { command } = wiring(version)[0]!.handler
  return `{ timeout = 10, command = ${JSON.stringify(command)}, type = "command" }`
}
const mine = `{ type = "command", command = "say # ] }" }`

/** One set of hooks, ours among them, in the shapes that writers of TOML give them; and what is left without ours. */
const shapes: ReadonlyArray<readonly [string, string, string]> = [
  [
    "arrays in a table",
    `model = "x"\n[hooks]\nSessionStart = [{ hooks = [${ours()}] }]\nStop = [{ hooks = [${mine}] }, { hooks = [${ours()}] }]\nPreCompact = [{ hooks = [${ours()}] }]\n\n[tui]\na = 1\n`,
    `model = "x"\n[hooks]\nStop = [{ hooks = [${mine}] }]\n\n[tui]\na = 1\n`
  ],
  [
    "dotted keys",
    `hooks.SessionStart = [{ hooks = [${ours()}] }] # start\nhooks."Stop" = [{ hooks = [${mine}, ${ours()}] }]\n'hooks'.PreCompact = [{hooks=[${ours()}]}]\nmodel = "x"\n`,
    `hooks."Stop" = [{ hooks = [${mine}] }]\nmodel = "x"\n`
  ],
  [
    "one inline table",
    `hooks = { SessionStart = [{ hooks = [${ours()}] }], Stop = [{ hooks = [${mine}] }, { matcher = "", hooks = [${ours()}] }], PreCompact = [{ hooks = [${ours()}] }] }\n[projects."/a"]\ntrust_level = "trusted"\n`,
    `hooks = { Stop = [{ hooks = [${mine}] }] }\n[projects."/a"]\ntrust_level = "trusted"\n`
  ],
  [
    "lists of handlers in tables of groups",
    `[[hooks.SessionStart]]\nhooks = [${ours()}]\n[[hooks.Stop]]\nhooks = [${mine}]\n[[hooks.Stop]]\nhooks = [\n  ${ours()}, # ours\n]\n[["hooks" . "PreCompact"]]\n'hooks' = [${ours()}]\n[last]\nx = 1\n`,
    `[[hooks.Stop]]\nhooks = [${mine}]\n[[hooks.Stop]]\nhooks = [ # ours\n]\n[last]\nx = 1\n`
  ],
  [
    "several lines, with comments and trailing commas",
    `[hooks]\nSessionStart = [\n  { hooks = [${ours()}] },\n]\nStop = [\n  # first\n  { hooks = [\n    ${mine},\n    ${ours()},\n  ] },\n]\nPreCompact = [{ hooks = [${ours()}] }]\n[hooks.state]\n"a:stop:0:0" = { trusted_hash = "sha256:x" }\n`,
    `[hooks]\nStop = [\n  # first\n  { hooks = [\n    ${mine},\n  ] },\n]\n[hooks.state]\n"a:stop:0:0" = { trusted_hash = "sha256:x" }\n`
  ]
]

const variants = shapes.flatMap(([name, text, without]) => [
  [name, text, without] as const,
  [`${name}, CRLF`, text.replaceAll("\n", "\r\n"), without.replaceAll("\n", "\r\n")] as const,
  [
    `${name}, with a mark and letters of any script`,
    `\uFEFF# \u{1F6A2} ünï\n${text}`,
    `\uFEFF# \u{1F6A2} ünï\n${without}`
  ] as const
])

describe("hooks in values of TOML", () => {
  it.each(variants)("are found: %s", (_, text) => {
    assert.sameMembers(
      found(text),
      events.map((event) => `${event} 1.0.0`)
    )
  })

  it.each(variants)("are installed once: %s", (_, text) => {
    assert.strictEqual(get(hooks.install(text, current)).text, text)
  })

  it.each(variants)("are updated in place: %s", (_, text) => {
    const { text: after } = get(hooks.install(text, wiring("2.0.0")))
    assert.sameMembers(
      found(after),
      events.map((event) => `${event} 2.0.0`)
    )
    assert.strictEqual(get(hooks.install(after, wiring("2.0.0"))).text, after)
    assert.deepStrictEqual(
      JSON.parse(JSON.stringify(valueOf(after)).replaceAll("@2.0.0", "@1.0.0")),
      JSON.parse(JSON.stringify(valueOf(text)))
    )
  })

  it.each(variants)("are uninstalled alone: %s", (_, text, without) => {
    const { text: after } = get(hooks.uninstall(text, []))
    assert.strictEqual(after, without)
    assert.deepStrictEqual(found(after), [])
    valueOf(after)
  })

  it.each(variants)("are installed beside foreign handlers and undone exactly: %s", (_, __, without) => {
    const { existing, steps, text } = get(hooks.install(without, current))
    assert.sameMembers(
      found(text),
      events.map((event) => `${event} 1.0.0`)
    )
    const settings = valueOf(text)
    for (const event of events) {
      const groups = settings.hooks[event]
      assert.deepStrictEqual(groups.at(-1), { hooks: [current.find((wire) => wire.event === event)!.handler] })
    }
    const { steps: back } = get(hooks.uninstall(text, existing))
    assert.strictEqual(back.reduce(Edit.apply, text), without)
    const undo: Array<ReadonlyArray<Edit.Edit>> = []
    let now = without
    for (const edits of steps) {
      undo.unshift(Edit.invert(now, edits))
      now = Edit.apply(now, edits)
    }
    const undone = undo.reduce(Edit.apply, now)
    assert.strictEqual(undone, without)
  })

  it("preserve a list that was empty before", () => {
    for (const text of [
      "[hooks]\nStop = []\n",
      "hooks = { Stop = [] }\n",
      "hooks.Stop = [ # none\n]\n",
      "hooks = {}\n"
    ]) {
      const { existing, text: after } = get(hooks.install(text, current))
      assert.strictEqual(found(after).length, events.length, after)
      assert.strictEqual(get(hooks.uninstall(after, existing)).text, text)
    }
  })

  it("are refused without a list for them", () => {
    for (const text of [
      'hooks = "x"\n',
      "[hooks.Stop]\ntimeout = 10\n",
      '[[hooks]]\nevent = "Stop"\n',
      "hooks.Stop = 1\n"
    ]) {
      assert.isTrue(Result.isFailure(hooks.install(text, current)), text)
    }
  })

  it("are found under keys in any notation", () => {
    assert.deepStrictEqual(keyOf(` hooks . "St\\u006fp" .'a.b' `), ["hooks", "Stop", "a.b"])
    assert.deepStrictEqual(keyOf(String.raw`"a\U0001F6A2\\U0001F6A2"`), ["a\u{1F6A2}\\U0001F6A2"])
  })
})
