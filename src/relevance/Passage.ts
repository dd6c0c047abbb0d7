/**
 * The passage of a text that fits a query best: whole sentences or lines around the densest rare terms.
 *
 * The choice of sentences by the weight of the query terms in them goes back to H. P. Luhn, "The Automatic Creation of
 * Literature Abstracts", IBM Journal 2(2), 1958; each term counts once, as in the passage retrieval of A. Tombros and
 * M. Sanderson, "Advantages of Query Biased Summaries in Information Retrieval", SIGIR 1998.
 *
 * @since 0.1.0
 */
import { preview } from "../internal/text.ts"
import * as Analyzer from "./Analyzer.ts"

/**
 * The number of UTF-16 units of a passage: 420.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultLength = 420

/** A sentence, a line, or a part of a long one. */
interface Unit {
  readonly start: number
  readonly end: number
  /** The query terms in it, with the number of their words. */
  readonly terms: ReadonlySet<string>
}

/** Ends of sentences and lines. */
const boundary = /\n+|[.!?]["')\]]?\s+|[。！？]/gu

const ends = (text: string): ReadonlyArray<number> => [
  ...[...text.matchAll(boundary)].map((match) => match.index + match[0].length),
  text.length
]

/** Splits at the bounds; a unit that is longer than half a passage is split between words. */
const unitsOf = (text: string, weights: ReadonlyMap<string, number>, maxLength: number): ReadonlyArray<Unit> => {
  const words = Analyzer.words(text)
  const units: Array<Unit> = []
  let next = 0
  let start = 0
  for (const end of ends(text)) {
    while (start < end) {
      const terms = new Set<string>()
      let to = start
      for (; next < words.length && words[next]!.start < end; next++) {
        const word = words[next]!
        if (to > start && word.end - start > maxLength) break
        for (const term of word.terms) if (weights.has(term)) terms.add(term)
        to = word.end
      }
      const isWhole = next >= words.length || words[next]!.start >= end
      const stop = isWhole ? end : words[next]!.start
      units.push({ start, end: Math.max(stop, start + 1), terms })
      start = Math.max(stop, start + 1)
    }
  }
  return units
}

interface Window {
  readonly from: number
  readonly to: number
  readonly score: number
}

const best = (units: ReadonlyArray<Unit>, weights: ReadonlyMap<string, number>, length: number): Window => {
  let found: Window = { from: 0, to: 0, score: -1 }
  for (let from = 0; from < units.length; from++) {
    const seen = new Set<string>()
    let score = 0
    for (let to = from; to < units.length && units[to]!.end - units[from]!.start <= length; to++) {
      for (const term of units[to]!.terms) {
        // A repetition counts little; a term near the beginning leaves room for what follows it.
        score +=
          (seen.has(term) ? 0.1 : 1) *
          weights.get(term)! *
          (1 - (0.2 * (units[to]!.start - units[from]!.start)) / length)
        seen.add(term)
      }
      if (score > found.score + 1e-9 || (to > found.to && from === found.from && score >= found.score)) {
        found = { from, to, score }
      }
    }
  }
  return found
}

/**
 * A passage of a text.
 *
 * @category models
 * @since 0.1.0
 */
export interface Passage {
  /** With `…` where the text continues before or after it. */
  readonly text: string
  /** The sum of the weights of the query terms in it; 0 where there is none. */
  readonly score: number
}

/**
 * The best passage of a text for a query, given as the weight of each term, such as its inverse document frequency. The
 * beginning of the text if it has none of the terms; the whole text if it is not longer than `length`.
 *
 * **Example**
 *
 * ```ts
 * import * as Passage from "athena-hooks/relevance/Passage"
 *
 * const text = "The build is green. The lock is acquired twice. Nothing else to report."
 * Passage.find(text, new Map([["lock", 1]]), 40).text // "… The lock is acquired twice. …"
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const find = (text: string, weights: ReadonlyMap<string, number>, length: number = defaultLength): Passage => {
  const units = unitsOf(text, weights, Math.floor(length / 2))
  if (text.length <= length || units.length === 0) {
    const terms = new Set(units.flatMap((unit) => [...unit.terms]))
    return { text: text.trim(), score: [...terms].reduce((sum, term) => sum + weights.get(term)!, 0) }
  }
  const { from, score, to } = best(units, weights, length - 4)
  const start = units[from]!.start
  const end = units[to]!.end
  return {
    text: preview(`${start > 0 ? "… " : ""}${text.slice(start, end).trim()}${end < text.length ? " …" : ""}`, length),
    score: Math.max(0, score)
  }
}
