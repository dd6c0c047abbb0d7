/**
 * The rarity of a term in a small collection, where counting alone takes every word for rare.
 *
 * In all languages frequent words are short (G. K. Zipf, "The Psycho-Biology of Language", 1935), so the length of a term
 * predicts its frequency. The prediction counts as much as a number of documents of a prior collection, as in Bayesian
 * smoothing: in a large collection the real frequency decides.
 *
 * @since 0.1.0
 */
import * as Bm25 from "./Bm25.ts"

/**
 * The number of documents that the prediction counts as much as: 200.
 *
 * @category defaults
 * @since 0.1.0
 */
export const priorDocuments = 200

/** The share of documents with a word of a length, beginning with one character. */
const shares = [0.5, 0.4, 0.25, 0.1, 0.05, 0.02] as const
const longShare = 0.005

/** Particles and endings, which say little. */
const hiragana = /^[\u3040-\u309f]+$/u

const letters = /^\p{L}+$/u
const unspaced = /[\p{Script=Han}\p{Script=Katakana}\p{Script=Hangul}]/u

const predicted = (term: string): number => {
  if (hiragana.test(term)) return 0.3
  if (!letters.test(term) || unspaced.test(term)) return longShare
  return shares[term.length - 1] ?? longShare
}

/**
 * The inverse document frequency of a term that occurs in `frequency` of `documents` documents, smoothed by the
 * prediction from its length.
 *
 * @category combinators
 * @since 0.1.0
 */
export const idf = (term: string, documents: number, frequency: number): number =>
  Bm25.idf(documents + priorDocuments, frequency + priorDocuments * predicted(term))
