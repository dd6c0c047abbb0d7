/**
 * TOML cut into its tables, by their places in the text. Whether the text is valid is for the parser to say; this finds
 * where tables begin and end, and takes no bracket in a text or a comment for one.
 */

export interface Table {
  /** Its header as it is written, without blanks and quotes: `hooks.Stop.hooks`. */
  readonly name: string
  readonly isElement: boolean
  /** Where the line of its header begins. */
  readonly start: number
  /** Behind the line of its header. */
  readonly body: number
  /** Behind the line of its last value, or of its header where it has none. */
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

/** How far a text or a comment reaches from a place; 1 where there is neither. */
const step = (text: string, at: number): number =>
  lengthAt(text, at, multiline) || lengthAt(text, at, singleLine) || lengthAt(text, at, comment) || 1

const afterLine = (text: string, at: number): number => {
  const end = text.indexOf("\n", at)
  return end < 0 ? text.length : end + 1
}

/** Behind the value that begins on a line, which may go on over several. */
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

/** The tables in the order of their headers; what stands before the first one is in none. */
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
