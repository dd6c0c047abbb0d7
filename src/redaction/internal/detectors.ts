/**
 * All detectors, and the secrets that they find in a text.
 */
import * as Assignments from "./assignments.ts"
import * as Contexts from "./contexts.ts"
import { type Detector, fromRow } from "./Detector.ts"
import * as Tokens from "./tokens.ts"

export const rows = [...Tokens.rows, ...Contexts.rows]

export const detectors: ReadonlyArray<Detector> = [...rows.map(fromRow), Assignments.detector]

export interface Span {
  readonly start: number
  readonly end: number
}

/** Spans that overlap or touch are one; in the order of the text. */
const joined = (spans: Array<Span>): ReadonlyArray<Span> => {
  if (spans.length < 2) return spans
  spans.sort((a, b) => a.start - b.start)
  const result: Array<{ start: number; end: number }> = []
  for (const { end, start } of spans) {
    const last = result.at(-1)
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end)
    else result.push({ start, end })
  }
  return result
}

/** Where the secrets of a text are. */
export const secretsOf = (text: string): ReadonlyArray<Span> => {
  const lower = text.toLowerCase()
  const spans: Array<Span> = []
  const report = (start: number, end: number): void => {
    spans.push({ start, end })
  }
  for (const { find, hints } of detectors) if (hints.some((hint) => lower.includes(hint))) find(text, report)
  return joined(spans)
}
