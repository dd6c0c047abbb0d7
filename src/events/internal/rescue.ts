/**
 * Rescues the rows of a damaged spool by `SELECT`, in ranges of sequence numbers that are bisected around damaged pages.
 */
import * as fs from "node:fs"
import { DatabaseSync, type StatementSync } from "node:sqlite"
import * as Result from "effect/Result"
import { isDamage } from "./spoolFault.ts"
import { checksum, type DeadLetterKind, type DeadLetterRow, pageBytes, type Row } from "./spoolFile.ts"
import * as LogTail from "./logTail.ts"

export interface Rescued {
  readonly events: ReadonlyArray<Row>
  readonly deadLetters: ReadonlyArray<DeadLetterRow>
  /** Unreadable rows. A lost transaction of the log and a table with an unreadable end count as one. */
  readonly lost: number
}

/** Bounds the queries per table, so that a spool that is damaged throughout does not hold the thread for seconds. */
const maxQueries = 10_000

/** The most rows on a page, for a range whose end is unreadable. */
const maxRowsPerPage = 160

type Found = Readonly<Record<string, unknown>>

const text = (value: unknown): string => (typeof value === "string" ? value : "")
const integer = (value: unknown): number => (typeof value === "number" ? value : 0)

const orDamaged = <A>(run: () => A): A | "damaged" => {
  const result = Result.try(run)
  if (Result.isSuccess(result)) return result.success
  if (!isDamage(result.failure)) throw result.failure
  return "damaged"
}

/** Reads a range until its end or the first damaged page. */
const readRange = (statement: StatementSync, from: number, to: number) => {
  const rows: Array<Found> = []
  const end = orDamaged(() => {
    for (const row of statement.iterate(from, to)) rows.push(row)
  })
  return { rows, isComplete: end !== "damaged" }
}

const rowsOf = (db: DatabaseSync, table: "event" | "dead", pages: number) => {
  const prepared = orDamaged(() => {
    const select = `SELECT * FROM ${table} WHERE sequence BETWEEN ? AND ? ORDER BY sequence`
    return { ascending: db.prepare(select), descending: db.prepare(`${select} DESC`) }
  })
  if (prepared === "damaged") return { rows: [], lost: 1 }
  const bound = (aggregate: "min" | "max") =>
    orDamaged(() => db.prepare(`SELECT ${aggregate}(sequence) AS sequence FROM ${table}`).get()?.["sequence"])
  const [min, max] = [bound("min"), bound("max")]
  if (min === null || max === null) return { rows: [], lost: 0 }
  const first = typeof min === "number" ? min : Math.max(1, integer(max) - pages * maxRowsPerPage)
  const last = typeof max === "number" ? max : first + pages * maxRowsPerPage

  const rows: Array<Found> = []
  let isDamaged = min === "damaged" || max === "damaged"
  const ranges: Array<readonly [from: number, to: number]> = [[first, last]]
  for (let query = 0, next = ranges[0]; next !== undefined && query < maxQueries; next = ranges[++query]) {
    const [from, to] = next
    const low = readRange(prepared.ascending, from, to)
    rows.push(...low.rows)
    if (low.isComplete) continue
    isDamaged = true
    const start = integer(low.rows.at(-1)?.["sequence"] ?? from - 1) + 1
    const high = readRange(prepared.descending, start, to)
    rows.push(...high.rows)
    const end = integer(high.rows.at(-1)?.["sequence"] ?? to + 1) - 1
    const middle = Math.floor((start + end) / 2)
    if (start < end) ranges.push([start, middle], [middle + 1, end])
  }
  rows.sort((a, b) => integer(a["sequence"]) - integer(b["sequence"]))
  if (!isDamaged) return { rows, lost: 0 }
  const lowest = typeof min === "number" ? min : integer(rows[0]?.["sequence"])
  const highest = typeof max === "number" ? max : integer(rows.at(-1)?.["sequence"] ?? lowest)
  const unreadableEnds = [min, max].filter((bound) => bound === "damaged").length
  return { rows, lost: Math.max(1, highest - lowest + 1 - rows.length + unreadableEnds) }
}

const decode = (found: Found, now: number): { readonly row: DeadLetterRow; readonly isIntact: boolean } => {
  const row = {
    id: text(found["id"]),
    session: text(found["session"]),
    recordedAt: integer(found["recorded_at"]),
    payload: text(found["payload"])
  }
  if (checksum(row) !== found["checksum"]) {
    return {
      row: { ...row, kind: "damaged", reason: "the row differs from its checksum", diedAt: now },
      isIntact: false
    }
  }
  const kind = text(found["kind"]) as DeadLetterKind
  return { row: { ...row, kind, reason: text(found["reason"]), diedAt: integer(found["died_at"]) }, isIntact: true }
}

const rescueFrom = (db: DatabaseSync, filename: string, now: number): Rescued => {
  const pages = Math.ceil(fs.statSync(filename).size / pageBytes)
  const event = rowsOf(db, "event", pages)
  const dead = rowsOf(db, "dead", pages)
  const events = event.rows.map((found) => decode(found, now))
  const damaged = events.filter(({ isIntact }) => !isIntact)
  return {
    events: events.filter(({ isIntact }) => isIntact).map(({ row }) => row),
    deadLetters: [...dead.rows.map((found) => decode(found, now)), ...damaged].map(({ row }) => row),
    lost: event.lost + dead.lost + LogTail.lostTransactions(filename)
  }
}

/** Reads a damaged spool without changing the file. Rethrows SQLite's errors other than damage. */
export const rescue = (filename: string, now: number): Rescued => {
  // SQLite deletes the log of an empty file, unless the file has a page.
  if (fs.statSync(filename).size === 0) fs.truncateSync(filename, pageBytes)
  const rescued = orDamaged(() => {
    // Read-only, because closing a writable database would write the log back and delete it.
    const db = new DatabaseSync(filename, { readOnly: true })
    try {
      return rescueFrom(db, filename, now)
    } finally {
      db.close()
    }
  })
  return rescued === "damaged" ? { events: [], deadLetters: [], lost: 1 } : rescued
}
