/**
 * What a pool says when it cannot answer, and the way of that answer through `SqlError`.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import {
  AuthenticationError,
  ConnectionError,
  SqlError,
  SqlSyntaxError,
  StatementTimeoutError
} from "effect/sql/SqlError"

/**
 * Why connections were closed, and how many for each reason since the pool was made.
 *
 * @category models
 * @since 0.1.0
 */
export class ClosedConnections extends Schema.Class<ClosedConnections>("athena-hooks/pool/ConnectionPool/Closed")({
  /** Idle for longer than the idle timeout. */
  idle: Schema.Int,
  /** Older than its lifetime. */
  lifetime: Schema.Int,
  /** No answer to the ping before a borrow or of the keepalive. */
  validation: Schema.Int,
  /** Closed by the server or by the network. */
  lost: Schema.Int,
  /** A statement was cancelled on it, so a late cancel could hit the next one. */
  cancelled: Schema.Int,
  /** Its transaction or its settings could not be put back. */
  dirty: Schema.Int,
  /** It refused to write, as a session does whose server was read-only when it began. */
  readOnly: Schema.Int,
  /** Taken out by `evict` or `evictAll`. */
  evicted: Schema.Int,
  /** The pool was shut down. */
  shutdown: Schema.Int
}) {}

/**
 * Percentiles of the time from asking for a connection to having one, in milliseconds, over all acquisitions since
 * the pool was made. They are read from a histogram of doubling buckets, so they are upper bounds within a factor of
 * two.
 *
 * @category models
 * @since 0.1.0
 */
export class AcquireTimes extends Schema.Class<AcquireTimes>("athena-hooks/pool/ConnectionPool/AcquireTimes")({
  count: Schema.Int,
  p50: Schema.Finite,
  p95: Schema.Finite,
  p99: Schema.Finite,
  max: Schema.Finite
}) {}

/**
 * The state of a pool at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export class PoolStats extends Schema.Class<PoolStats>("athena-hooks/pool/ConnectionPool/PoolStats")({
  /** Open connections: `idle + inUse`. Never more than `max`, together with `opening`. */
  total: Schema.Int,
  idle: Schema.Int,
  inUse: Schema.Int,
  /** Connections that are being opened. */
  opening: Schema.Int,
  /** Callers that wait for a connection. */
  waiting: Schema.Int,
  min: Schema.Int,
  max: Schema.Int,
  /** Connections opened since the pool was made. */
  created: Schema.Int,
  closed: ClosedConnections,
  /** Callers that gave up waiting because all connections were out. */
  exhausted: Schema.Int,
  /** Callers that gave up waiting because no connection could be opened. */
  unavailable: Schema.Int,
  /** Statements that passed their deadline. */
  timedOut: Schema.Int,
  /** Nobody gets a connection until `resume`. */
  suspended: Schema.Boolean,
  acquire: AcquireTimes
}) {}

/**
 * What kept the database out of reach.
 *
 * - `refused`: nothing listens at the address
 * - `unreachable`: no answer in time, or no route, or no such host
 * - `authentication`: wrong password or no right to log in
 * - `tls`: the server speaks no TLS where it was asked for, or its certificate is not accepted
 * - `noSlots`: the server has no connection slot left
 * - `notReady`: the server is starting, stopping or recovering
 * - `noMatch`: every server answered, none has the role asked for (primary or standby)
 * - `readOnly`: a session refused to write though a primary was asked for; the pool ends it
 * - `lost`: the connection broke while it was in use
 * - `rejected`: the server turned the connection down for another reason, such as an unknown database, a missing
 *   privilege, or a statement of `connectionInitSql` that fails
 *
 * @category models
 * @since 0.1.0
 */
export const DatabaseProblem: Schema.Literals<
  readonly [
    "refused",
    "unreachable",
    "authentication",
    "tls",
    "noSlots",
    "notReady",
    "noMatch",
    "readOnly",
    "lost",
    "rejected"
  ]
> = Schema.Literals([
  "refused",
  "unreachable",
  "authentication",
  "tls",
  "noSlots",
  "notReady",
  "noMatch",
  "readOnly",
  "lost",
  "rejected"
])

/**
 * What kept the database out of reach.
 *
 * @category models
 * @since 0.1.0
 */
export type DatabaseProblem = typeof DatabaseProblem.Type

/** The same credentials, the same database and the same certificate would be turned down again. */
const lastingProblems: ReadonlySet<DatabaseProblem> = new Set(["authentication", "tls", "rejected"])

