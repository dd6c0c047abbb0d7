/** Constructs and counts the errors of a pool. */
import * as Cause from "effect/Cause"
import { SqlError } from "effect/sql/SqlError"
import {
  connectProblem,
  type DatabaseProblem,
  DatabaseUnavailable,
  isConnectionLoss,
  isReadOnlyRefusal,
  PoolClosed,
  PoolError,
  PoolExhausted,
  type PoolStats,
  QueryTimeout,
  toSqlError,
  TransactionStatementRefused
} from "../PoolError.ts"
import type { PooledConnection } from "./pooledConnection.ts"
import type { Settings } from "./poolSettings.ts"
import type { CloseReason, Counters } from "./poolStats.ts"

export interface ConnectFailure {
  readonly problem: DatabaseProblem
  readonly cause: SqlError | undefined
  /** Monotonic milliseconds. */
  readonly at: number
}

/** The pool, as its errors describe it. */
interface Pool {
  readonly settings: Pick<Settings, "target">
  readonly counters: Counters
  readonly isClosed: boolean
  /** Also for callers whose acquire timeout passes while the pool still retries. */
  readonly lastFailure: ConnectFailure | undefined
  readonly stats: () => PoolStats
  readonly evictLater: (connection: PooledConnection, reason: CloseReason) => void
}

type Failure = Omit<ConnectFailure, "at">

export class PoolErrors {
  private readonly pool: Pool

  constructor(pool: Pool) {
    this.pool = pool
  }

  exhausted(waitedMs: number): SqlError {
    const { counters, lastFailure } = this.pool
    counters.exhausted++
    return toSqlError(new PoolExhausted({ stats: this.pool.stats(), waitedMs, cause: lastFailure?.cause }), "acquire")
  }

  /** For a caller that received no connection. */
  notAcquired(failure: Failure): SqlError {
    this.pool.counters.unavailable++
    return this.unavailable(failure, false, "acquire")
  }

  queryTimeout(elapsedMs: number): SqlError {
    this.pool.counters.timedOut++
    return toSqlError(new QueryTimeout({ stats: this.pool.stats(), elapsedMs }), "query")
  }

  closed(cause?: SqlError): SqlError {
    return toSqlError(new PoolClosed({ stats: this.pool.stats(), cause }), "acquire")
  }

  transactionStatementRefused(): SqlError {
    return toSqlError(new TransactionStatementRefused({ stats: this.pool.stats() }), "query")
  }

  unavailable({ cause, problem }: Failure, breakerOpen: boolean, operation: string): SqlError {
    return toSqlError(new DatabaseUnavailable({ stats: this.pool.stats(), cause, problem, breakerOpen }), operation)
  }

  /** Replaces the driver's errors with the pool's where the connection failed and not the statement. */
  fromCause<E>(cause: Cause.Cause<E>, connection: PooledConnection | undefined): Cause.Cause<E | SqlError> {
    if (this.pool.isClosed && Cause.hasInterruptsOnly(cause)) return Cause.fail(this.closed())
    return Cause.map(cause, (error) => (error instanceof SqlError ? this.fromStatement(error, connection) : error))
  }

  fromStatement(error: SqlError, connection: PooledConnection | undefined): SqlError {
    if (connection !== undefined && isReadOnlyRefusal(error)) return this.readOnly(error, connection)
    if (!isConnectionLoss(error)) return error
    if (this.pool.isClosed) return this.closed(error)
    return this.unavailable({ problem: "lost", cause: error }, false, error.reason.operation ?? "query")
  }

  fromConnect(error: SqlError): SqlError {
    if (error.reason.cause instanceof PoolError) return error
    return this.unavailable({ problem: connectProblem(error), cause: error }, false, "connect")
  }

  /**
   * A session that began on a read-only server remains read-only, so the pool evicts it, unless its holder or the options
   * request one that does not write. With a primary as the target, a retry may find a session that writes.
   */
  private readOnly(error: SqlError, connection: PooledConnection): SqlError {
    const { target } = this.pool.settings
    if (connection.isReadOnlyRequested || target === "standby" || target === "preferStandby") return error
    this.pool.evictLater(connection, "readOnly")
    if (target === "any") return error
    return this.unavailable({ problem: "readOnly", cause: error }, false, error.reason.operation ?? "query")
  }
}
