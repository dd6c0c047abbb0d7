/**
 * Checks of the database: folder, disk space, schema, integrity, encoding, a rolled-back write, and the pool.
 */
import * as fs from "node:fs/promises"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as MemoryError from "../memory/MemoryError.ts"
import * as MemorySchema from "../memory/MemorySchema.ts"
import type { DatabaseProblem } from "../pool/ConnectionPool.ts"
import { plural } from "../internal/text.ts"
import * as Database from "../sql/Database.ts"
import * as Migrations from "../sql/Migrations.ts"
import { type Check, failed, ok, warning } from "./check.ts"

/** Below this, writes are about to fail. */
const lowSpaceBytes = 100 * 1024 * 1024

const megabytes = (bytes: number): string => `${Math.round(bytes / (1024 * 1024))} MB`

const checkSpace = (home: string): Effect.Effect<Check> =>
  Effect.tryPromise(() => fs.statfs(home)).pipe(
    Effect.map((stats) => {
      const free = stats.bavail * stats.bsize
      return free < lowSpaceBytes
        ? failed("disk", `${megabytes(free)} free`, "make room on the disk of ATHENA_HOME")
        : ok("disk", `${megabytes(free)} free`)
    }),
    Effect.orElseSucceed(() => warning("disk", "the free space could not be read", "check the disk of ATHENA_HOME"))
  )

/** Returns the nearest existing parent of a path. */
const existingParent = (folder: string): Effect.Effect<string, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const parent = (yield* Path.Path).dirname(folder)
    const exists = yield* Effect.orElseSucceed(files.exists(parent), () => false)
    return exists || parent === folder ? parent : yield* existingParent(parent)
  })

const isWritable = (folder: string) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const probe = (yield* Path.Path).join(folder, `.doctor-${process.pid}`)
    return yield* files.writeFileString(probe, "").pipe(
      Effect.andThen(files.remove(probe)),
      Effect.as(true),
      Effect.orElseSucceed(() => false)
    )
  })

const checkFolder = (home: string) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const info = yield* Effect.option(files.stat(home))
    if (info._tag === "None") {
      const parent = yield* existingParent(home)
      // The parent is not ours, so no probe file is written.
      return (yield* Effect.isSuccess(files.access(parent, { writable: true })))
        ? ok("folder", `${home} does not exist yet; the first event makes it`)
        : failed("folder", `${home} can't be made in ${parent}`, "set ATHENA_HOME to a folder that you can write")
    }
    if (info.value.type !== "Directory") {
      return failed("folder", `${home} is not a folder`, "move it away, or set ATHENA_HOME to a folder")
    }
    if (!(yield* isWritable(home)))
      return failed("folder", `${home} can't be written`, "give yourself the right to write there")
    return (info.value.mode & 0o077) === 0
      ? ok("folder", `${home} can be written, and only by you`)
      : warning("folder", `${home} is open to other users`, `chmod 700 ${home}`)
  })

const checkVersion = Effect.gen(function* () {
  const found = yield* Migrations.version(MemorySchema.migrationsTable)
  const known = Migrations.newest(MemorySchema.migrations)
  if (found > known)
    return failed("schema", new Migrations.NewerSchema({ found, known }).message, "upgrade athena-hooks")
  if (found === known) return ok("schema", `version ${found}`)
  if (found === 0 && (yield* MemorySchema.needsExplicitMigration)) {
    return failed("schema", new MemorySchema.MigrationNeeded().message, "athena migrate; writers wait while it runs")
  }
  return ok("schema", `version ${found}; the next event brings it to ${known}`)
})

const checkIntegrity = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ quick_check: string }>`PRAGMA quick_check(1)`
  const result = rows[0]?.quick_check ?? "no result"
  return result === "ok"
    ? ok("integrity", "the file is sound")
    : failed("integrity", result, "move the file away, or restore it from a backup")
})

class RolledBack extends Data.TaggedError("RolledBack")<{}> {}

