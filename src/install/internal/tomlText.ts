/**
 * The tables and values of a TOML text, by their offsets. The text must be valid: `effect/encoding/Toml` has parsed it.
 */
import type * as Json from "./jsonDocument.ts"

export interface Table {
  /** The name in the header, without whitespace and quotes: `hooks.Stop.hooks`. */
  readonly name: string
  readonly isElement: boolean
  /** The offset of the header's line. */
  readonly start: number
  /** The offset behind the header's line. */
  readonly body: number
  /** The offset behind the line of the last value, or of the header if the table is empty. */
  readonly end: number
}

const multiline = /"""(?:[^\\]|\\[^])*?"{3,5}|'''[^]*?'{3,5}/y
const singleLine = /"(?:[^"\\\r\n]|\\.)*"|'[^'\r\n]*'/y
const comment = /#[^\r\n]*/y
const header = /[ \t]*(\[\[?)((?:[^\]"'\r\n#]|"(?:[^"\\\r\n]|\\.)*"|'[^'\r\n]*')+)\]\]?[^\r\n]*/y

const lengthAt = (text: string, at: number, pattern: RegExp): number => {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0].length ?? 0
}

/** Returns the length of a string or comment at an offset; 1 for any other character. */
const step = (text: string, at: number): number =>
  lengthAt(text, at, multiline) || lengthAt(text, at, singleLine) || lengthAt(text, at, comment) || 1

const afterLine = (text: string, at: number): number => {
  const end = text.indexOf("\n", at)
  return end < 0 ? text.length : end + 1
}

/** Returns the offset behind a value, which may span several lines. */
const afterValue = (text: string, start: number): number => {
  let depth = 0
  let at = start
  while (at < text.length) {
    const char = text[at]
    if (char === "[" || char === "{") depth += 1
    if (char === "]" || char === "}") depth -= 1
    if (char === "\n" && depth <= 0) return at + 1
    at += step(text, at)
  }
  return text.length
}

const headerAt = (text: string, at: number) => {
  header.lastIndex = at
  const found = header.exec(text)
  if (found === null) return undefined
  const name = (found[2] ?? "").replaceAll(/[ \t"']/g, "")
  return { name, isElement: found[1] === "[[" }
}

/** Returns the tables in order. Values before the first header belong to none. */
export const tables = (text: string): ReadonlyArray<Table> => {
  const found: Array<Table> = []
  let at = text.startsWith("\uFEFF") ? 1 : 0
  while (at < text.length) {
    const line = /[ \t]*/y
    line.lastIndex = at
    const first = text[at + (line.exec(text)?.[0].length ?? 0)]
    const head = first === "[" ? headerAt(text, at) : undefined
    const isValue = head === undefined && first !== undefined && !"#\r\n".includes(first)
    const next = isValue ? afterValue(text, at) : afterLine(text, at)
    const last = found.at(-1)
    if (head !== undefined) found.push({ ...head, start: at, body: next, end: next })
    else if (isValue && last !== undefined) found[found.length - 1] = { ...last, end: next }
    at = next
  }
  return found
}

/** A key and its value. */
export interface Statement {
  /** The path of the table, then that of the key. */
  readonly path: ReadonlyArray<string>
  /** The length of the table's path. */
  readonly tableDepth: number
  /** The offset of the line. */
  readonly start: number
  /** The offset behind the value. */
  readonly valueEnd: number
  /** The offset behind the line. */
  readonly end: number
  readonly value: Json.Node
}

const bareKey = /[\w-]+/y
const scalar = /[^,\]}#\r\n]+/y

const unquoted = (word: string): string => {
  if (word.startsWith("'")) return word.slice(1, -1)
  if (!word.startsWith('"')) return word
  try {
    // Converts the escapes that JSON lacks.
    const escapes = word.replaceAll(/\\(\\|U([\da-fA-F]{8})|e|x([\da-fA-F]{2}))/g, (all, _, long, short) =>
      long || short
        ? JSON.stringify(String.fromCodePoint(Number.parseInt(long ?? short, 16))).slice(1, -1)
        : all === "\\e"
          ? "\\u001b"
          : all
    )
    return JSON.parse(escapes)
  } catch {
    return word.slice(1, -1)
  }
}

/** Returns the parts of a key. */
export const keyOf = (text: string): ReadonlyArray<string> => {
  const parts: Array<string> = []
  let at = 0
  while (at < text.length) {
    const word = matchAt(text, at, singleLine) ?? matchAt(text, at, bareKey)
    if (word !== undefined) parts.push(unquoted(word))
    at += word?.length ?? 1
  }
  return parts
}

const matchAt = (text: string, at: number, pattern: RegExp): string | undefined => {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0]
}

class Reader {
  readonly comments: Array<Json.Comment> = []
  at: number
  private readonly text: string

  constructor(text: string, at: number) {
    this.text = text
    this.at = at
  }

  /** Skips whitespace and comments. */
  skip(): void {
    for (;;) {
      while (/[ \t\r\n]/.test(this.text[this.at] ?? "")) this.at += 1
      const found = matchAt(this.text, this.at, comment)
      if (found === undefined) return
      this.comments.push({ start: this.at, end: this.at + found.length, line: true })
      this.at += found.length
    }
  }

  /** Reads a key and its `=`. */
  key(): string {
    const start = this.at
    while (this.at < this.text.length && this.text[this.at] !== "=") {
      this.at += matchAt(this.text, this.at, singleLine)?.length ?? 1
    }
    const key = this.text.slice(start, this.at)
    this.at += 1
    return key
  }

  value(): Json.Node {
    const char = this.text[this.at]
    if (char === "[") return this.container("array", "]")
    if (char === "{") return this.container("object", "}")
    const start = this.at
    const found =
      matchAt(this.text, start, multiline) ?? matchAt(this.text, start, singleLine) ?? matchAt(this.text, start, scalar)
    const end = start + (found?.trimEnd().length ?? 0)
    // Unreachable for valid TOML; it ends the loop.
    this.at = found === undefined ? this.text.length : end
    return { kind: "scalar", start, end, value: null }
  }

  private container(kind: Json.Container["kind"], close: string): Json.Container {
    const start = this.at
    const items: Array<Json.Item> = []
    this.at += 1
    this.skip()
    while (this.at < this.text.length && this.text[this.at] !== close) {
      const itemStart = this.at
      const key = kind === "object" ? keyOf(this.key()).join(".") : undefined
      this.skip()
      const value = this.value()
      this.skip()
      const comma = this.text[this.at] === "," ? this.at : undefined
      items.push({ key, start: itemStart, end: value.end, comma, value })
      if (comma === undefined) break
      this.at += 1
      this.skip()
    }
    this.at += 1
    return { kind, start, end: this.at, items }
  }
}

export interface Statements {
  readonly statements: ReadonlyArray<Statement>
  readonly comments: ReadonlyArray<Json.Comment>
}

/** Returns the statements in order, and the comments inside their values. */
export const statements = (text: string): Statements => {
  const found: Array<Statement> = []
  const comments: Array<Json.Comment> = []
  let table: ReadonlyArray<string> = []
  let at = text.startsWith("\uFEFF") ? 1 : 0
  while (at < text.length) {
    const start = at
    const first = /\S/.exec(text.slice(start, afterLine(text, start)))?.[0]
    header.lastIndex = start
    const name = first === "[" ? header.exec(text)?.[2] : undefined
    if (name !== undefined) table = keyOf(name)
    if (first === undefined || first === "#" || first === "[") {
      at = afterLine(text, start)
      continue
    }
    const reader = new Reader(text, start)
    const key = keyOf(reader.key())
    while (/[ \t]/.test(text[reader.at] ?? "")) reader.at += 1
    const value = reader.value()
    at = afterLine(text, value.end)
    comments.push(...reader.comments)
    found.push({ path: [...table, ...key], tableDepth: table.length, start, valueEnd: value.end, end: at, value })
  }
  return { statements: found, comments }
}
