/**
 * Normalises a statement: literals become `?`, a list of values becomes one `?`, comments are removed, and white space
 * is collapsed.
 *
 * Text that may be a value is treated as one: an unterminated literal, a comment, a quoted name with an unusual form.
 * So no value reaches a report, and statements that differ only in unusual names share one fingerprint.
 */

/** The maximum length of an analysed statement, in UTF-16 units; the rest is ignored. */
export const maxStatementLength = 20_000

/** The maximum length of a fingerprint, in UTF-16 units. */
export const maxFingerprintLength = 1_000

/** `#` is an operator in Postgres and may start a comment elsewhere. */
const hash = /#(?:[^\n'"`[\]$*]*(?=\n|$)|[^]*)/

const tokens = [
  // Comments. Dialects disagree on nested comments, on a backslash before a quote, and on `#` or `--` without a blank.
  // In these cases everything that may belong to the comment or literal in any dialect is masked.
  /--(?:(?=\s|$)[^\n]*|[^\n'"`[\]$*]*(?=\n|$)|[^]*)/,
  /\/\*(?:(?!\*\/)[^])*?\/\*[^]*$|\/\*[^]*?(?:\*\/|$)/,
  /\$(?<tag>(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?)\$[^]*?(?:\$\k<tag>\$|$)/,
  /\b[Ee]'(?:[^'\\]|''|\\[^])*(?:'|\\?$)/,
  /(?:\b[BbXxNn]|\b[Uu]&)?'(?:(?:[^'\\]|''|\\(?!'))*\\'[^]*$|(?:[^'\\]|''|\\)*(?:'|$))/,
  // A quoted name, or a string in some dialects.
  /"(?:(?:[^"\\]|""|\\(?!"))*\\"[^]*$|(?:[^"\\]|""|\\)*(?:"|$))|`[^`]*(?:`|$)|\[[A-Za-z_][\w ]*\]/,
  // A parameter: `?`, `?3`, `$3`, `:name`, `@name`.
  /\?\d*|\$\d+|(?<![:\w]):[A-Za-z_]\w*|@\w+/,
  // A number outside a name.
  /(?<![\w$])(?:0[xXbBoO][\da-fA-F_]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)/,
  /\s+/
]

const known = new Map<boolean, RegExp>()

/** Compiled for the first statement, so that programs without a database do not pay for it. */
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

/**
 * Quoted text counts as a name if it is a word of at most 40 letters with at most four digits, unlike keys and tokens.
 */
const isName = (text: string): boolean =>
  /^(?:(["`])[A-Za-z_][A-Za-z0-9_]{0,39}\1|\[[A-Za-z_][A-Za-z0-9_]{0,39}\])$/.test(text) &&
  text.replace(/\D/g, "").length <= 4

const placeholder = (text: string): string => {
  const first = text[0]!
  if (/[\s#]/.test(first) || text.startsWith("--") || text.startsWith("/*")) return " "
  return /["`[]/.test(first) && isName(text) ? text : "?"
}

/** Collapses lists of placeholders, and lists of such lists, into one. */
const collapse = (text: string): string =>
  text
    .replace(/[+-] ?\?(?=[\s,)]|$)/g, (found, at: number) => (/[\w)?"#] ?$/.test(text.slice(0, at)) ? found : "?"))
    .replace(/\?(?:\s*,\s*\?)+/g, "?")
    .replace(/\(\s*\?\s*\)(?:\s*,\s*\(\s*\?\s*\))+/g, "(?)")

/** Statements with unquoted values: everything from the first possible value on is masked. */
const setting =
  /((?:^|;)\s*(?:set|pragma|attach|(?:alter|create)\s+(?:user|role))\b(?:(?![=(;]|\b(?:to|key|password)\b)[^])*)(=|\(|\b(?:to|key|password)\b)[^]*$/i

/** The statement without values, in the dialect of a `db.system.name`, or in any dialect if none is given. */
export const fingerprint = (statement: string, system = ""): string => {
  const masked = statement.slice(0, maxStatementLength).replace(token(system), placeholder)
  const text = collapse(masked).replace(setting, "$1$2 ?").replace(/\s+/g, " ").replace(/;\s*$/, "").trim()
  return text.length > maxFingerprintLength ? `${text.slice(0, maxFingerprintLength - 1)}…` : text
}

const isNoValue = (text: string): boolean => /^(?:\s|\?|\$\d|[:@]\w)/.test(text) || isName(text)

/** Whether every value of the statement is a parameter, so that its text contains none. */
export const isParameterised = (statement: string, system = ""): boolean =>
  statement.length <= maxStatementLength &&
  !setting.test(statement) &&
  [...statement.matchAll(token(system))].every(([text]) => isNoValue(text))

/** The statement with a parameter for each value, and the number of parameters. Postgres parameters are numbered. */
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

/** Whether the statement's keywords are those of a read. */
export const isRead = (fingerprint: string): boolean =>
  /^\s*(?:select|with|values)\b/i.test(fingerprint) &&
  !/\b(?:(?:insert|update|delete|merge|into|replace|call|do|share|nextval|setval)\b|pg_\w+\s*\()/i.test(fingerprint) &&
  !fingerprint.includes(";")
