/**
 * One connection of `node:sqlite` as a connection of Effect's SQL client. It never waits: a locked database fails a
 * statement immediately with `LockTimeoutError`, and `sqliteLock.ts` retries.
 */
import type { backup, DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite"
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { SafeIntegers } from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import { classifySqliteError, ConnectionError, SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { monotonicMsOf } from "../../internal/clock.ts"
import { extendedCode } from "../../internal/sqliteError.ts"

type Rows = ReadonlyArray<any>

export interface SqliteConnection extends Connection {
  /** Whether a transaction is open; SQLite may roll one back itself. */
  readonly isTransaction: () => boolean
  readonly backup: (
    destination: string
  ) => Effect.Effect<{ readonly totalPages: number; readonly remainingPages: number }, SqlError>
  readonly loadExtension: (path: string) => Effect.Effect<void, SqlError>
}

export interface Options {
  readonly filename: string
  readonly readonly: boolean
  readonly prepareCacheSize: number
  /** The time to live of a prepared statement, in milliseconds. */
  readonly prepareCacheMs: number
}

interface Prepared {
  readonly statement: StatementSync
  readonly hasColumns: boolean
  /** Whether the statement may have written before its rows are read, which must not fail then. */
  readonly mayWrite: boolean
  readonly preparedAt: number
}

/** The number of rows that a stream reads per chunk. */
const streamedAtOnce = 128

const errorOf = (cause: unknown, operation: string, message: string): SqlError => {
  const errno = extendedCode(cause)
  // `classifySqliteError` reads the code from `errno`.
  if (errno !== undefined && !("errno" in (cause as object))) Object.assign(cause as object, { errno })
  return new SqlError({ reason: classifySqliteError(cause, { message, operation }) })
}

const attempt = <A>(operation: string, message: string, body: () => A): Effect.Effect<A, SqlError> =>
  Effect.try({ try: body, catch: (cause) => errorOf(cause, operation, message) })

const comments = /^(?:\s+|--[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/)+/
const reads = /^(?:select|values|explain)\b/i
const readsAsTable = /^with\b(?![\s\S]*\b(?:insert|update|delete|replace)\b)/i

const mayWrite = (sql: string): boolean => {
  const text = sql.replace(comments, "")
  return !reads.test(text) && !readsAsTable.test(text)
}

/** Converts a `bigint` to a number where that is exact. */
const narrowed = (value: unknown): unknown => {
  if (typeof value !== "bigint") return value
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : value
}

const narrowedRow = (row: Record<string, unknown> | ReadonlyArray<unknown>) => {
  if (Array.isArray(row)) return row.map(narrowed)
  const fields = row as Record<string, unknown>
  for (const key of Object.keys(fields)) fields[key] = narrowed(fields[key])
  return fields
}

/** A least-recently-used cache of prepared statements. */
const makePreparedCache = (database: DatabaseSync, { prepareCacheMs, prepareCacheSize }: Options) => {
  const cache = new Map<string, Prepared>()

  const prepare = (sql: string, now: number): Prepared => {
    const statement = database.prepare(sql)
    return { statement, hasColumns: statement.columns().length > 0, mayWrite: mayWrite(sql), preparedAt: now }
  }

  const get = (sql: string, now: () => number): Prepared => {
    const found = cache.get(sql)
    if (found !== undefined) {
      if (prepareCacheMs === Infinity || now() - found.preparedAt < prepareCacheMs) {
        // Reinserted, so that the map's order is that of use.
        if (cache.size >= prepareCacheSize) {
          cache.delete(sql)
          cache.set(sql, found)
        }
        return found
      }
      cache.delete(sql)
    }
    const prepared = prepare(sql, prepareCacheMs === Infinity ? 0 : now())
    if (prepareCacheSize > 0) {
      if (cache.size >= prepareCacheSize) cache.delete(cache.keys().next().value!)
      cache.set(sql, prepared)
    }
    return prepared
  }

  return { get, prepare: (sql: string) => prepare(sql, 0) }
}

type Manner = "rows" | "arrays" | "raw"

const execute = (prepared: Prepared, params: ReadonlyArray<unknown>, safe: boolean, manner: Manner): Rows => {
  const { hasColumns, mayWrite, statement } = prepared
  const values = params as ReadonlyArray<SQLInputValue>
  // A write must not fail because its result contains a large number.
  statement.setReadBigInts(safe || mayWrite)
  if (hasColumns) {
    statement.setReturnArrays(manner === "arrays")
    const rows: ReadonlyArray<Record<string, SQLOutputValue>> = statement.all(...values)
    return mayWrite && !safe ? rows.map(narrowedRow) : rows
  }
  const { changes, lastInsertRowid } = statement.run(...values)
  if (manner !== "raw") return []
  const result = safe
    ? { changes, lastInsertRowid }
    : { changes: narrowed(changes), lastInsertRowid: narrowed(lastInsertRowid) }
  return result as unknown as Rows
}

const openIterator = (database: DatabaseSync, sql: string, params: ReadonlyArray<unknown>, safe: boolean) => {
  const statement = database.prepare(sql)
  statement.setReadBigInts(safe)
  return statement.iterate(...(params as ReadonlyArray<SQLInputValue>))
}

const failedToExecute = "Failed to execute statement"

/** Reads rows on demand, with a statement of its own, because a cached one may run again meanwhile. */
const streamOf = (database: DatabaseSync, sql: string, params: ReadonlyArray<unknown>): Stream.Stream<any, SqlError> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const safe = yield* SafeIntegers
      const rows = yield* Effect.acquireRelease(
        attempt("stream", "Failed to prepare statement", () => openIterator(database, sql, params, safe)),
        (rows) => Effect.ignore(attempt("stream", failedToExecute, () => void rows.return?.()))
      )
      const pull = Effect.suspend(() =>
        Effect.flatMap(
          attempt("stream", failedToExecute, () => {
            const chunk: Array<any> = []
            while (chunk.length < streamedAtOnce) {
              const next = rows.next()
              if (next.done === true) break
              chunk.push(next.value)
            }
            return chunk
          }),
          (chunk) => (chunk.length === 0 ? Cause.done() : Effect.succeed(chunk as unknown as Arr.NonEmptyArray<any>))
        )
      )
      return Stream.fromPull(Effect.succeed(pull))
    })
  )

