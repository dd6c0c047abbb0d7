/**
 * All detectors, and the search for the secrets of a text: one pass finds the anchors of all rows, and each row is
 * attempted at its anchors only.
 */
import * as Assignments from "./assignments.ts"
import * as Contexts from "./contexts.ts"
import { type Detector, fromRow, type Report } from "./Detector.ts"
import * as Tokens from "./tokens.ts"

export const rows = [...Tokens.rows, ...Contexts.rows]

export const detectors: ReadonlyArray<Detector> = rows.map(fromRow)

export interface Span {
  readonly start: number
  readonly end: number
}

/**
 * The number of attempts that one detector makes in a text: one in 32 units on average. In denser text, which no person
 * writes, the rest of the line counts as a secret, so that text made to exhaust the redactor costs and leaks nothing.
 */
export const attemptsOf = (length: number): number => 512 + Math.floor(length / 32)

/** The number of units that count as a secret at an anchor beyond the last attempt. */
const maxLine = 256

interface Anchor {
  readonly hint: string
  readonly detectors: ReadonlyArray<number>
}

const size = 1 << 14
const hash = (a: number, b: number, c: number): number => (a * 1_021 + b * 37 + c) & (size - 1)

interface Index {
  /** For each hash of three units: 0, or one more than the position of its anchors in `anchors`. */
  readonly slots: Uint16Array
  readonly anchors: ReadonlyArray<ReadonlyArray<Anchor>>
  readonly runs: ReadonlyArray<number>
}

const makeIndex = (): Index => {
  const byHint = new Map<string, Array<number>>()
  const runs: Array<number> = []
  for (const [position, { hints, row }] of detectors.entries()) {
    if (row.run === true) runs.push(position)
    else
      for (const hint of hints) {
        const owners = byHint.get(hint)
        if (owners === undefined) byHint.set(hint, [position])
        else owners.push(position)
      }
  }
  const slots = new Uint16Array(size)
  const anchors: Array<Array<Anchor>> = []
  for (const [hint, owners] of byHint) {
    const slot = hash(hint.charCodeAt(0), hint.charCodeAt(1), hint.charCodeAt(2))
    if (slots[slot] === 0) slots[slot] = anchors.push([])
    anchors[slots[slot]! - 1]!.push({ hint, detectors: owners })
  }
  return { slots, anchors, runs }
}

let index: Index | undefined

const isRunUnit = new Uint8Array(128)
for (const unit of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_~.-") {
  isRunUnit[unit.charCodeAt(0)] = 1
}
const minRun = 20

/** In lower case, with the positions of the text: `İ` is the only unit that becomes longer. */
const lowerCase = (text: string): string => text.replaceAll("\u0130", "i").toLowerCase()

/** The number of attempts of each detector, and of assigned values classified as `assignment`. */
export type Attempts = Map<string, number>

/** Spans in the order of the text; those that overlap or touch are one. */
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

const lineEnd = (text: string, from: number): number => {
  const newline = text.slice(from, from + maxLine).indexOf("\n")
  return newline < 0 ? Math.min(text.length, from + maxLine) : from + newline
}

/** Finds the secrets of a text. `work` receives the attempts made. */
export const secretsOf = (text: string, work?: Attempts): ReadonlyArray<Span> => {
  const { anchors, runs, slots } = (index ??= makeIndex())
  const lower = lowerCase(text)
  const length = lower.length
  const spans: Array<Span> = []
  const report: Report = (start, end) => {
    spans.push({ start, end })
  }
  const limit = attemptsOf(length)
  /** For each detector: where the next match may start, -1 for a detector whose needs the text does not meet. */
  const cursors = new Map<number, number>()
  const attempts = new Map<number, number>()

  const attempt = (position: number, at: number): void => {
    const { attempt: run, needs, row } = detectors[position]!
    let cursor = cursors.get(position)
    if (cursor === undefined) {
      cursor = needs.length === 0 || needs.some((need) => lower.includes(need)) ? 0 : -1
      cursors.set(position, cursor)
    }
    if (cursor < 0 || at < cursor) return
    const count = (attempts.get(position) ?? 0) + 1
    attempts.set(position, count)
    if (count > limit) {
      const end = lineEnd(text, at)
      report(at, end)
      cursors.set(position, Math.max(end, at + 1))
      return
    }
    cursors.set(position, Math.max(at + 1, run(text, Math.max(cursor, at - (row.back ?? 0)), at, report)))
  }

  const runEnds = (start: number, end: number): void => {
    for (const position of runs) {
      const { attempt: run, hints } = detectors[position]!
      const part = lower.slice(start, end + 2)
      if (!hints.some((hint) => part.includes(hint))) continue
      attempts.set(position, (attempts.get(position) ?? 0) + 1)
      run(text, start, end, report)
    }
  }

  let runStart = 0
  let a = length > 0 ? lower.charCodeAt(0) : 0
  let b = length > 1 ? lower.charCodeAt(1) : 0
  for (let at = 0; at < length; at++) {
    const c = at + 2 < length ? lower.charCodeAt(at + 2) : 0
    const slot = slots[hash(a, b, c)]!
    if (slot !== 0) {
      for (const { detectors: owners, hint } of anchors[slot - 1]!) {
        if (lower.startsWith(hint, at)) for (const owner of owners) attempt(owner, at)
      }
    }
    if (a > 127 || isRunUnit[a] === 0) {
      if (at - runStart >= minRun) runEnds(runStart, at)
      runStart = at + 1
    }
    a = b
    b = c
  }
  if (length - runStart >= minRun) runEnds(runStart, length)
  const checks = Assignments.find(text, report)
  if (work !== undefined) {
    for (const [position, count] of attempts) work.set(detectors[position]!.id, count)
    work.set("assignment", checks)
  }
  return joined(spans)
}
