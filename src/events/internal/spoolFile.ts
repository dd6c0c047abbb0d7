/**
 * The spool: a SQLite file in which events wait, shared by the processes of a host.
 *
 * Everything here is synchronous, straight on `node:sqlite`: a transaction is never open across a yield, and one event
 * costs one insert, without an index to keep, a counter to raise or a sync to wait for. What bounds the bytes is SQLite's
 * own limit on pages, which is exact for all processes together and costs nothing.
 */
import * as fs from "node:fs"
import { DatabaseSync, type StatementSync } from "node:sqlite"
import * as zlib from "node:zlib"
import * as Result from "effect/Result"
import { primaryCode, SqliteCode } from "../../internal/sqliteError.ts"
import type { Failpoint } from "./failpoints.ts"
import * as LogTail from "./logTail.ts"
import { ForeignFile } from "./spoolFault.ts"

/** An event on its way: its id, the session whose order it keeps, when it was recorded, and itself as JSON. */
export interface Row {
  readonly id: string
  readonly session: string
  /** Milliseconds since 1970. */
  readonly recordedAt: number
  readonly payload: string
}

/** An event as it was found in the spool. */
export interface SpooledRow extends Row {
  readonly sequence: number
  /** How often it failed for a reason that nobody knows. */
  readonly attempts: number
  /** Whether it is what was written. */
  readonly intact: boolean
}

/** Why an event was set aside: the database refuses it, its row is damaged, or it no longer fits its schema. */
export type DeadLetterKind = "rejected" | "damaged" | "unreadable"

type StoredRow = readonly [
  sequence: number,
  id: string,
  session: string,
  recordedAt: number,
  payload: string,
  checksum: number,
  attempts: number
]

export interface DeadLetterRow extends Row {
  readonly kind: DeadLetterKind
  readonly reason: string
  /** Milliseconds since 1970. */
  readonly diedAt: number
}

/** What a relay did with the rows it read. */
export interface Acknowledgement {
  readonly delivered: ReadonlyArray<number>
  readonly dead: ReadonlyArray<{ readonly sequence: number; readonly kind: DeadLetterKind; readonly reason: string }>
  /** Rows that stay, with one more attempt counted. */
  readonly failed: ReadonlyArray<number>
}

export interface SpoolSettings {
  readonly filename: string
  /** The recorder that the file belongs to. */
  readonly recorder: string
  readonly busyTimeoutMs: number
  readonly durability: "normal" | "full"
  readonly maxBytes: number
  readonly maxRows: number
}

export interface SpoolStats {
  readonly rows: number
  readonly dead: number
  readonly bytes: number
  /** When the oldest event that waits was recorded, in milliseconds since 1970. */
  readonly oldest: number | undefined
  readonly delivered: number
  readonly dropped: number
  readonly rejected: number
  readonly damaged: number
}

/** The log has transactions that SQLite does not read. To close the database removes them: not before it has another name. */
export class LostLog extends Error {
  readonly db: DatabaseSync
  constructor(db: DatabaseSync) {
    super("a part of the log can't be read")
    this.db = db
  }
}

/** Why rows were not written: the spool has its bound of rows or bytes, or the disk has no room. */
export type SpoolLimit = "bound" | "disk"

const applicationId = 0x61746576
const schemaVersion = 1
export const pageBytes = 4_096

/** Pages beyond the bound that are left to whoever makes room: to set a row aside takes some before it gives some. */
const reservePages = 256

/** Pages that a row may need beside those it fills: a leaf, and the tree above where it splits. */
const treePages = 4

/** After how many rows the number of rows is looked at again. */
const recountInterval = 64

const schema = `
  CREATE TABLE event (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL, session TEXT NOT NULL,
    recorded_at INTEGER NOT NULL, payload TEXT NOT NULL, checksum INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0);
  CREATE TABLE dead (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL, session TEXT NOT NULL,
    recorded_at INTEGER NOT NULL, payload TEXT NOT NULL, checksum INTEGER NOT NULL, kind TEXT NOT NULL,
    reason TEXT NOT NULL, died_at INTEGER NOT NULL);
  CREATE TABLE spool (one INTEGER PRIMARY KEY CHECK (one = 1), recorder TEXT NOT NULL, epoch TEXT NOT NULL,
    lease_token TEXT NOT NULL, lease_until INTEGER NOT NULL, lease_ms INTEGER NOT NULL,
    delivered INTEGER NOT NULL, dropped INTEGER NOT NULL, poisoned INTEGER NOT NULL, damaged INTEGER NOT NULL);
  PRAGMA application_id = ${applicationId};
  PRAGMA user_version = ${schemaVersion};`

