/**
 * The shared second level in a SQLite file.
 *
 * Every operation is one statement, and what belongs together is done by triggers: so an operation either happened or
 * did not, whatever instruction the process is killed at, and no transaction is ever held open across a yield.
 */
import * as fs from "node:fs"
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite"
import * as Clock from "effect/Clock"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as HostStart from "./hostStart.ts"
import * as LockRetry from "../../internal/lockRetry.ts"
import {
  CacheStoreError,
  type CacheStoreShape,
  type Found,
  type NewEntry,
  type Stats,
  type Wanted
} from "../CacheStore.ts"

/** The version of the tables, kept in the file's `user_version`. */
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
  // An intent that ends in any way but a known rollback may have been committed.
  `CREATE TRIGGER intent_ended AFTER DELETE ON intent WHEN OLD.rolled_back = 0 BEGIN ${bump} END`,
  `CREATE TRIGGER intent_rolled_back AFTER UPDATE OF rolled_back ON intent BEGIN
    DELETE FROM intent WHERE id = NEW.id AND dependency = NEW.dependency; END`
]

const among = "(SELECT value FROM json_each(?))"
const stampOf = `(SELECT epoch || ':' || max(floor,
  coalesce((SELECT max(version) FROM version WHERE dependency IN ${among}), 0)) FROM store)`
const writtenNow = `EXISTS (SELECT 1 FROM intent WHERE dependency IN ${among})`
const lapsedNow = `EXISTS (SELECT 1 FROM intent WHERE dependency IN ${among} AND expires_at <= ?)`

const selectStamp = `SELECT ${stampOf} AS stamp, ${writtenNow} AS written, ${lapsedNow} AS lapsed`
const selectEntry = `SELECT s.*, e.value, e.stamp AS entry_stamp, e.stored_at, e.fresh_until, e.expires_at
  FROM (${selectStamp}) s LEFT JOIN entry e ON e.key = ?`
