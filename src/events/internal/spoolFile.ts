/**
 * The file of a spool: a SQLite database that the processes of a host share.
 *
 * All operations are synchronous calls of `node:sqlite`, so that no transaction is open across a yield. An event costs
 * one insert, without an index, a counter or a disk sync. SQLite's page limit bounds the bytes exactly across all
 * processes, at no cost.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite"
import * as zlib from "node:zlib"
import * as Result from "effect/Result"
import { databaseIdentity } from "../../internal/fileIdentity.ts"
import { primaryCode, SqliteCode } from "../../internal/sqliteError.ts"
import { transaction } from "../../internal/sqliteTransaction.ts"
import type { Failpoint } from "./failpoints.ts"
import * as LogTail from "./logTail.ts"
import type { SpoolFileSettings } from "./options.ts"
import { ForeignFile } from "./spoolFault.ts"

/** An event in the spool: id, order key, recording time and JSON. */
export interface Row {
  readonly id: string
  readonly session: string
  /** Milliseconds since 1970. */
  readonly recordedAt: number
  readonly payload: string
}

export interface SpooledRow extends Row {
  readonly sequence: number
  /** Failed attempts with an unknown reason. */
  readonly attempts: number
  /** Whether the row matches its checksum. */
  readonly intact: boolean
}

/** The kind of a dead letter: rejected by the database, damaged in the spool, or unreadable by the current schema. */
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

/** The result of a delivery, as the relay applies it to the spool. */
export interface Acknowledgement {
  readonly delivered: ReadonlyArray<number>
  readonly dead: ReadonlyArray<{ readonly sequence: number; readonly kind: DeadLetterKind; readonly reason: string }>
  /** Rows that stay, with one more attempt. */
  readonly failed: ReadonlyArray<number>
}

export interface SpoolSettings extends SpoolFileSettings {
  readonly recorder: string
}

export interface SpoolStats {
  readonly rows: number
  readonly dead: number
  readonly bytes: number
  /** The recording time of the oldest event, in milliseconds since 1970. */
  readonly oldest: number | undefined
  readonly delivered: number
  readonly dropped: number
  readonly rejected: number
  readonly damaged: number
}

/**
 * The log has transactions that SQLite does not read. Closing the database would delete them, unless the files are
 * renamed first.
 */
export class LostLog extends Error {
  readonly db: DatabaseSync
  constructor(db: DatabaseSync) {
    super("SQLite does not read all transactions of the log")
    this.db = db
  }
}

/** The limit that an append reached: the bound of rows or bytes, or the disk. */
export type SpoolLimit = "bound" | "disk"

const applicationId = 0x61746576
const schemaVersion = 1
export const pageBytes = 4_096

/**
 * Pages beyond the limit, reserved for operations that free space: moving a row to the dead letters needs pages first.
 */
const reservePages = 256

/** Pages that a row may need in addition to its own: a leaf, and inner pages if they split. */
const treePages = 4

/** Appended rows after which the rows are counted again. */
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

/** CRC-32 over the columns of a row. */
export const checksum = (row: Row): number => checksumOf(row.id, row.session, row.recordedAt, row.payload)

const prepareFile = (db: DatabaseSync, settings: SpoolSettings, epoch: string): void => {
  const { application_id: found } = db.prepare("PRAGMA application_id").get() as { application_id: number }
  if (found !== applicationId) {
    transaction(db, "BEGIN IMMEDIATE", () => {
      const { application_id: again } = db.prepare("PRAGMA application_id").get() as { application_id: number }
      if (again === applicationId) return
      if (db.prepare("SELECT 1 FROM sqlite_master LIMIT 1").get() !== undefined) {
        throw new ForeignFile("the file is a database but not a spool: choose another file")
      }
      db.exec(schema)
      db.prepare("INSERT INTO spool VALUES (1, ?, ?, '', 0, 0, 0, 0, 0, 0)").run(settings.recorder, epoch)
    })
  }
  const { user_version: version } = db.prepare("PRAGMA user_version").get() as { user_version: number }
  if (version !== schemaVersion)
    throw new ForeignFile("the spool was created by another version: empty it with that version")
  const { recorder } = db.prepare("SELECT recorder FROM spool").get() as { recorder: string }
  if (recorder !== settings.recorder) {
    throw new ForeignFile("the spool belongs to another recorder: use one file per recorder")
  }
}

