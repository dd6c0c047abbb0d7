/**
 * Hooks in TOML values: `Stop = [{ hooks = [{ ... }] }]` in the table `hooks` or as a dotted key, one inline table with
 * all events, or the list of handlers in the table of a group.
 */
import * as Result from "effect/Result"
import * as Toml from "effect/encoding/Toml"
import * as Wiring from "../Wiring.ts"
import type { Edit } from "./textEdit.ts"
import type * as Jsonc from "./jsonDocument.ts"
import * as JsoncEdit from "./jsonEdit.ts"
import * as TomlText from "./tomlText.ts"

/** The groups of an event, or the handlers of a group, with their location. */
interface Event {
  readonly event: string
  readonly list: Jsonc.Container
  /** Whether the list contains groups, or handlers directly. */
  readonly nesting: "groups" | "handlers"
  readonly statement: TomlText.Statement
  /** The inline table of all events and its member for this event, if there is one. */
  readonly member: { readonly of: Jsonc.Container; readonly item: Jsonc.Item } | undefined
}

export interface Ours {
  readonly event: string
  readonly handler: Wiring.Handler
  readonly item: Jsonc.Item
}

const bare = (name: string): string => (/^[\w-]+$/.test(name) ? name : JSON.stringify(name))

/** Prints a value as one line of TOML. */
export const print = (value: Wiring.Json): string => {
  if (Array.isArray(value)) return `[${value.map(print).join(", ")}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value).replaceAll("\u007f", "\\u007f")
  const members = Object.entries(value).map(([name, member]) => `${bare(name)} = ${print(member)}`)
  return `{ ${members.join(", ")} }`
}

const groupOf = (handler: Wiring.Handler): string => print({ hooks: [handler] })

const isArray = (node: Jsonc.Node): node is Jsonc.Container => node.kind === "array"

const eventsOf = (statements: ReadonlyArray<TomlText.Statement>): ReadonlyArray<Event> =>
  statements.flatMap((statement): ReadonlyArray<Event> => {
    const { path, value } = statement
    const [hooks, event, member, ...more] = path
    if (hooks !== "hooks" || more.length > 0) return []
    if (event === undefined) {
      if (value.kind !== "object") return []
      return value.items.flatMap((item) =>
        isArray(item.value)
          ? [{ event: item.key ?? "", list: item.value, nesting: "groups", statement, member: { of: value, item } }]
          : []
      )
    }
    if (!isArray(value)) return []
    if (member === undefined) return [{ event, list: value, nesting: "groups", statement, member: undefined }]
    return member === "hooks" ? [{ event, list: value, nesting: "handlers", statement, member: undefined }] : []
  })

const handlersIn = (group: Jsonc.Item): Jsonc.Container | undefined => {
  if (group.value.kind !== "object") return undefined
  const hooks = group.value.items.find(({ key }) => key === "hooks")?.value
  return hooks !== undefined && isArray(hooks) ? hooks : undefined
}

const handlerOf = (text: string, { end, start }: Jsonc.Item): Wiring.Handler | undefined => {
  const parsed = Result.getOrUndefined(Toml.parse(`x = ${text.slice(start, end)}`))?.["x"]
  return Wiring.installedBy(parsed) === undefined ? undefined : (parsed as Wiring.Handler)
}

/** Returns our handlers in values. */
export const oursIn = (text: string): ReadonlyArray<Ours> =>
  eventsOf(TomlText.statements(text).statements).flatMap(({ event, list, nesting }) => {
    const items = nesting === "handlers" ? list.items : list.items.flatMap((group) => handlersIn(group)?.items ?? [])
    return items.flatMap((item) => {
      const handler = handlerOf(text, item)
      return handler === undefined ? [] : [{ event, handler, item }]
    })
  })

/** Represents the inline table of all events among event names. */
const allEvents = "hooks"

/** Returns the events with groups in values, and `hooks` for an inline table of all events. */
export const eventsIn = (text: string): ReadonlyArray<string> => {
  const { statements } = TomlText.statements(text)
  const isWhole = statements.some(({ path, value }) => path.join() === "hooks" && value.kind === "object")
  return [...eventsOf(statements).map(({ event }) => event), ...(isWhole ? [allEvents] : [])]
}

export const replacement = ({ item: { end, start } }: Ours, handler: Wiring.Handler): Edit => ({
  offset: start,
  length: end - start,
  text: print(handler)
})

/** Whether a group has no members besides handlers and matcher. */
const isBare = (group: Jsonc.Item): boolean =>
  group.value.kind === "object" && group.value.items.every(({ key }) => key === "hooks" || key === "matcher")

/** Removes handlers, and the groups and events that become empty unless they existed before. */
export const removals = (
  text: string,
  ours: ReadonlyArray<Ours>,
  existing: ReadonlySet<string>
): ReadonlyArray<Edit> => {
  const { comments, statements } = TomlText.statements(text)
  const document: Jsonc.Document = { text, root: undefined, comments }
  const doomed = new Set(ours.map(({ item }) => item.start))
  const isDoomed = ({ start }: Jsonc.Item): boolean => doomed.has(start)
  const edits: Array<Edit> = []
  const take = (container: Jsonc.Container, items: ReadonlyArray<Jsonc.Item>): void => {
    edits.push(...JsoncEdit.remove(document, container, new Set(items)))
  }
  const hasRemark = ({ end, start }: Jsonc.Container): boolean =>
    comments.some((comment) => comment.start > start && comment.end < end)

  const groupIsGone = (group: Jsonc.Item): boolean => {
    const handlers = handlersIn(group)
    const out = handlers?.items.filter(isDoomed) ?? []
    if (handlers === undefined || out.length === 0) return false
    if (out.length === handlers.items.length && isBare(group)) return true
    take(handlers, out)
    return false
  }
  const cutStatement = ({ end, start }: TomlText.Statement): void => {
    edits.push({ offset: start, length: end - start, text: "" })
  }
  /** Removes the table of a group that contains only these handlers. */
  const cutTable = ({ start }: TomlText.Statement): boolean => {
    const table = TomlText.tables(text).findLast(({ body }) => body <= start)
    const own = statements.filter((one) => table !== undefined && one.start >= table.body && one.start < table.end)
    if (table === undefined || own.some(({ path }) => !["hooks", "matcher"].includes(path.at(-1) ?? ""))) return false
    edits.push({ offset: table.start, length: table.end - table.start, text: "" })
    return true
  }

  const gone = new Map<Jsonc.Container, Array<Event>>()
  for (const one of eventsOf(statements)) {
    const { event, list, member, nesting, statement } = one
    const out = list.items.filter(nesting === "groups" ? groupIsGone : isDoomed)
    if (out.length === 0) continue
    const isEmptied = out.length === list.items.length && !hasRemark(list) && !existing.has(event)
    if (!isEmptied || (nesting === "handlers" && !cutTable(statement))) take(list, out)
    else if (member !== undefined) gone.set(member.of, [...(gone.get(member.of) ?? []), one])
    else if (nesting === "groups") cutStatement(statement)
  }
  for (const [all, events] of gone) {
    if (events.length === all.items.length && !hasRemark(all) && !existing.has(allEvents))
      cutStatement(events[0]!.statement)
    else
      take(
        all,
        events.flatMap(({ member }) => member?.item ?? [])
      )
  }
  return edits
}

/** Appends items to an array or inline table. */
const added = ({ items, start }: Jsonc.Container, values: ReadonlyArray<string>): Edit => {
  const last = items.at(-1)
  const text = values.join(", ")
  return last === undefined
    ? { offset: start + 1, length: 0, text }
    : { offset: last.end, length: 0, text: `, ${text}` }
}

/** Adds handlers to events with values, and returns the handlers that need tables. */
export const additions = (
  text: string,
  wiring: Wiring.Wiring,
  eol: string
): { readonly edits: ReadonlyArray<Edit>; readonly rest: Wiring.Wiring } => {
  const { statements } = TomlText.statements(text)
  const lists = new Map(
    eventsOf(statements).flatMap(({ event, list, nesting }) => (nesting === "groups" ? [[event, list] as const] : []))
  )
  const whole = statements.find(({ path, value }) => path.join() === "hooks" && value.kind === "object")
  const dotted = statements.findLast(({ path, tableDepth }) => path[0] === "hooks" && tableDepth === 0)
  const rest: Array<Wiring.Wire> = []
  const members: Array<string> = []
  const edits: Array<Edit> = []
  for (const [event, handlers] of Wiring.byEvent(wiring)) {
    const list = lists.get(event)
    if (list !== undefined) edits.push(added(list, handlers.map(groupOf)))
    else if (whole !== undefined || dotted !== undefined)
      members.push(`${event} = [${handlers.map(groupOf).join(", ")}]`)
    else rest.push(...handlers.map((handler) => ({ event, handler })))
  }
  if (members.length > 0 && whole !== undefined) edits.push(added(whole.value as Jsonc.Container, members))
  else if (members.length > 0 && dotted !== undefined) {
    // Only dotted keys can extend a table that dotted keys define.
    const isLast = !text.slice(dotted.valueEnd, dotted.end).includes("\n")
    const lines = members.map((member) => `hooks.${member}`).join(eol)
    edits.push({ offset: dotted.end, length: 0, text: isLast ? `${eol}${lines}` : `${lines}${eol}` })
  }
  return { edits, rest }
}
