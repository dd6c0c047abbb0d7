/**
 * In-place edits of JSON. They touch only the inserted or removed items and adjacent commas.
 */
import type { Edit } from "./textEdit.ts"
import type { Comment, Container, Document, Item } from "./jsonDocument.ts"

export interface Layout {
  readonly eol: "\r\n" | "\n"
  /** One level of indentation. */
  readonly unit: string
  /** Whether the whole file is one line. */
  readonly singleLine: boolean
}

/** The maximum line width of a new value, in characters. */
const lineWidth = 100

const rootOf = (document: Document): Container | undefined =>
  document.root === undefined || document.root.kind === "scalar" ? undefined : document.root

export const layoutOf = (document: Document): Layout => {
  const root = rootOf(document)
  const inside = root === undefined ? "" : document.text.slice(root.start, root.end)
  return {
    eol: /\r?\n/.exec(document.text)?.[0] === "\r\n" ? "\r\n" : "\n",
    unit: /\n([ \t]+)"/.exec(inside)?.[1] ?? "  ",
    singleLine: root !== undefined && root.items.length > 0 && !inside.includes("\n")
  }
}

/** Returns the indentation of the line at an offset. */
export const indentAt = (text: string, offset: number): string => {
  const start = Math.max(text.lastIndexOf("\n", offset - 1), text.lastIndexOf("\r", offset - 1)) + 1
  return /^[ \t]*/.exec(text.slice(start, offset))?.[0] ?? ""
}

const onOneLine = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(onOneLine).join(", ")}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value)
  const members = Object.entries(value).map(([name, member]) => `${JSON.stringify(name)}: ${onOneLine(member)}`)
  return members.length === 0 ? "{}" : `{ ${members.join(", ")} }`
}

/** Prints a value at an indentation: on one line if it fits, else one line per item. */
export const print = (value: unknown, indent: string, layout: Layout): string => {
  const short = onOneLine(value)
  const isScalar = typeof value !== "object" || value === null
  if (isScalar || layout.singleLine || indent.length + short.length <= lineWidth) return short
  const deeper = indent + layout.unit
  const lines = (parts: ReadonlyArray<string>) => parts.map((part) => `${deeper}${part}`).join(`,${layout.eol}`)
  const [open, close, parts] = Array.isArray(value)
    ? ["[", "]", value.map((part) => print(part, deeper, layout))]
    : ["{", "}", Object.entries(value).map((entry) => member(entry, deeper, layout))]
  return `${open}${layout.eol}${lines(parts)}${layout.eol}${indent}${close}`
}

export const member = ([name, value]: readonly [string, unknown], indent: string, layout: Layout): string =>
  `${JSON.stringify(name)}: ${print(value, indent, layout)}`

/** Prints a new item at an indentation. */
export type Print = (indent: string) => string

const commentAt = (document: Document, offset: number): Comment | undefined =>
  document.comments.find((comment) => comment.start === offset)

const afterBlanks = (text: string, offset: number, blanks: RegExp): number => {
  blanks.lastIndex = offset
  return offset + (blanks.exec(text)?.[0].length ?? 0)
}

/** Returns the offset behind the comments that follow on the same line: they belong to the item before them. */
const endOfRemarks = (document: Document, offset: number): { readonly offset: number; readonly line: boolean } => {
  const comment = commentAt(document, afterBlanks(document.text, offset, /[ \t]*/y))
  if (comment === undefined || /[\r\n]/.test(document.text.slice(comment.start, comment.end))) {
    return { offset, line: false }
  }
  return comment.line ? { offset: comment.end, line: true } : endOfRemarks(document, comment.end)
}

/** Returns the indentation of an item on its own line, else `undefined`. */
const indentOf = (text: string, item: Item): string | undefined =>
  /[\r\n]([ \t]*)$/.exec(text.slice(0, item.start))?.[1]

const appendAfter = (document: Document, last: Item, layout: Layout, prints: ReadonlyArray<Print>) => {
  const { text } = document
  const remarks = endOfRemarks(document, last.comma === undefined ? last.end : last.comma + 1)
  const indent = indentOf(text, last)
  const separate = indent !== undefined || remarks.line
  const own = indent ?? indentAt(text, last.start)
  const items = prints.map((print) => (separate ? `${layout.eol}${own}` : " ") + print(own))
  const inserted = items.join(",")
  if (last.comma !== undefined) return [{ offset: remarks.offset, length: 0, text: `${inserted},` }]
  return [
    { offset: last.end, length: 0, text: "," },
    { offset: remarks.offset, length: 0, text: inserted }
  ]
}

const fill = (document: Document, container: Container, layout: Layout, prints: ReadonlyArray<Print>) => {
  const { text } = document
  const outer = indentAt(text, container.start)
  const indent = outer + layout.unit
  const close = container.end - 1
  const lastComment = document.comments.findLast((comment) => comment.start > container.start && comment.end <= close)
  const from = lastComment?.end ?? container.start + 1
  const lines = prints.map((print) => `${layout.eol}${indent}${print(indent)}`).join(",")
  return [
    layout.singleLine
      ? { offset: from, length: 0, text: prints.map((print) => print("")).join(", ") }
      : { offset: from, length: close - from, text: `${lines}${layout.eol}${outer}` }
  ]
}

/** Appends items to an array or object. */
export const append = (
  document: Document,
  container: Container,
  layout: Layout,
  prints: ReadonlyArray<Print>
): ReadonlyArray<Edit> => {
  const last = container.items.at(-1)
  if (prints.length === 0) return []
  return last === undefined ? fill(document, container, layout, prints) : appendAfter(document, last, layout, prints)
}

/** Returns the start of the whitespace before an item. A line comment before it needs its line break. */
const startWithBlanks = (document: Document, item: Item, next: number): number => {
  const start = document.text.slice(0, item.start).replace(/[ \t\r\n]+$/, "").length
  const afterLine = document.comments.some((comment) => comment.line && comment.end === start)
  const atLineEnd = next >= document.text.length || /[\r\n]/.test(document.text[next] ?? "")
  return afterLine && !atLineEnd ? item.start : start
}

const withoutItem = (document: Document, item: Item): ReadonlyArray<Edit> => {
  const { comma, end } = item
  // A comma behind a comment is removed separately.
  const near = comma !== undefined && document.text.slice(end, comma).trim() === ""
  const next = near ? comma + 1 : end
  const start = startWithBlanks(document, item, next)
  const edits = [{ offset: start, length: next - start, text: "" }]
  return comma === undefined || near ? edits : [...edits, { offset: comma, length: 1, text: "" }]
}

/** Removes items from an array or object, which itself remains. */
export const remove = (document: Document, container: Container, items: ReadonlySet<Item>): ReadonlyArray<Edit> => {
  const rest = container.items.findLast((item) => !items.has(item))
  if (rest === undefined && !document.comments.some(({ start }) => start > container.start && start < container.end)) {
    return items.size === 0
      ? []
      : [{ offset: container.start + 1, length: container.end - container.start - 2, text: "" }]
  }
  const edits = container.items.filter((item) => items.has(item)).flatMap((item) => withoutItem(document, item))
  // The comma of the new last item is no longer a separator.
  const isLast = container.items.at(-1) === rest
  const hadTrailing = container.items.at(-1)?.comma !== undefined
  return rest?.comma === undefined || isLast || hadTrailing
    ? edits
    : [...edits, { offset: rest.comma, length: 1, text: "" }]
}
