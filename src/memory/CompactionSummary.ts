/**
 * The summary that a compaction leaves: the session's own account of the request, the work and the pending tasks.
 *
 * Claude Code asks its model for an `<analysis>`, which is scaffolding, and a `<summary>` of nine numbered sections; Qwen
 * Code and Gemini CLI ask for a `<state_snapshot>`. The headings are the clients' and may change: a text that has none of
 * them is a summary without sections.
 *
 * @since 0.1.0
 */

/**
 * What a section is about.
 *
 * @category models
 * @since 0.1.0
 */
export type SectionName =
  | "request"
  | "concepts"
  | "files"
  | "errors"
  | "problemSolving"
  | "userMessages"
  | "pendingTasks"
  | "currentWork"
  | "nextStep"

/**
 * A summary.
 *
 * @category models
 * @since 0.1.0
 */
export interface CompactionSummary {
  /** The whole summary, without the analysis and without the tags around it. */
  readonly text: string
  /** What stands before the first section; all of `text` where it has no sections. */
  readonly preamble: string
  /** The text of each section that the summary has, without its heading. */
  readonly sections: Readonly<Partial<Record<SectionName, string>>>
}

/** The client's headings, in their order. */
const headings: ReadonlyArray<readonly [SectionName, RegExp]> = [
  ["request", /primary requests?(?: and intents?)?/],
  ["concepts", /key technical concepts?/],
  ["files", /files and code sections?/],
  ["errors", /errors(?: and fixes)?/],
  ["problemSolving", /problem[ -]solving/],
  ["userMessages", /all user messages/],
  ["pendingTasks", /pending tasks?/],
  ["currentWork", /current work/],
  ["nextStep", /(?:optional )?next steps?/]
]

/** A heading on a line of its own or before its text: `4. Errors and fixes:`, `## 4. Errors`, `**Pending Tasks:** none`. */
const line = new RegExp(
  `^[ \\t]{0,3}(?:#{1,6}[ \\t]+)?(?:\\*\\*|__)?(\\d[.)][ \\t]+)?(?:\\*\\*|__)?(${headings.map(([, title]) => title.source).join("|")})(?:\\*\\*|__)?[ \\t]*(:)?(?:\\*\\*|__)?`,
  "i"
)

interface Heading {
  readonly name: SectionName
  readonly rank: number
  /** How much of the line it takes. */
  readonly length: number
}

const headingOf = (text: string): Heading | undefined => {
  const found = line.exec(text)
  if (found === null) return undefined
  const [{ length }, , title = "", colon] = found
  // Without a colon it is a heading only where nothing follows it: a sentence may begin with the same words.
  if (colon === undefined && text.slice(length).trim() !== "") return undefined
  const rank = headings.findIndex(([, pattern]) => new RegExp(`^(?:${pattern.source})$`, "i").test(title))
  return { name: headings[rank]![0], rank, length }
}

const sectionsOf = (text: string): Pick<CompactionSummary, "preamble" | "sections"> => {
  const found: Array<{ readonly name: SectionName | undefined; readonly lines: Array<string> }> = [
    { name: undefined, lines: [] }
  ]
  let last = -1
  let fenced = false
  for (const one of text.split("\n")) {
    if (/^\s*(?:```|~~~)/.test(one)) fenced = !fenced
    const heading = fenced ? undefined : headingOf(one)
    // The sections come in one order; what repeats an earlier heading is text of a later section.
    if (heading === undefined || heading.rank <= last) found.at(-1)!.lines.push(one)
    else {
      found.push({ name: heading.name, lines: [one.slice(heading.length)] })
      last = heading.rank
    }
  }
  const sections: Partial<Record<SectionName, string>> = {}
  for (const { lines, name } of found) if (name !== undefined) sections[name] = lines.join("\n").trim()
  return { preamble: found[0]!.lines.join("\n").trim(), sections }
}

/** Without the analysis: one that is not closed goes up to the summary. */
const withoutAnalysis = (text: string): string => {
  const start = /^\s*<analysis>/i.exec(text)
  if (start === null) return text
  const rest = text.slice(start[0].length)
  // The analysis may quote its own tag, so it is the last one before the summary that closes it.
  const summary = rest.search(/<(?:summary|state_snapshot)>/i)
  const closed = rest
    .slice(0, summary < 0 ? undefined : summary)
    .toLowerCase()
    .lastIndexOf("</analysis>")
  if (closed >= 0) return rest.slice(closed + "</analysis>".length)
  return summary < 0 ? rest : rest.slice(summary)
}

/** The text in a tag that begins the text; the last tag of its name closes it. */
const unwrapped = (text: string, name: string): string => {
  const trimmed = text.trim()
  if (!trimmed.toLowerCase().startsWith(`<${name}>`)) return trimmed
  const closed = trimmed.toLowerCase().lastIndexOf(`</${name}>`)
  const inner = trimmed.slice(name.length + 2, closed < 0 ? undefined : closed)
  const after = closed < 0 ? "" : trimmed.slice(closed + name.length + 3)
  return `${inner.trim()}\n${after.trim()}`.trim()
}

/**
 * Reads a summary as a client hands it to its hooks, or as it is stored: reading the `text` of a summary gives the same
 * summary. Takes time in proportion to the length.
 *
 * **Example**
 *
 * ```ts
 * import * as CompactionSummary from "athena-hooks/memory/CompactionSummary"
 *
 * const summary = CompactionSummary.parse(
 *   "<analysis>First the user …</analysis><summary>7. Pending Tasks:\n   - Ship it</summary>"
 * )
 * // summary.sections.pendingTasks === "- Ship it"
 * ```
 *
 * @category conversions
 * @since 0.1.0
 */
export const parse = (raw: string): CompactionSummary => {
  const text = unwrapped(unwrapped(withoutAnalysis(raw), "summary"), "state_snapshot")
  return { text, ...sectionsOf(text) }
}
