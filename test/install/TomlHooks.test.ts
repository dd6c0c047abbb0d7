import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Edit from "../../src/install/internal/textEdit.ts"
import * as TomlHooks from "../../src/install/internal/tomlHooks.ts"
import { tables } from "../../src/install/internal/tomlText.ts"
import * as Wiring from "../../src/install/Wiring.ts"
import * as Generator from "../utils/Generator.ts"

const { hooks } = TomlHooks

const wiring = (version: string, events: ReadonlyArray<string>): Wiring.Wiring =>
  events.map((event) => ({
    event,
    handler: { type: "command", command: `'/bin/node' "x\\y" hook ${Wiring.mark(version)}`, timeout: 10 }
  }))

const events = ["SessionStart", "Stop"]
const current = wiring("1.0.0", events)

const get = <A, E extends Error>(result: Result.Result<A, E>): A =>
  Result.getOrThrowWith(result, (problem) => new Error(problem.message))
const install = (text: string, wires = current): string => get(hooks.install(text, wires)).text
const uninstall = (text: string): string => get(hooks.uninstall(text, [])).text
const valueOf = (text: string): any => get(hooks.value(text)).value
const problem = (text: string): string =>
  Result.match(hooks.install(text, current), { onFailure: ({ message }) => message, onSuccess: () => "" })

const pick = <A>(random: Generator.Generator, choices: ReadonlyArray<A>): A => choices[random.int(choices.length)] as A

const values = [
  "1",
  '"[x]"',
  "'[[hooks.Stop]]'",
  '"""\n[a]\n\\"""\n[[hooks.Stop]]\n"""',
  "'''\n# '[b]'\n'''",
  '[1, # ]\n  [2], "]",\n]',
  '{ a = "}", b = [1] }',
  "1979-05-27T07:32:00Z",
  '"a # b"',
  '"\\"]"'
]

/** A random file, with hooks of others, some of them for our events. */
const file = (random: Generator.Generator): string => {
  const eol = pick(random, ["\n", "\r\n"])
  const line = (text: string) => `${pick(random, ["", "", "  ", "\t"])}${text}${pick(random, ["", "", " ", " # [c]"])}`
  const gap = () => pick(random, [[], [], [""], ["# [[hooks.Stop]]"], ["", "  "]])
  const pairs = (count: number) => Array.from({ length: count }, (_, at) => line(`k${at} = ${pick(random, values)}`))
  const group = () => {
    const event = pick(random, [...events, "Other"])
    const handlers = Array.from({ length: random.int(3) }, () => [
      line(pick(random, [`[[hooks.${event}.hooks]]`, `[[ hooks . "${event}" . hooks ]]`])),
      line('type = "command"'),
      ...gap(),
      line('command = "say"'),
      ...gap()
    ])
    return [line(`[[hooks.${event}]]`), ...gap(), ...pick(random, [[], [line('matcher = "x"')]]), ...handlers.flat()]
  }
  const sections = Array.from({ length: random.int(5) }, (_, at) =>
    random.chance(0.5) ? group() : [line(`[t${at}."a]b"]`), ...pairs(random.int(3)), ...gap()]
  )
  const text = [...gap(), ...pairs(random.int(3)), ...gap(), ...sections.flat()].join("\n")
  const end = text === "" ? "" : pick(random, ["\n", "\n", "\n\n"])
  return `${random.chance(0.1) ? "\uFEFF" : ""}${(text + end).replaceAll("\n", eol)}`
}

const always = (name: string, claim: (text: string, random: Generator.Generator) => void) =>
  it(name, () => {
    const start = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1e9))
    for (let seed = start; seed < start + 1_000; seed++) {
      const random = Generator.make(seed)
      const text = file(random)
      try {
        claim(text, random)
      } catch (error) {
        throw new Error(`SEED=${seed}\n${JSON.stringify(text)}\n${(error as Error).message}`, { cause: error })
      }
    }
  })

