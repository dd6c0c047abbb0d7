/**
 * A fact: knowledge that a rule derived from the events of one or more sessions, with its evidence.
 *
 * A fact has two times. It was true in the world from `validFrom` to `validTo`, and it was known from `recordedAt` to
 * `endedAt`. A fact that another one replaces is ended and remains stored.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { MemoryId } from "../Memory.ts"
import { SessionDigest } from "./SessionDigest.ts"

/**
 * The kinds of facts.
 *
 * - `command`: a command that works: it succeeded in 2 sessions and in 80 % of its runs.
 * - `fix`: a failure that disappeared after files changed, or an error with its fix in a compaction summary.
 * - `preference`: a standing wish, in the user's own words.
 * - `error`: an error and its sessions. Recorded as a candidate only: the labelled sessions do not show its precision.
 * - `task`: a pending task of a compaction summary.
 * - `digest`: the digest of a session.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FactKind = Schema.Literals(["command", "fix", "preference", "error", "task", "digest"])

/**
 * The kinds of facts.
 *
 * @category models
 * @since 0.1.0
 */
export type FactKind = typeof FactKind.Type

/**
 * The part of one session in a fact. Times are in milliseconds since 1970.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Evidence = Schema.Struct({
  sessionId: Schema.String,
  /** The events that show it. */
  ids: Schema.Array(MemoryId),
  /** The time of the first and of the last of them. */
  from: Schema.Finite,
  at: Schema.Finite,
  /** The runs of a command: successes, failures, and failures after the last success. */
  succeeded: Schema.optional(Schema.Int),
  failed: Schema.optional(Schema.Int),
  failing: Schema.optional(Schema.Int),
  digest: Schema.optional(SessionDigest)
})

/**
 * The part of one session in a fact.
 *
 * @category models
 * @since 0.1.0
 */
export type Evidence = typeof Evidence.Type

/**
 * The origin of a fact: a rule over events, or the model's own compaction summary.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FactSource = Schema.Literals(["derived", "summary"])

/**
 * A fact.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Fact = Schema.Struct({
  id: MemoryId,
  projectId: Schema.Int,
  kind: FactKind,
  /** Two current facts of one kind never have the same subject. */
  subject: Schema.String,
  text: Schema.String,
  /** From 0 to 1; 0 for a candidate, which is not shown. */
  confidence: Schema.Finite,
  evidence: Schema.fromJsonString(Schema.Array(Evidence)),
  /** The number of sessions that show it. */
  proofs: Schema.Int,
  /** Milliseconds since 1970, as all times of a fact. */
  validFrom: Schema.Finite,
  validTo: Schema.NullOr(Schema.Finite),
  recordedAt: Schema.Finite,
  endedAt: Schema.NullOr(Schema.Finite),
  /** The fact that replaced it. */
  endedBy: Schema.NullOr(MemoryId),
  source: FactSource,
  lastShown: Schema.NullOr(Schema.Finite),
  /** The number of sessions that received it, and of those in which it was useful. */
  shown: Schema.Int,
  useful: Schema.Int
})

/**
 * A fact.
 *
 * @category models
 * @since 0.1.0
 */
export type Fact = typeof Fact.Type

/**
 * The result of a rule for one session.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Observation = Schema.Struct({
  kind: FactKind,
  subject: Schema.String,
  text: Schema.String,
  source: FactSource,
  evidence: Evidence
})

/**
 * The result of a rule for one session.
 *
 * @category models
 * @since 0.1.0
 */
export type Observation = typeof Observation.Type

const day = 86_400_000

const sum = (evidence: ReadonlyArray<Evidence>, field: "succeeded" | "failed") =>
  evidence.reduce((total, one) => total + (one[field] ?? 0), 0)

/** The least number of sessions, and the least share of successes, of a command that works. */
const minSessions = 2
const minSuccess = 0.8

const commandConfidence = (evidence: ReadonlyArray<Evidence>): number => {
  const succeeded = sum(evidence, "succeeded")
  const share = succeeded / Math.max(1, succeeded + sum(evidence, "failed"))
  const last = evidence.toSorted((a, b) => a.at - b.at).at(-1)
  return evidence.length >= minSessions && share >= minSuccess && last?.failing === 0 ? share : 0
}

/**
 * The confidence in a fact of some kind and source, from its evidence: 0 for a candidate.
 *
 * @category combinators
 * @since 0.1.0
 */
export const confidence = (kind: FactKind, source: Fact["source"], evidence: ReadonlyArray<Evidence>): number => {
  switch (kind) {
    case "command":
      return commandConfidence(evidence)
    case "error":
      return 0
    case "fix":
      return evidence.length >= minSessions ? 0.8 : source === "summary" ? 0.6 : 0.5
    case "preference":
      return 0.9
    case "task":
    case "digest":
      return 0.7
  }
}

/** The time in which the weight of a fact halves; a preference has none. */
const halfLives: Readonly<Record<FactKind, number>> = {
  command: 30 * day,
  fix: 90 * day,
  preference: Number.POSITIVE_INFINITY,
  error: 30 * day,
  task: 14 * day,
  digest: 14 * day
}

/** A command expires after this time without a run. */
const commandLifetime = 30 * day

/** The time of the newest evidence. */
const lastSeen = ({ evidence, validFrom }: Pick<Fact, "evidence" | "validFrom">): number =>
  evidence.reduce((last, { at }) => Math.max(last, at), validFrom)

/**
 * The weight of a fact at a time: its confidence, halved with age by its kind. Proofs and usefulness slow the decay. 0
 * for a candidate, an ended fact, and a command without a run for 30 days.
 *
 * @category combinators
 * @since 0.1.0
 */
export const weight = (fact: Fact, now: number): number => {
  const age = Math.max(0, now - lastSeen(fact))
  if (fact.endedAt !== null || (fact.kind === "command" && age > commandLifetime)) return 0
  const slowed = halfLives[fact.kind] * (1 + Math.log2(Math.max(1, fact.proofs)) / 2 + fact.useful / 4)
  return fact.confidence * 2 ** (-age / slowed)
}
