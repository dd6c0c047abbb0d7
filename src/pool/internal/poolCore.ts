/**
 * The state of a pool: `effect/Pool` of connections, the requests that wait for them, and the rules of acquiring one.
 */
import type * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Pool from "effect/Pool"
import type { SqlError } from "effect/sql/SqlError"
import { monotonicMsOf } from "../../internal/clock.ts"
import type { PoolStats } from "../PoolError.ts"
import { Cancellation } from "./cancellation.ts"
import type { Connector } from "./connector.ts"
import { DeadlineTimer, remainingMs } from "./deadlines.ts"
import type { PooledConnection } from "./pooledConnection.ts"
import { type ConnectFailure, PoolErrors } from "./poolErrors.ts"
import { PoolRequest, type RequestListener, Retry } from "./poolRequest.ts"
import type { Settings } from "./poolSettings.ts"
import { type CloseReason, Counters, type Occupancy } from "./poolStats.ts"

export class PoolCore implements RequestListener {
  readonly settings: Settings
  readonly connector: Connector
  readonly clock: Clock.Clock
  readonly deadlines: DeadlineTimer
  readonly counters = new Counters()
  readonly errors: PoolErrors
  readonly cancellation: Cancellation
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  /** Sessions that occupy a slot, from when they are open until their socket is closed. */
  readonly sessions = new Set<PooledConnection>()
  readonly waiting = new Set<PoolRequest>()
  private readonly changeListeners = new Set<() => void>()
  pool!: Pool.Pool<PooledConnection, SqlError>
  opening = 0
  isClosed = false
  /** Absent unless the pool is suspended. */
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
    this.errors = new PoolErrors(this)
    this.cancellation = new Cancellation(this)
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

  /** Reevaluates the conditions of `awaitChange`. */
  notifyChange(): void {
    if (this.changeListeners.size === 0) return
    // A copy: an opening that resumes and fails immediately registers again.
    for (const listener of Array.from(this.changeListeners)) listener()
  }

