/**
 * The shared store in a SQLite file.
 *
 * Every operation is one statement, with triggers for its consequences. It is therefore atomic even if the process is
 * killed at any instruction, and no transaction is held open across a yield.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { databaseIdentity, inodeOf } from "../../internal/fileIdentity.ts"
import * as LockRetry from "../../internal/lockRetry.ts"
import { randomId } from "../../internal/randomId.ts"
import * as SqliteError from "../../internal/sqliteError.ts"
import { transaction } from "../../internal/sqliteTransaction.ts"
import {
  CacheStoreError,
  type CacheStoreShape,
  type EntryKey,
  type LookupResult,
  type NewEntry,
  type Stats,
  type StoreBounds
} from "./storeModel.ts"

/** How far two readings of the same start may differ, in milliseconds, if they come from the wall clock. */
const startTolerance = 60_000

const bootId = (): string => fs.readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()

/** Identifies the current start of the machine: the kernel's boot id, or the approximate time of the start. */
const hostStart = (): string =>
  Option.getOrElse(Result.getSuccess(Result.try(bootId)), () =>
    String(Math.round(performance.timeOrigin + performance.now() - os.uptime() * 1_000))
  )

const isSameStart = (one: string, other: string): boolean =>
  one === other || Math.abs(Number(one) - Number(other)) <= startTolerance

/** The version of the tables, stored in the file's `user_version`. */
const schemaVersion = 2

const bump = `UPDATE store SET sequence = sequence + 1;
  INSERT INTO version (dependency, version) VALUES (OLD.dependency, (SELECT sequence FROM store))
    ON CONFLICT (dependency) DO UPDATE SET version = excluded.version;`

const schema = [
  `CREATE TABLE store (id INTEGER PRIMARY KEY CHECK (id = 1), epoch TEXT NOT NULL, boot TEXT NOT NULL,
    sequence INTEGER NOT NULL, floor INTEGER NOT NULL, bytes INTEGER NOT NULL, entries INTEGER NOT NULL)`,
  `CREATE TABLE entry (key TEXT PRIMARY KEY, query TEXT NOT NULL, value TEXT NOT NULL, stamp TEXT NOT NULL,
    stored_at INTEGER NOT NULL, fresh_until INTEGER NOT NULL, expires_at INTEGER NOT NULL, size INTEGER NOT NULL)`,
  `CREATE INDEX entry_by_age ON entry (stored_at)`,
  `CREATE INDEX entry_by_expiry ON entry (expires_at)`,
  `CREATE TABLE version (dependency TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID`,
  `CREATE INDEX version_by_age ON version (version)`,
  `CREATE TABLE intent (id TEXT NOT NULL, dependency TEXT NOT NULL, expires_at INTEGER NOT NULL,
    rolled_back INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (id, dependency)) WITHOUT ROWID`,
  `CREATE INDEX intent_by_dependency ON intent (dependency)`,
  `CREATE TABLE claim (key TEXT PRIMARY KEY, owner TEXT NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID`,
  `CREATE TRIGGER entry_added AFTER INSERT ON entry BEGIN
    UPDATE store SET bytes = bytes + NEW.size, entries = entries + 1;
    DELETE FROM claim WHERE key = NEW.key; END`,
  `CREATE TRIGGER entry_changed AFTER UPDATE OF size ON entry BEGIN
    UPDATE store SET bytes = bytes + NEW.size - OLD.size;
    DELETE FROM claim WHERE key = NEW.key; END`,
  `CREATE TRIGGER entry_removed AFTER DELETE ON entry BEGIN
    UPDATE store SET bytes = bytes - OLD.size, entries = entries - 1; END`,
  // An announcement that ends without a known rollback may have been committed.
  `CREATE TRIGGER intent_ended AFTER DELETE ON intent WHEN OLD.rolled_back = 0 BEGIN ${bump} END`,
  `CREATE TRIGGER intent_rolled_back AFTER UPDATE OF rolled_back ON intent BEGIN
    DELETE FROM intent WHERE id = NEW.id AND dependency = NEW.dependency; END`
]

const among = "(SELECT value FROM json_each(?))"
const stampOf = `(SELECT epoch || ':' || max(floor,
  coalesce((SELECT max(version) FROM version WHERE dependency IN ${among}), 0)) FROM store)`