const backupOf = (database: DatabaseSync, destination: string) =>
  Effect.tryPromise({
    try: async () => {
      const copy: typeof backup = process.getBuiltinModule("node:sqlite").backup
      return { totalPages: await copy(database, destination), remainingPages: 0 }
    },
    catch: (cause) => errorOf(cause, "backup", "Failed to backup database")
  })

const extensionOf = (database: DatabaseSync, path: string) =>
  Effect.acquireUseRelease(
    Effect.sync(() => database.enableLoadExtension(true)),
    () => attempt("loadExtension", "Failed to load extension", () => database.loadExtension(path)),
    () => Effect.sync(() => database.enableLoadExtension(false))
  )

const connectionOf = (database: DatabaseSync, options: Options): SqliteConnection => {
  const cache = makePreparedCache(database, options)

  const run = (sql: string, params: ReadonlyArray<unknown>, manner: Manner, cached: boolean) =>
    Effect.withFiber<Rows, SqlError>((fiber) => {
      const now = () => monotonicMsOf(fiber.getRef(Clock.Clock))
      const safe = Context.get(fiber.context, SafeIntegers)
      const prepared = attempt("prepare", "Failed to prepare statement", () =>
        cached ? cache.get(sql, now) : cache.prepare(sql)
      )
      return Effect.flatMap(prepared, (prepared) =>
        attempt("execute", failedToExecute, () => execute(prepared, params, safe, manner))
      )
    })

  const rows =
    (cached: boolean): Connection["execute"] =>
    (sql, params, transformRows) =>
      transformRows === undefined
        ? run(sql, params, "rows", cached)
        : Effect.map(run(sql, params, "rows", cached), transformRows)

  return {
    execute: rows(true),
    executeUnprepared: rows(false),
    executeRaw: (sql, params) => run(sql, params, "raw", true),
    executeValues: (sql, params) => run(sql, params, "arrays", true),
    executeValuesUnprepared: (sql, params) => run(sql, params, "arrays", false),
    executeStream: (sql, params, transformRows) => {
      const rows = streamOf(database, sql, params)
      return transformRows === undefined
        ? rows
        : Stream.mapArray(rows, (chunk) => transformRows(chunk) as Arr.NonEmptyReadonlyArray<any>)
    },
    isTransaction: () => database.isTransaction,
    backup: (destination) => backupOf(database, destination),
    loadExtension: (path) => extensionOf(database, path)
  }
}

const openDatabase = ({ filename, readonly }: Options): DatabaseSync => {
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite")
  const database = new DatabaseSync(filename, { readOnly: readonly, allowExtension: true, timeout: 0 })
  database.enableLoadExtension(false)
  return database
}

/** Any failure to open a file is a `ConnectionError`. */
const notOpened = (cause: unknown): SqlError =>
  new SqlError({
    reason: new ConnectionError({
      cause,
      message: `Sqlite: the database file could not be opened: ${(cause as Error).message}`,
      operation: "open"
    })
  })

/** Opens a file for the lifetime of the scope. */
export const make = (options: Options): Effect.Effect<SqliteConnection, SqlError, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(Effect.try({ try: () => openDatabase(options), catch: notOpened }), (database) =>
      Effect.sync(() => database.close())
    ),
    (database) => connectionOf(database, options)
  )
