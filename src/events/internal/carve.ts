/**
 * Reads the rows out of the bytes of a damaged spool, whatever its tree still says of them.
 *
 * SQLite gives up where a page that leads to others is damaged. Here each page is looked at by itself, in the file and in
 * its write-ahead log, and what has the form of a row is believed where its checksum says so. See "Database File Format"
 * of SQLite's documentation for the layout.
 */
import * as Result from "effect/Result"
import { checksum, type DeadLetterKind, type DeadLetterRow, type Row } from "./spoolFile.ts"

export interface Carved {
  readonly events: ReadonlyArray<Row>
  /** Rows that had been set aside, and those that are not what was written. */
  readonly dead: ReadonlyArray<DeadLetterRow>
  /**
   * How many places are empty between those of the events: lost, or delivered before an earlier event of another session
   * was.
   */
  readonly missing: number
}

/** What is looked through: a buffer, or a file that is read as far as it is asked for. */
export interface Bytes {
  readonly length: number
  readonly subarray: (start: number, end: number) => Buffer
}

const pageBytes = 4_096
const walHeaderBytes = 32
const frameHeaderBytes = 24
const leafType = 0x0d
/** What a cell can hold by itself, and the least it holds where the rest is on other pages. */
const maxLocal = pageBytes - 35
const minLocal = Math.floor(((pageBytes - 12) * 32) / 255) - 23
const overflowBytes = pageBytes - 4
/** Longer than any row: a length beyond it is damage. */
const maxRecordBytes = 64 * 1024 * 1024

type Page = Buffer
type Value = string | number | null

interface Frame {
  readonly at: number
  readonly number: number
  readonly salt: string
  /** Whether a transaction ends with it. */
  readonly commits: boolean
}

const framesOf = (log: Bytes): ReadonlyArray<Frame> => {
  const frames: Array<Frame> = []
  for (let at = walHeaderBytes; at + frameHeaderBytes + pageBytes <= log.length; at += frameHeaderBytes + pageBytes) {
    const header = log.subarray(at, at + frameHeaderBytes)
    frames.push({
      at: at + frameHeaderBytes,
      number: header.readUInt32BE(0),
      salt: header.toString("hex", 8, 16),
      commits: header.readUInt32BE(4) !== 0
    })
  }
  return frames
}

/**
 * The images of each page, newest first: those of the log's last run, which has the salt of its header, as far as it was
 * committed; then that of the file; then those of runs before, which the file has overtaken.
 */
class Images {
  private readonly file: Bytes
  private readonly log: Bytes
  private readonly current = new Map<number, Array<number>>()
  private readonly overtaken = new Map<number, Array<number>>()

  constructor(file: Bytes, log: Bytes) {
    this.file = file
    this.log = log
    const frames = framesOf(log)
    const header = log.length < walHeaderBytes ? "" : log.subarray(0, walHeaderBytes).toString("hex", 16, 24)
    // A header that has the salt of no frame is damaged: the run begins where the log does.
    const salt = frames.some((frame) => frame.salt === header) ? header : frames[0]?.salt
    const committed = frames.findLastIndex((frame) => frame.salt === salt && frame.commits)
    for (const [index, frame] of frames.entries()) {
      if (frame.salt !== salt) add(this.overtaken, frame)
      else if (index <= committed) add(this.current, frame)
    }
  }

  /** The numbers of all pages that there is an image of. */
  *numbers(): Iterable<number> {
    const pages = Math.floor(this.file.length / pageBytes)
    for (let number = 1; number <= pages; number++) yield number
    for (const number of new Set([...this.current.keys(), ...this.overtaken.keys()])) if (number > pages) yield number
  }

  of(number: number): ReadonlyArray<Page> {
    const end = number * pageBytes
    const inLog = (at: number): Page => this.log.subarray(at, at + pageBytes)
    return [
      ...(this.current.get(number) ?? []).map(inLog),
      ...(number > 0 && end <= this.file.length ? [this.file.subarray(end - pageBytes, end)] : []),
      ...(this.overtaken.get(number) ?? []).map(inLog)
    ]
  }
}

const add = (images: Map<number, Array<number>>, { at, number }: Frame): void => {
  const known = images.get(number)
  if (known === undefined) images.set(number, [at])
  else known.unshift(at)
}

class Reader {
  private at: number
  readonly bytes: Buffer

  constructor(bytes: Buffer, at: number) {
    this.bytes = bytes
    this.at = at
  }

  get position(): number {
    return this.at
  }

  varint(): number {
    let value = 0n
    for (let index = 0; index < 9; index++) {
      const byte = this.bytes[this.at++]
      if (byte === undefined) throw new RangeError("past the end")
      if (index === 8) return Number(BigInt.asIntN(64, (value << 8n) | BigInt(byte)))
      value = (value << 7n) | BigInt(byte & 0x7f)
      if (byte < 0x80) return Number(value)
    }
    return Number(value)
  }

  take(length: number): Buffer {
    if (length < 0 || this.at + length > this.bytes.length) throw new RangeError("past the end")
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }
}

const integerBytes = [0, 1, 2, 3, 4, 6, 8]

const valueOf = (reader: Reader, type: number): Value => {
  if (type === 0) return null
  if (type === 8 || type === 9) return type - 8
  if (type <= 6) {
    const bytes = reader.take(integerBytes[type]!)
    return type === 6 ? Number(bytes.readBigInt64BE()) : bytes.readIntBE(0, bytes.length)
  }
  if (type >= 13 && type % 2 === 1) return reader.take((type - 13) / 2).toString("utf8")
  throw new RangeError("no such type in a spool")
}

