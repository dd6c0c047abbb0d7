/**
 * Text for the model: facts with dates, one a line, within a budget.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import type { Goal } from "../memory/Goal.ts"

/**
 * The longest context that agents take inline, in UTF-16 units: one more and Claude Code hands the model a file name
 * instead.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxLength = 10_000

/**
 * How many characters are taken for one token.
 *
 * @category constants
 * @since 0.1.0
 */
export const charactersPerToken = 4

const labels: Readonly<Record<string, string>> = {
  user_question: "asked",
  assistant_message: "answered",
  subagent_message: "helper answered",
  tool_execution: "tool",
  compaction: "summary",
  session_end: "session ended",
  note: "noted"
}

const oneLine = (text: string): string => text.replace(/\s+/g, " ").trim()

/** `2026-11-22 14:03`, in UTC. */
const minute = (time: DateTime.Utc): string => DateTime.formatIso(time).slice(0, 16).replace("T", " ")

/**
 * A memory as a line: when, what kind, what.
 *
 * @category combinators
 * @since 0.1.0
 */
export const memoryLine = (memory: {
  readonly type: string
  readonly content: string
  readonly timestamp: DateTime.Utc
}): string => `- ${minute(memory.timestamp)} ${labels[memory.type] ?? memory.type}: ${oneLine(memory.content)}`

/**
 * A goal as a line.
 *
 * @category combinators
 * @since 0.1.0
 */
export const goalLine = (goal: Goal): string =>
  `- ${oneLine(goal.title)} (${goal.status.replaceAll("_", " ")}, priority ${goal.priority} of 10)`

/**
 * A title and the lines under it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Section {
  readonly title: string
  readonly lines: ReadonlyArray<string>
}

/**
 * Joins sections until the budget is used up, whole lines only, and says how many lines of each section fitted. A
 * section without a line that fits is left out. The text never exceeds `maxLength`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const fit = (
  sections: ReadonlyArray<Section>,
  budgetTokens: number
): { readonly text: string; readonly used: ReadonlyArray<number> } => {
  const limit = Math.min(budgetTokens * charactersPerToken, maxLength)
  let text = ""
  const used = sections.map((section) => {
    const heading = (text === "" ? "" : "\n\n") + section.title
    let added = heading
    let count = 0
    for (const line of section.lines) {
      if (text.length + added.length + 1 + line.length > limit) break
      added += `\n${line}`
      count += 1
    }
    if (count > 0) text += added
    return count
  })
  return { text, used }
}
