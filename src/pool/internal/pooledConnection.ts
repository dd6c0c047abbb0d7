/**
 * A session while it belongs to the pool: when it was used, what was left behind in it, and who waits for it.
 */
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
  /** Monotonic milliseconds after which it is not handed out any more, unless it never was. */
  readonly expiresAt: number
  /** It was handed out. Each is at least once, however short its lifetime is. */
  wasLeased = false
  /** A statement of its holder asked that nothing be written. */
  isReadOnlyRequested = false
  /** When it last answered a statement of a caller, or was opened. */
  lastUsedAt: number
  /** When it last answered anything, pings included. */
  lastResponseAt: number
  /** Why the pool closed it or is about to; absent while it is good. */
  closeReason: CloseReason | undefined
  /** Callers that hold it now. */
  leases = 0
  /** Pings on their way. */
  validations = 0
  /** Its last ping was not answered. */
  validationFailed = false
  /** One caller has it alone, or waits until the others are done to have it so. */
  isReserved = false
  /** Who holds it, for the report of long holds. */
  readonly holders = new Holders()
  /** Bits of what statements left behind in the session. */
  dirtyBits: number = StatementEffects.none
  inTransaction = false
  /** Callers that wait for an answer on it, or hold it alone. */
  pendingCallers = 0
  /** A caller left a statement on it while it was shared, so it ends as soon as nobody waits. */
  isAbandoned = false
  /** Its end was asked for. */
  isTerminating = false
  /** Somebody who left it sees to it that the pool does not close it before it is ended. */
  isHeldForTermination = false

  private readonly onRelease = new Set<() => void>()

  /** Waits until nobody is on it any more, or its end is decided. */
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

  /** Waits until its session is over. */
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

  /** When it is too old to lie idle. One that waits for its first caller gets a second in any case. */
  get idleExpiresAt(): number {
    return this.wasLeased ? this.expiresAt : Math.max(this.expiresAt, this.openedAt + 1_000)
  }

  /** Whether nobody is on it and nothing is on its way. */
  get isIdle(): boolean {
    return this.leases === 0 && this.validations === 0
  }

  /** Whether nothing has decided its end yet. */
  get isReusable(): boolean {
    return this.closeReason === undefined && !this.isAbandoned && this.session.isOpen()
  }

  /** Whether it is not known to answer: a ping is on its way, or the last one was in vain. */
  get isUnverified(): boolean {
    return this.validations > 0 || this.validationFailed
  }

  /** Tells those who wait for it to be free that this may have changed. */
  notifyReleased(): void {
    if (this.onRelease.size === 0) return
    // A copy: whoever is woken and finds it taken waits again.
    for (const wake of Array.from(this.onRelease)) wake()
  }

  /** Notes what a statement does to the session before it is sent, for it may take effect though it fails. */
  statementSent(effects: number): void {
    this.dirtyBits |= effects & dirtyMask
    if ((effects & StatementEffects.begins) !== 0) this.inTransaction = true
    if ((effects & StatementEffects.readOnly) !== 0) this.isReadOnlyRequested = true
  }

  /** Notes that a statement succeeded. One that failed to end a transaction may have left it open. */
  statementSucceeded(effects: number): void {
    if ((effects & StatementEffects.ends) !== 0) this.inTransaction = false
  }

  get isClean(): boolean {
    return !this.inTransaction && this.dirtyBits === StatementEffects.none
  }
}

type TransformRows = (<A extends object>(rows: ReadonlyArray<A>) => ReadonlyArray<A>) | undefined

/** Runs one statement on a session; `effect` sends it. */
export type RunStatement = <A>(
  sql: string,
  effect: (connection: PgConnection.PgConnection) => Effect.Effect<A, SqlError>
) => Effect.Effect<A, SqlError>

/** What `SqlClient` asks of a connection, over a way to run one statement. */
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
