/**
 * Hooks in JSON settings: finds, adds, updates and removes our handlers.
 */
import * as Result from "effect/Result"
import * as Wiring from "../Wiring.ts"
import { apply, type Edit } from "./textEdit.ts"
import type { Change, Found, HookText } from "./settingsFormat.ts"
import * as Jsonc from "./jsonDocument.ts"
import * as JsoncEdit from "./jsonEdit.ts"
import * as Problem from "./syntaxProblem.ts"

export interface Format {
  readonly dialect: Jsonc.Dialect
  /** Whether an event contains groups of handlers, or handlers directly. */
  readonly nesting: "groups" | "handlers"
  /** The first members of a new file. */
  readonly head?: Readonly<Record<string, Wiring.Json>> | undefined
}

interface Group {
  readonly item: Jsonc.Item
  readonly handlers: Jsonc.Container
}

interface Event {
  readonly item: Jsonc.Item
  readonly list: Jsonc.Container
  /** One pseudo group if handlers are not grouped. */
  readonly groups: ReadonlyArray<Group>
}

const isOurs = (item: Jsonc.Item): boolean => Wiring.installedBy(Jsonc.valueOf(item.value)) !== undefined

const asContainer = (node: Jsonc.Node | undefined, kind: Jsonc.Container["kind"]): Jsonc.Container | undefined =>
  node?.kind === kind ? node : undefined

const groupsOf = (list: Jsonc.Container): ReadonlyArray<Group> =>
  list.items.flatMap((item) => {
    const handlers = asContainer(Jsonc.member(item.value, "hooks")?.value, "array")
    return handlers === undefined ? [] : [{ item, handlers }]
  })

const hooksOf = (document: Jsonc.Document): Jsonc.Item | undefined => Jsonc.member(document.root, "hooks")

/** Returns the members of `hooks` that are arrays; settings may contain others. */
const eventsOf = (document: Jsonc.Document, format: Format): ReadonlyArray<Event> =>
  (asContainer(hooksOf(document)?.value, "object")?.items ?? []).flatMap((item) => {
    const list = asContainer(item.value, "array")
    if (list === undefined) return []
    return [{ item, list, groups: format.nesting === "groups" ? groupsOf(list) : [{ item, handlers: list }] }]
  })

const oursOf = (event: Event): ReadonlyArray<Jsonc.Item> =>
  event.groups.flatMap(({ handlers }) => handlers.items.filter(isOurs))

/** Returns a problem if the structure has no location for hooks. */
const misshapen = (document: Jsonc.Document, names: Iterable<string>): Problem.Problem | undefined => {
  const { root, text } = document
  if (root === undefined) return undefined
  if (root.kind !== "object") return Problem.at(text, root.start, "an object is expected here")
  const hooks = hooksOf(document)
  if (hooks === undefined) return undefined
  if (hooks.value.kind !== "object") return Problem.at(text, hooks.value.start, '"hooks" must be an object')
  for (const name of names) {
    const event = Jsonc.member(hooks.value, name)
    if (event !== undefined && event.value.kind !== "array") {
      return Problem.at(text, event.value.start, `"${name}" must be an array`)
    }
  }
  return undefined
}

const read = (text: string, format: Format, names: Iterable<string> = []) =>
  Result.flatMap(Jsonc.parse(text, format.dialect), (document) => {
    const problem = misshapen(document, names)
    return problem === undefined ? Result.succeed(document) : Result.fail(problem)
  })

const existingName = (event: string): string => `hooks/${event}`

const existing = (document: Jsonc.Document): ReadonlyArray<string> => {
  const hooks = hooksOf(document)?.value
  if (hooks?.kind !== "object") return []
  return ["hooks", ...hooks.items.map((item) => existingName(item.key ?? ""))]
}

/** Whether a group has no members besides handlers and matcher. */
const isBare = (group: Jsonc.Node): boolean =>
  group.kind === "object" && group.items.every(({ key }) => key === "hooks" || key === "matcher")

/** Removes handlers, and the groups, events and `hooks` that become empty unless they existed before. */
const without = (
  document: Jsonc.Document,
  format: Format,
  doomed: ReadonlySet<Jsonc.Item>,
  existing: ReadonlySet<string>
): ReadonlyArray<Edit> => {
  const edits: Array<Edit> = []
  const goneFrom = (container: Jsonc.Container, gone: ReadonlySet<Jsonc.Item>, keep: boolean): boolean => {
    if (gone.size === container.items.length && gone.size > 0 && !keep) return true
    if (gone.size > 0) edits.push(...JsoncEdit.remove(document, container, gone))
    return false
  }
  const groupIsGone = ({ handlers, item }: Group): boolean =>
    goneFrom(handlers, new Set(handlers.items.filter((handler) => doomed.has(handler))), !isBare(item.value))
  const eventIsGone = ({ groups, item, list }: Event): boolean => {
    const gone =
      format.nesting === "groups"
        ? groups.filter(groupIsGone).map((group) => group.item)
        : list.items.filter((handler) => doomed.has(handler))
    return goneFrom(list, new Set(gone), existing.has(existingName(item.key ?? "")))
  }
  const hooks = hooksOf(document)
  const events = new Set(
    eventsOf(document, format)
      .filter(eventIsGone)
      .map(({ item }) => item)
  )
  if (hooks?.value.kind === "object" && goneFrom(hooks.value, events, existing.has("hooks"))) {
    edits.push(...JsoncEdit.remove(document, document.root as Jsonc.Container, new Set([hooks])))
  }
  return edits
}

/** Returns the item of an event's list for a handler. */
const entry = (handler: Wiring.Handler, format: Format): unknown =>
  format.nesting === "groups" ? { hooks: [handler] } : handler

