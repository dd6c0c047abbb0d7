/**
 * How well a memory answers a search: the words of the query, and the score of a match.
 *
 * The database finds candidates by full text; this module says which words are looked for and orders what was found, so
 * that both databases give the same order for the same rows.
 *
 * @since 0.1.0
 */

/**
 * The maximum number of distinct words of a query; the longest ones are used.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxTerms = 12

/**
 * How much of a query is read, in UTF-16 units. A prompt can be hundreds of kilobytes long.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxQueryLength = 4_096

const stopWords = new Set(
  (
    "a about after all also am an and any are as at be because been before being but by can could did do does doing " +
    "done for from get give go got had has have having he her here him his how i if in into is it its just know let " +
    "like make me more most my need no not now of off on one only or other our out over own please same see she should " +
    "so some such take tell than that the their them then there these they this those to too under up us use using " +
    "very want was way we were what when where which while who why will with would yes you your"
  ).split(" ")
)

/**
 * The words of a query that are worth looking for: lower case, without stop words, each once, at most `maxTerms`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const terms = (query: string): ReadonlyArray<string> => {
  const words =
    query
      .slice(0, maxQueryLength)
      .normalize("NFC")
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? []
  const wanted = new Set(words.filter((word) => word.length <= 64 && !stopWords.has(word)))
  return [...wanted].toSorted((a, b) => b.length - a.length).slice(0, maxTerms)
}

/**
 * The parts that a row must contain where words do not help: the first three that white space separates, lower case.
 *
 * @category combinators
 * @since 0.1.0
 */
export const fragments = (query: string): ReadonlyArray<string> =>
  query
    .slice(0, maxQueryLength)
    .toLowerCase()
    .split(/\s+/)
    .filter((fragment) => fragment.length > 0)
    .slice(0, 3)

/** A cheap stem: enough to see that "tests" in a query and "testing" in a memory are the same word. */
const stem = (term: string): string => (term.length > 4 ? term.replace(/(ings?|ed|es|s|e)$/u, "") : term)

/**
 * How many of the terms the content has at the beginning of a word.
 *
 * @category combinators
 * @since 0.1.0
 */
export const matchedTerms = (content: string, terms: ReadonlyArray<string>): number => {
  const text = content.normalize("NFC").toLowerCase()
  return terms.filter((term) => startsWord(text, stem(term))).length
}

const startsWord = (text: string, stem: string): boolean => {
  for (let at = text.indexOf(stem); at !== -1; at = text.indexOf(stem, at + 1)) {
    if (at === 0 || !/[\p{L}\p{N}]/u.test(text[at - 1]!)) return true
  }
  return false
}

const recencySteps = [
  { withinHours: 1, value: 1 },
  { withinHours: 24, value: 0.9 },
  { withinHours: 24 * 7, value: 0.7 },
  { withinHours: 24 * 30, value: 0.5 }
] as const

const recency = (ageMs: number): number => {
  const hours = ageMs / 3_600_000
  return recencySteps.find((step) => hours <= step.withinHours)?.value ?? 0.3
}

/**
 * The score of a match, from 0 to 1: relevance weighs 0.7, recency 0.18, importance 0.12.
 *
 * Relevance is half the share of the query's terms that the content has and half the database's own text rank, as a
 * share of the best rank among the candidates. Recency falls in steps: an hour 1, a day 0.9, a week 0.7, a month 0.5,
 * older 0.3.
 *
 * @category combinators
 * @since 0.1.0
 */
export const score = (match: {
  /** Matched terms over all terms, 0 to 1. */
  readonly coverage: number
  /** Text rank over the best text rank, 0 to 1. */
  readonly textRank: number
  readonly ageMs: number
  /** 0 to 1. */
  readonly importance: number
}): number =>
  0.7 * (0.5 * match.coverage + 0.5 * match.textRank) + 0.18 * recency(match.ageMs) + 0.12 * match.importance
