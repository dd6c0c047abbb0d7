/**
 * How a file is laid out: what its lines end with, how deep it indents, and new values in the same manner.
 */
import type { Container, Document } from "./jsonc.ts"

export interface Layout {
  readonly eol: "\r\n" | "\n"
  /** One step of indentation. */
  readonly unit: string
  /** Whether the whole file is one line, and stays one. */
  readonly singleLine: boolean
}

/** What a new value is laid out to fit into, in characters. */
const lineWidth = 100

const rootOf = (document: Document): Container | undefined =>
  document.root === undefined || document.root.kind === "scalar" ? undefined : document.root

export const of = (document: Document): Layout => {
  const root = rootOf(document)
  const inside = root === undefined ? "" : document.text.slice(root.start, root.end)
  return {
    eol: /\r?\n/.exec(document.text)?.[0] === "\r\n" ? "\r\n" : "\n",
    unit: /\n([ \t]+)"/.exec(inside)?.[1] ?? "  ",
    singleLine: root !== undefined && root.items.length > 0 && !inside.includes("\n")
  }
}

/** The blanks that the line of an offset begins with. */
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

/** Prints a value that begins at an indentation: on one line where it fits, else a line for each part. */
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

/** Prints a member of an object. */
export const member = ([name, value]: readonly [string, unknown], indent: string, layout: Layout): string =>
  `${JSON.stringify(name)}: ${print(value, indent, layout)}`
