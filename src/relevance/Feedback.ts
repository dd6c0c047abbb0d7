/**
 * Pseudo-relevance feedback: the terms that the best documents of a first ranking share extend the query. RM3, after
 * N. Abdul-Jaleel et al., "UMass at TREC 2004: Novelty and HARD", TREC 2004.
 *
 * @since 0.1.0
 */
import type { Document } from "./Bm25.ts"

/**
 * Options of `expand`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The number of terms that are added at most. Default: 20. */
  readonly terms?: number | undefined
  /** The share of the original query in the result, from 0 to 1. Default: 0.6. */
  readonly original?: number | undefined
}

/**
 * A document of the first ranking, with its score there.
 *
 * @category models
 * @since 0.1.0
 */
export interface Scored<Term> extends Document<Term> {
  readonly score: number
}

/**
 * The extended query. The best documents, about ten, should be given only; `weight` is the inverse document frequency of
 * a term. The weights of the original query and of the added terms each have the sum that the original query has, times
 * their share.
 *
 * **When to use**
 *
 * For queries that describe a subject. Where one short document is the response to a short query, feedback rather adds
 * noise.
 *
 * @category combinators
 * @since 0.1.0
 */
export const expand = <Term>(
  query: ReadonlyMap<Term, number>,
  documents: ReadonlyArray<Scored<Term>>,
  weight: (term: Term) => number,
  options: Options = {}
): ReadonlyMap<Term, number> => {
  const original = options.original ?? 0.6
  const sumOfScores = documents.reduce((sum, { score }) => sum + score, 0)
  if (sumOfScores <= 0) return query
  const model = new Map<Term, number>()
  for (const { frequencies, length, score } of documents) {
    for (const [term, frequency] of frequencies) {
      model.set(term, (model.get(term) ?? 0) + ((frequency / length) * score) / sumOfScores)
    }
  }
  const added = [...model]
    .map(([term, probability]) => [term, probability * weight(term)] as const)
    .toSorted((a, b) => b[1] - a[1])
    .slice(0, options.terms ?? 20)
  const sumOfAdded = sum(added.map(([, value]) => value))
  if (sumOfAdded <= 0) return query
  const scale = ((1 - original) * sum(query.values())) / sumOfAdded
  const result = new Map([...query].map(([term, value]) => [term, value * original]))
  for (const [term, value] of added) result.set(term, (result.get(term) ?? 0) + value * scale)
  return result
}

const sum = (values: Iterable<number>): number => {
  let total = 0
  for (const value of values) total += value
  return total
}
