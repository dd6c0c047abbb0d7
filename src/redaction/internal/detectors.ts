/**
 * All detectors, and the search for the secrets of a text: one pass finds the anchors of all rows, and each row is
 * attempted at its anchors only.
 */
import * as Assignments from "./assignments.ts"
import * as Contexts from "./contexts.ts"
import { type Detector, fromRow, lineEnd, type Report } from "./Detector.ts"
import * as Tokens from "./tokens.ts"

export const rows = [...Tokens.rows, ...Contexts.rows]

export const detectors: ReadonlyArray<Detector> = rows.map(fromRow)

export interface Span {
  readonly start: number
  readonly end: number
}

/**
 * The number of attempts that all detectors make in a text: one in 32 units on average, several times as many as in
 * ordinary text. Beyond it an anchor and the rest of its line count as a secret, so that text made to exhaust the
 * redactor costs little and leaks nothing.
 */
export const attemptsOf = (length: number): number => 2_048 + Math.floor(length / 32)

interface Anchor {
  readonly hint: string
  readonly detectors: Array<number>
  /** Detectors that are attempted at the end of the run that contains the anchor. */
  readonly runs: Array<number>
}

/** A hash of three units: the low five bits of each. */
const bits = 5
const size = 1 << (3 * bits)
const hashed = (hash: number, unit: number): number => ((hash << bits) ^ unit) & (size - 1)
const hashOf = (hint: string): number =>
  hashed(hashed(hashed(0, hint.charCodeAt(0)), hint.charCodeAt(1)), hint.charCodeAt(2))

interface Index {
  /** For each hash of three units: 0, or one more than the position of its anchors in `anchors`. */
  readonly slots: Uint16Array
  readonly anchors: ReadonlyArray<ReadonlyArray<Anchor>>
  readonly runs: ReadonlyArray<number>
  /** The anchors of runs that are too short for a slot, by detector. */
  readonly short: ReadonlyArray<ReadonlyArray<string>>
}

const makeIndex = (): Index => {
  const byHint = new Map<string, Anchor>()
  const runs: Array<number> = []
  const short: Array<ReadonlyArray<string>> = []
  for (const [position, { hints, row }] of detectors.entries()) {
    const isRun = row.run === true
    if (isRun) runs.push(position)
    short.push(isRun ? hints.filter((hint) => hint.length < 3) : [])
    for (const hint of hints) {
      if (isRun && hint.length < 3) continue
      let anchor = byHint.get(hint)
      if (anchor === undefined) byHint.set(hint, (anchor = { hint, detectors: [], runs: [] }))
      anchor[isRun ? "runs" : "detectors"].push(position)
    }
  }
  const slots = new Uint16Array(size)
  const anchors: Array<Array<Anchor>> = []
  for (const anchor of byHint.values()) {
    const slot = hashOf(anchor.hint)
    if (slots[slot] === 0) slots[slot] = anchors.push([])
    anchors[slots[slot]! - 1]!.push(anchor)
  }
  return { slots, anchors, runs, short }
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

/** Finds the secrets of a text. `work` receives the attempts made. */
export const secretsOf = (text: string, work?: Attempts): ReadonlyArray<Span> => {
  const { anchors, runs, short, slots } = (index ??= makeIndex())
  const lower = lowerCase(text)
  const length = lower.length
  const spans: Array<Span> = []
  const report: Report = (start, end) => {
    spans.push({ start, end })
  }
  let left = attemptsOf(length)
  /** For each detector: the position where its next match may start; none where the text lacks what it needs. */
  const cursors = new Float64Array(detectors.length).fill(-1)
  const count = (position: number): void => {
    left--
    if (work !== undefined) {
      const { id } = detectors[position]!
      work.set(id, (work.get(id) ?? 0) + 1)
    }
  }

  const cursorOf = (position: number): number => {
    const cursor = cursors[position]!
    if (cursor >= 0) return cursor
    const { needs } = detectors[position]!
    const isPossible = needs.length === 0 || needs.some((need) => lower.includes(need))
    return (cursors[position] = isPossible ? 0 : Number.POSITIVE_INFINITY)
  }

  const attempt = (position: number, at: number): void => {
    const cursor = cursorOf(position)
    if (cursor > at) return
    const { attempt: run, row } = detectors[position]!
    count(position)
    if (row.gate !== undefined && !row.gate(text, at)) return
    cursors[position] = Math.max(at + 1, run(text, Math.max(cursor, at - (row.back ?? 0)), at, report))
  }

  /** For each detector of runs: the last position of one of its anchors. */
  const seen = new Float64Array(detectors.length).fill(-1)

  const attemptRun = (start: number, end: number): void => {
    const part = lower.substring(start, end + 2)
    for (const position of runs) {
      if (seen[position]! < start && !short[position]!.some((hint) => part.includes(hint))) continue
      if (cursorOf(position) > start) continue
      count(position)
      detectors[position]!.attempt(text, start, end, report)
    }
  }

  let runStart = 0
  let hash = hashed(lower.charCodeAt(0), lower.charCodeAt(1))
  for (let at = 0; at < length; at++) {
    const unit = lower.charCodeAt(at)
    if (unit > 127 || isRunUnit[unit] === 0) {
      if (at - runStart >= minRun) attemptRun(runStart, at)
      runStart = at + 1
    }
    hash = hashed(hash, lower.charCodeAt(at + 2))
    const slot = slots[hash]!
    if (slot === 0) continue
    for (const { detectors: owners, hint, runs: ofRuns } of anchors[slot - 1]!) {
      if (!lower.startsWith(hint, at)) continue
      for (const owner of ofRuns) seen[owner] = at
      if (owners.length > 0 && left <= 0) {
        const end = lineEnd(text, at)
        report(at, end)
        at = Math.max(at, end - 3)
        break
      }
      for (const owner of owners) attempt(owner, at)
    }
  }
  if (length - runStart >= minRun) attemptRun(runStart, length)
  const checks = Assignments.find(text, report)
  work?.set("assignment", checks)
  return joined(spans)
}
