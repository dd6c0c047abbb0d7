/** The errors of a pool, and their conversion from and to `SqlError`. */
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import {
  AuthenticationError,
  ConnectionError,
  isSqlError,
  SqlError,
  SqlSyntaxError,
  StatementTimeoutError
} from "effect/sql/SqlError"

/**
 * The number of closed connections by reason, since the pool was created.
 *
 * @category models
 * @since 0.1.0
 */
export class ClosedConnections extends Schema.Class<ClosedConnections>("athena-hooks/pool/ConnectionPool/Closed")({
  /** Exceeded the idle timeout. */
  idle: Schema.Int,
  /** Exceeded the maximum lifetime. */
  lifetime: Schema.Int,
  /** Did not respond to a validation or keepalive. */
  validation: Schema.Int,
  /** Closed by the server or the network. */
  lost: Schema.Int,
  /** Had a cancelled statement: the cancel could still reach the next one. */
  cancelled: Schema.Int,
  /** Its transaction or settings could not be reset. */
  dirty: Schema.Int,
  /** Refused to write, because its server was read-only when it began. */
  readOnly: Schema.Int,
  /** Evicted by `evict` or `evictAll`. */
  evicted: Schema.Int,
  /** Closed by the pool's shutdown. */
  shutdown: Schema.Int
}) {}

/**
 * Percentiles of the time to acquire a connection, in milliseconds, since the pool was created. Read from a histogram
 * of doubling buckets, they are upper bounds within a factor of two.
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
 * A snapshot of a pool's state.
 *
 * @category models
 * @since 0.1.0
 */
export class PoolStats extends Schema.Class<PoolStats>("athena-hooks/pool/ConnectionPool/PoolStats")({
  /** Open connections: `idle + inUse`. With `opening`, at most `max`. */
  total: Schema.Int,
  idle: Schema.Int,
  inUse: Schema.Int,
  /** Connections being opened. */
  opening: Schema.Int,
  /** Callers that wait for a connection. */
  waiting: Schema.Int,
  min: Schema.Int,
  max: Schema.Int,
  /** Connections opened since the pool was created. */
  created: Schema.Int,
  closed: ClosedConnections,
  /** Callers without a connection because all were in use. */
  exhausted: Schema.Int,
  /** Callers without a connection because none could be opened. */
  unavailable: Schema.Int,
  /** Statements that exceeded their deadline. */
  timedOut: Schema.Int,
  /** Whether the pool is suspended. */
  suspended: Schema.Boolean,
  acquire: AcquireTimes
}) {}

/**
 * The reason for which the database is unavailable.
 *
 * - `refused`: nothing listens at the address
 * - `unreachable`: no response in time, no route, or an unknown host
 * - `authentication`: a wrong password, or no right to log in
 * - `tls`: the server does not support the requested TLS, or its certificate is not trusted
 * - `noSlots`: the server has no free connection slot
 * - `notReady`: the server is starting, stopping or recovering
 * - `noMatch`: every server responded, none with the requested role (primary or standby)
 * - `readOnly`: a session refused to write though the target is a primary; the pool evicts it
 * - `lost`: the connection broke while in use
 * - `rejected`: the server rejected the connection for another reason, such as an unknown database, a missing privilege, or a failed statement of `connectionInitSql`
 *
 * @category models
 * @since 0.1.0
 */
