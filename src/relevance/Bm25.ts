/**
 * BM25, the probabilistic ranking function: S. Robertson and H. Zaragoza, "The Probabilistic Relevance Framework: BM25 and
 * Beyond", Foundations and Trends in Information Retrieval 3(4), 2009.
 *
 * Terms can be any values that a `Map` distinguishes, such as words or their hashes.
 *
 * @since 0.1.0
 */

/**
 * How fast repetitions of a term saturate: 1.2.
 *
 * @category defaults
 * @since 0.1.0
 */
export const k1 = 1.2

/**
 * How much the length of a document matters, from 0 to 1: 0.75.
 *
 * @category defaults
 * @since 0.1.0
 */
export const b = 0.75

/**
 * The inverse document frequency of a term that occurs in `frequency` of `documents` documents: how rare it is. Never
 * negative.
 *
 * @category combinators
 * @since 0.1.0
 */
export const idf = (documents: number, frequency: number): number =>
  Math.log(1 + Math.max(0, documents - frequency + 0.5) / (frequency + 0.5))

/**
 * A document: the number of times that each term occurs, and the number of all occurrences.
 *
 * @category models
 * @since 0.1.0
 */
export interface Document<Term> {
  readonly frequencies: ReadonlyMap<Term, number>
  readonly length: number
}

/**
 * The score of a document for a query, given as the weight of each term: its inverse document frequency times the number
 * of times that it occurs in the query. 0 for a document without any of the terms.
 *
 * **Example**
 *
 * ```ts
 * import * as Analyzer from "athena-hooks/relevance/Analyzer"
 * import * as Bm25 from "athena-hooks/relevance/Bm25"
 *
 * const documents = ["the lock is acquired twice", "the cache is cold"].map((text) => Bm25.document(Analyzer.frequencies(text)))
 * const query = new Map([["lock", Bm25.idf(2, 1)]])
 * documents.map((document) => Bm25.score(query, document, 4.5)) // the first one is greater than 0, the second one is 0
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const score = <Term>(
  query: ReadonlyMap<Term, number>,
  document: Document<Term>,
  averageLength: number
): number => {
  const norm = k1 * (1 - b + (b * document.length) / Math.max(averageLength, 1))
  let sum = 0
  for (const [term, weight] of query) {
    const frequency = document.frequencies.get(term)
    if (frequency !== undefined) sum += (weight * frequency * (k1 + 1)) / (frequency + norm)
  }
  return sum
}

/**
 * Constructs a document of its term frequencies.
 *
 * @category constructors
 * @since 0.1.0
 */
export const document = <Term>(frequencies: ReadonlyMap<Term, number>): Document<Term> => {
  let length = 0
  for (const frequency of frequencies.values()) length += frequency
  return { frequencies, length }
}
