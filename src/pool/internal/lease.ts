/** An exclusive connection: for a transaction, a stream, a listener or a reservation. */
import type * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { ExclusiveAcquire, type ExclusiveConnection } from "./exclusiveAcquire.ts"
import * as Holder from "./leakDetection.ts"
import { cancelGraceMs } from "./cancellation.ts"
import type { PoolCore } from "./poolCore.ts"
import { errorCode, isConnectionLoss } from "../PoolError.ts"
import { type PooledConnection, StatementConnection, type TransformRows } from "./pooledConnection.ts"
import type { PoolRequest } from "./poolRequest.ts"
import { StatementEffects, effectsOf, resetStatements } from "./sessionState.ts"

/** Resets a session for its next caller, or evicts it where that is impossible. */
export const resetSession = (
  core: PoolCore,
  connection: PooledConnection,
  pinned: PgConnection.PgConnection
): Effect.Effect<void> =>
  Effect.suspend(() => {
    connection.isReadOnlyRequested = false
    if (connection.isClean || connection.closeReason !== undefined) return Effect.void
    if ((connection.dirtyBits & StatementEffects.unknown) !== 0) return core.evict(connection, "dirty")
    const statements = resetStatements(connection, core.settings.initSql)
    return Effect.forEach(statements, (sql) => pinned.queryValues(sql), { discard: true }).pipe(
      (reset) => core.withSessionTimeout(connection, core.settings.validationTimeoutMs, reset),
      Effect.matchEffect({
        onFailure: (error) => core.evict(connection, isConnectionLoss(error) ? "lost" : "dirty"),
        onSuccess: () =>
          Effect.sync(() => {
            connection.dirtyBits = StatementEffects.none
            connection.inTransaction = false
          })
      })
    )
  })

/** The connection of `SqlClient` while one caller holds it exclusively. */
export class Lease extends StatementConnection {
  readonly connection: PooledConnection
  readonly pinned: PgConnection.PgConnection
  private readonly core: PoolCore
  private readonly scope: Scope.Closeable
  private readonly acquiredAt: number
  /** Set once a statement was abandoned on it, which makes it unusable for its holder. */
  private failure: SqlError | undefined
  private pendingStatement: Effect.Effect<void> = Effect.void
  /** Its slot in the connection's holders; negative without leak detection. */
  private holderSlot = -1

  constructor(options: {
    readonly core: PoolCore
    readonly connection: PooledConnection
    readonly pinned: PgConnection.PgConnection
    readonly scope: Scope.Closeable
  }) {
    super((sql, effect) => this.runStatement(sql, effect))
    this.core = options.core
    this.connection = options.connection
    this.pinned = options.pinned
    this.scope = options.scope
    this.acquiredAt = options.core.now()
  }

  /** Reports the lease, with the fiber's current location, when it exceeds the leak detection threshold. */
  detectLeak(fiber: Fiber.Fiber<unknown, unknown>): void {
    this.holderSlot = this.connection.holders.add(Holder.make(fiber, this.acquiredAt))
  }

  /** Whether a transaction on it can continue; the server rolls back that of a closed session. */
  get isAlive(): boolean {
    return this.failure === undefined && this.connection.session.isOpen()
  }

  private runStatement<A>(
    sql: string,
    effect: (connection: PgConnection.PgConnection) => Effect.Effect<A, SqlError>
  ): Effect.Effect<A, SqlError> {
    const effects = effectsOf(sql)
    if ((effects & StatementEffects.rollsBack) !== 0) return this.rollBack(effects, effect)
    return Effect.withFiber((fiber) => {
      const request = this.core.newRequest(fiber, true, this.controlTimeout(effects))
      return request.isExpired ? Effect.fail(this.core.queryTimeout(request)) : this.send(request, effects, effect)
    })
  }

  /**
   * The timeout of a transaction control statement without a deadline. `SqlClient` sends it uninterruptibly, so nothing
   * else would end it on a dead network. Other statements are interruptible.
   */
  private controlTimeout(effects: number): number | undefined {
    const { acquireTimeoutMs } = this.core.settings
    if ((effects & (StatementEffects.begins | StatementEffects.savepoint)) !== 0) return acquireTimeoutMs
    return (effects & StatementEffects.ends) === 0 ? undefined : acquireTimeoutMs * commitTimeoutFactor
  }

