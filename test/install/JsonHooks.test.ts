import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Edit from "../../src/install/internal/textEdit.ts"
import type { Change } from "../../src/install/internal/settingsFormat.ts"
import * as JsonHooks from "../../src/install/internal/jsonHooks.ts"
import * as Jsonc from "../../src/install/internal/jsonDocument.ts"
import * as Wiring from "../../src/install/Wiring.ts"
import * as Generator from "../utils/Generator.ts"
import * as SettingsText from "../utils/SettingsText.ts"

const dialect = { comments: true, trailingCommas: true }
const hooks = JsonHooks.make({ dialect, nesting: "groups" })

const wiring = (version: string, events: ReadonlyArray<string>): Wiring.Wiring =>
  events.map((event) => ({
    event,
    handler: { type: "command", command: "/bin/node", args: ["/bin.js", "hook", Wiring.mark(version)], timeout: 10 }
  }))

const events = ["SessionStart", "Stop", "SessionEnd"]
const current = wiring("1.0.0", events)

const get = <A, E extends Error>(result: Result.Result<A, E>): A =>
  Result.getOrThrowWith(result, (problem) => new Error(problem.message))
const install = (text: string, wires = current): string => get(hooks.install(text, wires)).text
const uninstall = (text: string, existing: ReadonlyArray<string> = []): string =>
  get(hooks.uninstall(text, existing)).text
const problem = (result: Result.Result<unknown, Error>): string =>
  Result.match(result, { onFailure: ({ message }) => message, onSuccess: () => "" })

const undo = (before: string, { steps }: Change): string => {
  const inverses: Array<ReadonlyArray<Edit.Edit>> = []
  const after = steps.reduce((text, edits) => {
    inverses.unshift(Edit.invert(text, edits))
    return Edit.apply(text, edits)
  }, before)
  return inverses.reduce(Edit.apply, after)
}

/** Runs a claim on many random files; a failure names the seed that it can be repeated from. */
const always = (
  name: string,
  manner: SettingsText.Manner,
  claim: (text: string, random: Generator.Generator) => void
) =>
  it(name, () => {
    const start = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1e9))
    for (let seed = start; seed < start + 1_000; seed++) {
      const random = Generator.make(seed)
      const text = SettingsText.make(random, manner, [...events, "Notification"])
      try {
        claim(text, random)
      } catch (error) {
        throw new Error(`SEED=${seed}\n${JSON.stringify(text)}\n${(error as Error).message}`, { cause: error })
      }
    }
  })

const any = { comments: true, trailingCommas: true, empty: true }
const full = { ...any, empty: false }

const valueOf = (text: string): any => get(hooks.value(text)).value

/** The settings without what is ours, and without what is empty. */
const withoutOurs = (settings: any): unknown => {
  const events = Object.entries(settings.hooks ?? {}).map(([name, groups]) => [
    name,
    (groups as ReadonlyArray<any>).filter((group) => !group.hooks?.some((one: unknown) => Wiring.installedBy(one)))
  ])
  return { ...settings, hooks: Object.fromEntries(events.filter(([, groups]) => groups?.length)) }
}

