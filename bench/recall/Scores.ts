/**
 * Measures of a ranking: recall, and normalised discounted cumulative gain with binary relevance (Järvelin & Kekäläinen
 * 2002).
 */

/** The share of the relevant documents among the first `depth` of the ranking; 0 without relevant documents. */
export const recall = (ranking: ReadonlyArray<string>, relevant: ReadonlySet<string>, depth: number): number =>
  relevant.size === 0 ? 0 : intersection(ranking.slice(0, depth), relevant) / relevant.size

/** The gain of the first `depth` documents, discounted by the logarithm of the rank, as a share of the ideal gain. */
export const ndcg = (ranking: ReadonlyArray<string>, relevant: ReadonlySet<string>, depth: number): number => {
  const gains = [...new Set(ranking)].slice(0, depth).map((document) => (relevant.has(document) ? 1 : 0))
  const ideal = Array.from({ length: Math.min(relevant.size, depth) }, () => 1)
  return relevant.size === 0 ? 0 : discounted(gains) / discounted(ideal)
}

/** The mean; 0 of no values. */
export const mean = (values: ReadonlyArray<number>): number =>
  values.reduce((sum, value) => sum + value, 0) / Math.max(values.length, 1)

/** The smallest value that is not below the share `p` of all values (nearest rank); `NaN` of no values. */
export const quantile = (values: ReadonlyArray<number>, p: number): number =>
  values.toSorted((a, b) => a - b)[Math.max(Math.ceil(p * values.length) - 1, 0)] ?? Number.NaN

const intersection = (documents: ReadonlyArray<string>, relevant: ReadonlySet<string>) =>
  new Set(documents.filter((document) => relevant.has(document))).size

const discounted = (gains: ReadonlyArray<number>) =>
  gains.reduce((sum, gain, index) => sum + gain / Math.log2(index + 2), 0)