/** Writes like the next event, a row or the tables, and rolls back. */
const checkWrite = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const made = (yield* Migrations.version(MemorySchema.migrationsTable)) > 0
  const probe = made
    ? sql`INSERT INTO projects (name, path) VALUES ('athena doctor', 'athena doctor')`
    : sql`CREATE TABLE athena_hooks_doctor (probe INTEGER)`
  yield* probe.pipe(
    Effect.andThen(new RolledBack()),
    sql.withTransaction,
    Effect.catchTag("RolledBack", () => Effect.void)
  )
  return ok("write", "the database can be written")
})

/** Checks that the server encoding can store any text. */
const checkEncoding = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ server_encoding: string }>`SHOW server_encoding`
  const encoding = rows[0]?.server_encoding ?? "unknown"
  if (encoding === "UTF8") return ok("encoding", encoding)
  const lost =
    encoding === "SQL_ASCII" ? "the server can't search or compare other than ASCII" : "most characters can't be stored"
  return failed("encoding", `${encoding}: ${lost}`, "use a database WITH ENCODING 'UTF8' TEMPLATE template0")
})

const checkContent = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  if (!(yield* MemorySchema.hasEvents)) return ok("content", "no memories yet")
  const rows = yield* sql<{ events: number | bigint; projects: number | bigint }>`SELECT
    (SELECT count(*) FROM episodic_events) AS events, (SELECT count(*) FROM projects) AS projects`
  return ok("content", `${plural("event", rows[0]?.events ?? 0)} in ${plural("project", rows[0]?.projects ?? 0)}`)
})

const advice: Readonly<Record<MemoryError.MemoryErrorReason["_tag"], string>> = {
  DatabaseUnavailable: "check that the folder can be opened, or that the server runs and the address is right",
  DatabaseBusy: "another program holds a lock on it: close it, or try again",
  DatabaseTooSlow: "try again when the machine or the server is less busy",
  DatabaseDamaged: "move the file away (a new one is made), or restore it from a backup",
  StorageRefused:
    "make room on the disk, give yourself the right to write the file, or wait until the server takes writes",
  AccessDenied: "check the user and the password in ATHENA_DATABASE_URL or ATHENA_POSTGRES_*",
  SchemaMismatch: "upgrade athena-hooks",
  InvalidInput: "this is a defect of athena-hooks: report it",
  MemoryNotFound: "this is a defect of athena-hooks: report it",
  GoalNotFound: "this is a defect of athena-hooks: report it",
  ProjectNotFound: "run: athena project list",
  PathTaken: "run: athena project merge",
  Unexpected: "check that the database exists, and that it is one of athena-hooks or of Athena"
}

/** Returns an error and its causes, outermost first. */
const layersOf = (error: unknown): ReadonlyArray<Error> => {
  if (!(error instanceof Error)) return []
  const reason = "reason" in error ? error.reason : undefined
  const inner = typeof reason === "object" && reason !== null && "cause" in reason ? reason.cause : error.cause
  return [error, ...layersOf(inner)]
}

/** The messages of the pool and the driver. Neither contains a parameter or a password. */
const driverMessage = (error: SqlError): string => {
  const [, ...inner] = layersOf(error)
  const messages = inner.map((layer) => layer.message)
  return messages
    .filter((message, index) => message !== "" && !messages.slice(0, index).some((outer) => outer.includes(message)))
    .join(": ")
}

/** The next step for each connection problem. */
const connectionAdvice: Readonly<Record<DatabaseProblem | "exhausted", string>> = {
  exhausted: "all connections of the pool are out: see what holds them",
  refused: "nothing listens there: start the server, or correct the address",
  unreachable: "no response: check the address, the network, and whether the server wants TLS",
  authentication: advice.AccessDenied,
  tls: "correct sslmode in ATHENA_DATABASE_URL, or have the server's certificate trusted (NODE_EXTRA_CA_CERTS)",
  noSlots: "the server has no free connection for this user: close some, or raise its limit",
  notReady: "the server is starting or stopping: try again",
  noMatch: "no server has the requested role",
  readOnly: "the server takes no writes now: wait until it does, or name the primary",
  lost: "the connection broke: try again",
  rejected: "check that the database exists, and that the user may connect to it"
}