const fields = { stats: PoolStats, cause: Schema.optional(Schema.Defect()) }

/**
 * The database answers, and all connections were out, or the pool was suspended, until the caller's time was up; or too
 * many callers wait already.
 *
 * @category errors
 * @since 0.1.0
 */
export class PoolExhausted extends Schema.TaggedError<PoolExhausted>("athena-hooks/pool/ConnectionPool/PoolExhausted")(
  "PoolExhausted",
  { ...fields, waitedMs: Schema.Finite }
) {
  /** A connection may be free by then. */
  get isRetryable(): boolean {
    return true
  }

  override get message(): string {
    const { inUse, max, suspended, waiting } = this.stats
    const state = suspended ? "suspended" : "exhausted"
    return `ConnectionPool: ${state} after ${Math.round(this.waitedMs)} ms (${inUse} of ${max} connections in use, ${waiting} waiting)`
  }
}

/**
 * No connection could be opened, or the one in use broke.
 *
 * @category errors
 * @since 0.1.0
 */
export class DatabaseUnavailable extends Schema.TaggedError<DatabaseUnavailable>(
  "athena-hooks/pool/ConnectionPool/DatabaseUnavailable"
)("DatabaseUnavailable", {
  ...fields,
  problem: DatabaseProblem,
  /** True where the pool did not try, because it failed too often just now. */
  breakerOpen: Schema.Boolean
}) {
  /** False for `authentication`, `tls` and `rejected`. */
  get isRetryable(): boolean {
    return !lastingProblems.has(this.problem)
  }

  override get message(): string {
    const said = wordsOf(this.cause)
    const notYet = this.breakerOpen ? ", not tried again yet" : ""
    return `ConnectionPool: database unavailable (${this.problem}${notYet})${said === undefined ? "" : `: ${said}`}`
  }
}

/** The longest that is repeated of what somebody else said. */
const longestWords = 300

/** What the server, the network or the driver said itself, in one line. None of them repeats a password. */
const wordsOf = (cause: unknown): string | undefined => {
  let innermost: unknown = cause
  for (let depth = 0; depth < 8; depth++) {
    const inner: unknown =
      innermost instanceof SqlError ? innermost.reason.cause : innermost instanceof Error ? innermost.cause : undefined
    if (!(inner instanceof Error)) break
    innermost = inner
  }
  if (!(innermost instanceof Error) || innermost instanceof PoolError) return undefined
  const code = "code" in innermost && typeof innermost.code === "string" ? innermost.code : undefined
  const words = (innermost.message || code || "").replace(/[\s\p{Cc}\p{Cf}]+/gu, " ").trim()
  const text = code === undefined || words.includes(code) ? words : `${words} (${code})`
  return text === "" ? undefined : text.slice(0, longestWords)
}

/**
 * A statement did not answer before its deadline. It was cancelled in the server where the server could be reached;
 * whether it took effect is not known.
 *
 * @category errors
 * @since 0.1.0
 */
export class QueryTimeout extends Schema.TaggedError<QueryTimeout>("athena-hooks/pool/ConnectionPool/QueryTimeout")(
  "QueryTimeout",
  { ...fields, elapsedMs: Schema.Finite }
) {
  /** The next try may be in time. */
  get isRetryable(): boolean {
    return true
  }

  override get message(): string {
    return `ConnectionPool: no answer within the deadline (${Math.round(this.elapsedMs)} ms)`
  }
}

/**
 * A statement that begins, ends or divides a transaction was to run on a borrowed connection, where the statements before
 * and behind it run on any other. It was not sent. Use `sql.withTransaction`, or `sql.reserve` for a connection to control
 * by hand.
 *
 * @category errors
 * @since 0.1.0
 */
export class TransactionStatementRefused extends Schema.TaggedError<TransactionStatementRefused>(
  "athena-hooks/pool/ConnectionPool/TransactionStatementRefused"
)("TransactionStatementRefused", fields) {
  /** It would be refused again. */
  get isRetryable(): boolean {
    return false
  }

  override get message(): string {
    return "ConnectionPool: a statement that controls a transaction needs a connection alone: use sql.withTransaction, or sql.reserve"
  }
}

/**
 * The pool is shut down.
 *
 * @category errors
 * @since 0.1.0
 */
export class PoolClosed extends Schema.TaggedError<PoolClosed>("athena-hooks/pool/ConnectionPool/PoolClosed")(
  "PoolClosed",
  fields
) {
  /** A closed pool stays closed. */
  get isRetryable(): boolean {
    return false
  }

  override get message(): string {
    return "ConnectionPool: closed"
  }
}

