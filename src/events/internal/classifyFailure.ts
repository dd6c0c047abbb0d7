/** Classifies a failed delivery: the database is unavailable, an event is invalid, or the cause is unknown. */
import * as Cause from "effect/Cause"
import { primaryCode, SqliteCode } from "../../internal/sqliteError.ts"
import type { QueryError } from "../../query/Query.ts"

/**
 * - `database`: the database failed; the events wait.
 * - `event`: the database rejects one of the events, and would reject it again.
 * - `unknown`: only the delivery of neighbouring events can distinguish the two.
 */
export interface FailureClass {
  readonly kind: "database" | "event" | "unknown"
  /** The kind and the database's code. Never the message, which may quote an event. */
  readonly code: string
}

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && name in value ? (value as Record<string, unknown>)[name] : undefined

/** The code of Postgres, or the extended result code of SQLite. */
const codeOf = (cause: unknown): string => {
  const code = field(cause, "errcode") ?? field(cause, "code")
  return typeof code === "number" || (typeof code === "string" && /^[0-9A-Z]{5}$/.test(code)) ? String(code) : ""
}

const { constraint, mismatch, outOfRange, tooBig, ...otherCodes } = SqliteCode
const sqliteEventCodes: ReadonlySet<number> = new Set([constraint, mismatch, outOfRange, tooBig])
const sqliteDatabaseCodes: ReadonlySet<number> = new Set(Object.values(otherCodes))

/** Classifies failures without a driver reason. */
const kindOfUnknown = (cause: unknown): FailureClass["kind"] => {
  const code = primaryCode(cause)
  if (code !== undefined) {
    if (sqliteEventCodes.has(code)) return "event"
    return sqliteDatabaseCodes.has(code) ? "database" : "unknown"
  }
  const state = codeOf(cause)
  // Data exception, integrity violation, or program limit, such as the size of an index entry. All other classes of
  // Postgres concern the session, the server or its resources.
  if (/^(?:2[23]|54)/.test(state)) return "event"
  return /^(?:08|25|40|53|55|57|58|72|F0|XX)/.test(state) ? "database" : "unknown"
}

const ofError = (error: QueryError): FailureClass => {
  if (error._tag === "SchemaError") return { kind: "event", code: "SchemaError" }
  const { _tag: tag, cause } = error.reason
  const code = `${tag} ${codeOf(cause)}`.trim()
  switch (tag) {
    case "ConstraintError":
    case "UniqueViolation":
      return { kind: "event", code }
    case "UnknownError":
      return { kind: kindOfUnknown(cause), code }
    default:
      // A missing table or privilege, a lock, a connection: no event causes these.
      return { kind: "database", code }
  }
}

/** Classifies a failure or a defect. */
export const of = (cause: Cause.Cause<QueryError>): FailureClass => {
  const error = Cause.findErrorOption(cause)
  return error._tag === "Some" ? ofError(error.value) : { kind: "unknown", code: "defect" }
}