const checksumOf = (id: string, session: string, recordedAt: number, payload: string): number =>
  zlib.crc32(`${id}\n${session}\n${recordedAt}\n${payload}`)

/** CRC-32 over all that a row says. */
export const checksum = (row: Row): number => checksumOf(row.id, row.session, row.recordedAt, row.payload)

export const inodeOf = (filename: string): number | undefined => fs.statSync(filename, { throwIfNoEntry: false })?.ino

/** Which file and which log a name stands for. What is written into a log that has another name by now is lost. */
const identityOf = (filename: string): string => `${inodeOf(filename)} ${inodeOf(`${filename}-wal`)}`

const prepareFile = (db: DatabaseSync, settings: SpoolSettings, epoch: string): void => {
  const { application_id: found } = db.prepare("PRAGMA application_id").get() as { application_id: number }
  if (found !== applicationId) {
    db.exec("BEGIN IMMEDIATE")
    try {
      const { application_id: again } = db.prepare("PRAGMA application_id").get() as { application_id: number }
      if (again !== applicationId) {
        if (db.prepare("SELECT 1 FROM sqlite_master LIMIT 1").get() !== undefined) {
          throw new ForeignFile("the file is a database but no spool: name another file")
        }
        db.exec(schema)
        db.prepare("INSERT INTO spool VALUES (1, ?, ?, '', 0, 0, 0, 0, 0, 0)").run(settings.recorder, epoch)
      }
      db.exec("COMMIT")
    } finally {
      if (db.isTransaction) db.exec("ROLLBACK")
    }
  }
  const { user_version: version } = db.prepare("PRAGMA user_version").get() as { user_version: number }
  if (version !== schemaVersion) throw new ForeignFile("the spool is of another version: use that version to empty it")
  const { recorder } = db.prepare("SELECT recorder FROM spool").get() as { recorder: string }
  if (recorder !== settings.recorder) {
    throw new ForeignFile("the spool belongs to another recorder: give each recorder a file of its own")
  }
}

export class SpoolFile {
  readonly epoch: string
  private readonly db: DatabaseSync
  private readonly settings: SpoolSettings
  private readonly identity: string
  private readonly failpoint: (failpoint: Failpoint) => void
  private readonly statements = new Map<string, StatementSync>()
  private readonly insert: StatementSync
  private readonly select: StatementSync
  private rowsUntilRecount = 0
  private limit: SpoolLimit = "bound"
  private written: Array<number> = []