export const DatabaseProblem = Schema.Literals([
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

export type DatabaseProblem = typeof DatabaseProblem.Type

/** A retry with the same credentials, database and certificate would fail again. */
const permanentProblems: ReadonlySet<DatabaseProblem> = new Set(["authentication", "tls", "rejected"])

const fields = { stats: PoolStats, cause: Schema.optional(Schema.Defect()) }

/**
 * The database responds, but until the timeout all connections were in use or the pool was suspended; or too many
 * callers wait.
 *
 * @category errors
 * @since 0.1.0
 */
export class PoolExhausted extends Schema.TaggedError<PoolExhausted>("athena-hooks/pool/ConnectionPool/PoolExhausted")(
  "PoolExhausted",
  { ...fields, waitedMs: Schema.Finite }
) {
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
  /** True where the open circuit breaker prevented an attempt. */
  breakerOpen: Schema.Boolean
}) {
  /** False for `authentication`, `tls` and `rejected`. */
  get isRetryable(): boolean {
    return !permanentProblems.has(this.problem)
  }

  override get message(): string {
    const detail = detailOf(this.cause)
    const breaker = this.breakerOpen ? ", circuit breaker open" : ""
    return `ConnectionPool: database unavailable (${this.problem}${breaker})${detail === undefined ? "" : `: ${detail}`}`
  }
}

/** The longest detail in a message, in UTF-16 units. */
const maxDetailLength = 300

/** The message of the server, the network or the driver, on one line. None of them contains a password. */
const detailOf = (cause: unknown): string | undefined => {
  let innermost: unknown = cause
  for (let depth = 0; depth < 8; depth++) {
    const inner: unknown =
      innermost instanceof SqlError ? innermost.reason.cause : innermost instanceof Error ? innermost.cause : undefined
    if (!(inner instanceof Error)) break
    innermost = inner
  }
  if (!(innermost instanceof Error) || innermost instanceof PoolError) return undefined
  const code = "code" in innermost && typeof innermost.code === "string" ? innermost.code : undefined
  const message = (innermost.message || code || "").replace(/[\s\p{Cc}\p{Cf}]+/gu, " ").trim()
  const text = code === undefined || message.includes(code) ? message : `${message} (${code})`
  return text === "" ? undefined : text.slice(0, maxDetailLength)
}

/**
 * A statement had no result before its deadline. It was cancelled in the server if that was reachable; whether it took
 * effect is unknown.
 *
 * @category errors
 * @since 0.1.0
 */
export class QueryTimeout extends Schema.TaggedError<QueryTimeout>("athena-hooks/pool/ConnectionPool/QueryTimeout")(
  "QueryTimeout",
  { ...fields, elapsedMs: Schema.Finite }
) {
  get isRetryable(): boolean {
    return true
  }

  override get message(): string {
    return `ConnectionPool: no result within the deadline (${Math.round(this.elapsedMs)} ms)`
  }
}

/**
 * A transaction control statement on a borrowed connection, where the statements before and after it may run on others.
 * It was not sent. Use `sql.withTransaction`, or `sql.reserve` for manual control.
 *
 * @category errors
 * @since 0.1.0
 */
export class TransactionStatementRefused extends Schema.TaggedError<TransactionStatementRefused>(
  "athena-hooks/pool/ConnectionPool/TransactionStatementRefused"
)("TransactionStatementRefused", fields) {
  get isRetryable(): boolean {
    return false
  }

  override get message(): string {
    return "ConnectionPool: a transaction control statement needs an exclusive connection: use sql.withTransaction or sql.reserve"
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
  get isRetryable(): boolean {
    return false
  }

  override get message(): string {
    return "ConnectionPool: closed"
  }
}

/**
 * An error of the pool: the cause of the `SqlError` of an operation, see `fromSqlError` and `catchReason`. No message
 * or field contains a password or a parameter.
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
  /** Whether a retry may succeed. */
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }

  override get message(): string {
    return this.reason.message
  }
}

/**
 * The pool's error in the `SqlError` of an operation; none for an error of the database itself.
 *
 * @category errors
 * @since 0.1.0
 */
export const fromSqlError = (error: SqlError): Option.Option<PoolError> =>
  error.reason.cause instanceof PoolError ? Option.some(error.reason.cause) : Option.none()

