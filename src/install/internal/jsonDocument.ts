/**
 * JSON, with comments and trailing commas where they are allowed, as nodes with their offsets in the text.
 */
import * as Result from "effect/Result"
import { type JSONVisitor, printParseErrorCode, visit } from "jsonc-parser"
import * as Problem from "./syntaxProblem.ts"

/** Extensions of JSON that the agent reads. */
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
  /** `undefined` for an element of an array. */
  readonly key: string | undefined
  readonly start: number
  readonly end: number
  /** The offset of the comma that follows. */
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
  /** `undefined` if the text has only whitespace and comments. */
  readonly root: Node | undefined
  readonly comments: ReadonlyArray<Comment>
}

const maxDepth = 200

/** The default is for `ValueExpected`, `InvalidSymbol` and malformed numbers. */
const details: Readonly<Record<string, string>> = {
  PropertyNameExpected: "a name in double quotes is expected here",
  ColonExpected: '":" is expected here',
  EndOfFileExpected: "something follows the end",
  InvalidCommentToken: "comments are not allowed in this file",
  UnexpectedEndOfComment: "the comment has no end",
  UnexpectedEndOfString: "the string has no end",
  InvalidUnicode: "the string has an invalid escape",
  InvalidEscapeCharacter: "the string has an invalid escape",
  InvalidCharacter: "the string has a character that must be escaped"
}

type Mutable<A> = { -readonly [K in keyof A]: A[K] }

/** An array or object before its end. */
interface Open extends Omit<Mutable<Container>, "items"> {
  readonly items: Array<Mutable<Item>>
  /** The member whose value follows. */
  name: { readonly key: string; readonly start: number } | undefined
}

/** Builds nodes from the parser's events, and throws the first problem. */
const builder = (text: string) => {
  const comments: Array<Comment> = []
  const open: Array<Open> = []
  let root: Node | undefined

  const fail = (offset: number, detail: string): never => {
    throw Problem.at(text, offset, detail)
  }

  const add = (value: Node): void => {
    const parent = open.at(-1)
    if (parent === undefined) root = value
    else {
      const { key, start } = parent.name ?? { key: undefined, start: value.start }
      parent.items.push({ key, start, end: value.end, comma: undefined, value })
      parent.name = undefined
    }
  }

  const begin = (kind: Container["kind"]) => (start: number) => {
    if (open.length > maxDepth) fail(start, `values are more than ${maxDepth} deep`)
    open.push({ kind, start, end: start, items: [], name: undefined })
  }

  const end = (offset: number, length: number): void => {
    const { items, kind, start } = open.pop()!
    if (length === 0) fail(start, `the ${kind} has no end`)
    add({ kind, start, end: offset + length, items })
  }

  const onError = (name: string, offset: number): never => {
    const container = open.at(-1)
    const close = container?.kind === "object" ? "}" : "]"
    if (name === "CommaExpected") return fail(offset, `"," or "${close}" is expected here`)
    const comma = container?.items.at(-1)?.comma
    // Behind a comma, the parser expects an item.
    if (comma !== undefined && text[offset] === close)
      return fail(comma, "a trailing comma is not allowed in this file")
    const isName = name === "InvalidSymbol" && container?.kind === "object" && container.name === undefined
    return fail(offset, details[isName ? "PropertyNameExpected" : name] ?? "a value is expected here")
  }

  const visitor: JSONVisitor = {
    onObjectBegin: begin("object"),
    onObjectEnd: end,
    onArrayBegin: begin("array"),
    onArrayEnd: end,
    onObjectProperty: (key, start) => {
      open.at(-1)!.name = { key, start }
    },
    onLiteralValue: (value, start, length) => add({ kind: "scalar", start, end: start + length, value }),
    onSeparator: (character, offset) => {
      const last = open.at(-1)!.items.at(-1)
      if (character === "," && last !== undefined) last.comma = offset
    },
    onComment: (start, length) => {
      comments.push({ start, end: start + length, line: text[start + 1] === "/" })
    },
    onError: (code, offset) => onError(printParseErrorCode(code), offset)
  }
  return { visitor, document: (): Document => ({ text, root, comments }) }
}

/** Reads a text, or returns its first syntax problem. */
export const parse = (text: string, dialect: Dialect): Result.Result<Document, Problem.Problem> =>
  Result.try({
    try: () => {
      const { document, visitor } = builder(text)
      // The parser takes a byte order mark for a symbol.
      visit(text.replace(/^\uFEFF/, " "), visitor, {
        disallowComments: !dialect.comments,
        allowTrailingComma: dialect.trailingCommas,
        allowEmptyContent: true
      })
      return document()
    },
    catch: (error) => (error instanceof Problem.Problem ? error : Problem.at(text, 0, String(error)))
  })

/** Returns the member of a name: the last one, as other JSON readers do. */
export const member = (node: Node | undefined, key: string): Item | undefined =>
  node?.kind === "object" ? node.items.findLast((item) => item.key === key) : undefined

/** Returns the value without offsets. */
export const valueOf = (node: Node): unknown => {
  if (node.kind === "scalar") return node.value
  if (node.kind === "array") return node.items.map((item) => valueOf(item.value))
  return Object.fromEntries(node.items.map((item) => [item.key ?? "", valueOf(item.value)]))
}