  /**
   * Rolls back, or releases a savepoint. `SqlClient` can't handle an error of either, so both have a timeout beyond the
   * caller's deadline, and an error of a closed session counts as success. A failed transaction (25P02) can't release a
   * savepoint and need not: its COMMIT fails.
   */
  private rollBack<A>(
    effects: number,
    effect: (connection: PgConnection.PgConnection) => Effect.Effect<A, SqlError>
  ): Effect.Effect<A, SqlError> {
    const { connection, core } = this
    const run = Effect.withFiber((fiber: Fiber.Fiber<unknown, unknown>) => {
      const sent = this.send<A>(core.newUnboundedRequest(fiber), effects, effect)
      return core.withSessionTimeout(connection, this.rollbackTimeout(fiber), sent)
    })
    return run.pipe(
      Effect.catchIf(
        (error) => !this.isAlive || errorCode(error) === "25P02",
        () => Effect.succeed([] as A)
      )
    )
  }

  private rollbackTimeout(fiber: Fiber.Fiber<unknown, unknown>): number {
    const { core } = this
    const { deadlineAt, startedAt } = core.newRequest(fiber, true)
    const left = deadlineAt === undefined ? Infinity : deadlineAt - startedAt
    return Math.min(core.settings.validationTimeoutMs, Math.max(cancelGraceMs, left))
  }

  private send<A>(
    request: PoolRequest,
    effects: number,
    effect: (connection: PgConnection.PgConnection) => Effect.Effect<A, SqlError>
  ): Effect.Effect<A, SqlError> {
    const { connection } = this
    if (this.failure !== undefined) return Effect.fail(this.failure)
    connection.statementSent(effects)
    return Effect.onExit(request.runOn(connection, effect(this.pinned)), (exit) =>
      Effect.sync(() => {
        if (Exit.isSuccess(exit)) connection.statementSucceeded(effects)
        if (!request.hasEnded) this.abandonStatement(request, exit)
      })
    )
  }

  /** The result of the statement may still arrive, so no other can be sent. */
  private abandonStatement(request: PoolRequest, exit: Exit.Exit<unknown, SqlError>): void {
    const failure = Exit.findErrorOption(exit)
    this.pendingStatement = request.whenEnded
    this.failure = failure._tag === "Some" ? failure.value : this.core.errors.unavailable(lostFailure, false, "query")
  }

  override executeStream(
    sql: string,
    params: ReadonlyArray<unknown>,
    transformRows: TransformRows
  ): Stream.Stream<any, SqlError> {
    const { core } = this
    const rows = Stream.unwrap(
      Effect.withFiber((fiber) => {
        this.connection.statementSent(effectsOf(sql))
        return Effect.as(
          this.enforceDeadline(core.newRequest(fiber, true)),
          this.cancelOnEarlyEnd(this.pinned.stream(sql, params))
        )
      })
    )
    const explained = Stream.mapError(
      rows,
      (error) => this.failure ?? core.errors.fromStatement(error, this.connection)
    )
    return transformRows === undefined
      ? explained
      : Stream.mapArray(explained, (chunk) => transformRows(chunk) as never)
  }

  /** At the deadline of a stream, sends a cancel request and, without a response, destroys the session. */
  private enforceDeadline(request: PoolRequest): Effect.Effect<void, never, Scope.Scope> {
    const { deadlineAt } = request
    if (deadlineAt === undefined) return Effect.void
    const { connection, core } = this
    return Effect.asVoid(
      Effect.acquireRelease(
        Effect.sync(() => {
          const target = {
            expire: () => {
              this.failure = core.queryTimeout(request)
              core.fork(core.evict(connection, "cancelled"))
              core.fork(this.pinned.interrupt)
              core.deadlines.add(core.now() + cancelGraceMs, { expire: connection.session.destroy })
            }
          }
          return { bucket: core.deadlines.add(deadlineAt, target), target }
        }),
        ({ bucket, target }) => Effect.sync(() => core.deadlines.remove(bucket, target))
      )
    )
  }

