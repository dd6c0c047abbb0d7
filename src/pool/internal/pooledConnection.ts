/** A session of the pool with its usage, its state and its callers. */
import * as Effect from "effect/Effect"
import type { Connection } from "effect/sql/SqlConnection"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import type * as PgConnection from "@effect/sql-pg/PgConnection"
import { Holders } from "./leakDetection.ts"
import type { Session } from "./pgSession.ts"
import type { CloseReason } from "./poolStats.ts"
import { StatementEffects, dirtyMask } from "./sessionState.ts"

export class PooledConnection {
  readonly session: Session
  /** Monotonic milliseconds after which it is not leased again, unless it never was. */
  readonly expiresAt: number
  /** Each connection is leased at least once, however short its lifetime. */
  wasLeased = false
  /** A statement of its holder requested a read-only transaction or session. */
  isReadOnlyRequested = false
  /** The time of its last response to a caller's statement, or of its opening. */
  lastUsedAt: number
  /** The time of its last response, including validations. */
  lastResponseAt: number
  /** The reason for which the pool closes it; absent while it is valid. */
  closeReason: CloseReason | undefined
  /** The number of current callers. */
  leases = 0
  validations = 0
  validationFailed = false
  /** One caller has it exclusively, or waits for the others to leave. */
  isReserved = false
  readonly holders = new Holders()
  /** The changes that statements made to the session, as bits of `StatementEffects`. */
  dirtyBits: number = StatementEffects.none
  inTransaction = false
  /** The number of callers that await a result on it or hold it exclusively. */
  pendingCallers = 0
  /** A caller abandoned a statement on it while it was shared, so it is terminated once it has no pending callers. */
  isAbandoned = false
  isTerminating = false
  /** A caller that abandoned it prevents the pool from closing it before its termination. */
  isHeldForTermination = false

  private readonly onRelease = new Set<() => void>()

  /** Waits until it has no callers, or can't be reused. */
  readonly whenIdle: Effect.Effect<void> = Effect.callback<void>((resume) => {
    const wake = () => {
      if (!this.isIdle && this.isReusable) return
      this.onRelease.delete(wake)
      resume(Effect.void)
    }
    this.onRelease.add(wake)
    wake()
    return Effect.sync(() => this.onRelease.delete(wake))
  })

  readonly whenClosed: Effect.Effect<void> = Effect.callback<void>((resume) =>
    this.session.onClosed(() => resume(Effect.void))
  )

  private readonly openedAt: number

  constructor(session: Session, now: number, lifetimeMs: number) {
    this.session = session
    this.openedAt = now
    this.expiresAt = now + lifetimeMs
    this.lastUsedAt = now
    this.lastResponseAt = now
  }

  isUsable(now: number): boolean {
    return this.isReusable && (!this.wasLeased || now < this.expiresAt)
  }

  /** The time at which it is too old to remain idle. An unused connection has one second for its first caller. */
  get idleExpiresAt(): number {
    return this.wasLeased ? this.expiresAt : Math.max(this.expiresAt, this.openedAt + 1_000)
  }

  get isIdle(): boolean {
    return this.leases === 0 && this.validations === 0
  }

  get isReusable(): boolean {
    return this.closeReason === undefined && !this.isAbandoned && this.session.isOpen()
  }

  get isUnverified(): boolean {
    return this.validations > 0 || this.validationFailed
  }

  /** Reevaluates the condition of `whenIdle`. */
  notifyReleased(): void {
    if (this.onRelease.size === 0) return
    // A copy: a caller that finds it in use registers again.
    for (const wake of Array.from(this.onRelease)) wake()
  }

  /** Records a statement's effects before it is sent, because it may take effect though it fails. */
  statementSent(effects: number): void {
    this.dirtyBits |= effects & dirtyMask
    if ((effects & StatementEffects.begins) !== 0) this.inTransaction = true
    if ((effects & StatementEffects.readOnly) !== 0) this.isReadOnlyRequested = true
  }

  /** A statement that failed to end a transaction may have left it open. */
  statementSucceeded(effects: number): void {
    if ((effects & StatementEffects.ends) !== 0) this.inTransaction = false
  }

  get isClean(): boolean {
    return !this.inTransaction && this.dirtyBits === StatementEffects.none
  }
}

export type TransformRows = (<A extends object>(rows: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

/** Runs one statement on a session; `effect` sends it. */
export type RunStatement = <A>(
  sql: string,
  effect: (connection: PgConnection.PgConnection) => Effect.Effect<A, SqlError>
) => Effect.Effect<A, SqlError>

/** The connection of `SqlClient`, over a function that runs one statement. */
export class StatementConnection implements Connection {
  protected readonly run: RunStatement

  constructor(run: RunStatement) {
    this.run = run
  }

  execute(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return this.rows(sql, params, transformRows, true)
  }

  executeUnprepared(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows) {
    return this.rows(sql, params, transformRows, false)
  }

  executeRaw(sql: string, params: ReadonlyArray<unknown>): Effect.Effect<unknown, SqlError> {
    return this.run(sql, (connection) => connection.query(sql, params))
  }

  executeValues(sql: string, params: ReadonlyArray<unknown>) {
    return this.run(sql, (connection) => connection.queryValues(sql, params))
  }

  executeValuesUnprepared(sql: string, params: ReadonlyArray<unknown>) {
    return this.run(sql, (connection) => connection.queryValues(sql, params, false))
  }

  executeStream(
    _sql: string,
    _params: ReadonlyArray<unknown>,
    _transformRows: TransformRows
  ): Stream.Stream<any, SqlError> {
    return Stream.die(new Error("ConnectionPool: a stream needs a connection of its own"))
  }

  private rows(sql: string, params: ReadonlyArray<unknown>, transformRows: TransformRows, prepare: boolean) {
    return this.run(sql, (connection) =>
      Effect.map(connection.query(sql, params, prepare), (result) =>
        transformRows === undefined ? result.rows : transformRows(result.rows)
      )
    )
  }
}