const upsertEntry = `INSERT INTO entry (key, query, value, stamp, stored_at, fresh_until, expires_at, size)
  SELECT ?, ?, ?, ?, ?, ?, ?, ?
  WHERE ${stampOf} = ? AND NOT ${writtenNow} AND (SELECT bytes + ? <= ? AND entries < ? FROM store)
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

export interface Settings {
  readonly filename: string
  readonly busyTimeoutMs: number
  readonly maxBytes: number
  readonly maxEntries: number
  readonly maxEntryBytes: number
  readonly maxVersions: number
}

/** A connection with its prepared statements. SQLite answers on the spot, so nothing here waits. */
interface Connection {
  /** The first row. */
  readonly row: <Row>(sql: string, ...params: ReadonlyArray<SQLInputValue>) => Row | undefined
  readonly run: (sql: string, ...params: ReadonlyArray<SQLInputValue>) => void
  /** Several statements that see the same state. */
  readonly together: <A>(read: () => A) => A
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
    together: (read) => {
      database.exec("BEGIN")
      try {
        const found = read()
        database.exec("COMMIT")
        return found
      } catch (error) {
        if (database.isTransaction) database.exec("ROLLBACK")
        throw error
      }
    },
    close: () => database.close()
  }
}

const codeOf = ({ cause }: CacheStoreError): number => {
  const code = (cause as { readonly errcode?: unknown } | undefined)?.errcode
  return typeof code === "number" ? code : 0
}

/** SQLite's own codes, whose lowest byte is the kind. */
const busy = 5
const locked = 6
const damaged = 11
const noDatabase = 26
/** The file, or its log, is shorter than it says itself. */
const shortRead = 522

const isLocked = (error: CacheStoreError): boolean => [busy, locked].includes(codeOf(error) & 0xff)
const isDamaged = (error: CacheStoreError): boolean =>
  [damaged, noDatabase].includes(codeOf(error) & 0xff) || codeOf(error) === shortRead

/** Which file has a name now; `undefined` where none has, or it can't be seen. */
const inodeOf = (path: string): number | undefined =>
  Result.getOrUndefined(Result.try(() => fs.statSync(path, { throwIfNoEntry: false })?.ino))

/**
 * What the name stands for now, the log included: a connection goes on with a file that was taken away, and with a log
 * that was, and sees nothing of what others write. `undefined` where it can't be seen.
 */
const identityOf = (filename: string): string | undefined => {
  if (filename === ":memory:") return filename
  const inode = inodeOf(filename)
  return inode === undefined ? undefined : `${inode}/${inodeOf(`${filename}-wal`)}`
}

/** Renames the file and its log, so that nothing is lost that someone may want to look at. */
const setAside = (filename: string, now: number): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const suffix of ["-wal", "-shm", ""]) {
      const from = `${filename}${suffix}`
      if (fs.existsSync(from)) fs.renameSync(from, `${filename}.damaged-${now}-${process.pid}${suffix}`)
    }
  }).pipe(Effect.ignoreCause)

/** The largest write-ahead log that is kept between checkpoints, in bytes: 4 MiB. */
const journalSizeLimit = 4 * 1024 * 1024

/** How many expired entries go at a time: more would hold the thread for too long, and they are not read any more. */
const cleanedAtOnce = 1_000

const randomId = (): string => Buffer.from(SecureRandom.randomBytesUnsafe(12)).toString("base64url")

/** A file of an older version is set aside like a damaged one; a newer one is left to those who know it. */
const otherVersion = (found: number): Error =>
  Object.assign(
    new Error(`the tables are of version ${found}, this is version ${schemaVersion}: name another file, or upgrade`),
    { errcode: found < schemaVersion ? noDatabase : 0 }
  )

const versionOf = (connection: Connection): number =>
  connection.row<{ user_version: number }>("PRAGMA user_version")!.user_version

/** Makes the tables where there are none. */
const prepareTables = (connection: Connection): void => {
  const found = versionOf(connection)
  if (found === schemaVersion) return
  if (found !== 0) throw otherVersion(found)
  connection.run("BEGIN IMMEDIATE")
  try {
    if (versionOf(connection) === 0) {
      for (const statement of schema) connection.run(statement)
      connection.run("INSERT INTO store VALUES (1, ?, ?, 0, 0, 0, 0)", randomId(), HostStart.read())
      connection.run(`PRAGMA user_version = ${schemaVersion}`)
    }
    connection.run("COMMIT")
  } catch (error) {
    connection.run("ROLLBACK")
    throw error
  }
}

/** A power loss may take the last announcements with it, and the monotonic clock begins anew: nothing survives a start. */
const forgetOtherStart = (connection: Connection): void => {
  const { boot } = connection.row<{ boot: string }>("SELECT boot FROM store")!
  const current = HostStart.read()
  if (HostStart.isSame(boot, current)) return
  connection.run(
    "UPDATE store SET sequence = sequence + 1, floor = sequence + 1, boot = ? WHERE boot = ?",
    current,
    boot
  )
}

/** Makes the file where there is none, for its owner alone, and says which one it is. */
const touch = (filename: string): number => {
  const file = fs.openSync(filename, "a", 0o600)
  try {
    return fs.fstatSync(file).ino
  } finally {
    fs.closeSync(file)
  }
}

/** To be tried again, as a locked file is. */
const replaced = (): Error => Object.assign(new Error("the file was replaced while it was opened"), { errcode: busy })

/** Opens the file that has the name, and no other one that takes it meanwhile. What SQLite throws is thrown. */
const openFile = ({ filename }: Settings): Omit<Opened, "ordinal"> => {
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite")
  const inode = filename === ":memory:" ? undefined : touch(filename)
  const connection = connectionOf(new DatabaseSync(filename, { timeout: 0 }))
  try {
    // Switching needs the file to itself, and SQLite does not wait for that: see `open`.
    if (connection.row<{ journal_mode: string }>("PRAGMA journal_mode")?.journal_mode === "delete") {
      connection.row("PRAGMA journal_mode = WAL")
    }
    connection.row(`PRAGMA journal_size_limit = ${journalSizeLimit}`)
    // A commit survives a kill, not a power loss; nothing here survives a start of the machine anyway.
    connection.run("PRAGMA synchronous = OFF")
    prepareTables(connection)
    forgetOtherStart(connection)
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

/** Reads, and reads again where an announcement had outlived its writer. */
const reading = <Row extends StampRow>(connection: Connection, now: number, read: () => Row): Row => {
  const row = read()
  if (row.lapsed === 0) return row
  try {
    endLapsed(connection, now)
  } catch {
    // Another process has the file locked, and will do it; until then it counts as being written.
    return row
  }
  return read()
}

const readStamp = (connection: Connection, watched: ReadonlyArray<string>, now: number): string | undefined => {
  const keys = JSON.stringify(watched)
  const row = reading(connection, now, () => connection.row<StampRow>(selectStamp, keys, keys, keys, now)!)
  return row.written === 1 ? undefined : row.stamp
}

const readEntry = (connection: Connection, { key, watched }: Wanted, now: number): Found => {
  const keys = JSON.stringify(watched)
  return found(reading(connection, now, () => connection.row<EntryRow>(selectEntry, keys, keys, keys, now, key)!))
}

const found = (row: EntryRow): Found => ({
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
    cleanedAtOnce
  )
  connection.run("DELETE FROM claim WHERE expires_at <= ?", now)
  endLapsed(connection, now)
  for (let round = 0; round < 50; round++) {
    const { bytes, entries } = connection.row<{ bytes: number; entries: number }>("SELECT bytes, entries FROM store")!
    if (bytes <= Math.min(settings.maxBytes * 0.9, settings.maxBytes - room) && entries <= settings.maxEntries * 0.9) {
      break
    }
    // The oldest tenth: order of storing, so that a read never has to write.
    connection.run(
      "DELETE FROM entry WHERE key IN (SELECT key FROM entry ORDER BY stored_at LIMIT ?)",
      Math.max(1, Math.ceil(entries / 10))
    )
  }
  // Forgotten versions raise the floor that stands for them, which only ever makes entries invalid.
  connection.run(
    `UPDATE store SET floor = max(floor, coalesce(
      (SELECT version FROM version ORDER BY version DESC LIMIT 1 OFFSET ?), 0))`,
    settings.maxVersions
  )
  connection.run("DELETE FROM version WHERE version <= (SELECT floor FROM store)")
}

const attempt = <A>(operation: string, body: () => A): Effect.Effect<A, CacheStoreError> =>
  Effect.try({ try: body, catch: (cause) => new CacheStoreError({ operation, cause }) })

/** Tries again while another process has the lock. The thread is free meanwhile. */
const untilUnlocked =
  (limitMs: number) =>
  <A>(effect: Effect.Effect<A, CacheStoreError>): Effect.Effect<A, CacheStoreError> =>
    Effect.catchIf(effect, isLocked, () => LockRetry.retryUntil(effect, isLocked, LockRetry.now() + limitMs))

export const make = (settings: Settings): Effect.Effect<CacheStoreShape, never, Scope.Scope> =>
  Effect.gen(function* () {
    const opening = yield* Semaphore.make(1)
    const patiently = untilUnlocked(settings.busyTimeoutMs)
    let opened: Opened | undefined
    let closed = false
    let opens = 0
    let setsSinceCleaning = 0
    // SQLite tells of the writes of other connections only, and several caches may share this one.
    let writes = 0
    let seen = { version: 0, ordinal: 0, writes: 0, generation: 0 }

    const close = (): void => {
      const last = opened
      opened = undefined
      // A connection that can't be closed is of no more use than one that is.
      void Result.try(() => last?.close())
    }

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        closed = true
        close()
      })
    )

    /** Opens the file that has the name, and no other one that takes it meanwhile. */
    const openOnce: Effect.Effect<Opened, CacheStoreError> = attempt("open", () => {
      if (closed) throw new Error("the store is closed")
      return { ...openFile(settings), ordinal: ++opens }
    }).pipe(patiently)

    const open = Effect.gen(function* () {
      const before = inodeOf(settings.filename)
      opened = yield* openOnce.pipe(
        Effect.catchIf(isDamaged, () =>
          Effect.gen(function* () {
            // Only the file that was found damaged: another process may have made a new one since.
            if (inodeOf(settings.filename) === before)
              yield* setAside(settings.filename, yield* Clock.currentTimeMillis)
            return yield* openOnce
          })
        )
      )
      return opened
    })

    const current = (): Opened | undefined =>
      opened?.identity !== undefined && opened.identity === identityOf(settings.filename) ? opened : undefined

    /** The connection to the file that has the name now: it may have been set aside since it was opened. */
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

    const leaveDamaged = opening.withPermit(
      Effect.gen(function* () {
        const last = opened
        close()
        if (last?.inode !== undefined && last.inode === inodeOf(settings.filename)) {
          yield* setAside(settings.filename, yield* Clock.currentTimeMillis)
        }
      })
    )

    const using = <A>(operation: string, use: (connection: Opened) => A): Effect.Effect<A, CacheStoreError> =>
      patiently(Effect.flatMap(connect, (connection) => attempt(operation, () => use(connection)))).pipe(
        Effect.tapError((error) => (isDamaged(error) ? leaveDamaged : Effect.void))
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
          return requests.length > 1 ? connection.together(read) : read()
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
          // Announced again first: it may have lapsed, or the file may be another one by now.
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
            (SELECT count(*) FROM intent) AS intents FROM store`
        )!
      }))
    }
  })