describe("hooks in TOML", () => {
  always("are uninstalled exactly", (text) => {
    assert.strictEqual(uninstall(install(text)), text)
  })

  always("are undone exactly by the inverse edits for any end of file", (text, random) => {
    const cut = random.chance(0.5) ? text.trimEnd() : text
    const { steps } = get(hooks.install(cut, current))
    assert.strictEqual(steps.length, 1)
    assert.strictEqual(Edit.apply(Edit.apply(cut, steps[0]!), Edit.invert(cut, steps[0]!)), cut)
  })

  always("leave foreign settings unchanged", (text) => {
    const after = install(text)
    assert.isTrue(after.startsWith(text))
    if (text.includes("\r\n")) assert.notMatch(after.slice(text.length), /[^\r]\n/)
    const settings = valueOf(after)
    for (const { event, handler } of current) {
      assert.deepStrictEqual(settings.hooks[event].pop(), { hooks: [handler] })
      if (settings.hooks[event].length === 0) delete settings.hooks[event]
    }
    if (Object.keys(settings.hooks).length === 0) delete settings.hooks
    assert.deepStrictEqual(settings, valueOf(text))
  })

  always("are installed once and updated in place", (text) => {
    const once = install(text)
    assert.deepStrictEqual(get(hooks.install(once, current)).steps, [])
    const later = install(once, wiring("2.0.0", ["Stop", "PreCompact"]))
    assert.deepStrictEqual(
      get(hooks.found(later)).map(({ event, handler }) => [event, Wiring.installedBy(handler)]),
      [
        ["Stop", "2.0.0"],
        ["PreCompact", "2.0.0"]
      ]
    )
    assert.strictEqual(uninstall(later), text)
  })

  always("are uninstalled alone after insertions around them", (text) => {
    const more = '# mine\n[z]\na = "[b]"\n'
    assert.strictEqual(uninstall(`${install(text)}${more}`), `${text}${more}`)
  })

  it("are removed alone from a group with other handlers", () => {
    const mine = '[[hooks.Stop]]\nmatcher = "x"\n\n[[hooks.Stop.hooks]]\ncommand = "say"\n'
    const ours = install("").split("[[hooks.Stop]]\n")[1]!
    assert.strictEqual(uninstall(mine + ours), mine)
    // Ours come first, and one of others after them.
    const other = '[[hooks.Stop.hooks]]\ncommand = "say"\n'
    assert.strictEqual(uninstall(`[[hooks.Stop]]\n${ours}${other}`), `[[hooks.Stop]]\n${other}`)
  })

  it("are found only at table headers", () => {
    const text = 'a = """\n[x]\n"""\n[ y . "z" ] # [w]\nb = [\n[1]\n]\n\n[[v]]\n'
    assert.deepStrictEqual(
      tables(text).map(({ end, isElement, name, start }) => [name, isElement, text.slice(start, end)]),
      [
        ["y.z", false, '[ y . "z" ] # [w]\nb = [\n[1]\n]\n'],
        ["v", true, "[[v]]\n"]
      ]
    )
  })

  it.each([
    ["a = 1\nb = \n", "it is not valid TOML (line 2,"],
    ["hooks = 1\n", "the hooks have an unsupported form; write them as tables, [[hooks.Stop]] (line 1"],
    ["[hooks]\nStop = 1\n", "write them as tables, [[hooks.Stop]] (line 1"],
    ["a = 1\n[hooks.Stop]\ntimeout = 10\n", "write them as tables, [[hooks.Stop]] (line 2"]
  ])("refuse %j", (text, where) => assert.include(problem(text), where))

  it("are found by their events, not in other tables", () => {
    assert.isFalse(hooks.hasHooks('[hooks.state]\n"a" = { trusted = true }\n'))
    assert.isTrue(hooks.hasHooks("[[hooks.Stop]]\n"))
    assert.isFalse(hooks.hasHooks("[["))
  })
})