  /**
   * Evicts the connection of a stream that ends early, because its cancel could still reach the next statement, and destroys
   * the session where the server does not end the stream: the driver waits for seconds. Finalizers run in reverse
   * order, so the driver's runs between these two.
   */
  private cancelOnEarlyEnd<A>(rows: Stream.Stream<A, SqlError>): Stream.Stream<A, SqlError> {
    const { connection, core } = this
    const target = { expire: connection.session.destroy }
    let bucket = 0
    let done = false
    const arm = Effect.sync(() => {
      if (!done) core.fork(core.evict(connection, "cancelled"))
      bucket = core.deadlines.add(core.now() + cancelGraceMs, target)
    })
    const disarm = Effect.sync(() => core.deadlines.remove(bucket, target))
    return Stream.fromChannel(
      Channel.fromTransform((upstream, scope) =>
        Effect.andThen(
          Scope.addFinalizer(scope, disarm),
          Effect.tap(Channel.toTransform(Stream.toChannel(rows))(upstream, scope), () => Scope.addFinalizer(scope, arm))
        ).pipe(Effect.map(Effect.onError((cause) => Effect.sync(() => (done = !Cause.hasInterrupts(cause))))))
      )
    )
  }

  /** Resets and returns the connection. Does not wait for an abandoned statement. */
  readonly release: Effect.Effect<void> = Effect.suspend(() => {
    const { connection, core, pinned, scope } = this
    const now = core.now()
    if (this.holderSlot >= 0) core.holderReleased(connection, this.holderSlot)
    connection.lastUsedAt = now
    core.cancellation.callerDone(connection)
    core.counters.use.record(now - this.acquiredAt)
    const close = Effect.onExit(Scope.close(scope, Exit.void), () =>
      Effect.sync(() => {
        connection.leases--
        connection.notifyReleased()
      })
    )
    if (this.failure === undefined) return Effect.andThen(resetSession(core, connection, pinned), close)
    // An earlier return would end the session before the server has cancelled the statement.
    const ended = core.withSessionTimeout(connection, cancelGraceMs, Effect.andThen(this.pendingStatement, close))
    core.fork(Effect.andThen(core.evict(connection, "cancelled"), ended))
    return Effect.void
  })
}

/** The timeout of a `COMMIT`, in acquire timeouts: it may check deferred constraints and write much. */
const commitTimeoutFactor = 6

const lostFailure = { problem: "lost", cause: undefined } as const

/** Acquires an exclusive connection for the lifetime of the scope. */
export const acquire = (
  core: PoolCore,
  options: { readonly detectLeaks: boolean }
): Effect.Effect<Lease, SqlError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiber((fiber) => {
      const refused = core.admissionError()
      if (refused !== undefined) return Effect.fail(refused)
      const request = core.newRequest(fiber, true)
      if (request.isExpired) return Effect.fail(core.queryTimeout(request))
      const attempt = Effect.suspend(() => {
        const claim = new ExclusiveAcquire(core, request)
        return Effect.onExit(
          Effect.flatMap(claim.acquire(), (claimed) => pin(core, request, claimed)),
          (exit) => {
            if (request.lease === undefined) return claim.release()
            return Exit.isSuccess(exit) ? Effect.sync(() => core.acquired(request)) : Effect.void
          }
        )
      })
      return restore(request.run({ attempt: core.whenResumed(attempt) })).pipe(
        Effect.onError(() => Effect.sync(() => request.releaseUndelivered())),
        Effect.tap((lease) => {
          if (options.detectLeaks) lease.detectLeak(fiber)
          return Effect.addFinalizer(() => lease.release)
        })
      )
    })
  )

/** The driver's own exclusive access. The connection is idle, so this does not wait. */
const pin = (core: PoolCore, request: PoolRequest, { connection, scope }: ExclusiveConnection): Effect.Effect<Lease> =>
  Effect.map(Scope.provide(connection.session.connection.pin, scope), (pinned) => {
    const lease = new Lease({ core, connection, pinned, scope })
    connection.leases++
    connection.pendingCallers++
    request.lease = lease
    return lease
  })
