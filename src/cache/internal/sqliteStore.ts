/**
 * The shared second level in a SQLite file.
 *
 * Every operation is one statement, and what belongs together is done by triggers: so an operation either happened or
 * did not, whatever instruction the process is killed at, and no transaction is ever held open across a yield.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as Clock from "effect/Clock"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type { Connection } from "effect/sql/SqlConnection"
import { SqlError } from "effect/sql/SqlError"
import * as Sqlite from "../../sql/Sqlite.ts"
import { CacheStoreError, type CacheStoreShape, type Found, type NewEntry, type Stats } from "../CacheStore.ts"

/** The version of the tables, kept in the file's `user_version`. */
const schemaVersion = 1

const bump = `UPDATE store SET sequence = sequence + 1;
  INSERT INTO version (dependency, version) VALUES (OLD.dependency, (SELECT sequence FROM store))
    ON CONFLICT (dependency) DO UPDATE SET version = excluded.version;`

const schema = [
  `CREATE TABLE store (id INTEGER PRIMARY KEY CHECK (id = 1), epoch TEXT NOT NULL, boot INTEGER NOT NULL,
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

interface Opened {
  readonly connection: Connection
  readonly scope: Scope.Closeable
  readonly inode: number | undefined
  readonly ordinal: number
}

/** SQLite's own codes for a damaged file and for a file that is no database. */
const damagedCodes = new Set([11, 26])

const isDamaged = (error: unknown): boolean => {
  const cause = error instanceof SqlError ? (error.reason.cause as { errcode?: unknown } | undefined) : undefined
  return typeof cause?.errcode === "number" && damagedCodes.has(cause.errcode & 0xff)
}

/** What the name stands for now; `-1` where that can't be seen, which no file has. */
const inodeOf = (filename: string): number | undefined => {
  if (filename === ":memory:") return undefined
  const stats = Result.try(() => fs.statSync(filename, { throwIfNoEntry: false }))
  return Result.isSuccess(stats) ? stats.success?.ino : -1
}

/** Renames the file and its log, so that nothing is lost that someone may want to look at. */
const setAside = (filename: string, now: number): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const suffix of ["-wal", "-shm", ""]) {
      const from = `${filename}${suffix}`
      if (fs.existsSync(from)) fs.renameSync(from, `${filename}.damaged-${now}${suffix}`)
    }
  }).pipe(Effect.ignoreCause)

/** When the machine started. A power loss may take the last announcements with it, so nothing survives a start. */
const bootTime = (now: number): number => now - Math.round(os.uptime() * 1_000)

/** How far two readings of the same start may be apart, in milliseconds. */
const bootTolerance = 60_000

const randomId = (): string => Buffer.from(SecureRandom.randomBytesUnsafe(12)).toString("base64url")

const prepare = (sql: Effect.Success<ReturnType<typeof Sqlite.make>>, now: number): Effect.Effect<void, SqlError> =>
  Effect.gen(function* () {
    const version = yield* sql.unsafe<{ user_version: number }>("PRAGMA user_version")
    if (version[0]?.user_version === schemaVersion) return
    yield* sql.withTransaction(
      Effect.gen(function* () {
        const again = yield* sql.unsafe<{ user_version: number }>("PRAGMA user_version")
        if (again[0]?.user_version === schemaVersion) return
        for (const statement of schema) yield* sql.unsafe(statement)
        yield* sql.unsafe("INSERT INTO store VALUES (1, ?, ?, 0, 0, 0, 0)", [randomId(), bootTime(now)])
        yield* sql.unsafe(`PRAGMA user_version = ${schemaVersion}`)
      })
    )
  })

const forgetOtherBoot = (connection: Connection, now: number): Effect.Effect<void, SqlError> =>
  Effect.asVoid(
    connection.execute(
      `UPDATE store SET sequence = sequence + 1, floor = sequence + 1, boot = ? WHERE abs(boot - ?) > ?`,
      [bootTime(now), bootTime(now), bootTolerance],
      undefined
    )
  )

const sizeOf = (item: NewEntry): number => Buffer.byteLength(item.value) + item.key.length + item.query.length

const endLapsed = (connection: Connection, now: number) =>
  connection.execute("DELETE FROM intent WHERE expires_at <= ?", [now], undefined)

/** Reads, and reads again where an announcement had outlived its writer. */
const reading = <Row extends StampRow>(
  connection: Connection,
  now: number,
  read: Effect.Effect<ReadonlyArray<Row>, SqlError>
): Effect.Effect<ReadonlyArray<Row>, SqlError> =>
  Effect.flatMap(read, (rows) =>
    rows.some((row) => row.lapsed === 1) ? Effect.andThen(endLapsed(connection, now), read) : Effect.succeed(rows)
  )

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

const store = (connection: Connection, settings: Settings, item: NewEntry) => {
  const watched = JSON.stringify(item.watched)
  const size = sizeOf(item)
  return connection
    .execute(
      upsertEntry,
      [
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
      ],
      undefined
    )
    .pipe(Effect.map((rows) => rows.length > 0))
}

export const make = (settings: Settings): Effect.Effect<CacheStoreShape, never, Scope.Scope> =>
  Effect.gen(function* () {
    const layerScope = yield* Effect.scope
    const opening = yield* Semaphore.make(1)
    let opened: Opened | undefined
    let opens = 0
    let setsSinceCleaning = 0
    // SQLite tells of the writes of other connections only, and several caches may share this one.
    let writes = 0
    let seen = { version: 0, ordinal: 0, writes: 0, generation: 0 }

    const openOnce = (now: number): Effect.Effect<Opened, SqlError> =>
      Effect.gen(function* () {
        const scope = yield* Scope.fork(layerScope)
        return yield* Effect.gen(function* () {
          const sql = yield* Sqlite.make({ filename: settings.filename, busyTimeout: settings.busyTimeoutMs })
          yield* prepare(sql, now)
          // The store is the only user of this client: it keeps its connection and spares a lookup an operation.
          const connection = yield* sql.reserve
          const boot = yield* connection.execute("SELECT boot FROM store", [], undefined)
          if (Math.abs((boot[0] as { boot: number }).boot - bootTime(now)) > bootTolerance) {
            yield* forgetOtherBoot(connection, now)
          }
          return { connection, scope, inode: inodeOf(settings.filename), ordinal: ++opens }
        }).pipe(
          Effect.provide(Reactivity.layer),
          Scope.provide(scope),
          Effect.onExit((exit) => (Exit.isFailure(exit) ? Scope.close(scope, Exit.void) : Effect.void))
        )
      })

    const open = Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const before = inodeOf(settings.filename)
      const found = yield* openOnce(now).pipe(
        Effect.catchIf(isDamaged, () =>
          Effect.gen(function* () {
            // Only the file that was found damaged: another process may have made a new one since.
            if (inodeOf(settings.filename) === before) yield* setAside(settings.filename, now)
            return yield* openOnce(now)
          })
        )
      )
      opened = found
      return found
    })

    const close = Effect.suspend(() => {
      const last = opened
      opened = undefined
      return last === undefined ? Effect.void : Scope.close(last.scope, Exit.void)
    })

    /** The connection to the file that has the name now: it may have been set aside since it was opened. */
    const connect: Effect.Effect<Opened, SqlError> = Effect.suspend(() =>
      opened !== undefined && opened.inode === inodeOf(settings.filename)
        ? Effect.succeed(opened)
        : opening.withPermit(
            Effect.suspend(() =>
              opened !== undefined && opened.inode === inodeOf(settings.filename)
                ? Effect.succeed(opened)
                : Effect.andThen(close, open)
            )
          )
    )

    const using = <A>(
      operation: string,
      use: (connection: Connection, opened: Opened) => Effect.Effect<A, SqlError>
    ): Effect.Effect<A, CacheStoreError> =>
      Effect.flatMap(connect, (opened) => use(opened.connection, opened)).pipe(
        Effect.tapError((error) =>
          isDamaged(error)
            ? opening.withPermit(
                Effect.gen(function* () {
                  const damaged = opened
                  yield* close
                  if (damaged?.inode !== undefined && damaged.inode === inodeOf(settings.filename)) {
                    yield* setAside(settings.filename, yield* Clock.currentTimeMillis)
                  }
                })
              )
            : Effect.void
        ),
        Effect.mapError((cause) => new CacheStoreError({ operation, cause })),
        Effect.catchDefect((cause) => Effect.fail(new CacheStoreError({ operation, cause })))
      )

    const writing: typeof using = (operation, use) =>
      using(operation, (connection, opened) => {
        writes++
        return use(connection, opened)
      })

    const clean = (connection: Connection, now: number, room: number) =>
      Effect.gen(function* () {
        setsSinceCleaning = 0
        yield* connection.execute("DELETE FROM entry WHERE expires_at <= ?", [now], undefined)
        yield* connection.execute("DELETE FROM claim WHERE expires_at <= ?", [now], undefined)
        yield* endLapsed(connection, now)
        for (let round = 0; round < 50; round++) {
          const rows = yield* connection.execute("SELECT bytes, entries FROM store", [], undefined)
          const { bytes, entries } = rows[0] as { bytes: number; entries: number }
          if (
            bytes <= Math.min(settings.maxBytes * 0.9, settings.maxBytes - room) &&
            entries <= settings.maxEntries * 0.9
          )
            break
          // The oldest tenth: order of storing, so that a read never has to write.
          yield* connection.execute(
            "DELETE FROM entry WHERE key IN (SELECT key FROM entry ORDER BY stored_at LIMIT ?)",
            [Math.max(1, Math.ceil(entries / 10))],
            undefined
          )
        }
        // Forgotten versions raise the floor that stands for them, which only ever makes entries invalid.
        yield* connection.execute(
          `UPDATE store SET floor = max(floor, coalesce(
            (SELECT version FROM version ORDER BY version DESC LIMIT 1 OFFSET ?), 0))`,
          [settings.maxVersions],
          undefined
        )
        yield* connection.execute("DELETE FROM version WHERE version <= (SELECT floor FROM store)", [], undefined)
      })

    return {
      shared: true,
      generation: () => {
        if (opened === undefined || opened.inode !== inodeOf(settings.filename)) return undefined
        const rows = Effect.runSyncExit(opened.connection.execute("PRAGMA data_version", [], undefined))
        if (Exit.isFailure(rows)) return undefined
        const { data_version } = rows.value[0] as { data_version: number }
        if (data_version !== seen.version || opened.ordinal !== seen.ordinal || writes !== seen.writes) {
          seen = { version: data_version, ordinal: opened.ordinal, writes, generation: seen.generation + 1 }
        }
        return seen.generation
      },
      stamp: (watched, now) =>
        using("stamp", (connection) => {
          const keys = JSON.stringify(watched)
          const read = connection.execute(selectStamp, [keys, keys, keys, now], undefined)
          return Effect.map(reading<StampRow>(connection, now, read), ([row]) =>
            row === undefined || row.written === 1 ? undefined : row.stamp
          )
        }),
      get: (key, watched, now) =>
        using("get", (connection) => {
          const keys = JSON.stringify(watched)
          const read = connection.execute(selectEntry, [keys, keys, keys, now, key], undefined)
          return Effect.map(reading<EntryRow>(connection, now, read), (rows) => found(rows[0]!))
        }),
      getMany: (requests, now) =>
        using("getMany", (connection) => {
          if (requests.length === 0) return Effect.succeed([])
          const params = requests.flatMap(({ key, watched }) => {
            const keys = JSON.stringify(watched)
            return [keys, keys, keys, now, key]
          })
          const one = `SELECT * FROM (${selectEntry})`
          const read = connection.execute(
            Array.from({ length: requests.length }, () => one).join(" UNION ALL "),
            params,
            undefined
          )
          return Effect.map(reading<EntryRow>(connection, now, read), (rows) => rows.map(found))
        }),
      set: (item) =>
        using("set", (connection) =>
          Effect.gen(function* () {
            if (Buffer.byteLength(item.value) > settings.maxEntryBytes) return false
            const size = sizeOf(item)
            if (size > settings.maxBytes) return false
            if (++setsSinceCleaning >= 256) yield* clean(connection, item.storedAt, 0)
            if (yield* store(connection, settings, item)) return true
            const full = yield* connection.execute(
              "SELECT 1 FROM store WHERE bytes + ? > ? OR entries >= ?",
              [size, settings.maxBytes, settings.maxEntries],
              undefined
            )
            if (full.length === 0) return false
            yield* clean(connection, item.storedAt, size)
            return yield* store(connection, settings, item)
          })
        ),
      expire: (key, now) =>
        using("expire", (connection) =>
          Effect.asVoid(
            connection.execute(
              "UPDATE entry SET fresh_until = ? WHERE key = ? AND fresh_until > ?",
              [now, key, now],
              undefined
            )
          )
        ),
      claim: (key, owner, now, until) =>
        using("claim", (connection) =>
          Effect.map(connection.execute(insertClaim, [key, owner, until, now], undefined), (rows) => rows.length > 0)
        ),
      release: (key, owner) =>
        using("release", (connection) =>
          Effect.asVoid(connection.execute("DELETE FROM claim WHERE key = ? AND owner = ?", [key, owner], undefined))
        ),
      announce: (id, changed, until) =>
        writing("announce", (connection) =>
          Effect.asVoid(connection.execute(insertIntents, [id, until, JSON.stringify(changed)], undefined))
        ),
      resolve: (id, changed, outcome, until) =>
        writing("resolve", (connection) =>
          outcome === "rolledBack"
            ? Effect.asVoid(connection.execute("UPDATE intent SET rolled_back = 1 WHERE id = ?", [id], undefined))
            : Effect.gen(function* () {
                // Announced again first: it may have lapsed, or the file may be another one by now.
                yield* connection.execute(insertIntents, [id, until, JSON.stringify(changed)], undefined)
                yield* connection.execute("DELETE FROM intent WHERE id = ?", [id], undefined)
              })
        ),
      clear: writing("clear", (connection) =>
        Effect.gen(function* () {
          yield* connection.execute("UPDATE store SET sequence = sequence + 1, floor = sequence + 1", [], undefined)
          yield* connection.execute("DELETE FROM entry", [], undefined)
        })
      ),
      clean: (now) => using("clean", (connection) => clean(connection, now, 0)),
      stats: using("stats", (connection) =>
        Effect.map(
          connection.execute(
            `SELECT entries, bytes, (SELECT count(*) FROM version) AS versions,
              (SELECT count(*) FROM intent) AS intents FROM store`,
            [],
            undefined
          ),
          (rows) => ({ ...(rows[0] as Stats) })
        )
      )
    }
  })