/** The reason of the pool is more specific than the SQL error around it. */
const adviceOn = (error: SqlError, otherwise: string): Effect.Effect<string> =>
  Effect.gen(function* () {
    const { fromSqlError } = yield* Effect.promise(() => import("../pool/ConnectionPool.ts"))
    const pool = fromSqlError(error)
    if (pool._tag === "None") return otherwise
    const { reason } = pool.value
    if (reason._tag === "DatabaseUnavailable") return connectionAdvice[reason.problem]
    return reason._tag === "PoolExhausted" ? connectionAdvice.exhausted : otherwise
  })

const asCheck = (name: string) => (error: SqlError) => {
  const reason = MemoryError.reasonFromSqlError(error)
  const message = driverMessage(error)
  const isComplete = reason._tag === "DatabaseUnavailable" || message === ""
  const detail = (isComplete ? reason.message : `${reason.message} (${message})`).replace(/\s+/g, " ")
  return Effect.map(adviceOn(error, adviceOf(error, reason)), (advice) => failed(name, detail, advice))
}

/** A missing privilege is not a wrong password. */
const adviceOf = (error: SqlError, reason: MemoryError.MemoryErrorReason): string =>
  error.reason._tag === "AuthorizationError" ? privilegeAdvice : advice[reason._tag]

const privilegeAdvice =
  "have it granted: CREATE on the schema for the tables, SELECT, INSERT, UPDATE and DELETE on them; or use a schema of the user's own (CREATE SCHEMA AUTHORIZATION)"

const named = <R>(name: string, check: Effect.Effect<Check, SqlError, R>) => Effect.catch(check, asCheck(name))

const checkOpen = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`SELECT 1`
  return ok("open", "the database answers")
})

const checkPool = Effect.gen(function* () {
  const { poolStats } = yield* Database.Database
  const stats = yield* poolStats
  if (stats._tag === "None") return []
  const { acquire, idle, inUse, max, waiting } = stats.value
  const state = `${inUse} in use, ${idle} idle, ${waiting} waiting, at most ${max}`
  return [ok("pool", `${state}; a connection took up to ${acquire.max.toFixed(0)} ms`)]
})

const checkOpened = (settings: Database.Settings) =>
  Effect.gen(function* () {
    const open = yield* checkOpen
    const checks = yield* Effect.all([
      named("schema", checkVersion),
      settings._tag === "Embedded" ? named("integrity", checkIntegrity) : named("encoding", checkEncoding),
      named("write", checkWrite),
      named("content", checkContent)
    ])
    return [open, ...checks, ...(yield* checkPool)]
  })

const checkDatabase = (settings: Database.Settings) =>
  checkOpened(settings).pipe(
    Effect.provide(Database.layer(settings)),
    Effect.catch((error) => Effect.map(asCheck("open")(error), (check) => [check])),
    Effect.timeoutOrElse({
      duration: "15 seconds",
      orElse: () =>
        Effect.succeed([failed("open", "the database did not respond in 15 seconds", advice.DatabaseTooSlow)])
    })
  )

const exists = (home: string) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    return yield* Effect.orElseSucceed(files.exists(path.join(home, Database.filename)), () => true)
  })

const checkEmbedded = (settings: Database.Embedded) =>
  Effect.gen(function* () {
    const folder = yield* checkFolder(settings.home)
    const before = [ok("database", `embedded, in ${settings.home}`), folder]
    if (!(yield* exists(settings.home))) return before
    return [...before, yield* checkSpace(settings.home), ...(yield* checkDatabase(settings))]
  })

/** Checks the database that the settings name. */
export const of = (settings: Database.Settings) =>
  settings._tag === "Embedded"
    ? checkEmbedded(settings)
    : Effect.map(checkDatabase(settings), (checks) => [ok("database", "Postgres"), ...checks])