const isAnnounced = `EXISTS (SELECT 1 FROM intent WHERE dependency IN ${among})`
const hasLapsed = `EXISTS (SELECT 1 FROM intent WHERE dependency IN ${among} AND expires_at <= ?)`

const selectStamp = `SELECT ${stampOf} AS stamp, ${isAnnounced} AS written, ${hasLapsed} AS lapsed`
const selectEntry = `SELECT s.*, e.value, e.stamp AS entry_stamp, e.stored_at, e.fresh_until, e.expires_at
  FROM (${selectStamp}) s LEFT JOIN entry e ON e.key = ?`
const upsertEntry = `INSERT INTO entry (key, query, value, stamp, stored_at, fresh_until, expires_at, size)
  SELECT ?, ?, ?, ?, ?, ?, ?, ?
  WHERE ${stampOf} = ? AND NOT ${isAnnounced} AND (SELECT bytes + ? <= ? AND entries < ? FROM store)
  ON CONFLICT (key) DO UPDATE SET query = excluded.query, value = excluded.value, stamp = excluded.stamp,
    stored_at = excluded.stored_at, fresh_until = excluded.fresh_until, expires_at = excluded.expires_at,
    size = excluded.size
  RETURNING 1 AS stored`
const insertIntents = `INSERT INTO intent (id, dependency, expires_at) SELECT ?, value, ? FROM json_each(?)
  WHERE true ON CONFLICT (id, dependency) DO UPDATE SET expires_at = excluded.expires_at`
const insertClaim = `INSERT INTO claim (key, owner, expires_at) VALUES (?, ?, ?)
  ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, expires_at = excluded.expires_at
  WHERE expires_at <= ? OR owner = excluded.owner
  RETURNING 1 AS claimed`

interface StampRow {
  readonly stamp: string
  readonly written: number
  readonly lapsed: number
}

interface EntryRow extends StampRow {
  readonly value: string | null
  readonly entry_stamp: string
  readonly stored_at: number
  readonly fresh_until: number
  readonly expires_at: number
}

export interface Settings extends StoreBounds {
  readonly filename: string
  readonly busyTimeoutMs: number
}

/** A connection with its prepared statements. All calls are synchronous. */
interface Connection {
  readonly row: <Row>(sql: string, ...params: ReadonlyArray<SQLInputValue>) => Row | undefined
  readonly run: (sql: string, ...params: ReadonlyArray<SQLInputValue>) => void
  readonly transaction: <A>(begin: "BEGIN" | "BEGIN IMMEDIATE", run: () => A) => A
  readonly close: () => void
}

interface Opened extends Connection {
  readonly inode: number | undefined
  readonly identity: string | undefined
  readonly ordinal: number
}

const connectionOf = (database: DatabaseSync): Connection => {
  const prepared = new Map<string, StatementSync>()
  const statement = (sql: string): StatementSync => {
    let found = prepared.get(sql)
    if (found === undefined) prepared.set(sql, (found = database.prepare(sql)))
    return found
  }
  return {
    row: <Row>(sql: string, ...params: ReadonlyArray<SQLInputValue>) =>
      statement(sql).get(...params) as unknown as Row | undefined,
    run: (sql, ...params) => void statement(sql).run(...params),
    transaction: (begin, run) => transaction(database, begin, run),
    close: () => database.close()
  }
}

const isLocked = ({ cause }: CacheStoreError): boolean => SqliteError.isLocked(cause)

const isDamaged = ({ cause }: CacheStoreError): boolean =>
  SqliteError.isDamaged(cause) || SqliteError.extendedCode(cause) === SqliteError.SqliteExtendedCode.ioShortRead

/** `undefined` if the file is inaccessible. */
const identityOf = (filename: string): string | undefined =>
  filename === ":memory:" ? filename : databaseIdentity(filename)

/** Renames the file and its log, for later inspection. */
const quarantine = (filename: string, now: number): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const suffix of ["-wal", "-shm", ""]) {
      const from = `${filename}${suffix}`
      if (fs.existsSync(from)) fs.renameSync(from, `${filename}.damaged-${now}-${process.pid}${suffix}`)
    }
  }).pipe(Effect.ignoreCause)

/** The maximum size of the write-ahead log between checkpoints, in bytes: 4 MiB. */
const journalSizeLimit = 4 * 1024 * 1024

/** The expired entries removed per run, which bounds the time on the thread. */
const maxCleaned = 1_000