/**
 * Handles one reason of a `PoolError` inside the `SqlError` of an operation. Other errors pass through.
 *
 * **When to use**
 *
 * To respond differently to an exhausted pool, an unavailable database and a slow statement.
 *
 * **Example**
 *
 * ```ts
 * import * as ConnectionPool from "athena-hooks/pool/ConnectionPool"
 * import * as Effect from "effect/Effect"
 * import * as SqlClient from "effect/sql/SqlClient"
 *
 * const count = SqlClient.SqlClient.use((sql) => sql<{ count: number }>`SELECT count(*)::int AS count FROM events`).pipe(
 *   ConnectionPool.catchReason("QueryTimeout", ({ elapsedMs }) =>
 *     Effect.as(Effect.logWarning(`no result after ${elapsedMs} ms`), [])
 *   )
 * )
 * ```
 *
 * @category error handling
 * @since 0.1.0
 */
export const catchReason: {
  <Tag extends ReasonTag, A2, E2, R2>(
    tag: Tag,
    f: (reason: ReasonOf<Tag>, error: SqlError) => Effect.Effect<A2, E2, R2>
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A | A2, E | E2, R | R2>
  <A, E, R, Tag extends ReasonTag, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    tag: Tag,
    f: (reason: ReasonOf<Tag>, error: SqlError) => Effect.Effect<A2, E2, R2>
  ): Effect.Effect<A | A2, E | E2, R | R2>
} = dual(
  3,
  <A, E, R, Tag extends ReasonTag, A2, E2, R2>(
    self: Effect.Effect<A, E, R>,
    tag: Tag,
    f: (reason: ReasonOf<Tag>, error: SqlError) => Effect.Effect<A2, E2, R2>
  ): Effect.Effect<A | A2, E | E2, R | R2> =>
    Effect.catch(self, (error): Effect.Effect<A2, E | E2, R2> => {
      const pool = isSqlError(error) ? Option.getOrUndefined(fromSqlError(error)) : undefined
      return pool?.reason._tag === tag ? f(pool.reason as ReasonOf<Tag>, error as SqlError) : Effect.fail(error)
    })
)

type ReasonTag = PoolError["reason"]["_tag"]

type ReasonOf<Tag extends ReasonTag> = Extract<PoolError["reason"], { readonly _tag: Tag }>

/** Wraps a reason of the pool in the `SqlError` reason that other Effect SQL code expects. */
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

/** Codes of a server that starts or stops: `57P01` to `57P05` without `57014`, which is a cancel. */
const notReadyCodes = new Set(["57P01", "57P02", "57P03", "57P05"])

/** Codes for the state of a responding server rather than for the request: its network, resources or disk. */
const transientCode = /^(?:08|53|57|58|XX)...$/

/** A code of the server, not of the operating system such as `EPIPE`. */
const isServerCode = (code: string): boolean => /^[0-9A-Z]{2}[0-9][0-9A-Z]{2}$|^[0-9]/.test(code)

/** The codes of Node.js for an untrusted certificate, and the driver's message for a server without TLS. */
const isTlsProblem = (error: SqlError, code: string | undefined): boolean =>
  code === undefined
    ? error.message.endsWith("Server refused TLS")
    : /^(?:CERT|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|HOSTNAME_MISMATCH|INVALID_CA|ERR_TLS|ERR_SSL)/.test(code)

/** Classifies the failures of opening a connection. */
export const connectProblem = (error: SqlError): DatabaseProblem => {
  if (error.reason._tag === "AuthenticationError") return "authentication"
  const code = errorCode(error)
  if (isTlsProblem(error, code)) return "tls"
  if (code === undefined) return "unreachable"
  if (code === "ECONNREFUSED" || code === "ENOENT") return "refused"
  if (code === "53300") return "noSlots"
  if (notReadyCodes.has(code)) return "notReady"
  return isServerCode(code) && !transientCode.test(code) ? "rejected" : "unreachable"
}

/** The server accepts no writes from this session, now or for the session's lifetime. */
export const isReadOnlyRefusal = (error: SqlError): boolean => errorCode(error) === "25006"

/** Whether a statement failed because its connection did. */
export const isConnectionLoss = (error: SqlError): boolean => {
  if (error.reason.cause instanceof PoolError) return false
  if (error.reason._tag === "ConnectionError") return true
  const code = errorCode(error)
  return code !== undefined && notReadyCodes.has(code)
}
