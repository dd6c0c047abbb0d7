/**
 * A statement without its values: literals become `?`, lists of values one `?`, comments go, white space is one blank.
 *
 * What can't be told from a value is taken for one: a literal that does not end, a comment, a name in double quotes that
 * does not look like a name. So no value reaches a report, at the price that statements which differ in odd names only
 * are counted as one.
 */

/** Longer statements are known by their beginning, in UTF-16 units. */
export const maxStatementLength = 20_000

/** Longer fingerprints are cut, in UTF-16 units. */
export const maxFingerprintLength = 1_000

const tokens = [
  // A comment, to its end. One that another one begins in, or a text in which a backslash stands before its quote, ends
  // in one dialect where it does not in another: then all that follows is taken for its content.
  /--[^\n]*|#(?![->])[^\n]*/,
  /\/\*(?:(?!\*\/)[^])*?\/\*[^]*$|\/\*[^]*?(?:\*\/|$)/,
  /\$(?<tag>(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?)\$[^]*?(?:\$\k<tag>\$|$)/,
  /\b[Ee]'(?:[^'\\]|''|\\[^])*(?:'|\\?$)/,
  /(?:\b[BbXxNn]|\b[Uu]&)?'(?:(?:[^'\\]|''|\\(?!'))*\\'[^]*$|(?:[^'\\]|''|\\)*(?:'|$))/,
  // A name in quotes; a text in some dialects.
  /"(?:(?:[^"\\]|""|\\(?!"))*\\"[^]*$|(?:[^"\\]|""|\\)*(?:"|$))|`[^`]*(?:`|$)|\[[A-Za-z_][\w ]*\]/,
  // A parameter: `?`, `?3`, `$3`, `:name`, `@name`.
  /\?\d*|\$\d+|(?<![:\w]):[A-Za-z_]\w*|@\w+/,
  // A number that is no part of a name.
  /(?<![\w$])(?:0[xXbBoO][\da-fA-F_]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)/,
  /\s+/
]

let known: RegExp | undefined

/** Made when the first statement comes, which a program without a database waits for in vain. */
const token = (): RegExp => (known ??= new RegExp(tokens.map((part) => `(?:${part.source})`).join("|"), "g"))

/** What in quotes is taken for a name: a word of up to 40 letters, with four digits at most, unlike keys and tokens. */
const isName = (text: string): boolean =>
  /^(["`])[A-Za-z_][A-Za-z0-9_]{0,39}\1$/.test(text) && text.replace(/\D/g, "").length <= 4

const placeholder = (text: string): string => {
  const first = text[0]!
  if (/[\s#]/.test(first) || text.startsWith("--") || text.startsWith("/*")) return " "
  if (first === '"' || first === "`") return isName(text) ? text : "?"
  return first === "[" ? text : "?"
}

/** A list of placeholders, and a list of such lists, say no more than one of them does. */
const collapse = (text: string): string =>
  text
    .replace(/[+-] ?\?(?=[\s,)]|$)/g, (found, at: number) => (/[\w)?"] ?$/.test(text.slice(0, at)) ? found : "?"))
    .replace(/\?(?:\s*,\s*\?)+/g, "?")
    .replace(/\(\s*\?\s*\)(?:\s*,\s*\(\s*\?\s*\))+/g, "(?)")

/** The statement without its values. */
export const fingerprint = (statement: string): string => {
  const masked = statement.slice(0, maxStatementLength).replace(token(), placeholder)
  const text = collapse(masked).replace(/\s+/g, " ").replace(/;\s*$/, "").trim()
  return text.length > maxFingerprintLength ? `${text.slice(0, maxFingerprintLength - 1)}…` : text
}

const isNoValue = (text: string): boolean => /^(?:\s|\[|\?|\$\d|[:@]\w)/.test(text) || isName(text)

/** Whether all values of a statement are parameters, so that its text holds none. */
export const isParameterised = (statement: string): boolean =>
  statement.length <= maxStatementLength && [...statement.matchAll(token())].every(([text]) => isNoValue(text))

/** The statement with a parameter for each value, and how many parameters it has; for Postgres they are numbered. */
export const withParameters = (statement: string, system: string): readonly [text: string, count: number] => {
  const numbered = system === "postgresql"
  const known = statement.slice(0, maxStatementLength)
  let count = 0
  if (numbered) {
    for (const [found] of known.matchAll(token())) {
      if (/^\$\d+$/.test(found)) count = Math.max(count, Number(found.slice(1)))
    }
  }
  const text = known.replace(token(), (found) => {
    const shown = placeholder(found)
    if (shown !== "?") return shown
    if (/^\$\d/.test(found)) return found
    count++
    return numbered ? `$${count}` : "?"
  })
  return [text, count]
}

/** Whether a statement only reads, as far as its words tell. */
export const isRead = (fingerprint: string): boolean =>
  /^\s*(?:select|with|values)\b/i.test(fingerprint) &&
  !/\b(?:(?:insert|update|delete|merge|into|replace|call|do|share|nextval|setval)\b|pg_\w+\s*\()/i.test(fingerprint) &&
  !fingerprint.includes(";")