/** A file of an older version is renamed like a damaged one; a newer one stays unchanged. */
const otherVersion = (found: number): Error =>
  Object.assign(
    new Error(
      `the tables have version ${found}, this release requires version ${schemaVersion}: use another file, or upgrade`
    ),
    { errcode: found < schemaVersion ? SqliteError.SqliteCode.notADatabase : 0 }
  )

const versionOf = (connection: Connection): number =>
  connection.row<{ user_version: number }>("PRAGMA user_version")!.user_version

/** Creates the tables if they do not exist. */
const prepareTables = (connection: Connection): void => {
  const found = versionOf(connection)
  if (found === schemaVersion) return
  if (found !== 0) throw otherVersion(found)
  connection.transaction("BEGIN IMMEDIATE", () => {
    if (versionOf(connection) !== 0) return
    for (const statement of schema) connection.run(statement)
    connection.run("INSERT INTO store VALUES (1, ?, ?, 0, 0, 0, 0)", randomId(), hostStart())
    connection.run(`PRAGMA user_version = ${schemaVersion}`)
  })
}

/** A power loss may lose the last announcements, and the monotonic clock restarts: entries do not survive a start. */
const invalidateOtherStart = (connection: Connection): void => {
  const { boot } = connection.row<{ boot: string }>("SELECT boot FROM store")!
  const current = hostStart()
  if (isSameStart(boot, current)) return
  connection.run(
    "UPDATE store SET sequence = sequence + 1, floor = sequence + 1, boot = ? WHERE boot = ?",
    current,
    boot
  )
}

/** Creates the file if it does not exist, accessible to its owner only, and returns its inode. */
const touch = (filename: string): number => {
  const file = fs.openSync(filename, "a", 0o600)
  try {
    return fs.fstatSync(file).ino
  } finally {
    fs.closeSync(file)
  }
}

/** Retried like a lock. */
const replaced = (): Error =>
  Object.assign(new Error("the file was replaced while it was opened"), { errcode: SqliteError.SqliteCode.busy })

/** Opens the file, and no other one that replaces it meanwhile. Throws the errors of SQLite. */
const openFile = ({ filename }: Settings): Omit<Opened, "ordinal"> => {
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite")
  const inode = filename === ":memory:" ? undefined : touch(filename)
  const connection = connectionOf(new DatabaseSync(filename, { timeout: 0 }))
  try {
    // Switching needs exclusive access, for which SQLite does not wait: see `openOnce`.
    if (connection.row<{ journal_mode: string }>("PRAGMA journal_mode")?.journal_mode === "delete") {
      connection.row("PRAGMA journal_mode = WAL")
    }
    connection.row(`PRAGMA journal_size_limit = ${journalSizeLimit}`)
    // A commit survives a kill but not a power loss; entries do not survive a start of the machine anyway.
    connection.run("PRAGMA synchronous = OFF")
    prepareTables(connection)
    invalidateOtherStart(connection)
    if (inode !== undefined && inode !== inodeOf(filename)) throw replaced()
    return { ...connection, inode, identity: identityOf(filename) }
  } catch (error) {
    connection.close()
    throw error
  }
}

const sizeOf = (item: NewEntry): number => Buffer.byteLength(item.value) + item.key.length + item.query.length

const endLapsed = (connection: Connection, now: number): void =>
  connection.run("DELETE FROM intent WHERE expires_at <= ?", now)

/** Reads, and reads again after ending lapsed announcements. */
const reading = <Row extends StampRow>(connection: Connection, now: number, read: () => Row): Row => {
  const row = read()
  if (row.lapsed === 0) return row
  try {
    endLapsed(connection, now)
  } catch {
    // Another process has the lock and will end it; until then the announcement is in force.
    return row
  }
  return read()
}

const readStamp = (connection: Connection, watched: ReadonlyArray<string>, now: number): string | undefined => {
  const keys = JSON.stringify(watched)
  const row = reading(connection, now, () => connection.row<StampRow>(selectStamp, keys, keys, keys, now)!)
  return row.written === 1 ? undefined : row.stamp
}

const readEntry = (connection: Connection, { key, watched }: EntryKey, now: number): LookupResult => {
  const keys = JSON.stringify(watched)
  return found(reading(connection, now, () => connection.row<EntryRow>(selectEntry, keys, keys, keys, now, key)!))
}

