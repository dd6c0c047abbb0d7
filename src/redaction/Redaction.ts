/**
 * Redaction of secrets before text is stored.
 *
 * Replaces keys and tokens of services, private keys, and values whose name, flag, header, URL, file or sentence marks
 * them as secret by `[redacted]`.
 *
 * **Gotchas**
 *
 * - Detection is heuristic: a secret may be missed, and harmless text may be replaced.
 * - The work is proportional to the text. In text with far more words such as `password` than any ordinary text has,
 *   the rest of a line after such a word is replaced without further checks.
 *
 * @since 0.1.0
 */
import type * as Brand from "effect/Brand"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { fnv1a } from "../internal/fnv1a.ts"
import { preview } from "../internal/text.ts"
import { secretsOf, type Span } from "./internal/detectors.ts"

/**
 * The replacement of a secret.
 *
 * @category constants
 * @since 0.1.0
 */
export const placeholder = "[redacted]"

/**
 * Redacted text. Only this module makes it, so a function that requires it never stores a secret by mistake.
 *
 * @category models
 * @since 0.1.0
 */
export type RedactedText = string & Brand.Brand<"athena-hooks/redaction/RedactedText">

/**
 * The input for a value with redacted texts: the same fields with plain text.
 *
 * @category models
 * @since 0.1.0
 */
export type Unredacted<A> = {
  readonly [K in keyof A]: A[K] extends RedactedText | undefined
    ? string | (undefined extends A[K] ? undefined : never)
    : A[K] extends ReadonlyArray<RedactedText> | undefined
      ? ReadonlyArray<string> | (undefined extends A[K] ? undefined : never)
      : A[K]
}

const branded = Schema.declare((input): input is RedactedText => typeof input === "string")

/**
 * A schema of redacted text. Decoding redacts, so text of an older version is redacted when it is read; redacted text
 * does not change.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RedactedText: Schema.decodeTo<typeof branded, Schema.String> = Schema.String.pipe(
  Schema.decodeTo(branded, {
    decode: SchemaGetter.transform((text: string) => redact(text)),
    encode: SchemaGetter.transform((text: RedactedText): string => text)
  })
)

const replaced = (text: string, spans: ReadonlyArray<Span>, to: number, stand: (secret: string) => string): string => {
  let clean = ""
  let at = 0
  for (const { end, start } of spans) {
    if (start >= to) break
    clean += text.slice(at, start) + stand(text.slice(start, end))
    at = end
  }
  return at >= to ? clean : clean + text.slice(at, to)
}

const plain = () => placeholder

/**
 * Replaces every secret by `placeholder`.
 *
 * **Example**
 *
 * ```ts
 * import * as Redaction from "athena-hooks/redaction/Redaction"
 *
 * Redaction.redact("psql postgres://app:hunter2@db/shop")
 * // "psql postgres://app:[redacted]@db/shop"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const redact = (text: string): RedactedText => {
  const spans = secretsOf(text)
  return (spans.length === 0 ? text : replaced(text, spans, text.length, plain)) as RedactedText
}

/**
 * As `redact`, for text that tells things apart, such as a path or an id: what stands in the place of a secret has a
 * 64-bit digest of it, so that two names which differ in a secret only stay two. A name of at most `maxLength` units stays
 * so short, where the digests would make it longer.
 *
 * @category combinators
 * @since 0.1.0
 */
export const redactName = (text: string, maxLength: number = Number.POSITIVE_INFINITY): RedactedText => {
  const spans = secretsOf(text)
  if (spans.length === 0) return text as RedactedText
  const clean = replaced(text, spans, text.length, (secret) => `[redacted-${digest(secret)}]`)
  return (
    text.length <= maxLength && clean.length > maxLength ? `${clean.slice(0, maxLength - 17)}-${digest(clean)}` : clean
  ) as RedactedText
}

const digest = (text: string): string => fnv1a(text) + fnv1a(`-${text}`)

/**
 * Truncates redacted text to `length` UTF-16 units, with a final `…`. What resembles a secret only because it is
 * truncated is replaced too, so that redacting the result again does not change it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const truncate = (text: RedactedText, length: number): RedactedText =>
  text.length <= length ? text : truncate(redact(preview(text, length)), length)

/** The minimum window of an excerpt, and the units at its end in which a secret may be truncated. */
const window = 8_000
const reach = 1_024

/**
 * The first `length` UTF-16 units at most of the text without its secrets and without white space around it, ending in
 * `…` where something was left out. Secrets are replaced before the text is truncated, so half a secret never remains:
 * pass the whole text, however long. Only its first `max(8,000, length + 2,048)` units are read, and in a longer text the
 * last 1,024 of them are left out, because a secret that ends beyond them is not recognised.
 *
 * @category combinators
 * @since 0.1.0
 */
export const excerpt = (text: string, length: number): RedactedText => {
  const from = text.trimStart()
  const size = Math.max(window, length + 2 * reach)
  const looked = from.slice(0, size)
  const isWhole = from.length <= size
  const clean = replaced(looked, secretsOf(looked), isWhole ? looked.length : looked.length - reach, plain).trim()
  return truncate((isWhole || clean.length > length ? clean : `${clean}…`) as RedactedText, length)
}
