/**
 * Splits text into the terms by which it is found: the same for documents and for queries.
 *
 * - Case, accents and combining marks are folded: `Déploiement` and `deploiement` have one term.
 * - A compound identifier is a term as a whole and in its parts: `acquirePaymentLock`, `payment-lock`, `src/pay/lock.ts`.
 *   The spelling of the whole does not matter: `payment-lock`, `payment_lock` and `PaymentLock` are one term.
 * - English suffixes are removed (Porter 1980), so `deploys` and `deployment` share a term.
 * - Scripts without spaces (Han, Kana, Thai, Lao, Khmer, Myanmar), and Hangul, whose particles join the word, give
 *   overlapping pairs of characters, as the CJK analyzer of Lucene does.
 *
 * No dictionary and no locale is involved, so a term is the same on every machine. There is no list of stop words: the
 * frequency of a term decides about its weight, see `Bm25`.
 *
 * @since 0.1.0
 */
import { stem } from "./internal/stem.ts"

/**
 * The longest word of which a term is made, in UTF-16 units: 64. A longer one is truncated.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxWordLength = 64

/** More parts than this are a path or a generated name: only its parts and pairs are terms. */
const maxParts = 8

/** Letters that have no canonical decomposition, but that are often typed as these. */
const lookalikes: Readonly<Record<string, string>> = {
  ß: "ss",
  ẞ: "SS",
  đ: "d",
  Đ: "D",
  ø: "o",
  Ø: "O",
  ł: "l",
  Ł: "L",
  ı: "i",
  æ: "ae",
  Æ: "AE",
  œ: "oe",
  Œ: "OE"
}

/** Marks of Latin, Greek, Cyrillic, Hebrew and Arabic; marks of other scripts are letters of their own. */
// oxlint-disable-next-line no-misleading-character-class
const foldedMarks = /[\u0300-\u036f\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed]/g

/** Without accents and marks, with compatible forms unified; the case remains. */
const withoutMarks = (text: string): string =>
  isAscii(text)
    ? text
    : text
        .normalize("NFKD")
        .replace(foldedMarks, "")
        .replace(/[ßẞđĐøØłŁıæÆœŒ]/g, (letter) => lookalikes[letter]!)
        .normalize("NFC")

const unspaced =
  "\\p{Script=Han}\\u3005\\u3007\\u3040-\\u30ff\\u31f0-\\u31ff\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Khmer}" +
  "\\p{Script=Myanmar}\\p{Script=Hangul}"

/**
 * Words, where connectors join the parts of an identifier, a path or a version. The first pattern is several times as
 * fast, but takes all characters beyond ASCII for letters; the second one splits what it finds.
 */
const runPattern = /[A-Za-z0-9\u0080-\uffff]+(?:(?:[_\-./\\:@$]|::)[A-Za-z0-9\u0080-\uffff]+)*/g
const wordPattern = /[\p{L}\p{N}\p{M}]+(?:(?:[_\-./\\:@$]|::)[\p{L}\p{N}\p{M}]+)*/gu

const isAscii = (text: string): boolean => {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 127) return false
  return true
}

const partPattern = new RegExp(
  `(?<unspaced>[${unspaced}][${unspaced}\\p{M}]*)` +
    "|\\p{Lu}+(?!\\p{Ll})|\\p{Lu}?\\p{Ll}+|\\p{N}+|(?:[\\p{Lo}\\p{Lm}\\p{Lt}\\p{M}])+",
  "gu"
)

/** A base character with its marks. */
const character = /\P{M}\p{M}*|\p{M}+/gu

/** Pairs of neighbouring characters; a character alone where there is no pair. */
const pairs = (text: string): ReadonlyArray<string> => {
  const characters = text.match(character) ?? []
  return characters.length < 2 ? characters : characters.slice(1).map((next, i) => characters[i]! + next)
}

const termsOfWord = (word: string): ReadonlyArray<string> => {
  const parts: Array<string> = []
  const terms: Array<string> = []
  for (const match of withoutMarks(word.slice(0, maxWordLength)).matchAll(partPattern)) {
    const part = match[0].toLowerCase()
    if (match.groups!["unspaced"] !== undefined) terms.push(...pairs(part))
    else parts.push(part)
  }
  if (parts.length === 1) return [...terms, stem(parts[0]!)]
  for (const part of parts) if (part.length > 1) terms.push(stem(part))
  if (parts.length > 1 && parts.length <= maxParts) {
    for (let i = 1; i < parts.length && parts.length > 2; i++) terms.push(stem(parts[i - 1]! + parts[i]!))
    terms.push(stem(parts.join("")))
  }
  return terms
}

/** Terms of the words seen last: most words of a text occur in others too. */
const seen = new Map<string, ReadonlyArray<string>>()
const maxSeen = 8_192

const cachedTerms = (word: string): ReadonlyArray<string> => {
  const found = seen.get(word)
  if (found !== undefined) return found
  const made = termsOfWord(word)
  if (seen.size >= maxSeen) seen.clear()
  seen.set(word, made)
  return made
}

/**
 * A word of a text with its terms.
 *
 * @category models
 * @since 0.1.0
 */
export interface Word {
  /** Where the word begins and ends in the text, in UTF-16 units. */
  readonly start: number
  readonly end: number
  /** At least one. */
  readonly terms: ReadonlyArray<string>
}

/**
 * The words of a text in their order, with their positions.
 *
 * @category combinators
 * @since 0.1.0
 */
export const words = (text: string): ReadonlyArray<Word> => {
  const found: Array<Word> = []
  const add = (word: string, start: number) => {
    const terms = cachedTerms(word)
    if (terms.length > 0) found.push({ start, end: start + word.length, terms })
  }
  for (const { 0: run, index } of text.matchAll(runPattern)) {
    if (isAscii(run)) add(run, index)
    else for (const inner of run.matchAll(wordPattern)) add(inner[0], index + inner.index)
  }
  return found
}

/**
 * The terms of a text with the number of times that each occurs, in the order of their first occurrence.
 *
 * **Example**
 *
 * ```ts
 * import * as Analyzer from "athena-hooks/relevance/Analyzer"
 *
 * Analyzer.frequencies("acquirePaymentLock locks payments")
 * // Map { "acquir" => 1, "payment" => 2, "lock" => 2, "acquirepay" => 1, "paymentlock" => 1, "acquirepaymentlock" => 1 }
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const frequencies = (text: string): ReadonlyMap<string, number> => {
  const counts = new Map<string, number>()
  for (const { terms } of words(text)) for (const term of terms) counts.set(term, (counts.get(term) ?? 0) + 1)
  return counts
}

/** How much of a query is read: its beginning and its end, in UTF-16 units. */
const queryStart = 4_096
const queryEnd = 1_024

/**
 * The part of a query that is read: all of it, or the first 4,096 and the last 1,024 UTF-16 units, so that a prompt of
 * hundreds of kilobytes costs no more than a page.
 *
 * @category combinators
 * @since 0.1.0
 */
export const excerpt = (query: string): string =>
  query.length <= queryStart + queryEnd ? query : `${query.slice(0, queryStart)}\n${query.slice(-queryEnd)}`