const found = (row: EntryRow): LookupResult => ({
  stamp: row.written === 1 ? undefined : row.stamp,
  entry:
    row.value === null
      ? undefined
      : {
          value: row.value,
          stamp: row.entry_stamp,
          storedAt: row.stored_at,
          freshUntil: row.fresh_until,
          expiresAt: row.expires_at
        }
})

const insert = (connection: Connection, settings: Settings, item: NewEntry, size: number): boolean => {
  const watched = JSON.stringify(item.watched)
  const stored = connection.row(
    upsertEntry,
    item.key,
    item.query,
    item.value,
    item.stamp,
    item.storedAt,
    item.freshUntil,
    item.expiresAt,
    size,
    watched,
    item.stamp,
    watched,
    size,
    settings.maxBytes,
    settings.maxEntries
  )
  return stored !== undefined
}

const clean = (connection: Connection, settings: Settings, now: number, room: number): void => {
  connection.run(
    "DELETE FROM entry WHERE key IN (SELECT key FROM entry WHERE expires_at <= ? ORDER BY expires_at LIMIT ?)",
    now,
    maxCleaned
  )
  connection.run("DELETE FROM claim WHERE expires_at <= ?", now)
  endLapsed(connection, now)
  for (let round = 0; round < 50; round++) {
    const { bytes, entries } = connection.row<{ bytes: number; entries: number }>("SELECT bytes, entries FROM store")!
    if (bytes <= Math.min(settings.maxBytes * 0.9, settings.maxBytes - room) && entries <= settings.maxEntries * 0.9) {
      break
    }
    // The oldest tenth in order of storing, so that reads do not write.
    connection.run(
      "DELETE FROM entry WHERE key IN (SELECT key FROM entry ORDER BY stored_at LIMIT ?)",
      Math.max(1, Math.ceil(entries / 10))
    )
  }
  // Removed versions raise the floor, which only invalidates entries.
  connection.run(
    `UPDATE store SET floor = max(floor, coalesce(
      (SELECT version FROM version ORDER BY version DESC LIMIT 1 OFFSET ?), 0))`,
    settings.maxVersions
  )
  connection.run("DELETE FROM version WHERE version <= (SELECT floor FROM store)")
}

const attempt = <A>(operation: string, body: () => A): Effect.Effect<A, CacheStoreError> =>
  Effect.try({ try: body, catch: (cause) => new CacheStoreError({ operation, cause }) })

/** Retries while another process has the lock, without blocking the thread. */
const untilUnlocked =
  (limitMs: number) =>
  <A>(effect: Effect.Effect<A, CacheStoreError>): Effect.Effect<A, CacheStoreError> =>
    Effect.catchIf(effect, isLocked, () => LockRetry.retryUntil(effect, isLocked, LockRetry.now() + limitMs))

