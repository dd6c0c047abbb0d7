/**
 * The error of the memory, with reasons to branch on.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"
import type { QueryError } from "../query/Query.ts"
import type { MigrationFailed, NewerSchema } from "../sql/Migrations.ts"
import * as Redaction from "../redaction/Redaction.ts"
import { GoalId } from "./Goal.ts"
import { MemoryId } from "./Memory.ts"
import { ProjectId } from "./Project.ts"
import type { MigrationNeeded } from "./MemorySchema.ts"

const cause = { cause: Schema.Defect() }
const id = "athena-hooks/memory/MemoryError"

/**
 * The database can't be reached or opened. Try again later.
 *
 * @category reasons
 * @since 0.1.0
 */
export class DatabaseUnavailable extends Schema.TaggedError<DatabaseUnavailable>(`${id}/DatabaseUnavailable`)(
  "DatabaseUnavailable",
  cause
) {
  override get message(): string {
    const words = wordsOf(this.cause)
    return `the memory database can't be reached or opened${words === "" ? "" : `: ${words}`}`
  }
  get isRetryable(): boolean {
    return true
  }
}

/**
 * Another process held a lock for too long, all connections were out, or the server chose this transaction to give way.
 * Try again.
 *
 * @category reasons
 * @since 0.1.0
 */
export class DatabaseBusy extends Schema.TaggedError<DatabaseBusy>(`${id}/DatabaseBusy`)("DatabaseBusy", cause) {
  override get message(): string {
    return "the memory database is busy: locked by another process, or all connections are out"
  }
  get isRetryable(): boolean {
    return true
  }
}

/**
 * The database did not respond in time.
 *
 * @category reasons
 * @since 0.1.0
 */
export class DatabaseTooSlow extends Schema.TaggedError<DatabaseTooSlow>(`${id}/DatabaseTooSlow`)(
  "DatabaseTooSlow",
  cause
) {
  override get message(): string {
    return "the memory database did not answer in time"
  }
  get isRetryable(): boolean {
    return true
  }
}

/**
 * The database file is not a database, or it is damaged. Nothing was written.
 *
 * @category reasons
 * @since 0.1.0
 */
