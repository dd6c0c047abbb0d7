/**
 * Hooks in TOML settings: one table per group, and one per handler. Our tables are appended to the file, so that
 * nothing else changes. If an event stores its groups in a value, our handlers are added to that value, and are found
 * there after another program has rewritten the file.
 */
import * as Result from "effect/Result"
import * as Toml from "effect/encoding/Toml"
import * as Wiring from "../Wiring.ts"
import { apply, type Edit } from "./textEdit.ts"
import type { Change, HookText } from "./settingsFormat.ts"
import * as Problem from "./syntaxProblem.ts"
import * as TomlInline from "./tomlInline.ts"
import { type Table, tables } from "./tomlText.ts"

type Settings = Readonly<Record<string, unknown>>

interface Ours {
  readonly event: string
  readonly table: Table
  readonly handler: Wiring.Handler
  /** The group, if it contains only this handler. */
  readonly group: Table | undefined
}

const isRecord = (value: unknown): value is Settings =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Returns the position in a parser error. The rest of the message may quote the file, so it is omitted. */
const problemOf = (message: string): Problem.Problem => {
  const [, line = "1", column = "1"] = /at line (\d+), column (\d+)$/.exec(message) ?? []
  return new Problem.Problem("it is not valid TOML", Number(line), Number(column))
}

const parse = (text: string): Result.Result<Settings, Problem.Problem> =>
  Result.mapError(Toml.parse(text), (error) => problemOf(error.message))

const groupName = (event: string): string => `hooks.${event}`
const handlerName = (event: string): string => `hooks.${event}.hooks`

const eventOf = ({ isElement, name }: Table): string | undefined =>
  isElement ? /^hooks\.([^.]+)\.hooks$/.exec(name)?.[1] : undefined

const bodyOf = (text: string, table: Table): string => text.slice(table.body, table.end)

/** Whether a group has no members besides handlers and matcher. */
const isBare = (text: string, group: Table): boolean =>
  Result.match(Toml.parse(bodyOf(text, group)), {
    onFailure: () => false,
    onSuccess: (body) => Object.keys(body).every((key) => key === "matcher")
  })

const oursIn = (text: string): ReadonlyArray<Ours> => {
  const all = tables(text)
  return all.flatMap((table, index) => {
    const event = eventOf(table)
    const handler = Result.getOrUndefined(Toml.parse(bodyOf(text, table)))
    if (event === undefined || handler === undefined || Wiring.installedBy(handler) === undefined) return []
    const before = all[index - 1]
    const after = all[index + 1]
    const isAlone = before?.name === groupName(event) && after?.name !== handlerName(event)
    const group = isAlone && before !== undefined && isBare(text, before) ? before : undefined
    return [{ event, table, handler: handler as Wiring.Handler, group }]
  })
}

/** Returns a problem if the hooks are written in a form that can't be extended. */
const misshapen = (text: string, settings: Settings, wiring: Wiring.Wiring): Problem.Problem | undefined => {
  const hooks = settings["hooks"]
  if (hooks === undefined) return undefined
  const wrong = wiring.find(({ event }) => !isRecord(hooks) || !Array.isArray(hooks[event] ?? []))
  if (wrong === undefined) return undefined
  const at = Math.max(text.search(new RegExp(`^[ \\t]*\\[*(?:hooks|${wrong.event})\\b`, "m")), 0)
  return Problem.at(text, at, "the hooks have an unsupported form; write them as tables, [[hooks.Stop]]")
}

const lines = (handler: Wiring.Handler, eol: string): string =>
  Object.entries(handler)
    .map(([name, value]) => `${name} = ${TomlInline.print(value)}${eol}`)
    .join("")

const tablesOf = (event: string, handler: Wiring.Handler, eol: string): string =>
  `[[${groupName(event)}]]${eol}[[${handlerName(event)}]]${eol}${lines(handler, eol)}`

/** Includes the blank line before a table. */
const withBlankLine = (text: string, start: number): number =>
  start - (/(?:^\uFEFF?|\n)([ \t]*\r?\n)$/.exec(text.slice(0, start))?.[1]?.length ?? 0)

const removal = (text: string, { group, table }: Ours): Edit => {
  const start = withBlankLine(text, group?.start ?? table.start)
  return { offset: start, length: table.end - start, text: "" }
}

