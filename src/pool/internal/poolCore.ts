/**
 * The pool itself: `effect/Pool` with what it knows about each connection, each caller and itself.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Pool from "effect/Pool"
import * as Schedule from "effect/Schedule"
import { SqlError } from "effect/sql/SqlError"
import type { Connector } from "./connector.ts"
import * as CurrentDeadline from "./currentDeadline.ts"
import { DeadlineTimer } from "./deadlineTimer.ts"
import { monotonicMsOf } from "../../internal/clock.ts"
import type { PooledConnection } from "./pooledConnection.ts"
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
import type { Settings } from "./poolSettings.ts"
import { type CloseReason, Counters, type Occupancy } from "./poolStats.ts"
import { Retry, PoolRequest } from "./poolRequest.ts"

/**
 * How long the server gets to confirm a cancel before its connection is destroyed, in milliseconds. On a slow line the
 * cancel itself arrives later.
 */
export const cancelGraceMs = 250

/** The pause between two tries to end a deserted session, in milliseconds. */
const terminateRetryMs = 100

/** The last failure to connect, kept for callers who run out of time while the pool still tries. */
export interface ConnectFailure {
  readonly problem: DatabaseProblem
  readonly cause: SqlError | undefined
  /** When it was, in monotonic milliseconds. */
  readonly at: number
}

export class PoolCore {
  readonly settings: Settings
  readonly connector: Connector
  readonly clock: Clock.Clock
  readonly deadlines: DeadlineTimer
  readonly counters = new Counters()
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  /** Sessions that hold a slot, from the moment they are open until their socket is closed. */
  readonly sessions = new Set<PooledConnection>()
  readonly waiting = new Set<PoolRequest>()
  /** Called when somebody starts to wait or a connection is lost. */
  private readonly onChange = new Set<() => void>()
  pool!: Pool.Pool<PooledConnection, SqlError>
  opening = 0
  closed = false
  /** Closed while nobody may get a connection. */
  private suspension: Latch.Latch | undefined
  lastFailure: ConnectFailure | undefined

  constructor(options: {
    readonly settings: Settings
    readonly connector: Connector
    readonly clock: Clock.Clock
    readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  }) {
    this.settings = options.settings
    this.connector = options.connector
    this.clock = options.clock
    this.fork = options.fork
    this.deadlines = new DeadlineTimer(options.clock, options.fork)
  }

  now(): number {
    return monotonicMsOf(this.clock)
  }

  occupancy(): Occupancy {
    let idle = 0
    let inUse = 0
    for (const item of this.pool.state.items) {
      if (item.exit._tag === "Failure" || !item.exit.value.session.isOpen()) continue
      if (item.refCount > 0) inUse++
      else idle++
    }
    const { max, min } = this.settings
    const suspended = this.suspension !== undefined
    return { idle, inUse, opening: this.opening, waiting: this.waiting.size, suspended, min, max }
  }

  stats(): PoolStats {
    return this.counters.snapshot(this.occupancy())
  }

  /** Tells those who wait in `until` to look again. */
  notifyChange(): void {
    if (this.onChange.size === 0) return
    // A copy: an opening that is woken and fails at once pauses again.
    for (const wake of Array.from(this.onChange)) wake()
  }

