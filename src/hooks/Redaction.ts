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
  readonly pattern: RegExp
  /** `$1` keeps what stands before the secret. */
  readonly replacement: string
}

const whole = (pattern: RegExp): Rule => ({ pattern, replacement: placeholder })
const after = (pattern: RegExp): Rule => ({ pattern, replacement: `$1${placeholder}` })

const secretName =
  "(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credentials?)"
/** What is plainly no secret: a variable, a placeholder, a type or an empty value. */
const noSecret =
  "(?!\\$|process\\.env|<|\\{|\\[redacted\\]|(?:null|true|false|undefined|none|string|number|boolean)\\b)"

const rules: ReadonlyArray<Rule> = [
  // A block that was cut off has no end: everything after its beginning goes.
  whole(
    /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[^]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|$)/g
  ),
  { pattern: /\b([a-z][a-z0-9+.-]{1,20}:\/\/[^\s:@/]{0,200}):[^\s@/]{1,400}@/gi, replacement: `$1:${placeholder}@` },
  after(/\b(authorization["']?\s{0,3}[:=]\s{0,3}["']?(?:(?:bearer|basic|token|digest)\s{1,3})?)[\w.~+/=-]{6,}/gi),
  after(/\b(bearer\s{1,3})[\w.~+/=-]{16,}/gi),
  whole(/\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{5,}/g),
  whole(/\b(?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA)[A-Z0-9]{16}\b/g),
  whole(/\bgh[pousr]_[A-Za-z0-9]{20,255}\b/g),
  whole(/\bgithub_pat_\w{20,255}\b/g),
  whole(/\bglpat-[\w-]{16,}/g),
  whole(/\bsk-[\w-]{16,}/g),
  whole(/\b[rsp]k_(?:live|test)_[A-Za-z0-9]{10,}/g),
  whole(/\bxox[abeoprs]-[A-Za-z0-9-]{10,}/g),
  whole(/\bhooks\.slack\.com\/services\/[\w/]{10,}/g),
  whole(/\bAIza[\w-]{35}/g),
  whole(/\bya29\.[\w-]{20,}/g),
  whole(/\bnpm_[A-Za-z0-9]{36}\b/g),
  whole(/\bpypi-[\w-]{40,}/g),
  whole(/\bhf_[A-Za-z0-9]{30,}/g),
  whole(/\bdop_v1_[a-f0-9]{40,}/g),
  whole(/\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b/g),
  whole(/\bSG\.[\w-]{16,}\.[\w-]{16,}/g),
  after(
    new RegExp(
      `(${secretName}[\\w.-]{0,30}["']?\\s{0,5}(?::=|=>|[:=])\\s{0,5})${noSecret}(?:"[^"\\n]{4,}"|'[^'\\n]{4,}'|[^\\s"',;&]{4,})`,
      "gi"
    )
  ),
  after(new RegExp(`(--?${secretName}\\s{1,3})${noSecret}(?!-)(?:"[^"\\n]+"|'[^'\\n]+'|\\S+)`, "gi"))
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
export const redact = (text: string): string =>
  rules.reduce((clean, rule) => clean.replace(rule.pattern, rule.replacement), text)