const change = (
  before: string,
  steps: ReadonlyArray<ReadonlyArray<Edit>>,
  existing: ReadonlyArray<string>
): Change => ({
  text: steps.reduce(apply, before),
  steps: steps.filter((edits) => edits.length > 0),
  existing
})

/** One of our handlers, in a table of its own or in a value. */
interface Place {
  readonly event: string
  readonly handler: Wiring.Handler
  readonly replace: (handler: Wiring.Handler) => Edit
  readonly table: Ours | undefined
  readonly inline: TomlInline.Ours | undefined
}

const placesIn = (text: string, eol: string): ReadonlyArray<Place> => [
  ...oursIn(text).map((one) => ({
    event: one.event,
    handler: one.handler,
    replace: (handler: Wiring.Handler) => ({
      offset: one.table.body,
      length: one.table.end - one.table.body,
      text: lines(handler, eol)
    }),
    table: one,
    inline: undefined
  })),
  ...TomlInline.oursIn(text).map((one) => ({
    event: one.event,
    handler: one.handler,
    replace: (handler: Wiring.Handler) => TomlInline.replacement(one, handler),
    table: undefined,
    inline: one
  }))
]

interface Sorted {
  readonly excess: ReadonlyArray<Place>
  readonly stale: ReadonlyArray<readonly [Place, Wiring.Handler]>
  readonly missing: Wiring.Wiring
}

/** Compares the installed handlers with the wiring. */
const sort = (ours: ReadonlyArray<Place>, wiring: Wiring.Wiring): Sorted => {
  const left = [...ours]
  const stale: Array<readonly [Place, Wiring.Handler]> = []
  const missing = wiring.filter(({ event, handler }) => {
    const index = left.findIndex((one) => one.event === event)
    if (index < 0) return true
    const [found] = left.splice(index, 1)
    if (found !== undefined && !Wiring.isSame(found.handler, handler)) stale.push([found, handler])
    return false
  })
  return { excess: left, stale, missing }
}

const removals = (text: string, places: ReadonlyArray<Place>, existing: ReadonlyArray<string>): ReadonlyArray<Edit> => [
  ...places.flatMap(({ table }) => (table === undefined ? [] : [removal(text, table)])),
  ...TomlInline.removals(
    text,
    places.flatMap(({ inline }) => inline ?? []),
    new Set(existing)
  )
]

/** Appends handlers as tables. */
const appended = (text: string, missing: Wiring.Wiring, eol: string): ReadonlyArray<Edit> => {
  if (missing.length === 0) return []
  const added = missing.map(({ event, handler }) => tablesOf(event, handler, eol)).join(eol)
  const isEmpty = text.replace("\uFEFF", "") === ""
  const gap = isEmpty ? "" : text.endsWith("\n") ? eol : eol + eol
  return [{ offset: text.length, length: 0, text: gap + added }]
}

const install = (text: string, wiring: Wiring.Wiring, known: ReadonlyArray<string> | undefined) =>
  Result.flatMap(parse(text), (settings) => {
    const problem = misshapen(text, settings, wiring)
    if (problem !== undefined) return Result.fail(problem)
    const eol = text.includes("\r\n") ? "\r\n" : "\n"
    const ours = placesIn(text, eol)
    const existing = known ?? (ours.length === 0 ? TomlInline.eventsIn(text) : [])
    const { excess, missing, stale } = sort(ours, wiring)
    const first = [...removals(text, excess, existing), ...stale.map(([place, handler]) => place.replace(handler))]
    const without = apply(text, first)
    const { edits, rest } = TomlInline.additions(without, missing, eol)
    return Result.succeed(change(text, [first, [...edits, ...appended(without, rest, eol)]], existing))
  })

const uninstall = (text: string, existing: ReadonlyArray<string>) =>
  Result.map(parse(text), () => change(text, [removals(text, placesIn(text, "\n"), existing)], existing))

/** Whether the settings contain any hooks. */
const hasHooks = (text: string): boolean =>
  Result.match(Toml.parse(text), {
    onFailure: () => false,
    onSuccess: ({ hooks }) => isRecord(hooks) && Object.values(hooks).some(Array.isArray)
  })

/** The operations for TOML settings. */
export const hooks: HookText = {
  install,
  uninstall,
  found: (text) =>
    Result.map(parse(text), () => placesIn(text, "\n").map(({ event, handler }) => ({ event, handler }))),
  value: (text) => Result.map(parse(text), (value) => ({ value, comments: text.includes("#") })),
  hasHooks,
  isBlank: (text) => text.trim() === ""
}
