/**
 * Takes secrets out of text before it is stored.
 *
 * What has the shape of a known kind of secret is replaced by `[redacted]`: keys and tokens of common services, private
 * key blocks, JSON web tokens, authorization headers, passwords in URLs, and the values of assignments and flags whose
 * name says that they are secret. A shape can't tell a secret from what looks like one, so harmless text is sometimes
 * taken out too. Every pattern runs in time proportional to the text.
 *
 * @since 0.1.0
 */

/**
 * What stands in the place of a secret.
 *
 * @category constants
 * @since 0.1.0
 */
export const placeholder = "[redacted]"

interface Rule {
  /**
   * What the text has, in lower case, wherever the pattern matches. Looking for it costs little, and most texts have
   * none of it: a hook process that runs once would spend more time on compiling the patterns than on all else.
   */
  readonly hints: ReadonlyArray<string>
  readonly pattern: RegExp
  /** `$1` keeps what stands before the secret. */
  readonly replacement: string
}

const whole = (hint: string | ReadonlyArray<string>, pattern: RegExp): Rule => ({
  hints: typeof hint === "string" ? [hint] : hint,
  pattern,
  replacement: placeholder
})

const after = (hint: string | ReadonlyArray<string>, pattern: RegExp): Rule => ({
  ...whole(hint, pattern),
  replacement: `$1${placeholder}`
})

const names = ["pass", "pwd", "secret", "token", "key", "credential"]
const secretName =
  "(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|account[_-]?key|" +
  "encryption[_-]?key|signing[_-]?key|master[_-]?key|shared[_-]?key|credentials?)"
/** What is plainly no secret and ends there: a variable, a placeholder, a type, an empty value, or a line number. */
const noSecret =
  "(?!\\$[\\w{(]|process\\.env|<[a-z]|\\{|\\[redacted\\]|" +
  "(?:null|true|false|undefined|none|string|number|boolean|\\d{1,4}(?::\\d{1,4})?)(?=[\\s\"',;)\\]}]|$))"
/** A value in quotes, which may be escaped themselves, or up to white space. */
const value = `(?:\\\\?"(?:[^"\\\\\\n]|\\\\[^"\\n]){4,}\\\\?"|"(?:[^"\\\\\\n]|\\\\.){4,}"|'[^'\\n]{4,}'|[^\\s"']{4,})`
const is = `\\\\?["']?\\s{0,5}(?::=|=>|[:=])\\s{0,5}`

const rules: ReadonlyArray<Rule> = [
  // A block that was cut off has no end: everything after its beginning goes.
  whole(
    "private key",
    /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[^]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|$)/g
  ),
  {
    hints: ["://"],
    pattern: /\b([a-z][a-z0-9+.-]{1,20}:\/\/[^\s:@/"'<>]{0,200}):[^\s/"'<>]{1,400}@/gi,
    replacement: `$1:${placeholder}@`
  },
  {
    // A password with a slash, where a port and a path can't be meant.
    hints: ["://"],
    pattern: /\b((?!https?:)[a-z][a-z0-9+.-]{1,20}:\/\/[^\s:@/"'<>]{1,200}):(?!\d{1,5}\/)[^\s"'<>]{1,400}@/gi,
    replacement: `$1:${placeholder}@`
  },
  after("sshpass", /\b(sshpass\s{1,3}-p\s{0,3})\S+/g),
  after("curl", /\b(curl\b[^\n|;&]{0,300}?\s(?:-u|--user)[\s=]{1,3}[^\s:]{1,100}:)\S+/g),
  after(names, new RegExp(`(<${secretName}[^>\\n]{0,50}>)[^<\\n]{1,500}(?=</)`, "gi")),
  after(
    "authorization",
    /\b(authorization["']?\s{0,3}[:=]\s{0,3}["']?(?:(?:bearer|basic|token|digest)\s{1,3})?)(?!(?:bearer|basic|token|digest)\b)[\w.~+/=-]{6,}/gi
  ),
  after("bearer", /\b(bearer\s{1,3})[\w.~+/=-]{16,}/gi),
  whole("eyj", /\beyJ[\w-]{10,1500}\.[\w-]{10,1500}\.[\w-]{5,1500}/g),
  whole(["akia", "asia", "agpa", "aida", "aroa", "anpa"], /\b(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{16}\b/g),
  whole(["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], /\bgh[pousr]_[A-Za-z0-9]{20,255}\b/g),
  whole("github_pat_", /\bgithub_pat_\w{20,255}\b/g),
  whole("glpat-", /\bglpat-[\w-]{16,}/g),
  whole("sk-", /\bsk-[\w-]{16,}/g),
  whole(["k_live_", "k_test_"], /\b[rsp]k_(?:live|test)_[A-Za-z0-9]{10,}/g),
  whole("xox", /\bxox[abeoprs]-[A-Za-z0-9-]{10,}/g),
  whole("hooks.slack.com", /\bhooks\.slack\.com\/services\/[\w/]{10,}/g),
  whole("aiza", /\bAIza[\w-]{35}/g),
  whole("ya29.", /\bya29\.[\w-]{20,}/g),
  whole("npm_", /\bnpm_[A-Za-z0-9]{36}\b/g),
  whole("pypi-", /\bpypi-[\w-]{40,}/g),
  whole("hf_", /\bhf_[A-Za-z0-9]{30,}/g),
  whole("dop_v1_", /\bdop_v1_[a-f0-9]{40,}/g),
  whole(["shpat_", "shpca_", "shppa_", "shpss_"], /\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b/g),
  whole("sg.", /\bSG\.[\w-]{16,100}\.[\w-]{16,100}/g),
  after(names, new RegExp(`(${secretName}[\\w.-]{0,30}${is})${noSecret}${value}`, "gi")),
  // A name in capitals that ends so is a setting, and its value a secret.
  after(names, new RegExp(`(\\b[A-Z0-9_]{0,60}(?:KEY|PASS|PASSWORD|PWD|SECRET|TOKEN)${is})${noSecret}${value}`, "g")),
  after(names, new RegExp(`(--?${secretName}\\s{1,3})${noSecret}(?!-)(?:"[^"\\n]+"|'[^'\\n]+'|\\S+)`, "gi"))
]

/**
 * Replaces every known shape of secret by `placeholder`.
 *
 * **Example**
 *
 * ```ts
 * import * as Redaction from "athena-hooks/hooks/Redaction"
 *
 * Redaction.redact("psql postgres://app:hunter2@db/shop")
 * // "psql postgres://app:[redacted]@db/shop"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const redact = (text: string): string => {
  const lower = text.toLowerCase()
  return rules
    .filter((rule) => rule.hints.some((hint) => lower.includes(hint)))
    .reduce((clean, rule) => clean.replace(rule.pattern, rule.replacement), text)
}
