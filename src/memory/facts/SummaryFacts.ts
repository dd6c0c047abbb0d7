/**
 * The rule for compaction summaries: errors with their fixes, and pending tasks, as the session's model wrote them.
 *
 * @since 0.1.0
 */
import { preview } from "../../internal/text.ts"
import * as CompactionSummary from "../CompactionSummary.ts"
import type { FactKind, Observation } from "./Fact.ts"
import { type SessionEvent, wordsOf } from "./SessionEvent.ts"

const maxItems = 8

const isItem = (line: string): boolean => /^\s{0,6}(?:[-*•]|\d+[.)])\s+/.test(line)

/** The items of a list, with the lines that continue them. */
const listItems = (lines: ReadonlyArray<string>): ReadonlyArray<string> => {
  const found: Array<string> = []
  for (const line of lines) {
    if (isItem(line)) found.push(line)
    else if (found.length > 0) found.push(`${found.pop()} ${line}`)
  }
  return found
}

/** The items of a list, each on one line; text without a list is one item. */
const items = (section: string | undefined): ReadonlyArray<string> => {
  if (section === undefined) return []
  const lines = section.split("\n").filter((line) => line.trim() !== "")
  const joined = lines.some(isItem) ? listItems(lines) : [lines.join(" ")]
  return joined
    .map((item) =>
      item
        .replace(/^\s*(?:[-*•]|\d+[.)])\s+/, "")
        .replace(/\*\*/g, "")
        .replace(/\s+/g, " ")
        .trim()
    )
    .filter((item) => item.length > 8 && !/^\(?(?:none|no |n\/a|keine|aucun|нет|无)/i.test(item))
    .slice(0, maxItems)
}

/**
 * The facts that the last compaction summary of a session contains.
 *
 * @category combinators
 * @since 0.1.0
 */
export const observe = (events: ReadonlyArray<SessionEvent>): ReadonlyArray<Observation> => {
  const event = events.findLast(
    ({ content, type }) => type === "compaction" && !content.startsWith("context is compacted (")
  )
  if (event === undefined) return []
  const { sections } = CompactionSummary.parse(event.content)
  const of = (kind: FactKind, texts: ReadonlyArray<string>): ReadonlyArray<Observation> =>
    texts.map((text) => ({
      kind,
      subject: `summary ${[...wordsOf(text)].toSorted().join(" ")}`.slice(0, 200),
      text: preview(text, 300),
      source: "summary",
      evidence: { sessionId: event.sessionId, ids: [event.id], from: event.timestamp, at: event.timestamp }
    }))
  return [...of("fix", items(sections.errors)), ...of("task", items(sections.pendingTasks))]
}
