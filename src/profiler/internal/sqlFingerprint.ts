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

/** In Postgres `#` is an operator; elsewhere it may begin a comment. */
const hash = /#(?:[^\n'"`[\]$*]*(?=\n|$)|[^]*)/

const tokens = [
  // A comment, to its end. One that another one begins in, or a text in which a backslash stands before its quote, ends
  // in one dialect where it does not in another: then all that follows is taken for its content. So is what follows a
  // comment that is none in another dialect (`#`, `--` without a blank) if it holds what may be a quote there.
  /--(?:(?=\s|$)[^\n]*|[^\n'"`[\]$*]*(?=\n|$)|[^]*)/,
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

const known = new Map<boolean, RegExp>()

/** Made when the first statement comes, which a program without a database waits for in vain. */
const token = (system: string): RegExp => {
  const isPostgres = system === "postgresql"
  let made = known.get(isPostgres)
  if (made === undefined) {
    const parts = isPostgres ? tokens : [hash, ...tokens]
    made = new RegExp(parts.map((part) => `(?:${part.source})`).join("|"), "g")
    known.set(isPostgres, made)
  }
  return made
}

/** What in quotes is taken for a name: a word of up to 40 letters, with four digits at most, unlike keys and tokens. */
const isName = (text: string): boolean =>
  /^(?:(["`])[A-Za-z_][A-Za-z0-9_]{0,39}\1|\[[A-Za-z_][A-Za-z0-9_]{0,39}\])$/.test(text) &&
  text.replace(/\D/g, "").length <= 4

const placeholder = (text: string): string => {
  const first = text[0]!
  if (/[\s#]/.test(first) || text.startsWith("--") || text.startsWith("/*")) return " "
  return /["`[]/.test(first) && isName(text) ? text : "?"
}

/** A list of placeholders, and a list of such lists, say no more than one of them does. */
const collapse = (text: string): string =>
  text
    .replace(/[+-] ?\?(?=[\s,)]|$)/g, (found, at: number) => (/[\w)?"#] ?$/.test(text.slice(0, at)) ? found : "?"))
    .replace(/\?(?:\s*,\s*\?)+/g, "?")
    .replace(/\(\s*\?\s*\)(?:\s*,\s*\(\s*\?\s*\))+/g, "(?)")

/** Statements whose values need no quotes: of these all goes from where a value may begin. */
const setting =
  /((?:^|;)\s*(?:set|pragma|attach|(?:alter|create)\s+(?:user|role))\b(?:(?![=(;]|\b(?:to|key|password)\b)[^])*)(=|\(|\b(?:to|key|password)\b)[^]*$/i

/** The statement without its values, in the dialect of a `db.system.name`; of any where none is given. */
export const fingerprint = (statement: string, system = ""): string => {
  const masked = statement.slice(0, maxStatementLength).replace(token(system), placeholder)
  const text = collapse(masked).replace(setting, "$1$2 ?").replace(/\s+/g, " ").replace(/;\s*$/, "").trim()
  return text.length > maxFingerprintLength ? `${text.slice(0, maxFingerprintLength - 1)}…` : text
}

const isNoValue = (text: string): boolean => /^(?:\s|\?|\$\d|[:@]\w)/.test(text) || isName(text)

/** Whether all values of a statement are parameters, so that its text holds none. */
export const isParameterised = (statement: string, system = ""): boolean =>
  statement.length <= maxStatementLength &&
  !setting.test(statement) &&
  [...statement.matchAll(token(system))].every(([text]) => isNoValue(text))

/** The statement with a parameter for each value, and how many parameters it has; for Postgres they are numbered. */
export const withParameters = (statement: string, system: string): readonly [text: string, count: number] => {
  const numbered = system === "postgresql"
  const shortened = statement.slice(0, maxStatementLength)
  let count = 0
  if (numbered) {
    for (const [found] of shortened.matchAll(token(system))) {
      if (/^\$\d+$/.test(found)) count = Math.max(count, Number(found.slice(1)))
    }
  }
  const text = shortened.replace(token(system), (found) => {
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
