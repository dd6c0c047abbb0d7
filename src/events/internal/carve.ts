/**
 * Reads the rows out of the bytes of a damaged spool, whatever its tree still says of them.
 *
 * SQLite gives up where a page that leads to others is damaged. Here each page is looked at by itself, in the file and in
 * its write-ahead log, and what has the form of a row is believed where its checksum says so. See "Database File Format"
 * of SQLite's documentation for the layout.
 */
import * as Result from "effect/Result"
import { checksum, type DeadKind, type DeadRow, type Row } from "./spoolFile.ts"

export interface Carved {
  readonly events: ReadonlyArray<Row>
  /** Rows that had been set aside, and those that are not what was written. */
  readonly dead: ReadonlyArray<DeadRow>
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

/** The images of each page, newest first. */
type Images = Map<number, Array<Page>>

const add = (images: Images, number: number, page: Page): void => {
  const known = images.get(number)
  if (known === undefined) images.set(number, [page])
  else known.unshift(page)
}

/** The pages of the file, then of the log: of its last run, which has the salt of its header, after all others. */
const imagesOf = (file: Buffer, log: Buffer): Images => {
  const images: Images = new Map()
  for (let at = 0; at + pageBytes <= file.length; at += pageBytes) {
    add(images, at / pageBytes + 1, file.subarray(at, at + pageBytes))
  }
  const frames: Array<{ readonly number: number; readonly current: boolean; readonly page: Page }> = []
  const salt = log.subarray(16, 24)
  for (let at = walHeaderBytes; at + frameHeaderBytes + pageBytes <= log.length; at += frameHeaderBytes + pageBytes) {
    frames.push({
      number: log.readUInt32BE(at),
      current: log.subarray(at + 8, at + 16).equals(salt),
      page: log.subarray(at + frameHeaderBytes, at + frameHeaderBytes + pageBytes)
    })
  }
  for (const frame of frames) if (!frame.current) add(images, frame.number, frame.page)
  for (const frame of frames) if (frame.current) add(images, frame.number, frame.page)
  return images
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

/** The record of a cell, with what of it is on other pages. */
const recordOf = (page: Page, at: number, images: Images, newest: boolean): Buffer => {
  const reader = new Reader(page, at)
  const length = reader.varint()
  reader.varint()
  if (length > maxRecordBytes) throw new RangeError("too long")
  if (length <= maxLocal) return reader.take(length)
  const surplus = minLocal + ((length - minLocal) % overflowBytes)
  const parts = [reader.take(surplus <= maxLocal ? surplus : minLocal)]
  let missing = length - parts[0]!.length
  let next = reader.take(4).readUInt32BE()
  while (missing > 0) {
    const overflow = images.get(next)?.at(newest ? 0 : -1)
    if (overflow === undefined) throw new RangeError("no such page")
    const part = overflow.subarray(4, 4 + Math.min(missing, overflowBytes))
    parts.push(part)
    missing -= part.length
    next = overflow.readUInt32BE(0)
  }
  return Buffer.concat(parts)
}

type Found = { readonly kind: "event" | DeadKind; readonly row: DeadRow } | "unreadable" | "other"

const text = (value: Value | undefined): string => (typeof value === "string" ? value : "")
const integer = (value: Value | undefined): number => (typeof value === "number" ? value : 0)

const rowOf = (values: ReadonlyArray<Value>, now: number): Found => {
  if (values.length !== 7 && values.length !== 9) return "other"
  const [, id, session, recordedAt, payload, sum] = values
  const row = { id: text(id), session: text(session), recordedAt: integer(recordedAt), payload: text(payload) }
  if (checksum(row) !== sum) {
    return { kind: "damaged", row: { ...row, kind: "damaged", reason: "its row is damaged", diedAt: now } }
  }
  if (values.length === 7) return { kind: "event", row: { ...row, kind: "damaged", reason: "", diedAt: now } }
  const kind = text(values[6]) as DeadKind
  return { kind, row: { ...row, kind, reason: text(values[7]), diedAt: integer(values[8]) } }
}

const isIntact = (found: Found): boolean => typeof found === "object" && found.kind !== "damaged"

const cellOf = (page: Page, at: number, images: Images, now: number): Found => {
  const read = (newest: boolean): Found =>
    Result.getOrElse(
      Result.try(() => rowOf(valuesOf(recordOf(page, at, images, newest)), now)),
      () => "unreadable" as const
    )
  const found = read(true)
  if (isIntact(found)) return found
  const older = read(false)
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

/** What is to be had of a spool's file and of its log. Rows that look damaged are told only where nothing has their id. */
export const carve = (file: Buffer, log: Buffer, now: number): Carved => {
  const images = imagesOf(file, log)
  const events = new Map<string, Row>()
  const dead = new Map<string, DeadRow>()
  const damaged: Array<DeadRow> = []
  for (const [number, pages] of images) {
    if (number === 1) continue
    const found = pageOf(pages, images, now)
    const known = found.some((one) => isIntact(one))
    for (const one of found) {
      if (one === "other") continue
      if (one === "unreadable") {
        const lost = { id: `damaged:${number}`, session: "", recordedAt: now, payload: "" }
        if (known) damaged.push({ ...lost, kind: "damaged", reason: "its row can't be read", diedAt: now })
      } else if (one.kind === "event") events.set(one.row.id, one.row)
      else if (one.kind === "damaged") damaged.push(one.row)
      else dead.set(one.row.id, one.row)
    }
  }
  for (const id of dead.keys()) events.delete(id)
  return {
    events: [...events.values()].toSorted((a, b) => a.recordedAt - b.recordedAt),
    dead: [...dead.values(), ...damaged.filter(({ id }) => !events.has(id) && !dead.has(id))]
  }
}