export class DatabaseDamaged extends Schema.TaggedError<DatabaseDamaged>(`${id}/DatabaseDamaged`)(
  "DatabaseDamaged",
  cause
) {
  override get message(): string {
    return "the memory database is damaged or is no database: move the file away, or restore it from a backup"
  }
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The database can't be written: the disk is full, or the file, the folder or the server is read-only.
 *
 * @category reasons
 * @since 0.1.0
 */
export class StorageRefused extends Schema.TaggedError<StorageRefused>(`${id}/StorageRefused`)(
  "StorageRefused",
  cause
) {
  override get message(): string {
    return "the memory database can't be written: the disk is full, or the file or the server is read-only"
  }
  get isRetryable(): boolean {
    return false
  }
}

/** An error of a database or of the system, whose words name what failed; those of others may quote anything. */
const isNamed = (error: unknown): error is Error => error instanceof Error && ("code" in error || "errcode" in error)

/** What the pool or the driver says of a failure, and below it the database or the system, in one line. */
const wordsOf = (error: unknown): string => {
  if (!isSqlError(error)) return ""
  const inner = error.reason.cause
  const words = error.message.replace(/^ConnectionPool: /, "")
  const all = isNamed(inner) && !words.includes(inner.message) ? `${words}: ${inner.message}` : words
  return Redaction.excerpt(all.replace(/[\s\p{Cc}\p{Cf}]+/gu, " "), 300)
}

const lacksPrivilege = (error: unknown): boolean => isSqlError(error) && error.reason._tag === "AuthorizationError"

const hasTag = (value: unknown, tag: string): value is { readonly reason?: unknown } =>
  typeof value === "object" && value !== null && "_tag" in value && value._tag === tag

const isSqlError = (error: unknown): error is SqlError => hasTag(error, "SqlError")

/**
 * The server refused the user, the password or the privilege.
 *
 * @category reasons
 * @since 0.1.0
 */
export class AccessDenied extends Schema.TaggedError<AccessDenied>(`${id}/AccessDenied`)("AccessDenied", cause) {
  override get message(): string {
    return lacksPrivilege(this.cause)
      ? "the user of the memory database lacks a privilege"
      : "the memory database refused the user or the password"
  }
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The database belongs to a newer version of athena-hooks, or its schema could not be brought up to date.
 *
 * @category reasons
 * @since 0.1.0
 */
export class SchemaMismatch extends Schema.TaggedError<SchemaMismatch>(`${id}/SchemaMismatch`)("SchemaMismatch", {
  detail: Schema.String,
  ...cause
}) {
  override get message(): string {
    return this.detail
  }
  get isRetryable(): boolean {
    return false
  }
}

/**
 * An argument is out of bounds, or refers to a project that does not exist. `detail` says which and what is allowed.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InvalidInput extends Schema.TaggedError<InvalidInput>(`${id}/InvalidInput`)("InvalidInput", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The project has no memory with this id.
 *
 * @category reasons
 * @since 0.1.0
 */
export class MemoryNotFound extends Schema.TaggedError<MemoryNotFound>(`${id}/MemoryNotFound`)("MemoryNotFound", {
  memoryId: MemoryId
}) {
  override get message(): string {
    return `the project has no memory ${this.memoryId}: list them with "athena list"`
  }
  get isRetryable(): boolean {
    return false
  }
}

/**
 * There is no goal with this id.
 *
 * @category reasons
 * @since 0.1.0
 */
export class GoalNotFound extends Schema.TaggedError<GoalNotFound>(`${id}/GoalNotFound`)("GoalNotFound", {
  goalId: GoalId
}) {
  override get message(): string {
    return `there is no goal ${this.goalId}`
  }
  get isRetryable(): boolean {
    return false
  }
}

/**
 * There is no project with this id.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ProjectNotFound extends Schema.TaggedError<ProjectNotFound>(`${id}/ProjectNotFound`)("ProjectNotFound", {
  projectId: ProjectId
}) {
  override get message(): string {
    return `there is no project ${this.projectId}`
  }
  get isRetryable(): boolean {
    return false
  }
}

/**
 * Another project has this path.
 *
 * @category reasons
 * @since 0.1.0
 */
export class PathTaken extends Schema.TaggedError<PathTaken>(`${id}/PathTaken`)("PathTaken", {
  path: Schema.String,
  projectId: ProjectId
}) {
  override get message(): string {
    return `the project ${this.projectId} has the path ${JSON.stringify(this.path)}: merge the two instead`
  }
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The database returned a result that this version can't decode.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Unexpected extends Schema.TaggedError<Unexpected>(`${id}/Unexpected`)("Unexpected", cause) {
  override get message(): string {
    return "the memory database gave an unexpected answer"
  }
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The reasons of a `MemoryError`.
 *
 * @category reasons
 * @since 0.1.0
 */
export type MemoryErrorReason =
  | DatabaseUnavailable
  | DatabaseBusy
  | DatabaseTooSlow
  | DatabaseDamaged
  | StorageRefused
  | AccessDenied
  | SchemaMismatch
  | InvalidInput
  | GoalNotFound
  | MemoryNotFound
  | ProjectNotFound
  | PathTaken
  | Unexpected

/**
 * The failure of every verb of the memory. Branch with `Effect.catchReason("MemoryError", "DatabaseBusy", ...)`.
 *
 * @category errors
 * @since 0.1.0
 */
export class MemoryError extends Schema.TaggedError<MemoryError>(id)("MemoryError", {
  /** The verb that failed, for example `recordEvent`. */
  operation: Schema.String,
  reason: Schema.Union([
    DatabaseUnavailable,
    DatabaseBusy,
    DatabaseTooSlow,
    DatabaseDamaged,
    StorageRefused,
    AccessDenied,
    SchemaMismatch,
    InvalidInput,
    GoalNotFound,
    MemoryNotFound,
    ProjectNotFound,
    PathTaken,
    Unexpected
  ])
}) {
  override get message(): string {
    return `${this.operation}: ${this.reason.message}`
  }
  /** Whether the same call can succeed later. */
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }
}

/** SQLite's primary result code, for the failures that the driver has no reason of its own for. */
const sqliteCode = (error: SqlError): number | undefined => {
  const cause = error.reason.cause
  if (typeof cause !== "object" || cause === null || !("errcode" in cause)) return undefined
  return typeof cause.errcode === "number" ? cause.errcode & 0xff : undefined
}

const reasonFromSqliteCode = (error: SqlError): MemoryErrorReason => {
  switch (sqliteCode(error)) {
    case 11: // SQLITE_CORRUPT
    case 26: // SQLITE_NOTADB
      return new DatabaseDamaged({ cause: error })
    case 8: // SQLITE_READONLY
    case 10: // SQLITE_IOERR
    case 13: // SQLITE_FULL
      return new StorageRefused({ cause: error })
    default:
      return new Unexpected({ cause: error })
  }
}

const postgresCode = (error: SqlError): string | undefined => {
  const cause = error.reason.cause
  return typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : undefined
}

/** For the failures that the driver of Postgres has no reason of its own for. */
const reasonFromPostgresCode = (error: SqlError): MemoryErrorReason | undefined => {
  switch (postgresCode(error)) {
    case "25006": // read_only_sql_transaction
    case "53100": // disk_full
      return new StorageRefused({ cause: error })
    case "22P05": // untranslatable_character
      return new InvalidInput({ detail: "it has characters that the encoding of the database can't store" })
    default:
      return undefined
  }
}

/** SQLite's extended result code, and Postgres's error code, for a row that refers to none. */
const isForeignKey = (error: SqlError): boolean => {
  const cause = error.reason.cause
  if (typeof cause !== "object" || cause === null) return false
  return ("errcode" in cause && cause.errcode === 787) || ("code" in cause && cause.code === "23503")
}

/** `ConnectionPool` says so inside; it is known by its tags, so that its driver is not loaded for it. */
const isExhausted = (error: SqlError): boolean =>
  hasTag(error.reason.cause, "PoolError") && hasTag(error.reason.cause.reason, "PoolExhausted")

/**
 * The reason that stands for a failure of the database.
 *
 * @category conversions
 * @since 0.1.0
 */
export const reasonFromSqlError = (error: SqlError): MemoryErrorReason => {
  switch (error.reason._tag) {
    case "ConnectionError":
      return isExhausted(error) ? new DatabaseBusy({ cause: error }) : new DatabaseUnavailable({ cause: error })
    case "AuthenticationError":
    case "AuthorizationError":
      return new AccessDenied({ cause: error })
    case "DeadlockError":
    case "SerializationError":
    case "LockTimeoutError":
      return new DatabaseBusy({ cause: error })
    case "StatementTimeoutError":
      return new DatabaseTooSlow({ cause: error })
    case "ConstraintError":
      return isForeignKey(error)
        ? new InvalidInput({ detail: "it refers to a project or session that does not exist" })
        : new Unexpected({ cause: error })
    default:
      return reasonFromPostgresCode(error) ?? reasonFromSqliteCode(error)
  }
}

/**
 * The error of a verb, from whatever the layers below failed with.
 *
 * @category conversions
 * @since 0.1.0
 */
export const from = (
  operation: string,
  error: QueryError | MigrationNeeded | NewerSchema | MigrationFailed | MemoryErrorReason
): MemoryError => {
  switch (error._tag) {
    case "SqlError":
      return new MemoryError({ operation, reason: reasonFromSqlError(error) })
    case "SchemaError":
      return new MemoryError({ operation, reason: new InvalidInput({ detail: error.message.replace(/\s+/g, " ") }) })
    case "MigrationNeeded":
    case "NewerSchema":
    case "MigrationFailed":
      return new MemoryError({ operation, reason: new SchemaMismatch({ detail: error.message, cause: error }) })
    default:
      return new MemoryError({ operation, reason: error })
  }
}

/**
 * Describes a failure for a person, in one line of at most 500 characters without secrets. A failure of the database is described by its
 * reason.
 *
 * @category conversions
 * @since 0.1.0
 */
export const describe = (error: unknown): string => {
  const message = isSqlError(error)
    ? reasonFromSqlError(error).message
    : error instanceof Error
      ? error.message || error.name
      : typeof error === "string"
        ? error
        : "unexpected failure"
  return Redaction.excerpt(message.replace(/\s+/g, " "), 500)
}
