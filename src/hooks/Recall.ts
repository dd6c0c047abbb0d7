/**
 * Selection of the memories that a prompt receives, with the reason for each.
 *
 * **When to use**
 *
 * To explain an injection, or to select memories in a hook program of your own: the hooks inject what `explain` marks as
 * `injected`.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type { FoundMemory } from "../memory/Memory.ts"
import { MemoryBridge } from "../memory/MemoryBridge.ts"
import type { MemoryError } from "../memory/MemoryError.ts"
import * as PromptOrigin from "../memory/PromptOrigin.ts"
import * as Gate from "../relevance/Gate.ts"

/**
 * The number of memories that are searched for a prompt: 10.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxSearched = 10

/**
 * Why a memory is injected or not:
 *
 * - `injected`: the gate accepts it.
 * - `unclear`: the gate rejects it, because it is not clearly about the prompt.
 * - `notAReminder`: its kind is left to search: a notification, a prompt without an answer, a successful tool call.
 * - `known`: the session has received it.
 * - `repeated`: a better result has the same text.
 * - `overLimit`: better results fill the reminder.
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict = "injected" | "unclear" | "notAReminder" | "known" | "repeated" | "overLimit"

/**
 * A memory that was found for a prompt, in the order of the ranking.
 *
 * @category models
 * @since 0.1.0
 */
export interface Candidate {
  readonly memory: FoundMemory
  readonly verdict: Verdict
  /** The estimate of the gate that the memory is about the prompt, from 0 to 1. */
  readonly probability: number
}

/**
 * Options of `explain`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** A session whose own events are excluded. */
  readonly exceptSession?: string | undefined
  /** The ids of memories that the session has received. */
  readonly known?: ReadonlySet<number> | undefined
  /** The most memories to inject, from 0 to `maxSearched`; 3 when absent. */
  readonly limit?: number | undefined
}

/**
 * Whether a memory may be injected at all: no notification, no generated prompt of an earlier release, no end of a
 * session, no beginning of a compaction.
 */
const isInjectable = ({ content, type }: { readonly type: string; readonly content: string }): boolean => {
  switch (type) {
    case "notification":
    case "session_end":
      return false
    case "compaction":
      return !content.startsWith("context is compacted (")
    case "user_question":
      return !PromptOrigin.isGenerated(content)
    default:
      return true
  }
}

/** A tool call is a reminder only if it failed, and a prompt only with its response. */
const isReminder = (memory: FoundMemory): boolean =>
  isInjectable(memory) &&
  memory.type !== "user_question" &&
  (memory.prompt === null || !PromptOrigin.isGenerated(memory.prompt)) &&
  (memory.type !== "tool_execution" || memory.outcome === "failure")

/**
 * Text without differences of white space and case, to compare memories.
 *
 * @category combinators
 * @since 0.1.0
 */
export const normalized = (text: string): string => text.replace(/\s+/g, " ").trim().toLowerCase()

/**
 * Searches the memories of a project for a prompt and decides about each.
 *
 * **Example**
 *
 * ```ts
 * import * as Recall from "athena-hooks/hooks/Recall"
 * import * as Effect from "effect/Effect"
 *
 * const injected = Recall.explain(7, "why does the payment lock expire?").pipe(
 *   Effect.map((candidates) => candidates.filter(({ verdict }) => verdict === "injected"))
 * )
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const explain = (
  projectId: number,
  prompt: string,
  { exceptSession, known = new Set(), limit = 3 }: Options = {}
): Effect.Effect<ReadonlyArray<Candidate>, MemoryError, MemoryBridge> =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const { results } = yield* memory.searchMemories(projectId, prompt, {
      limit: maxSearched,
      fragments: false,
      exceptSession
    })
    // The gate compares results, so it sees those only that may be injected.
    const candidates = results.filter(isReminder)
    const decisions = new Map(Gate.decide(candidates).map((decision, index) => [candidates[index]!.id, decision]))
    const texts = new Set(results.filter(({ id }) => known.has(id)).map(({ content }) => normalized(content)))
    let injected = 0
    return results.map((result): Candidate => {
      const decision = decisions.get(result.id)
      const verdict = (): Verdict => {
        if (known.has(result.id)) return "known"
        if (decision === undefined) return "notAReminder"
        if (!decision.inject) return "unclear"
        if (texts.has(normalized(result.content))) return "repeated"
        if (injected >= limit) return "overLimit"
        injected += 1
        texts.add(normalized(result.content))
        return "injected"
      }
      return { memory: result, verdict: verdict(), probability: decision?.probability ?? 0 }
    })
  })
