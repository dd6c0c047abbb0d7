/**
 * What a failed delivery says about its events: that the database is away, that an event is wrong, or neither.
 */
import * as Cause from "effect/Cause"
import type { QueryError } from "../../query/Query.ts"

/**
 * - `database`: nothing was wrong with the events; they wait.
 * - `event`: the database refuses one of them, and would do so again.
 * - `unknown`: it can't be told; neighbours that go through tell it.
 */
export interface FailureClass {
  readonly kind: "database" | "event" | "unknown"
  /** What is shown of it: its kind and the database's code, and never its message, which may quote an event. */
  readonly code: string
}

const field = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && name in value ? (value as Record<string, unknown>)[name] : undefined

/** The code of Postgres, or the extended result code of SQLite. */
const codeOf = (cause: unknown): string => {
  const code = field(cause, "errcode") ?? field(cause, "code")
  return typeof code === "number" || (typeof code === "string" && /^[0-9A-Z]{5}$/.test(code)) ? String(code) : ""
}

/** Too big, constraint, mismatch, out of range. */
const sqliteEventCodes = new Set([18, 19, 20, 25])
/** Read-only, interrupted, input and output, damaged, full, can't open, protocol, schema, no database. */
const sqliteDatabaseCodes = new Set([8, 9, 10, 11, 13, 14, 15, 17, 26])

/** For what the driver has no reason of its own for. */
const kindOfUnknown = (cause: unknown): FailureClass["kind"] => {
  const errcode = field(cause, "errcode")
  if (typeof errcode === "number") {
    if (sqliteEventCodes.has(errcode & 0xff)) return "event"
    return sqliteDatabaseCodes.has(errcode & 0xff) ? "database" : "unknown"
  }
  const state = codeOf(cause)
  // Data exception; integrity; a limit of the server, such as the size of what an index takes. All else that Postgres
  // names is of the session, the server or its resources.
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
      // A table that is not there, a right that is missing, a lock, a connection: none of them is an event's fault.
      return { kind: "database", code }
  }
}

/** Reads a failure, defects included; an interruption is none. */
export const of = (cause: Cause.Cause<QueryError>): FailureClass => {
  const error = Cause.findErrorOption(cause)
  return error._tag === "Some" ? ofError(error.value) : { kind: "unknown", code: "defect" }
}
