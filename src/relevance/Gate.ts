/**
 * Decides which results of a search are clearly about a prompt, so that they may be injected without a request.
 *
 * A logistic model estimates the probability that a result is relevant from the rarity of what it shares with the prompt
 * and from its lead over the other results. Its constants are fitted to labelled histories, see `docs/benchmarks.md`.
 *
 * @since 0.1.0
 */

/**
 * What the gate knows of a result.
 *
 * @category models
 * @since 0.1.0
 */
export interface Evidence {
  /** The score of the ranking, greater is better. */
  readonly score: number
  /** From 0 to 1: the rarity of the rarest matched terms, as a share of the highest possible one. */
  readonly rarity: number
  /** From 0 to 1: the share of the prompt's terms that match, each weighted by its rarity. */
  readonly coverage: number
  /** The number of different terms that match. */
  readonly matchedTerms: number
}

/**
 * The decision about a result, with its reason.
 *
 * @category models
 * @since 0.1.0
 */
export interface Decision {
  readonly inject: boolean
  /** The estimated probability that the result is relevant, from 0 to 1. */
  readonly probability: number
}

/**
 * The least probability for an injection: 0.5.
 *
 * @category defaults
 * @since 0.1.0
 */
export const threshold = 0.5

/** A result with at least this share of another one's score is its rival. */
const rivalShare = 0.8

const model = {
  constant: -2.45,
  rarity: 4.91,
  coverage: 1.21,
  matchedTerms: 0.81,
  rivals: -0.354,
  lead: 1.51,
  repetition: -2.4,
  next: -3.05
} as const

/** A result that has all terms of the prompt repeats it: a chore, or the prompt itself. */
const repeated = 0.95

const probabilityOf = (results: ReadonlyArray<Evidence>, index: number): number => {
  const { coverage, matchedTerms, rarity, score } = results[index]!
  if (matchedTerms === 0 || score <= 0) return 0
  const rivals = results.filter((other) => other.score >= rivalShare * score).length
  const logit =
    model.constant +
    model.rarity * rarity +
    model.coverage * Math.log(0.02 + coverage) +
    model.matchedTerms * Math.log(matchedTerms) +
    model.rivals * rivals +
    model.lead * (score / results[0]!.score) +
    (coverage >= repeated ? model.repetition : 0) +
    model.next * ((results[index + 1]?.score ?? 0) / score)
  return 1 / (1 + Math.exp(-logit))
}

/**
 * The decisions about results in the order of their scores, best first. About ten of them should be given: rivals show
 * that a prompt is about nothing in particular.
 *
 * @category combinators
 * @since 0.1.0
 */
export const decide = (results: ReadonlyArray<Evidence>): ReadonlyArray<Decision> =>
  results.map((_, index) => {
    const probability = probabilityOf(results, index)
    return { inject: probability >= threshold, probability }
  })