const listFor = (handlers: ReadonlyArray<Wiring.Handler>, format: Format): ReadonlyArray<unknown> =>
  handlers.map((handler) => entry(handler, format))

const isSame = (value: Jsonc.Node, handler: Wiring.Handler): boolean => Wiring.isSame(Jsonc.valueOf(value), handler)

/** Returns our handlers that the wiring no longer contains. */
const excess = (document: Jsonc.Document, format: Format, wanted: ReturnType<typeof Wiring.byEvent>) =>
  eventsOf(document, format).flatMap((event) => oursOf(event).slice(wanted.get(event.item.key ?? "")?.length ?? 0))

const updateEvent = (
  document: Jsonc.Document,
  format: Format,
  layout: JsoncEdit.Layout,
  event: Event,
  handlers: ReadonlyArray<Wiring.Handler>
): ReadonlyArray<Edit> => {
  const ours = oursOf(event)
  const replaced = ours.flatMap(({ end, start, value }, index) => {
    const handler = handlers[index]
    if (handler === undefined || isSame(value, handler)) return []
    const text = JsoncEdit.print(handler, JsoncEdit.indentAt(document.text, start), layout)
    return [{ offset: start, length: end - start, text }]
  })
  const added = listFor(handlers.slice(ours.length), format).map(
    (value): JsoncEdit.Print =>
      (indent) =>
        JsoncEdit.print(value, indent, layout)
  )
  return [...replaced, ...JsoncEdit.append(document, event.list, layout, added)]
}

/** Returns the edits that update our handlers and add missing ones. */
const updated = (document: Jsonc.Document, format: Format, wanted: ReturnType<typeof Wiring.byEvent>) => {
  const layout = JsoncEdit.layoutOf(document)
  const lists = [...wanted].map(([name, handlers]) => [name, listFor(handlers, format)] as const)
  if (document.root === undefined) {
    const value = { ...format.head, hooks: Object.fromEntries(lists) }
    const gap = /[^\r\n\uFEFF]$/.test(document.text) ? layout.eol : ""
    return [
      { offset: document.text.length, length: 0, text: `${gap}${JsoncEdit.print(value, "", layout)}${layout.eol}` }
    ]
  }
  const root = document.root as Jsonc.Container
  const hooks = hooksOf(document)?.value as Jsonc.Container | undefined
  if (hooks === undefined) {
    const value = ["hooks", Object.fromEntries(lists)] as const
    return JsoncEdit.append(document, root, layout, [(indent) => JsoncEdit.member(value, indent, layout)])
  }
  const events = eventsOf(document, format)
  const known = new Map(events.map((event) => [event.item.key ?? "", event]))
  const prints = lists
    .filter(([name]) => !known.has(name))
    .map(
      (list): JsoncEdit.Print =>
        (indent) =>
          JsoncEdit.member(list, indent, layout)
    )
  return [
    ...[...known].flatMap(([name, event]) => {
      const handlers = wanted.get(name)
      return handlers === undefined ? [] : updateEvent(document, format, layout, event, handlers)
    }),
    ...JsoncEdit.append(document, hooks, layout, prints)
  ]
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

/** Returns the lists that existed before our handlers: uninstalling preserves them, even if empty. */
const existingOf = (document: Jsonc.Document, format: Format): ReadonlyArray<string> =>
  eventsOf(document, format).some((event) => oursOf(event).length > 0) ? [] : existing(document)

const install = (text: string, wiring: Wiring.Wiring, format: Format, known: ReadonlyArray<string> | undefined) => {
  const wanted = Wiring.byEvent(wiring)
  return Result.gen(function* () {
    const first = yield* read(text, format, wanted.keys())
    const existing = known ?? existingOf(first, format)
    const removal = without(first, format, new Set(excess(first, format, wanted)), new Set(existing))
    const second = yield* read(apply(text, removal), format)
    return change(text, [removal, updated(second, format, wanted)], existing)
  })
}

const uninstall = (text: string, format: Format, existing: ReadonlyArray<string>) =>
  Result.map(read(text, format), (document) => {
    const ours = eventsOf(document, format).flatMap(oursOf)
    return change(text, [without(document, format, new Set(ours), new Set(existing))], existing)
  })

const found = (text: string, format: Format) =>
  Result.map(read(text, format), (document): ReadonlyArray<Found> =>
    eventsOf(document, format).flatMap((event) =>
      oursOf(event).map((item) => ({
        event: event.item.key ?? "",
        handler: Jsonc.valueOf(item.value) as Wiring.Handler
      }))
    )
  )

const isBlank = (text: string, format: Format): boolean =>
  Result.match(Jsonc.parse(text, format.dialect), {
    onFailure: () => false,
    onSuccess: ({ comments, root }) =>
      comments.length === 0 &&
      (root === undefined ||
        (root.kind === "object" &&
          root.items.every(({ key }) => key !== undefined && Object.hasOwn(format.head ?? {}, key))))
  })

/** Makes the operations for a JSON format. */
export const make = (format: Format): HookText => ({
  install: (text, wiring, existing) => install(text, wiring, format, existing),
  uninstall: (text, existing) => uninstall(text, format, existing),
  found: (text) => found(text, format),
  value: (text) =>
    Result.map(Jsonc.parse(text, format.dialect), ({ comments, root }) => ({
      value: root === undefined ? {} : Jsonc.valueOf(root),
      comments: comments.length > 0
    })),
  hasHooks: (text) =>
    Result.match(read(text, format), {
      onFailure: () => false,
      onSuccess: (document) => eventsOf(document, format).length > 0
    }),
  isBlank: (text) => isBlank(text, format)
})