const valuesOf = (record: Buffer): ReadonlyArray<Value> => {
  const header = new Reader(record, 0)
  const end = header.varint()
  const body = new Reader(record, end)
  const values: Array<Value> = []
  while (header.position < end) {
    if (values.length > 16) throw new RangeError("no row of a spool")
    values.push(valueOf(body, header.varint()))
  }
  return values
}

interface Cell {
  readonly sequence: number
  readonly record: Buffer
}

/** A cell, with what of its record is on other pages. */
const read = (page: Page, at: number, images: Images, newest: boolean): Cell => {
  const reader = new Reader(page, at)
  const length = reader.varint()
  const sequence = reader.varint()
  if (length > maxRecordBytes) throw new RangeError("too long")
  if (length <= maxLocal) return { sequence, record: reader.take(length) }
  const surplus = minLocal + ((length - minLocal) % overflowBytes)
  const parts = [reader.take(surplus <= maxLocal ? surplus : minLocal)]
  let missing = length - parts[0]!.length
  let next = reader.take(4).readUInt32BE()
  while (missing > 0) {
    const overflow = images.of(next).at(newest ? 0 : -1)
    if (overflow === undefined) throw new RangeError("no such page")
    const part = overflow.subarray(4, 4 + Math.min(missing, overflowBytes))
    parts.push(part)
    missing -= part.length
    next = overflow.readUInt32BE(0)
  }
  return { sequence, record: Buffer.concat(parts) }
}

type Found =
  | { readonly kind: "event" | DeadLetterKind; readonly sequence: number; readonly row: DeadLetterRow }
  | "unreadable"
  | "other"

const text = (value: Value | undefined): string => (typeof value === "string" ? value : "")
const integer = (value: Value | undefined): number => (typeof value === "number" ? value : 0)

const rowOf = ({ record, sequence }: Cell, now: number): Found => {
  const values = valuesOf(record)
  if (values.length !== 7 && values.length !== 9) return "other"
  const [, id, session, recordedAt, payload, sum] = values
  const row = { id: text(id), session: text(session), recordedAt: integer(recordedAt), payload: text(payload) }
  if (checksum(row) !== sum) {
    return { kind: "damaged", sequence, row: { ...row, kind: "damaged", reason: "its row is damaged", diedAt: now } }
  }
  if (values.length === 7) return { kind: "event", sequence, row: { ...row, kind: "damaged", reason: "", diedAt: now } }
  const kind = text(values[6]) as DeadLetterKind
  return { kind, sequence, row: { ...row, kind, reason: text(values[7]), diedAt: integer(values[8]) } }
}

const isIntact = (found: Found): boolean => typeof found === "object" && found.kind !== "damaged"

const cellOf = (page: Page, at: number, images: Images, now: number): Found => {
  const rowFrom = (newest: boolean): Found =>
    Result.getOrElse(
      Result.try(() => rowOf(read(page, at, images, newest), now)),
      () => "unreadable" as const
    )
  const found = rowFrom(true)
  if (isIntact(found)) return found
  const older = rowFrom(false)
  return isIntact(older) ? older : found
}

const cellsOf = (page: Page, images: Images, now: number): ReadonlyArray<Found> => {
  if (page[0] !== leafType) return []
  const cells = Math.min(page.readUInt16BE(3), (pageBytes - 8) / 2)
  return Array.from({ length: cells }, (_, index) => cellOf(page, page.readUInt16BE(8 + 2 * index), images, now))
}

/** What is to be had of a page: of its newest image, and of older ones where that one is damaged. */
const pageOf = (pages: ReadonlyArray<Page>, images: Images, now: number): ReadonlyArray<Found> => {
  const newest = cellsOf(pages[0]!, images, now)
  const whole = newest.length > 0 ? newest.every((found) => found === "other" || isIntact(found)) : isOther(pages[0]!)
  if (whole) return newest
  return [...newest, ...pages.slice(1).flatMap((page) => cellsOf(page, images, now).filter(isIntact))]
}

/** A page that is no leaf of a table and may well be none: of the tree above, or empty. */
const isOther = (page: Page): boolean => page[0] === leafType || page[0] === 0x05 || page[0] === 0x00

/**
 * What is to be had of a spool's file and of its log, in the order in which it was recorded. Rows that look damaged are
 * told only where nothing has their id; an event that is in line as well as set aside was put back in line.
 */
export const carve = (file: Bytes, log: Bytes, now: number): Carved => {
  const images = new Images(file, log)
  const events = new Map<string, Row & { readonly sequence: number }>()
  const dead = new Map<string, DeadLetterRow>()
  const damaged: Array<DeadLetterRow> = []
  for (const number of images.numbers()) {
    if (number === 1) continue
    const found = pageOf(images.of(number), images, now)
    const known = found.some((one) => isIntact(one))
    for (const one of found) {
      if (one === "other") continue
      if (one === "unreadable") {
        const lost = { id: `damaged:${number}`, session: "", recordedAt: now, payload: "" }
        if (known) damaged.push({ ...lost, kind: "damaged", reason: "its row can't be read", diedAt: now })
      } else if (one.kind === "event") events.set(one.row.id, { ...one.row, sequence: one.sequence })
      else if (one.kind === "damaged") damaged.push(one.row)
      else dead.set(one.row.id, one.row)
    }
  }
  for (const id of events.keys()) dead.delete(id)
  const found = [...events.values()].toSorted((a, b) => a.sequence - b.sequence)
  const [first, last] = [found[0], found.at(-1)]
  return {
    events: found,
    missing:
      first === undefined || last === undefined ? 0 : Math.max(0, last.sequence - first.sequence + 1 - found.length),
    dead: [...dead.values(), ...damaged.filter(({ id }) => !events.has(id) && !dead.has(id))]
  }
}
