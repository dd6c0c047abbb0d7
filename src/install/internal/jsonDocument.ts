/**
 * JSON, with comments and trailing commas where they are allowed, read into nodes that know where they stand in the text.
 */
import * as Result from "effect/Result"
import * as Problem from "./syntaxProblem.ts"

/** What a reader takes beyond JSON. */
export interface Dialect {
  readonly comments: boolean
  readonly trailingCommas: boolean
}

export interface Scalar {
  readonly kind: "scalar"
  readonly start: number
  readonly end: number
  readonly value: string | number | boolean | null
}

/** An element of an array, or a member of an object. */
export interface Item {
  /** Of an array's element nothing. */
  readonly key: string | undefined
  readonly start: number
  readonly end: number
  /** Where the comma after it is. */
  readonly comma: number | undefined
  readonly value: Node
}

export interface Container {
  readonly kind: "array" | "object"
  readonly start: number
  readonly end: number
  readonly items: ReadonlyArray<Item>
}

export type Node = Scalar | Container

export interface Comment {
  readonly start: number
  readonly end: number
  readonly line: boolean
}

export interface Document {
  readonly text: string
  /** Nothing in a text of blanks and comments. */
  readonly root: Node | undefined
  readonly comments: ReadonlyArray<Comment>
}

/** How deep values may be inside each other. */
const maxDepth = 200

const isBlank = (char: string | undefined): boolean => char === " " || char === "\t" || char === "\n" || char === "\r"

const scalarToken = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y
const stringToken = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/y

class Reader {
  readonly comments: Array<Comment> = []
  private at = 0
  private readonly text: string
  private readonly dialect: Dialect

  constructor(text: string, dialect: Dialect) {
    this.text = text
    this.dialect = dialect
    if (text.startsWith("\uFEFF")) this.at = 1
  }

  document(): Document {
    this.skip()
    const root = this.at === this.text.length ? undefined : this.value(0)
    this.skip()
    if (this.at < this.text.length) this.fail("something follows the end")
    return { text: this.text, root, comments: this.comments }
  }

  private fail(detail: string, offset = this.at): never {
    throw Problem.at(this.text, offset, detail)
  }

  /** Passes over blanks and comments. */
  private skip(): void {
    for (;;) {
      while (isBlank(this.text[this.at])) this.at += 1
      if (this.text[this.at] !== "/") return
      this.comment()
    }
  }

  private comment(): void {
    const start = this.at
    const opening = this.text.slice(start, start + 2)
    if (opening !== "//" && opening !== "/*") this.fail("a value is expected here")
    if (!this.dialect.comments) this.fail("comments are not allowed in this file")
    const line = opening === "//"
    const found = line ? this.text.slice(start).search(/[\r\n]/) : this.text.indexOf("*/", start + 2) - start
    if (found < 0 && !line) this.fail("the comment has no end")
    this.at = found < 0 ? this.text.length : start + found + (line ? 0 : 2)
    this.comments.push({ start, end: this.at, line })
  }

  private token(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at
    const found = pattern.exec(this.text)?.[0]
    if (found !== undefined) this.at += found.length
    return found
  }

  private value(depth: number): Node {
    if (depth > maxDepth) this.fail(`values are more than ${maxDepth} deep`)
    const char = this.text[this.at]
    if (char === "{") return this.container("object", "}", depth)
    if (char === "[") return this.container("array", "]", depth)
    const start = this.at
    const value: Scalar["value"] = char === '"' ? this.string() : this.scalar()
    return { kind: "scalar", start, end: this.at, value }
  }

  private string(): string {
    return JSON.parse(
      this.token(stringToken) ?? this.fail("the string has no end, or has a character that must be escaped")
    )
  }

  private scalar(): Scalar["value"] {
    return JSON.parse(this.token(scalarToken) ?? this.fail("a value is expected here"))
  }

  private container(kind: Container["kind"], close: string, depth: number): Container {
    const start = this.at
    const items: Array<Item> = []
    this.at += 1
    this.skip()
    while (this.text[this.at] !== close) {
      if (this.at >= this.text.length) this.fail(`the ${kind} has no end`, start)
      const item = this.item(kind, depth)
      this.skip()
      const comma = this.text[this.at] === "," ? this.at : undefined
      items.push({ ...item, comma })
      if (comma === undefined) {
        if (this.at >= this.text.length) this.fail(`the ${kind} has no end`, start)
        if (this.text[this.at] !== close) this.fail(`"," or "${close}" is expected here`)
        break
      }
      this.at += 1
      this.skip()
      if (this.text[this.at] === close && !this.dialect.trailingCommas) this.fail("no comma may stand last", comma)
    }
    this.at += 1
    return { kind, start, end: this.at, items }
  }

  private item(kind: Container["kind"], depth: number): Omit<Item, "comma"> {
    const start = this.at
    if (kind === "array") {
      const value = this.value(depth + 1)
      return { key: undefined, start, end: value.end, value }
    }
    if (this.text[this.at] !== '"') this.fail("a name in double quotes is expected here")
    const key = this.string()
    this.skip()
    if (this.text[this.at] !== ":") this.fail('":" is expected here')
    this.at += 1
    this.skip()
    const value = this.value(depth + 1)
    return { key, start, end: value.end, value }
  }
}

/** Reads a text, or says where it is not valid. */
export const parse = (text: string, dialect: Dialect): Result.Result<Document, Problem.Problem> =>
  Result.try({
    try: () => new Reader(text, dialect).document(),
    catch: (error) => (error instanceof Problem.Problem ? error : Problem.at(text, 0, String(error)))
  })

/** The member of a name; the last one, as other readers take it. */
export const member = (node: Node | undefined, key: string): Item | undefined =>
  node?.kind === "object" ? node.items.findLast((item) => item.key === key) : undefined

/** The value without its places. */
export const valueOf = (node: Node): unknown => {
  if (node.kind === "scalar") return node.value
  if (node.kind === "array") return node.items.map((item) => valueOf(item.value))
  return Object.fromEntries(node.items.map((item) => [item.key ?? "", valueOf(item.value)]))
}