  /** Waits until a change after which the condition holds: somebody starts to wait, or a connection is lost. */
  awaitChange(condition: () => boolean): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const wake = () => {
        if (!condition()) return
        this.onChange.delete(wake)
        resume(Effect.void)
      }
      this.onChange.add(wake)
      return Effect.sync(() => this.onChange.delete(wake))
    })
  }

  /** Takes a connection out of circulation. One in use is closed when it comes back, one that is idle at once. */
  evict(connection: PooledConnection, reason: CloseReason): Effect.Effect<void> {
    return Effect.suspend(() => {
      connection.closeReason ??= reason
      connection.notifyReleased()
      return Pool.invalidate(this.pool, connection)
    })
  }

  /** Runs something on a connection that is destroyed if it takes too long; so it ends in any case. */
  withSessionTimeout<A, E, R>(
    { session }: Pick<PooledConnection, "session">,
    ms: number,
    effect: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      const target = { expire: session.destroy }
      const bucket = this.deadlines.add(this.now() + ms, target)
      return Effect.onExit(effect, () => Effect.sync(() => this.deadlines.remove(bucket, target)))
    })
  }

  /** Whether a connection still answers. One that does not is retired. */
  validate(connection: PooledConnection): Effect.Effect<boolean> {
    return Effect.acquireUseRelease(
      Effect.sync(() => connection.validations++),
      () =>
        this.withSessionTimeout(
          connection,
          this.settings.validationTimeoutMs,
          connection.session.connection.queryValues("SELECT 1")
        ),
      (_, exit) =>
        Effect.sync(() => {
          connection.validations--
          connection.validationFailed = Exit.isFailure(exit)
          connection.notifyReleased()
        })
    ).pipe(
      Effect.matchEffect({
        onFailure: () => Effect.as(this.evict(connection, "validation"), false),
        onSuccess: () =>
          Effect.sync(() => {
            connection.lastResponseAt = this.now()
            return true
          })
      })
    )
  }

  /**
   * Goes on with a connection just taken from the pool if it is good; otherwise retires it and asks for another try.
   * It counts as good without a ping for a while after its last answer, and while others wait for answers on it.
   */
  useValidated<A, E, R>(
    request: PoolRequest,
    connection: PooledConnection,
    next: (request: PoolRequest, connection: PooledConnection) => Effect.Effect<A, E, R>
  ): Effect.Effect<A | Retry, E, R> {
    request.connection = connection
    const now = request.waiting ? this.now() : request.startedAt
    if (!connection.isUsable(now)) {
      const reason = now >= connection.expiresAt ? "lifetime" : "lost"
      return Effect.as(this.evict(connection, reason), Retry)
    }
    connection.wasLeased = true
    const seen = now - connection.lastResponseAt < this.settings.validationWindowMs || connection.leases > 0
    if (seen) return next(request, connection)
    // Meanwhile another may have asked for it alone.
    return Effect.flatMap(this.validate(connection), (good): Effect.Effect<A | Retry, E, R> =>
      good && !connection.isReserved ? next(request, connection) : Effect.succeed(Retry)
    )
  }

  /** The caller has its connection: the wait is over. */
  acquired(request: PoolRequest): void {
    const waitedMs = request.waiting ? this.now() - request.startedAt : 0
    request.acquiredAt = request.startedAt + waitedMs
    this.stopWaiting(request)
    this.counters.acquire.record(waitedMs)
    if (waitedMs >= this.settings.slowAcquireMs) this.warnSlowAcquire(request, waitedMs)
  }

  /** The statement is about to be sent; from now on its deadline means that it was too slow. */
  startRunning(request: PoolRequest): void {
    const connection = request.connection!
    request.running = true
    connection.leases++
    if (request.acquiredAt >= 0) request.holderSlot = connection.holders.add(request)
    if (!request.exclusive) connection.pendingCallers++
    if (request.deadlineAt !== undefined) request.deadlineBucket = this.deadlines.add(request.deadlineAt, request)
  }

  /** Pings on their way, nearly each for a caller who has his connection already. */
  private pendingValidations(): number {
    let pings = 0
    for (const connection of this.sessions) pings += connection.validations
    return pings
  }

  /**
   * Whether a caller may come in at all. Those whose connection is pinged, and those for whom one can still be opened,
   * do not count as waiters: an empty pool would turn everybody away for ever where nobody may wait.
   */
  admissionError(): SqlError | undefined {
    if (this.closed) return this.closedError()
    const { max, maxWaiters } = this.settings
    const admitted = maxWaiters + max - this.sessions.size
    if (this.waiting.size < admitted) return undefined
    const { availableHead, waiters } = this.pool.state
    const isSuspended = this.suspension !== undefined
    if (!isSuspended && waiters.size === 0 && availableHead?.exit._tag === "Success") return undefined
    if (this.waiting.size - this.pendingValidations() < admitted) return undefined
    const failure = this.lastFailure
    return failure === undefined || this.isReachable() ? this.exhausted(0) : this.unavailable(failure)
  }

  private exhausted(waitedMs: number): SqlError {
    this.counters.exhausted++
    const cause = this.lastFailure?.cause
    return toSqlError(new PoolExhausted({ stats: this.stats(), waitedMs, cause }), "acquire")
  }

  private unavailable(failure: Omit<ConnectFailure, "at">): SqlError {
    this.counters.unavailable++
    return this.unavailableError(failure, false, "acquire")
  }

  /** Takes out all that are open now; those that come later stay. */
  evictAll(): Effect.Effect<void> {
    return Effect.forEach(Array.from(this.sessions), (connection) => this.evict(connection, "evicted"), {
      discard: true
    })
  }

  /** Lets nobody have a connection any more who does not have one. */
  suspend(): void {
    this.suspension ??= Latch.makeUnsafe(false)
  }

  /** Ends a suspension, and lets those in who waited for it. */
  resume(): void {
    this.suspension?.openUnsafe()
    this.suspension = undefined
  }

  /** Waits until the pool is not suspended. */
  whenResumed<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    const { suspension } = this
    return suspension === undefined
      ? effect
      : Effect.andThen(
          suspension.await,
          Effect.suspend(() => this.whenResumed(effect))
        )
  }

  /**
   * A deadline of the fiber goes before that of the pool, which is for each operation anew; `boundMs` holds where
   * there is neither.
   */
  newRequest(fiber: Fiber.Fiber<unknown, unknown>, exclusive: boolean, boundMs?: number): PoolRequest {
    const startedAt = this.now()
    const own = this.settings.deadlineMs ?? boundMs
    const leftMs = CurrentDeadline.leftMs(fiber) ?? own
    const deadlineAt = leftMs === undefined ? undefined : startedAt + leftMs
    return new PoolRequest(this, fiber, startedAt, deadlineAt, exclusive)
  }

  /** A request that runs until it is answered. */
  newUnboundedRequest(fiber: Fiber.Fiber<unknown, unknown>): PoolRequest {
    return new PoolRequest(this, fiber, this.now(), undefined, true)
  }

  queryTimeout(request: PoolRequest): SqlError {
    this.counters.timedOut++
    return toSqlError(new QueryTimeout({ stats: this.stats(), elapsedMs: this.now() - request.startedAt }), "query")
  }

  closedError(cause?: SqlError): SqlError {
    return toSqlError(new PoolClosed({ stats: this.stats(), cause }), "acquire")
  }

  transactionStatementRefused(): SqlError {
    return toSqlError(new TransactionStatementRefused({ stats: this.stats() }), "query")
  }

  unavailableError(failure: Omit<ConnectFailure, "at">, breakerOpen: boolean, operation: string): SqlError {
    return toSqlError(
      new DatabaseUnavailable({ stats: this.stats(), cause: failure.cause, problem: failure.problem, breakerOpen }),
      operation
    )
  }

  /** The caller has to wait for a connection. */
  enqueue(request: PoolRequest): void {
    request.waiting = true
    this.waiting.add(request)
    const acquireAt = request.startedAt + this.settings.acquireTimeoutMs
    request.deadlineBucket = this.deadlines.add(Math.min(acquireAt, request.deadlineAt ?? Infinity), request)
    this.notifyChange()
  }

  stopWaiting(request: PoolRequest): void {
    if (request.deadlineBucket !== 0) this.deadlines.remove(request.deadlineBucket, request)
    request.deadlineBucket = 0
    if (!request.waiting) return
    request.waiting = false
    this.waiting.delete(request)
  }

  /**
   * Whether the database answers as far as is known: one connection proves it that has answered since the last one
   * failed to open. How many others are being opened meanwhile says nothing of the database.
   */
  private isReachable(): boolean {
    const failedAt = this.lastFailure?.at ?? -Infinity
    let open = 0
    for (const connection of this.sessions) {
      if (!connection.session.isOpen() || connection.isUnverified) continue
      if (connection.lastResponseAt > failedAt) return true
      open++
    }
    return open >= this.settings.max
  }

  /** Why a caller got no connection in time: they were all out, or there were none to be had. */
  acquireTimeout(request: PoolRequest): SqlError {
    const isReachable = this.suspension !== undefined || this.isReachable()
    if (request.connection?.isUnverified !== true && isReachable) return this.exhausted(this.now() - request.startedAt)
    return this.unavailable(this.lastFailure ?? { problem: "unreachable", cause: undefined })
  }

  /** The request's fiber has ended: its connection answered or broke. */
  finish(request: PoolRequest, exit: Exit.Exit<unknown, unknown>, left: boolean): void {
    const connection = request.connection!
    const now = this.now()
    request.running = false
    connection.leases--
    if (request.acquiredAt >= 0) this.counters.use.record(now - request.acquiredAt)
    this.removeHolder(request, connection)
    if (!left) {
      connection.lastUsedAt = now
      if (!request.exclusive) this.callerDone(connection)
      if (Exit.isSuccess(exit)) connection.lastResponseAt = now
    }
    connection.notifyReleased()
  }

  private removeHolder(request: PoolRequest, connection: PooledConnection): void {
    if (request.holderSlot >= 0) this.holderReleased(connection, request.holderSlot)
    request.holderSlot = -1
  }

  /** A holder gives its connection back, which is logged where its long hold was. */
  holderReleased(connection: PooledConnection, slot: number): void {
    const holder = connection.holders.remove(slot)
    if (holder?.reported !== true) return
    this.fork(
      Effect.logInfo("ConnectionPool: connection held for long was returned").pipe(
        Effect.annotateLogs({
          pool: this.settings.name,
          heldMs: Math.round(this.now() - holder.acquiredAt),
          takenBy: holder.describe()
        })
      )
    )
  }

  /** The caller is gone and its statement may still run. */
  cancel(request: PoolRequest): void {
    const connection = request.connection
    if (connection === undefined) return
    this.removeHolder(request, connection)
    if (this.settings.concurrency > 1 && !request.running) return
    if (!request.exclusive) return this.abandonShared(connection)
    // The fiber's interruption sends the cancel and waits for the server's word, but not for ever.
    this.deadlines.add(this.now() + cancelGraceMs, {
      expire: () => {
        if (!request.hasEnded) connection.session.destroy()
      }
    })
    this.fork(this.evict(connection, "cancelled"))
  }

  /**
   * Somebody left a statement on a shared connection. A cancel ends whatever the server runs when it arrives, which may
   * be another caller's statement; so nobody new is let in, and once nobody waits for an answer any more the server is
   * told to end the session with all that is left on it.
   */
  private abandonShared(connection: PooledConnection): void {
    connection.isAbandoned = true
    this.fork(this.evict(connection, "cancelled"))
    this.callerDone(connection)
  }

  /** One caller less waits for an answer on the connection. */
  callerDone(connection: PooledConnection): void {
    connection.pendingCallers--
    this.terminateIfIdle(connection)
  }

  private terminateIfIdle(connection: PooledConnection): void {
    if (!connection.isAbandoned || connection.pendingCallers > 0 || connection.isTerminating) return
    connection.isTerminating = true
    const { session } = connection
    // The number of its process is the pooler's own, and another's in the server.
    if (session.isPooled) return session.destroy()
    const patienceMs = this.settings.validationTimeoutMs
    const terminate = Effect.gen({ self: this }, function* () {
      const beside = yield* this.connector.openForTermination(session)
      // An answer that does not come in time ends this session too, and with it the wait for it.
      yield* Effect.forkScoped(Effect.delay(Effect.sync(beside.destroy), patienceMs))
      yield* beside.connection.queryValues(terminateStatement, [session.connection.processId])
    })
    // A server that is full may have a slot a moment later.
    const patiently = Schedule.spaced(terminateRetryMs).pipe(Schedule.upTo({ duration: patienceMs }))
    const ended = Effect.retry(Effect.scoped(terminate), patiently)
    this.fork(Effect.ensuring(Effect.ignore(ended), Effect.sync(session.destroy)))
  }

  /**
   * Keeps a deserted session in the pool's hands until it is ended, or its process id could be another's by then. The
   * first who leaves it does that.
   */
  holdUntilTerminated(connection: PooledConnection): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (connection.isHeldForTermination) return Effect.void
      connection.isHeldForTermination = true
      return connection.whenClosed
    })
  }

  /** Puts the pool's own words in place of the driver's where the connection failed and not the statement. */
  explain<E>(cause: Cause.Cause<E>, connection: PooledConnection | undefined): Cause.Cause<E | SqlError> {
    if (this.closed && Cause.hasInterruptsOnly(cause)) return Cause.fail(this.closedError())
    return Cause.map(cause, (error) => (error instanceof SqlError ? this.explainError(error, connection) : error))
  }

  explainError(error: SqlError, connection: PooledConnection | undefined): SqlError {
    if (connection !== undefined && isReadOnlyRefusal(error)) return this.readOnlyRefusal(error, connection)
    if (!isConnectionLoss(error)) return error
    if (this.closed) return this.closedError(error)
    const failure = { problem: "lost", cause: error } as const
    return this.unavailableError(failure, false, error.reason.operation ?? "query")
  }

  /** The pool's own words for a connection that could not be opened; its own errors stay as they are. */
  connectError(error: SqlError): SqlError {
    if (error.reason.cause instanceof PoolError) return error
    return this.unavailableError({ problem: connectProblem(error), cause: error }, false, "connect")
  }

  /**
   * A session stays read-only that began while its server was, so it is ended, unless its holder or the user asked for
   * one that does not write. With a primary asked for, the next try may find a session that writes.
   */
  private readOnlyRefusal(error: SqlError, connection: PooledConnection): SqlError {
    const { target } = this.settings
    if (connection.isReadOnlyRequested || target === "standby" || target === "preferStandby") return error
    this.fork(this.evict(connection, "readOnly"))
    if (target === "any") return error
    return this.unavailableError({ problem: "readOnly", cause: error }, false, error.reason.operation ?? "query")
  }

  private warnSlowAcquire(request: PoolRequest, waitedMs: number): void {
    const { inUse, max, opening, waiting } = this.occupancy()
    const state = { inUse, max, opening, waiting }
    this.fork(
      Effect.logWarning("ConnectionPool: slow acquire").pipe(
        Effect.annotateLogs({
          pool: this.settings.name,
          waitedMs: Math.round(waitedMs),
          askedBy: request.describe(),
          ...state
        })
      )
    )
  }
}

/** Ends a session of the same program, with whatever it runs. */
export const terminateStatement =
  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND usename = session_user " +
  "AND datname = current_database() AND application_name = current_setting('application_name')"