export class SpoolFile {
  readonly epoch: string
  private readonly db: DatabaseSync
  private readonly settings: SpoolSettings
  private readonly identity: string | undefined
  private readonly failpoint: (failpoint: Failpoint) => void
  private readonly statements = new Map<string, StatementSync>()
  private readonly insert: StatementSync
  private readonly select: StatementSync
  private rowsUntilRecount = 0
  private limit: SpoolLimit = "bound"
  private written: Array<number> = []

  /** Opens or creates the file. Throws SQLite's errors and `ForeignFile`. */
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
      this.identity = databaseIdentity(settings.filename)
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

  /** Whether the path still names this file and its log; another process may have renamed them. */
  isCurrent(): boolean {
    return databaseIdentity(this.settings.filename) === this.identity
  }

  /** Verifies the B-trees, which reads the whole file. */
  isIntact(): boolean {
    return this.get<{ quick_check: string }>("PRAGMA quick_check(1)").quick_check === "ok"
  }

  /**
   * Detects lost transactions of the log before a write overwrites them. If other processes write, they have checked
   * it.
   */
  private detectLostLog(): void {
    const { filename } = this.settings
    // The first read recovers the log.
    this.get("PRAGMA application_id")
    if (LogTail.lostTransactions(filename) === 0) return
    const again = Result.try(() =>
      transaction(this.db, "BEGIN IMMEDIATE", () => LogTail.lostTransactions(filename) === 0)
    )
    if (Result.isSuccess(again) && !again.success) throw new LostLog(this.db)
  }

  close(): void {
    this.db.close()
  }

  /**
   * Appends as many rows as fit, in order and in one transaction, and returns their number. Rows are counted only now
   * and then, so each process may exceed the limit by 64 rows.
   */
  append(rows: ReadonlyArray<Row>): number {
    this.written = []
    return this.appendGroup(rows)
  }

  /** The sequence numbers of the last appended rows. */
  get sequences(): ReadonlyArray<number> {
    return this.written
  }

  /** The limit that the last append reached. */
  get reached(): SpoolLimit {
    return this.limit
  }

  private appendGroup(rows: ReadonlyArray<Row>): number {
    const before = this.written.length
    const count = Math.min(rows.length, this.availableRows(rows.length))
    if (count < rows.length) this.limit = "bound"
    if (count === 0) return 0
    this.failpoint("before append")
    try {
      if (count === 1) this.write(rows[0]!)
      else {
        this.transaction(() => {
          for (let index = 0; index < count; index++) this.write(rows[index]!)
          this.failpoint("inside append")
        })
      }
    } catch (error) {
      this.written.length = before
      if (primaryCode(error) !== SqliteCode.full) throw error
      return this.appendPartially(rows.slice(0, count))
    }
    this.rowsUntilRecount -= count
    this.failpoint("after append")
    return count
  }