describe("hooks in JSON", () => {
  always("are undone exactly by the inverse edits", any, (text) => {
    assert.strictEqual(undo(text, get(hooks.install(text, current))), text)
  })

  always("are uninstalled exactly without a receipt", full, (text) => {
    assert.strictEqual(uninstall(install(text)), text)
  })

  always("leave foreign settings unchanged", any, (text) => {
    const settings = valueOf(install(text))
    assert.deepStrictEqual(withoutOurs(settings), withoutOurs(valueOf(text)))
    for (const { event, handler } of current) assert.deepStrictEqual(settings.hooks[event].at(-1), { hooks: [handler] })
  })

  always("are installed once", any, (text) => {
    const once = install(text)
    const twice = get(hooks.install(once, current))
    assert.strictEqual(twice.text, once)
    assert.deepStrictEqual(twice.steps, [])
  })

  always("are updated in place", full, (text) => {
    const later = wiring("2.0.0", ["SessionStart", "Stop", "PreCompact"])
    const upgraded = install(install(text), later)
    assert.strictEqual(uninstall(upgraded), text)
    assert.deepStrictEqual(
      get(hooks.found(upgraded))
        .map(({ event, handler }) => [event, Wiring.installedBy(handler)])
        .toSorted(),
      [
        ["PreCompact", "2.0.0"],
        ["SessionStart", "2.0.0"],
        ["Stop", "2.0.0"]
      ]
    )
  })

  always("are uninstalled alone after edits around them", full, (text, random) => {
    const document = get(Jsonc.parse(text, dialect))
    const own = (document.root as Jsonc.Container).items[0]!
    const edited = `"edited": [1,${" ".repeat(random.int(3))}2]`
    const change = (whole: string) => whole.replace(text.slice(own.start, own.end), () => edited)
    assert.strictEqual(uninstall(change(install(text))), change(text))
  })

  always("are uninstalled at any position, with every comment preserved", any, (text) => {
    const document = get(Jsonc.parse(text, dialect))
    const ours = JSON.stringify({ hooks: [current[0]!.handler] })
    // Ours come first in every list.
    const lists = (Jsonc.member(document.root, "hooks")?.value as Jsonc.Container | undefined)?.items ?? []
    const edits = lists.map(({ value }) => ({
      offset: value.start + 1,
      length: 0,
      text: (value as Jsonc.Container).items.length > 0 ? `${ours},` : ours
    }))
    const left = uninstall(Edit.apply(text, edits), ["hooks", ...lists.map(({ key }) => `hooks/${key}`)])
    assert.deepStrictEqual(valueOf(left), valueOf(text))
    const comments = (of: string) => {
      const found = get(Jsonc.parse(of, dialect)).comments
      return found.map(({ end, start }) => of.slice(start, end))
    }
    assert.deepStrictEqual(comments(left), comments(text))
  })

  it("have the layout of the file", () => {
    assert.strictEqual(
      install('{\r\n\t"model": "x" // mine\r\n}\r\n', [current[0]!]),
      [
        '{\r\n\t"model": "x", // mine\r\n\t"hooks": {\r\n\t\t"SessionStart": [\r\n\t\t\t{',
        '\t\t\t\t"hooks": [\r\n\t\t\t\t\t{\r\n\t\t\t\t\t\t"type": "command",\r\n\t\t\t\t\t\t"command": "/bin/node",',
        '\t\t\t\t\t\t"args": ["/bin.js", "hook", "--installed-by=athena-hooks@1.0.0"],\r\n\t\t\t\t\t\t"timeout": 10',
        "\t\t\t\t\t}\r\n\t\t\t\t]\r\n\t\t\t}\r\n\t\t]\r\n\t}\r\n}\r\n"
      ].join("\r\n")
    )
    assert.notInclude(install('{"a":1}'), "\n")
    assert.match(install(""), /^\{\n {2}"hooks": \{\n {4}"SessionStart"[^]*\n\}\n$/)
  })

  it("preserve the comment before them", () => {
    const ours = JSON.stringify({ hooks: [current[0]!.handler] })
    const text = `{ "hooks": { "Stop": [{ "hooks": [] }, // mine\n ${ours} ], "Other": [ // too\n ${ours}, {} ] } }`
    assert.strictEqual(
      uninstall(text),
      '{ "hooks": { "Stop": [{ "hooks": [] } // mine\n  ], "Other": [ // too\n  {} ] } }'
    )
  })

  it("are identified by their mark alone", () => {
    const text = install(
      '{ "hooks": { "Stop": [{ "hooks": [{ "type": "command", "command": "node bin.js hook" }] }] } }'
    )
    assert.strictEqual(get(hooks.found(text)).length, events.length)
    assert.include(uninstall(text), '"node bin.js hook"')
  })

  it("may have any type, and several per event", () => {
    const http = { type: "http", url: "http://127.0.0.1:1/hooks", headers: { "x-athena": Wiring.mark("2.0.0") } }
    const later: Wiring.Wiring = [
      current[0]!,
      { event: "Stop", handler: http },
      { event: "Stop", handler: { ...http, type: "mcp_tool" } }
    ]
    const text = '{ "hooks": { "Stop": [{ "hooks": [{ "type": "command", "command": "say" }] }] } }\n'
    const after = install(install(text), later)
    const { hooks } = valueOf(after)
    const kinds = hooks.Stop.flatMap((group: any) => group.hooks.map((handler: any) => handler.type))
    assert.deepStrictEqual(kinds, ["command", "http", "mcp_tool"])
    assert.deepStrictEqual(Object.keys(hooks), ["Stop", "SessionStart"])
    assert.strictEqual(uninstall(after), text)
    assert.strictEqual(uninstall(install(after)), text)
  })

  it.each([
    ['{\n  "a": 1\n  "b": 2\n}', "line 3, column 3"],
    ['{\n  "a": tru\n}', "line 2, column 8"],
    ["{\n\n", "line 1, column 1"],
    ['{"a": "x\ny"}', "line 1, column 7"],
    ["[1, 2]", "an object is expected here (line 1"],
    ['{\r\n"hooks": []\r\n}', '"hooks" must be an object (line 2, column 10)'],
    ['{"hooks":\n{"Stop": {}}}', '"Stop" must be an array (line 2, column 10)'],
    ["{} {}", "something follows the end (line 1, column 4)"],
    ["{}\n/* x", "the comment has no end (line 2"],
    [`{"a":${"[".repeat(300)}`, "more than 200 deep"],
    ["{'a': 1}", "in double quotes"]
  ])("refuse %j", (text, where) => assert.include(problem(hooks.install(text, current)), where))

  it("refuse syntax that the agent does not read", () => {
    const strict = JsonHooks.make({ dialect: { comments: false, trailingCommas: false }, nesting: "groups" })
    assert.include(
      problem(strict.install('{\n  // x\n  "a": 1\n}', current)),
      "comments are not allowed in this file (line 2"
    )
    assert.include(
      problem(strict.install('{\n  "a": [1,\n]\n}', current)),
      "a trailing comma is not allowed in this file (line 2, column 10)"
    )
  })

  it("may be direct elements of an event, without groups", () => {
    const flat = JsonHooks.make({
      dialect: { comments: false, trailingCommas: false },
      nesting: "handlers",
      head: { version: 1 }
    })
    const made = get(flat.install("", current)).text
    assert.deepStrictEqual(JSON.parse(made), {
      version: 1,
      hooks: Object.fromEntries(current.map(({ event, handler }) => [event, [handler]]))
    })
    assert.isTrue(flat.isBlank(get(flat.uninstall(made, [])).text))
    const others = '{"version":1,"hooks":{"Stop":[{"command":"x"}]}}'
    assert.strictEqual(get(flat.uninstall(get(flat.install(others, current)).text, [])).text, others)
  })
})