export const make = (settings: Settings): Effect.Effect<CacheStoreShape, never, Scope.Scope> =>
  Effect.gen(function* () {
    const opening = yield* Semaphore.make(1)
    const withRetry = untilUnlocked(settings.busyTimeoutMs)
    let opened: Opened | undefined
    let closed = false
    let opens = 0
    let setsSinceCleaning = 0
    // `data_version` covers other connections only, and several caches may share this one.
    let writes = 0
    let seen = { version: 0, ordinal: 0, writes: 0, generation: 0 }

    const close = (): void => {
      const last = opened
      opened = undefined
      // A connection that can't be closed is dropped like a closed one.
      void Result.try(() => last?.close())
    }

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        closed = true
        close()
      })
    )

    const openOnce: Effect.Effect<Opened, CacheStoreError> = attempt("open", () => {
      if (closed) throw new Error("the store is closed")
      return { ...openFile(settings), ordinal: ++opens }
    }).pipe(withRetry)

    const open = Effect.gen(function* () {
      const before = inodeOf(settings.filename)
      opened = yield* openOnce.pipe(
        Effect.catchIf(isDamaged, () =>
          Effect.gen(function* () {
            // Only the damaged file: another process may have created a new one since.
            if (inodeOf(settings.filename) === before)
              yield* quarantine(settings.filename, yield* Clock.currentTimeMillis)
            return yield* openOnce
          })
        )
      )
      return opened
    })

    const current = (): Opened | undefined =>
      opened?.identity !== undefined && opened.identity === identityOf(settings.filename) ? opened : undefined

    /** The connection to the current file, which may have been renamed since it was opened. */
    const connect: Effect.Effect<Opened, CacheStoreError> = Effect.suspend(() => {
      const found = current()
      if (found !== undefined) return Effect.succeed(found)
      return opening.withPermit(
        Effect.suspend(() => {
          const again = current()
          if (again !== undefined) return Effect.succeed(again)
          close()
          return open
        })
      )
    })

    const quarantineDamaged = opening.withPermit(
      Effect.gen(function* () {
        const last = opened
        close()
        if (last?.inode !== undefined && last.inode === inodeOf(settings.filename)) {
          yield* quarantine(settings.filename, yield* Clock.currentTimeMillis)
        }
      })
    )

    const using = <A>(operation: string, use: (connection: Opened) => A): Effect.Effect<A, CacheStoreError> =>
      withRetry(Effect.flatMap(connect, (connection) => attempt(operation, () => use(connection)))).pipe(
        Effect.tapError((error) => (isDamaged(error) ? quarantineDamaged : Effect.void))
      )

    const writing: typeof using = (operation, use) =>
      using(operation, (connection) => {
        writes++
        return use(connection)
      })

    return {
      shared: true,
      clock: "monotonic",
      generation: () => {
        const connection = current()
        if (connection === undefined) return undefined
        const version = Result.try(() => connection.row<{ data_version: number }>("PRAGMA data_version")!.data_version)
        if (Result.isFailure(version)) return undefined
        if (version.success !== seen.version || connection.ordinal !== seen.ordinal || writes !== seen.writes) {
          seen = { version: version.success, ordinal: connection.ordinal, writes, generation: seen.generation + 1 }
        }
        return seen.generation
      },
      stamp: (watched, now) => using("stamp", (connection) => readStamp(connection, watched, now)),
      get: (key, watched, now) => using("get", (connection) => readEntry(connection, { key, watched }, now)),
      getMany: (requests, now) =>
        using("getMany", (connection) => {
          const read = () => requests.map((request) => readEntry(connection, request, now))
          return requests.length > 1 ? connection.transaction("BEGIN", read) : read()
        }),
      set: (item) =>
        using("set", (connection) => {
          const size = sizeOf(item)
          if (size > settings.maxEntryBytes || size > settings.maxBytes) return false
          if (++setsSinceCleaning >= 256) {
            setsSinceCleaning = 0
            clean(connection, settings, item.storedAt, 0)
          }
          if (insert(connection, settings, item, size)) return true
          const full = connection.row(
            "SELECT 1 FROM store WHERE bytes + ? > ? OR entries >= ?",
            size,
            settings.maxBytes,
            settings.maxEntries
          )
          if (full === undefined) return false
          clean(connection, settings, item.storedAt, size)
          return insert(connection, settings, item, size)
        }),
      expire: (key, now) =>
        using("expire", (connection) =>
          connection.run("UPDATE entry SET fresh_until = ? WHERE key = ? AND fresh_until > ?", now, key, now)
        ),
      claim: (key, owner, now, until) =>
        using("claim", (connection) => connection.row(insertClaim, key, owner, until, now) !== undefined),
      release: (key, owner) =>
        using("release", (connection) => connection.run("DELETE FROM claim WHERE key = ? AND owner = ?", key, owner)),
      announce: (id, changed, until) =>
        writing("announce", (connection) => connection.run(insertIntents, id, until, JSON.stringify(changed))),
      isAnnounced: (id) =>
        using(
          "isAnnounced",
          (connection) => connection.row("SELECT 1 FROM intent WHERE id = ? LIMIT 1", id) !== undefined
        ),
      resolve: (id, changed, outcome, until) =>
        writing("resolve", (connection) => {
          if (outcome === "rolledBack") return connection.run("UPDATE intent SET rolled_back = 1 WHERE id = ?", id)
          // Announced again first: the announcement may have lapsed, or the file may have been replaced.
          connection.run(insertIntents, id, until, JSON.stringify(changed))
          connection.run("DELETE FROM intent WHERE id = ?", id)
        }),
      clear: writing("clear", (connection) => {
        connection.run("UPDATE store SET sequence = sequence + 1, floor = sequence + 1")
        connection.run("DELETE FROM entry")
      }),
      clean: (now) => using("clean", (connection) => clean(connection, settings, now, 0)),
      stats: using("stats", (connection) => ({
        ...connection.row<Stats>(
          `SELECT entries, bytes, (SELECT count(*) FROM version) AS versions,
            (SELECT count(*) FROM intent) AS announcements FROM store`
        )!
      }))
    }
  })