/**
 * Why the pool gave no answer. `SqlClient` operations fail with `SqlError`, whose cause it then is; see
 * `fromSqlError`.
 *
 * Neither the message nor any field holds a password or a statement's parameters.
 *
 * @category errors
 * @since 0.1.0
 */
export class PoolError extends Schema.TaggedError<PoolError>("athena-hooks/pool/ConnectionPool/PoolError")(
  "PoolError",
  {
    reason: Schema.Union([PoolExhausted, DatabaseUnavailable, QueryTimeout, TransactionStatementRefused, PoolClosed])
  }
) {
  /** Whether another try may succeed. */
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }

  override get message(): string {
    return this.reason.message
  }
}

/**
 * Reads the pool's own error out of the `SqlError` of an operation; none where the database itself answered with an
 * error.
 *
 * **Example**
 *
 * ```ts
 * import * as ConnectionPool from "athena-hooks/pool/ConnectionPool"
 * import * as Option from "effect/Option"
 * import type { SqlError } from "effect/sql/SqlError"
 *
 * const isExhausted = (error: SqlError): boolean =>
 *   Option.exists(ConnectionPool.fromSqlError(error), (pool) => pool.reason._tag === "PoolExhausted")
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export const fromSqlError = (error: SqlError): Option.Option<PoolError> =>
  error.reason.cause instanceof PoolError ? Option.some(error.reason.cause) : Option.none()

/** The operation's error with the pool's inside, under the reason that other Effect SQL code expects. */
export const toSqlError = (reason: PoolError["reason"], operation: string): SqlError => {
  const cause = new PoolError({ reason })
  const props = { cause, message: cause.message, operation }
  switch (reason._tag) {
    case "QueryTimeout":
      return new SqlError({ reason: new StatementTimeoutError(props) })
    case "DatabaseUnavailable":
      return new SqlError({
        reason: reason.problem === "authentication" ? new AuthenticationError(props) : new ConnectionError(props)
      })
    case "TransactionStatementRefused":
      return new SqlError({ reason: new SqlSyntaxError(props) })
    default:
      return new SqlError({ reason: new ConnectionError(props) })
  }
}

/** The code of a server's or a socket's error, such as `57P01` or `ECONNREFUSED`. */
export const errorCode = (error: SqlError): string | undefined => {
  const cause: unknown = error.reason.cause
  return typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : undefined
}

/** Codes of a server that is on its way down or up: `57P01` to `57P05` but not `57014`, which is a cancel. */
const notReadyCodes = new Set(["57P01", "57P02", "57P03", "57P05"])

/** What a server that answers says of itself rather than of what was asked: its network, its resources, its disk. */
const passingCode = /^(?:08|53|57|58|XX)...$/

/** A code of the server, which the system's, such as `EPIPE`, are not. */
const isServerCode = (code: string): boolean => /^[0-9A-Z]{2}[0-9][0-9A-Z]{2}$|^[0-9]/.test(code)

/** What Node.js says of a certificate that it does not accept, and the driver of a server without TLS. */
const isTlsProblem = (error: SqlError, code: string | undefined): boolean =>
  code === undefined
    ? error.message.endsWith("Server refused TLS")
    : /^(?:CERT|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|HOSTNAME_MISMATCH|INVALID_CA|ERR_TLS|ERR_SSL)/.test(code)

/** Tells the failures of opening a connection apart. */
export const connectProblem = (error: SqlError): DatabaseProblem => {
  if (error.reason._tag === "AuthenticationError") return "authentication"
  const code = errorCode(error)
  if (isTlsProblem(error, code)) return "tls"
  if (code === undefined) return "unreachable"
  if (code === "ECONNREFUSED" || code === "ENOENT") return "refused"
  if (code === "53300") return "noSlots"
  if (notReadyCodes.has(code)) return "notReady"
  return isServerCode(code) && !passingCode.test(code) ? "rejected" : "unreachable"
}

/** The server accepts no writes from this session, for the time being or for as long as the session lasts. */
export const isReadOnlyRefusal = (error: SqlError): boolean => errorCode(error) === "25006"

/** Whether a statement failed because its connection did, not because of what it asked. */
export const isConnectionLoss = (error: SqlError): boolean => {
  if (error.reason.cause instanceof PoolError) return false
  if (error.reason._tag === "ConnectionError") return true
  const code = errorCode(error)
  return code !== undefined && notReadyCodes.has(code)
}