  /** Waits for a change after which the condition holds: a request is enqueued, or a connection opens or is lost. */
  awaitChange(condition: () => boolean): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const listener = () => {
        if (!condition()) return
        this.changeListeners.delete(listener)
        resume(Effect.void)
      }
      this.changeListeners.add(listener)
      return Effect.sync(() => this.changeListeners.delete(listener))
    })
  }

  /** Removes a connection from the pool. An idle one is closed immediately, one in use when it is returned. */
  evict(connection: PooledConnection, reason: CloseReason): Effect.Effect<void> {
    return Effect.suspend(() => {
      connection.closeReason ??= reason
      connection.notifyReleased()
      return Pool.invalidate(this.pool, connection)
    })
  }

  evictLater(connection: PooledConnection, reason: CloseReason): void {
    this.fork(this.evict(connection, reason))
  }

  evictAll(): Effect.Effect<void> {
    return Effect.forEach(Array.from(this.sessions), (connection) => this.evict(connection, "evicted"), {
      discard: true
    })
  }

  /** Destroys the session if the effect takes longer, which also ends the effect. */
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

  /** Whether a connection responds. One that does not is evicted. */
  validate(connection: PooledConnection): Effect.Effect<boolean> {
    const ping = Effect.suspend(() => connection.session.connection.queryValues("SELECT 1"))
    return Effect.acquireUseRelease(
      Effect.sync(() => connection.validations++),
      () => this.withSessionTimeout(connection, this.settings.validationTimeoutMs, ping),
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
   * Continues with a connection from the pool if it is valid; otherwise evicts it and requests a retry. Within the
   * validation window of its last response, and while other callers use it, it needs no validation.
   */
  useValidated<A, E, R>(
    request: PoolRequest,
    connection: PooledConnection,
    use: (request: PoolRequest, connection: PooledConnection) => Effect.Effect<A, E, R>
  ): Effect.Effect<A | Retry, E, R> {
    request.connection = connection
    const now = request.waiting ? this.now() : request.startedAt
    if (!connection.isUsable(now)) {
      const reason = now >= connection.expiresAt ? "lifetime" : "lost"
      return Effect.as(this.evict(connection, reason), Retry)
    }
    connection.wasLeased = true
    const isValid = now - connection.lastResponseAt < this.settings.validationWindowMs || connection.leases > 0
    if (isValid) return use(request, connection)
    // Another request may reserve it during the validation.
    return Effect.flatMap(this.validate(connection), (isValid): Effect.Effect<A | Retry, E, R> =>
      isValid && !connection.isReserved ? use(request, connection) : Effect.succeed(Retry)
    )
  }

  acquired(request: PoolRequest): void {
    const waitedMs = request.waiting ? this.now() - request.startedAt : 0
    request.acquiredAt = request.startedAt + waitedMs
    this.stopWaiting(request)
    this.counters.acquire.record(waitedMs)
    if (waitedMs >= this.settings.slowAcquireMs) this.warnSlowAcquire(request, waitedMs)
  }

  /** From now on the request's deadline means that its statement was too slow. */
  startRunning(request: PoolRequest): void {
    const connection = request.connection!
    request.running = true
    connection.leases++
    if (request.acquiredAt >= 0) request.holderSlot = connection.holders.add(request)
    if (!request.exclusive) connection.pendingCallers++
    if (request.deadlineAt !== undefined) request.deadlineBucket = this.deadlines.add(request.deadlineAt, request)
  }

  /** Nearly each belongs to a caller that already has its connection. */
  private pendingValidations(): number {
    let validations = 0
    for (const connection of this.sessions) validations += connection.validations
    return validations
  }

  /**
   * Why a new request is rejected. Those whose connection is being validated or can still be opened do not count as
   * waiters: with `maxWaiters` 0 an empty pool would otherwise reject every caller.
   */
  admissionError(): SqlError | undefined {
    if (this.isClosed) return this.errors.closed()
    const { max, maxWaiters } = this.settings
    const admitted = maxWaiters + max - this.sessions.size
    if (this.waiting.size < admitted) return undefined
    const { availableHead, waiters } = this.pool.state
    const isSuspended = this.suspension !== undefined
    if (!isSuspended && waiters.size === 0 && availableHead?.exit._tag === "Success") return undefined
    if (this.waiting.size - this.pendingValidations() < admitted) return undefined
    const failure = this.lastFailure
    return failure === undefined || this.isReachable() ? this.errors.exhausted(0) : this.errors.notAcquired(failure)
  }

  suspend(): void {
    this.suspension ??= Latch.makeUnsafe(false)
  }

  resume(): void {
    this.suspension?.openUnsafe()
    this.suspension = undefined
  }

  whenResumed<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    const { suspension } = this
    if (suspension === undefined) return effect
    const again = Effect.suspend(() => this.whenResumed(effect))
    return Effect.andThen(suspension.await, again)
  }

  /** The fiber's deadline overrides the pool's, which is per operation; `fallbackMs` applies where neither is set. */
  newRequest(fiber: Fiber.Fiber<unknown, unknown>, exclusive: boolean, fallbackMs?: number): PoolRequest {
    const startedAt = this.now()
    const timeoutMs = remainingMs(fiber) ?? this.settings.deadlineMs ?? fallbackMs
    const deadlineAt = timeoutMs === undefined ? undefined : startedAt + timeoutMs
    return new PoolRequest(this, fiber, startedAt, deadlineAt, exclusive)
  }

  newUnboundedRequest(fiber: Fiber.Fiber<unknown, unknown>): PoolRequest {
    return new PoolRequest(this, fiber, this.now(), undefined, true)
  }

  enqueue(request: PoolRequest): void {
    request.waiting = true
    this.waiting.add(request)
    const acquireAt = request.startedAt + this.settings.acquireTimeoutMs
    request.deadlineBucket = this.deadlines.add(Math.min(acquireAt, request.deadlineAt ?? Infinity), request)
    this.notifyChange()
  }

  private stopWaiting(request: PoolRequest): void {
    if (request.deadlineBucket !== 0) this.deadlines.remove(request.deadlineBucket, request)
    request.deadlineBucket = 0
    if (!request.waiting) return
    request.waiting = false
    this.waiting.delete(request)
  }

  /**
   * Whether one connection has responded since the last failure to open one. Other openings in progress are no evidence
   * about the database.
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

  timeoutError(request: PoolRequest): SqlError {
    return request.running ? this.queryTimeout(request) : this.acquireTimeout(request)
  }

  queryTimeout(request: PoolRequest): SqlError {
    return this.errors.queryTimeout(this.now() - request.startedAt)
  }

  private acquireTimeout(request: PoolRequest): SqlError {
    const isReachable = this.suspension !== undefined || this.isReachable()
    return request.connection?.isUnverified !== true && isReachable
      ? this.errors.exhausted(this.now() - request.startedAt)
      : this.errors.notAcquired(this.lastFailure ?? { problem: "unreachable", cause: undefined })
  }

  errorOf<E>(cause: Cause.Cause<E>, connection: PooledConnection | undefined): Cause.Cause<E | SqlError> {
    return this.errors.fromCause(cause, connection)
  }

  finish(request: PoolRequest, exit: Exit.Exit<unknown, unknown>, wasAbandoned: boolean): void {
    const connection = request.connection!
    const now = this.now()
    request.running = false
    connection.leases--
    if (request.acquiredAt >= 0) this.counters.use.record(now - request.acquiredAt)
    this.removeHolder(request, connection)
    if (!wasAbandoned) {
      connection.lastUsedAt = now
      if (!request.exclusive) this.cancellation.callerDone(connection)
      if (Exit.isSuccess(exit)) connection.lastResponseAt = now
    }
    connection.notifyReleased()
  }

  settle(request: PoolRequest, exit: Exit.Exit<unknown, unknown>): void {
    if (request.waiting && Exit.isFailure(exit)) this.counters.unavailable++
    this.stopWaiting(request)
  }

  abandon(request: PoolRequest): void {
    this.stopWaiting(request)
    const { connection } = request
    if (connection === undefined) return
    this.removeHolder(request, connection)
    this.cancellation.cancel(request, connection)
  }

  private removeHolder(request: PoolRequest, connection: PooledConnection): void {
    if (request.holderSlot >= 0) this.holderReleased(connection, request.holderSlot)
    request.holderSlot = -1
  }

  /** Logs the return of a connection that was reported as a possible leak. */
  holderReleased(connection: PooledConnection, slot: number): void {
    const holder = connection.holders.remove(slot)
    if (holder?.reported !== true) return
    this.fork(
      Effect.logInfo("ConnectionPool: reported connection was returned").pipe(
        Effect.annotateLogs({
          pool: this.settings.name,
          heldMs: Math.round(this.now() - holder.acquiredAt),
          acquiredBy: holder.describe()
        })
      )
    )
  }

  private warnSlowAcquire(request: PoolRequest, waitedMs: number): void {
    const { inUse, max, opening, waiting } = this.occupancy()
    const state = { inUse, max, opening, waiting }
    this.fork(
      Effect.logWarning("ConnectionPool: slow acquire").pipe(
        Effect.annotateLogs({
          pool: this.settings.name,
          waitedMs: Math.round(waitedMs),
          requestedBy: request.describe(),
          ...state
        })
      )
    )
  }
}
