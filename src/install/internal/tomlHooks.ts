/**
 * The hooks in a TOML settings file: a table for each group, and one for each handler in it. Ours are tables of their own
 * at the end of the file, so that nothing that is there has to change.
 */
import * as Result from "effect/Result"
import * as Toml from "effect/encoding/Toml"
import * as Wiring from "../Wiring.ts"
import { apply, type Edit } from "./edit.ts"
import type { Change, HookText } from "./hookText.ts"
import * as Problem from "./problem.ts"
import { type Table, tables } from "./tomlScan.ts"

type Settings = Readonly<Record<string, unknown>>

interface Ours {
  readonly event: string
  readonly table: Table
  readonly handler: Wiring.Handler
  /** The group, where it has nothing but this handler. */
  readonly group: Table | undefined
}

const isRecord = (value: unknown): value is Settings =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The place that the parser names; what it says may hold a piece of the text, and is left out. */
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

/** Whether a group says nothing but what its handlers are called for. */
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

/** Hooks that are written as values, into which no table can be put. */
const misshapen = (text: string, settings: Settings, wiring: Wiring.Wiring): Problem.Problem | undefined => {
  const hooks = settings["hooks"]
  if (hooks === undefined) return undefined
  const names = new Set(tables(text).map(({ name }) => name))
  const isInline = ![...names].some((name) => name === "hooks" || name.startsWith("hooks."))
  const inline = wiring.find(
    ({ event }) => isInline || (isRecord(hooks) && hooks[event] !== undefined && !names.has(groupName(event)))
  )
  if (inline === undefined) return undefined
  const at = Math.max(text.search(new RegExp(`^[ \\t]*(?:hooks|${inline.event})\\b`, "m")), 0)
  return Problem.at(text, at, "the hooks are written as values; write them as tables, [[hooks.Stop]]")
}

const print = (value: Wiring.Json): string => {
  if (Array.isArray(value)) return `[${value.map(print).join(", ")}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  return `{ ${Object.entries(value)
    .map(([name, member]) => `${JSON.stringify(name)} = ${print(member)}`)
    .join(", ")} }`
}

const lines = (handler: Wiring.Handler, eol: string): string =>
  Object.entries(handler)
    .map(([name, value]) => `${name} = ${print(value)}${eol}`)
    .join("")

const tablesOf = (event: string, handler: Wiring.Handler, eol: string): string =>
  `[[${groupName(event)}]]${eol}[[${handlerName(event)}]]${eol}${lines(handler, eol)}`

/** The blank line before a table goes with it. */
const withBlankLine = (text: string, start: number): number =>
  start - (/(?:^\uFEFF?|\n)([ \t]*\r?\n)$/.exec(text.slice(0, start))?.[1]?.length ?? 0)

const removal = (text: string, { group, table }: Ours): Edit => {
  const start = withBlankLine(text, group?.start ?? table.start)
  return { offset: start, length: table.end - start, text: "" }
}

const change = (before: string, steps: ReadonlyArray<ReadonlyArray<Edit>>): Change => ({
  text: steps.reduce(apply, before),
  steps: steps.filter((edits) => edits.length > 0),
  kept: []
})

interface Sorted {
  readonly excess: ReadonlyArray<Ours>
  readonly stale: ReadonlyArray<readonly [Ours, Wiring.Handler]>
  readonly missing: Wiring.Wiring
}

/** What is there beside what is wanted. */
const sort = (ours: ReadonlyArray<Ours>, wiring: Wiring.Wiring): Sorted => {
  const left = [...ours]
  const stale: Array<readonly [Ours, Wiring.Handler]> = []
  const missing = wiring.filter(({ event, handler }) => {
    const index = left.findIndex((one) => one.event === event)
    if (index < 0) return true
    const [found] = left.splice(index, 1)
    if (found !== undefined && JSON.stringify(found.handler) !== JSON.stringify(handler)) stale.push([found, handler])
    return false
  })
  return { excess: left, stale, missing }
}

const install = (text: string, wiring: Wiring.Wiring) =>
  Result.flatMap(parse(text), (settings) => {
    const problem = misshapen(text, settings, wiring)
    if (problem !== undefined) return Result.fail(problem)
    const eol = text.includes("\r\n") ? "\r\n" : "\n"
    const { excess, missing, stale } = sort(oursIn(text), wiring)
    const added = missing.map(({ event, handler }) => tablesOf(event, handler, eol)).join(eol)
    const isEmpty = text.replace("\uFEFF", "") === ""
    const gap = isEmpty ? "" : text.endsWith("\n") ? eol : eol + eol
    return Result.succeed(
      change(text, [
        [
          ...excess.map((one) => removal(text, one)),
          ...stale.map(([{ table }, handler]) => ({
            offset: table.body,
            length: table.end - table.body,
            text: lines(handler, eol)
          })),
          ...(missing.length === 0 ? [] : [{ offset: text.length, length: 0, text: gap + added }])
        ]
      ])
    )
  })

const uninstall = (text: string) =>
  Result.map(parse(text), () => change(text, [oursIn(text).map((one) => removal(text, one))]))

/** Whether a file has handlers of events, whosever they are. */
const hasHooks = (text: string): boolean =>
  Result.match(Toml.parse(text), {
    onFailure: () => false,
    onSuccess: ({ hooks }) => isRecord(hooks) && Object.values(hooks).some(Array.isArray)
  })

/** The hooks of TOML files. */
export const hooks: HookText = {
  install,
  uninstall,
  found: (text) => Result.map(parse(text), () => oursIn(text).map(({ event, handler }) => ({ event, handler }))),
  value: (text) => Result.map(parse(text), (value) => ({ value, comments: text.includes("#") })),
  hasHooks,
  isBlank: (text) => text.trim() === ""
}