  /** Opens the file, or makes it. Throws what SQLite throws, and `ForeignFile`. */
  constructor(settings: SpoolSettings, epoch: string, failpoint: (failpoint: Failpoint) => void) {
    this.settings = settings
    this.failpoint = failpoint
    this.db = new DatabaseSync(settings.filename, { timeout: settings.busyTimeoutMs })
    try {
      // Delivered events do not linger in free pages.
      this.db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${settings.durability};
        PRAGMA secure_delete = ON; PRAGMA journal_size_limit = ${4 * 1024 * 1024}`)
      this.detectLostLog()
      prepareFile(this.db, settings, epoch)
      this.limitPages(0)
      this.epoch = (this.db.prepare("SELECT epoch FROM spool").get() as { epoch: string }).epoch
      this.identity = identityOf(settings.filename)
      this.insert = this.db.prepare(
        "INSERT INTO event (id, session, recorded_at, payload, checksum) VALUES (?, ?, ?, ?, ?)"
      )
      this.select = this.db.prepare(
        `SELECT sequence, id, session, recorded_at, payload, checksum, attempts FROM event
          WHERE sequence > ? ORDER BY sequence LIMIT ?`
      )
      this.select.setReturnArrays(true)
    } catch (error) {
      if (!(error instanceof LostLog)) this.db.close()
      throw error
    }
  }

  /** Whether the name still stands for this file and its log; another process may have set them aside. */
  isCurrent(): boolean {
    return identityOf(this.settings.filename) === this.identity
  }

  /** Whether the trees in it are in order. Takes as long as to read it. */
  isWhole(): boolean {
    return this.get<{ quick_check: string }>("PRAGMA quick_check(1)").quick_check === "ok"
  }

  /**
   * Looks for transactions of its log that are lost to SQLite, before anything is written, which would overwrite them.
   * While others write, they have looked.
   */
  private detectLostLog(): void {
    const { filename } = this.settings
    // The first that is read takes up the log.
    this.get("PRAGMA application_id")
    if (LogTail.lostTransactions(filename) === 0) return
    const again = Result.try(() => {
      this.db.exec("BEGIN IMMEDIATE")
      try {
        return LogTail.lostTransactions(filename) > 0
      } finally {
        this.db.exec("ROLLBACK")
      }
    })
    if (Result.getOrElse(again, () => false)) throw new LostLog(this.db)
  }

  close(): void {
    this.db.close()
  }

  /**
   * Writes as many rows as there is room for, in order, in one transaction, and says how many.
   *
   * The number of rows is looked at now and then: several processes may go over the bound by 64 rows each.
   */
  append(rows: ReadonlyArray<Row>): number {
    this.written = []
    return this.appendGroup(rows)
  }

  /** The sequence numbers of the rows that were appended last. */
  get sequences(): ReadonlyArray<number> {
    return this.written
  }

  /** Why the last rows that were not written were not. */
  get reached(): SpoolLimit {
    return this.limit
  }

  private appendGroup(rows: ReadonlyArray<Row>): number {
    const before = this.written.length
    const room = Math.min(rows.length, this.room(rows.length))
    if (room < rows.length) this.limit = "bound"
    if (room === 0) return 0
    this.failpoint("before append")
    try {
      if (room === 1) this.write(rows[0]!)
      else {
        this.transaction(() => {
          for (let index = 0; index < room; index++) this.write(rows[index]!)
          this.failpoint("inside append")
        })
      }
    } catch (error) {
      this.written.length = before
      if (primaryCode(error) !== SqliteCode.full) throw error
      return this.appendWhileThereIsRoom(rows.slice(0, room))
    }
    this.rowsUntilRecount -= room
    this.failpoint("after append")
    return room
  }

  /** A group did not fit: as much of it as does. */
  private appendWhileThereIsRoom(rows: ReadonlyArray<Row>): number {
    if (rows.length === 1) {
      this.limit = this.isAtBound(rows[0]!) ? "bound" : "disk"
      return 0
    }
    const half = Math.ceil(rows.length / 2)
    const first = this.appendGroup(rows.slice(0, half))
    if (first < half) return first
    // The first half is written, whatever becomes of the second: that is tried again, and says then what is wrong.
    return (
      first +
      Result.getOrElse(
        Result.try(() => this.appendGroup(rows.slice(half))),
        () => 0
      )
    )
  }

  private write(row: Row): void {
    const { lastInsertRowid } = this.insert.run(row.id, row.session, row.recordedAt, row.payload, checksum(row))
    this.written.push(Number(lastInsertRowid))
  }

  private room(wanted: number): number {
    if (this.rowsUntilRecount >= wanted) return wanted
    const room = this.settings.maxRows - this.countRows()
    // Others write as well, so only a part of the room is taken for granted.
    this.rowsUntilRecount = Math.max(0, Math.min(recountInterval, Math.floor(room / 2)))
    return Math.max(0, room)
  }

  /** Exact where it matters; while the file is far from full, the span of the sequence numbers will do. */
  private countRows(): number {
    const span = this.span()
    if (span <= this.settings.maxRows / 2) return span
    return this.get<{ rows: number }>("SELECT (SELECT count(*) FROM event) + (SELECT count(*) FROM dead) AS rows").rows
  }

  private span(): number {
    return this.get<{ span: number }>(
      `SELECT coalesce((SELECT max(sequence) FROM event) - (SELECT min(sequence) FROM event) + 1, 0)
        + coalesce((SELECT max(sequence) FROM dead) - (SELECT min(sequence) FROM dead) + 1, 0) AS span`
    ).span
  }

  /** Up to some rows and bytes, but at least one row, of those after a sequence number. */
  read(after: number, maxRows: number, maxBytes: number): ReadonlyArray<SpooledRow> {
    const rows: Array<SpooledRow> = []
    let bytes = 0
    for (const found of this.select.iterate(after, maxRows)) {
      // Arrays, and no copies: to read is most of what a relay does.
      const [sequence, id, session, recordedAt, payload, sum, attempts] = found as unknown as StoredRow
      bytes += payload.length
      if (rows.length > 0 && bytes > maxBytes) break
      const intact = sum === checksumOf(id, session, recordedAt, payload)
      rows.push({ sequence, id, session, recordedAt, payload, attempts, intact })
    }
    return rows
  }

  /** The highest sequence number in use, or 0. */
  last(): number {
    return this.get<{ last: number }>("SELECT coalesce(max(sequence), 0) AS last FROM event").last
  }

  isEmpty(upTo: number): boolean {
    return this.prepare("SELECT 1 FROM event WHERE sequence <= ? LIMIT 1").get(upTo) === undefined
  }

  /** Where an event is now that was written with a sequence number; one that is free is given to another row. */
  locate(id: string, sequence: number): "waiting" | "dead" | "gone" {
    const [row] = this.read(sequence - 1, 1, 0)
    // A damaged row there may be its own.
    if (row?.sequence === sequence && (row.id === id || !row.intact)) return "waiting"
    return this.prepare("SELECT 1 FROM dead WHERE id = ? LIMIT 1").get(id) === undefined ? "gone" : "dead"
  }

  /**
   * Takes the lease for whoever has the token, unless another one holds it. A lease that ends later than it could is of a
   * clock that was set back since, and does not count.
   */
  acquire(token: string, now: number, leaseMs: number): boolean {
    return (
      this.prepare(
        `UPDATE spool SET lease_token = :token, lease_until = :now + :leaseMs, lease_ms = :leaseMs
          WHERE lease_token = :token OR lease_until <= :now OR lease_until > :now + lease_ms`
      ).run({ token, now, leaseMs }).changes === 1
    )
  }

  /** Moves the end of the lease; `false` where it is another's by now. */
  renew(token: string, now: number, leaseMs: number): boolean {
    return (
      this.prepare("UPDATE spool SET lease_until = ? WHERE lease_token = ?").run(now + leaseMs, token).changes === 1
    )
  }

  release(token: string): void {
    this.prepare("UPDATE spool SET lease_token = '', lease_until = 0 WHERE lease_token = ?").run(token)
  }

  /** Does what came out of a delivery, all or nothing; nothing, and `false`, where the lease is another's by now. */
  acknowledge(token: string, acknowledgement: Acknowledgement, now: number): boolean {
    const apply = () => this.transaction(() => this.acknowledgeRows(token, acknowledgement, now))
    // To remove rows takes no room; to move them does.
    return acknowledgement.dead.length === 0 ? apply() : this.withReserve(apply)
  }

  private acknowledgeRows(token: string, { dead, delivered, failed }: Acknowledgement, now: number): boolean {
    const damaged = dead.filter(({ kind }) => kind === "damaged").length
    const held = this.prepare(
      `UPDATE spool SET delivered = delivered + ?, poisoned = poisoned + ?, damaged = damaged + ?
        WHERE lease_token = ?`
    ).run(delivered.length, dead.length - damaged, damaged, token)
    if (held.changes !== 1) return false
    for (const { kind, reason, sequence } of dead) {
      this.prepare(
        `INSERT INTO dead (id, session, recorded_at, payload, checksum, kind, reason, died_at)
          SELECT id, session, recorded_at, payload, checksum, ?, ?, ? FROM event WHERE sequence = ?`
      ).run(kind, reason, now, sequence)
    }
    this.remove([...delivered, ...dead.map(({ sequence }) => sequence)])
    this.failpoint("inside acknowledge")
    if (failed.length > 0) {
      this.prepare("UPDATE event SET attempts = attempts + 1 WHERE sequence IN (SELECT value FROM json_each(?))").run(
        JSON.stringify(failed)
      )
    }
    return true
  }

  /** Mostly they are all that were read, and without a gap. */
  private remove(sequences: ReadonlyArray<number>): void {
    const [first, last] = [sequences[0], sequences.at(-1)]
    if (first === undefined || last === undefined) return
    if (sequences.every((sequence, index) => sequence === first + index)) {
      this.prepare("DELETE FROM event WHERE sequence BETWEEN ? AND ?").run(first, last)
    } else {
      this.prepare("DELETE FROM event WHERE sequence IN (SELECT value FROM json_each(?))").run(
        JSON.stringify(sequences)
      )
    }
  }

  countDropped(count: number): void {
    this.withReserve(() => this.prepare("UPDATE spool SET dropped = dropped + ?").run(count))
  }

  /** What was set aside, oldest first. */
  listDead(limit: number): ReadonlyArray<DeadLetterRow> {
    return this.prepare(
      `SELECT id, session, recorded_at AS recordedAt, payload, kind, reason, died_at AS diedAt FROM dead
        ORDER BY sequence LIMIT ?`
    ).all(limit) as unknown as ReadonlyArray<DeadLetterRow>
  }

  /** Puts events that were set aside back in line, all where no ids are given; those whose rows are damaged stay. */
  retryDead(ids: ReadonlyArray<string> | undefined): number {
    return this.withReserve(() =>
      this.transaction(() => {
        const [which, parameters] = among(ids)
        const moved = this.prepare(
          `INSERT INTO event (id, session, recorded_at, payload, checksum)
            SELECT id, session, recorded_at, payload, checksum FROM dead WHERE kind <> 'damaged' AND ${which}
            ORDER BY sequence`
        ).run(...parameters)
        this.prepare(`DELETE FROM dead WHERE kind <> 'damaged' AND ${which}`).run(...parameters)
        return Number(moved.changes)
      })
    )
  }

  /** Removes events that were set aside for good, all where no ids are given. */
  dropDead(ids: ReadonlyArray<string> | undefined): number {
    const [which, parameters] = among(ids)
    return Number(this.prepare(`DELETE FROM dead WHERE ${which}`).run(...parameters).changes)
  }

  stats(): SpoolStats {
    const counts = this.get<Omit<SpoolStats, "bytes" | "oldest"> & { readonly oldest: number | null }>(
      `SELECT (SELECT count(*) FROM event) AS rows, (SELECT count(*) FROM dead) AS dead,
        (SELECT recorded_at FROM event ORDER BY sequence LIMIT 1) AS oldest, delivered, dropped, poisoned AS rejected, damaged
        FROM spool`
    )
    return { ...counts, oldest: counts.oldest ?? undefined, bytes: this.usedPages() * pageBytes }
  }

  /** From 0 to 1: how full the file is, by bytes or by rows. */
  fill(): number {
    const { maxBytes, maxRows } = this.settings
    return Math.max((this.usedPages() * pageBytes) / maxBytes, this.span() / maxRows)
  }

  /** Adds the rows rescued from a damaged file, and counts the damaged and the lost ones. */
  adopt(events: ReadonlyArray<Row>, dead: ReadonlyArray<DeadLetterRow>, lost: number): void {
    this.withReserve(() =>
      this.transaction(() => {
        // Beyond the bound, because these events were acknowledged.
        this.db.exec("PRAGMA max_page_count = 1073741823")
        this.written = []
        for (const row of events) this.write(row)
        const aside = this.prepare(
          `INSERT INTO dead (id, session, recorded_at, payload, checksum, kind, reason, died_at)
            SELECT ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM dead WHERE id = ? AND kind = ?)`
        )
        for (const row of dead) {
          const { diedAt, id, kind, payload, reason, recordedAt, session } = row
          aside.run(id, session, recordedAt, payload, checksum(row), kind, reason, diedAt, id, kind)
        }
        const damaged = dead.filter(({ kind }) => kind === "damaged").length
        this.prepare("UPDATE spool SET damaged = damaged + ?").run(damaged + lost)
      })
    )
  }

  private usedPages(): number {
    const { page_count: pages } = this.get<{ page_count: number }>("PRAGMA page_count")
    return pages - this.get<{ freelist_count: number }>("PRAGMA freelist_count").freelist_count
  }

  /** SQLite fails alike where the file may not grow and where the disk does not let it. */
  private isAtBound({ id, payload, session }: Row): boolean {
    const bytes = Buffer.byteLength(payload) + Buffer.byteLength(id) + Buffer.byteLength(session)
    return this.usedPages() + Math.ceil(bytes / (pageBytes - 4)) + treePages > this.maxPages()
  }

  private maxPages(): number {
    return Math.ceil(this.settings.maxBytes / pageBytes)
  }

  private limitPages(more: number): void {
    this.db.exec(`PRAGMA max_page_count = ${this.maxPages() + more}`)
  }

  private withReserve<A>(use: () => A): A {
    this.limitPages(reservePages)
    try {
      return use()
    } finally {
      this.limitPages(0)
    }
  }

  /** A `false` rolls back too. */
  private transaction<A>(use: () => A): A {
    this.db.exec("BEGIN IMMEDIATE")
    try {
      const result = use()
      if (result !== false) this.db.exec("COMMIT")
      return result
    } finally {
      if (this.db.isTransaction) this.db.exec("ROLLBACK")
    }
  }

  private prepare(sql: string): StatementSync {
    let statement = this.statements.get(sql)
    if (statement === undefined) {
      statement = this.db.prepare(sql)
      this.statements.set(sql, statement)
    }
    return statement
  }

  private get<A>(sql: string): A {
    return this.prepare(sql).get() as A
  }
}

const among = (ids: ReadonlyArray<string> | undefined): readonly [sql: string, parameters: ReadonlyArray<string>] =>
  ids === undefined ? ["true", []] : ["id IN (SELECT value FROM json_each(?))", [JSON.stringify(ids)]]
