/**
 * One caller's request to the pool: it waits for a connection, runs on it, and ends in time.
 *
 * The work runs in a fiber of its own, which costs less than a timer and can be abandoned: at the deadline the caller
 * receives its error immediately, while the fiber cancels the statement in the server and returns the connection, or has
 * it destroyed on a dead network.
 *
 * The state is in fields and not in closures, because every statement allocates a request.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { SqlError } from "effect/sql/SqlError"
import type { Expirable } from "./deadlines.ts"
import { describeWaiting, type Holder } from "./leakDetection.ts"
import type { PooledConnection } from "./pooledConnection.ts"

/** The result of an attempt that found a broken connection and needs another. */
export const Retry: unique symbol = Symbol("athena-hooks/pool/ConnectionPool/Retry")
export type Retry = typeof Retry

export interface Work<A, E, R> {
  /** Repeated with another connection while it results in `Retry`. */
  readonly attempt: Effect.Effect<A | Retry, E, R>
}

interface Releasable {
  readonly release: Effect.Effect<void>
}

/** The pool, as its requests notify it. */
export interface RequestListener {
  readonly fork: (effect: Effect.Effect<void>) => unknown
  /** The request waits for a connection. */
  readonly enqueue: (request: PoolRequest) => void
  /** The statement is about to be sent. */
  readonly startRunning: (request: PoolRequest) => void
  /** The fiber has ended: its connection responded or broke. */
  readonly finish: (request: PoolRequest, exit: Exit.Exit<unknown, unknown>, wasAbandoned: boolean) => void
  /** The caller has left; its statement may still run. */
  readonly abandon: (request: PoolRequest) => void
  /** The caller receives its result. */
  readonly settle: (request: PoolRequest, exit: Exit.Exit<unknown, unknown>) => void
  readonly timeoutError: (request: PoolRequest) => SqlError
  readonly errorOf: <E>(cause: Cause.Cause<E>, connection: PooledConnection | undefined) => Cause.Cause<E | SqlError>
}

type Resume = (effect: Effect.Effect<any, any, any>) => void

export class PoolRequest implements Expirable, Holder {
  readonly startedAt: number
  readonly deadlineAt: number | undefined
  /** Whether the caller uses its connection alone. */
  readonly exclusive: boolean
  connection: PooledConnection | undefined = undefined
  /** The lease for the caller, released where the caller leaves before it receives it. */
  lease: Releasable | undefined = undefined
  /** Monotonic milliseconds; negative for a request on a connection that the caller already holds. */
  acquiredAt = -1
  /** It is in the queue for a connection. */
  waiting = false
  /** Its statement was sent and has no result yet. */
  running = false
  /** Its slot in the connection's holders; negative for none. */
  holderSlot = -1
  /** It was reported as a possible leak. */
  reported = false
  /** No fiber runs for it. */
  hasEnded = true
  /** The bucket of its deadline; 0 for none. */
  deadlineBucket = 0
  /** The caller has its result or has left. */
  private settled = false
  private readonly pool: RequestListener
  private readonly fiber: Fiber.Fiber<unknown, unknown>
  private child: Fiber.Fiber<unknown, unknown> | undefined = undefined
  private work: Work<any, any, any> | undefined = undefined
  private resume: Resume | undefined = undefined

  constructor(
    pool: RequestListener,
    fiber: Fiber.Fiber<unknown, unknown>,
    startedAt: number,
    deadlineAt: number | undefined,
    exclusive: boolean
  ) {
    this.pool = pool
    this.fiber = fiber
    this.startedAt = startedAt
    this.deadlineAt = deadlineAt
    this.exclusive = exclusive
  }

  get isExpired(): boolean {
    return this.deadlineAt !== undefined && this.startedAt >= this.deadlineAt
  }

  /** The location of the caller, which waits in the same fiber throughout. */
  describe(): string {
    return describeWaiting(this.fiber)
  }

  /** Runs the work until it completes, the time is up, or the caller is interrupted. */
  run<A, E, R>(work: Work<A, E, R>): Effect.Effect<A, E | SqlError, R> {
    return Effect.callback<A, E | SqlError, R>((resume) => {
      this.begin(work, resume)
      return Effect.suspend(() => this.interrupted())
    })
  }

  /**
   * Runs on a connection that the caller already holds. The connection's counters rise in the same step in which the
   * fiber starts whose end lowers them: an interruption in between would leave them raised.
   */
  runOn<A, E, R>(connection: PooledConnection, attempt: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> {
    return Effect.callback<A, E | SqlError, R>((resume) => {
      this.connection = connection
      this.pool.startRunning(this)
      this.begin({ attempt }, resume)
      return Effect.suspend(() => this.interrupted())
    })
  }

  /** Releases a lease that the caller never received. It may still arrive until the fiber has ended. */
  releaseUndelivered(): void {
    const { lease } = this
    if (lease === undefined || !this.hasEnded) return
    this.lease = undefined
    this.pool.fork(lease.release)
  }

  expire(): void {
    if (!this.settled) this.fail(this.pool.timeoutError(this))
  }

  /** Fails the caller and abandons the fiber. */
  fail(error: SqlError): void {
    if (this.settled) return
    this.abandon()
    this.resume!(Effect.fail(error))
  }

  // Closures are passed as arguments: V8 allocates those assigned to another object's property as long-lived, and each
  // would prevent the early collection of later statements' objects.
  private begin(work: Work<any, any, any>, resume: Resume): void {
    this.work = work
    this.resume = resume
    this.start()
    if (!this.settled && !this.running) this.pool.enqueue(this)
  }

  private start(): void {
    this.hasEnded = false
    const child = Effect.runForkWith(this.fiber.context)(this.work!.attempt as Effect.Effect<unknown, unknown>)
    this.child = child
    child.addObserver((exit) => this.onEnded(exit))
  }

  private onEnded(exit: Exit.Exit<unknown, unknown>): void {
    this.hasEnded = true
    if (this.running) this.pool.finish(this, exit, this.settled)
    const value = Exit.isSuccess(exit) ? exit.value : undefined
    if (this.settled || Exit.isFailure(exit)) this.releaseUndelivered()
    if (this.settled) return
    if (value === Retry) {
      this.connection = undefined
      return this.start()
    }
    this.settled = true
    this.pool.settle(this, exit)
    this.resume!(Exit.isSuccess(exit) ? exit : Effect.failCause(this.pool.errorOf(exit.cause, this.connection)))
  }

  private abandon(): void {
    this.settled = true
    this.pool.abandon(this)
    this.child!.interruptUnsafe()
  }

  /**
   * The interrupted caller waits until its work has ended or its session was destroyed. On a shared connection it does
   * not wait, because that may take as long as the statements of others.
   */
  private interrupted(): Effect.Effect<void> {
    if (this.settled) return Effect.void
    this.abandon()
    if (!this.exclusive) return Effect.void
    const { connection } = this
    return connection === undefined ? this.whenEnded : Effect.raceFirst(this.whenEnded, connection.whenClosed)
  }

  get whenEnded(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      this.child!.addObserver(() => resume(Effect.void))
    })
  }
}