  /** Appends as much as fits of a group that is too large. */
  private appendPartially(rows: ReadonlyArray<Row>): number {
    if (rows.length === 1) {
      this.limit = this.isAtBound(rows[0]!) ? "bound" : "disk"
      return 0
    }
    const half = Math.ceil(rows.length / 2)
    const first = this.appendGroup(rows.slice(0, half))
    if (first < half) return first
    // The first half is written in any case. The next append of the second half reports its failure.
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

  private availableRows(wanted: number): number {
    if (this.rowsUntilRecount >= wanted) return wanted
    const available = this.settings.maxRows - this.countRows()
    // Other processes append too, so only a part of the space is assumed.
    this.rowsUntilRecount = Math.max(0, Math.min(recountInterval, Math.floor(available / 2)))
    return Math.max(0, available)
  }

  /** Exact near the limit; otherwise the span of the sequence numbers suffices. */
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

  /** Reads rows after a sequence number, up to a number of rows and bytes, but at least one. */
  read(after: number, maxRows: number, maxBytes: number): ReadonlyArray<SpooledRow> {
    const rows: Array<SpooledRow> = []
    let bytes = 0
    for (const found of this.select.iterate(after, maxRows)) {
      // Arrays without copies, because reading is most of a relay's work.
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

  /** Locates an event by the sequence number under which it was written. A free number is reused for another row. */
  locate(id: string, sequence: number): "waiting" | "dead" | "gone" {
    const [row] = this.read(sequence - 1, 1, 0)
    // A damaged row with this number may be the event's own.
    if (row?.sequence === sequence && (row.id === id || !row.intact)) return "waiting"
    return this.prepare("SELECT 1 FROM dead WHERE id = ? LIMIT 1").get(id) === undefined ? "gone" : "dead"
  }

  /**
   * Acquires the lease, unless another token holds it. A lease that ends later than possible was made before the clock
   * was set back, and is void.
   */
  acquire(token: string, now: number, leaseMs: number): boolean {
    return (
      this.prepare(
        `UPDATE spool SET lease_token = :token, lease_until = :now + :leaseMs, lease_ms = :leaseMs
          WHERE lease_token = :token OR lease_until <= :now OR lease_until > :now + lease_ms`
      ).run({ token, now, leaseMs }).changes === 1
    )
  }

  /** Renews the lease; `false` if another token holds it. */
  renew(token: string, now: number, leaseMs: number): boolean {
    return (
      this.prepare("UPDATE spool SET lease_until = ? WHERE lease_token = ?").run(now + leaseMs, token).changes === 1
    )
  }

  release(token: string): void {
    this.prepare("UPDATE spool SET lease_token = '', lease_until = 0 WHERE lease_token = ?").run(token)
  }

  /** Applies the result of a delivery atomically; `false`, without a change, if another token holds the lease. */
  acknowledge(token: string, acknowledgement: Acknowledgement, now: number): boolean {
    const apply = () => this.transaction(() => this.acknowledgeRows(token, acknowledgement, now))
    // Deleting rows needs no new pages; moving them does.
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

  /** Usually a batch is one range without gaps. */
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

  /** Lists dead letters, oldest first. */
  listDead(limit: number): ReadonlyArray<DeadLetterRow> {
    return this.prepare(
      `SELECT id, session, recorded_at AS recordedAt, payload, kind, reason, died_at AS diedAt FROM dead
        ORDER BY sequence LIMIT ?`
    ).all(limit) as unknown as ReadonlyArray<DeadLetterRow>
  }

  /** Appends dead letters with these ids, or all, to the events again, except damaged ones. */
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

  /** Deletes dead letters with these ids, or all. */
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

  /** The used share of the limits of bytes and rows, from 0 to 1. */
  fill(): number {
    const { maxBytes, maxRows } = this.settings
    return Math.max((this.usedPages() * pageBytes) / maxBytes, this.span() / maxRows)
  }

  /**
   * Adds the rows rescued from a damaged file, and counts the damaged and the lost ones. A rescue that was killed after
   * this step is repeated: events that are here already are skipped.
   */
  adopt(events: ReadonlyArray<Row>, dead: ReadonlyArray<DeadLetterRow>, lost: number): void {
    this.withReserve(() =>
      this.transaction(() => {
        // Beyond the bound, because these events were acknowledged.
        this.db.exec("PRAGMA max_page_count = 1073741823")
        this.written = []
        const ids = this.prepare("SELECT id FROM event UNION SELECT id FROM dead WHERE kind <> 'damaged'").all()
        const known = new Set(ids.map((row) => row["id"]))
        for (const row of events) if (!known.has(row.id)) this.write(row)
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

  /** SQLite reports the same error for its page limit and for a full disk. */
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

  private transaction<A>(run: () => A): A {
    return transaction(this.db, "BEGIN IMMEDIATE", run)
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
