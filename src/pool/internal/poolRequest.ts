/**
 * One caller's way through the pool: it waits for a connection, runs on it, and ends in time.
 *
 * What the caller asked for runs in a fiber of its own, which costs less than a timer and can be left behind: at the
 * deadline the caller is answered at once, while the fiber cancels its statement in the server and gives the
 * connection back or, when the network is gone, has it destroyed under it.
 *
 * The state is in fields and not in closures, for this is made for every statement.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { SqlError } from "effect/sql/SqlError"
import type { Expirable } from "./deadlineTimer.ts"
import type { PoolCore } from "./poolCore.ts"
import { describeWaiting, type Holder } from "./leakDetection.ts"
import type { PooledConnection } from "./pooledConnection.ts"

/** An attempt that met a broken connection and should be made again with another. */
export const Retry: unique symbol = Symbol("athena-hooks/pool/ConnectionPool/Retry")
export type Retry = typeof Retry

/** What a request runs. */
export interface Work<A, E, R> {
  /** Run again, for another connection, as long as it ends in `Retry`. */
  readonly attempt: Effect.Effect<A | Retry, E, R>
}

/** A connection that a request got for its caller. */
interface Releasable {
  readonly release: Effect.Effect<void>
}

type Resume = (effect: Effect.Effect<any, any, any>) => void

export class PoolRequest implements Expirable, Holder {
  readonly startedAt: number
  readonly deadlineAt: number | undefined
  /** Whether the caller has its connection for itself. */
  readonly exclusive: boolean
  connection: PooledConnection | undefined = undefined
  /** What it got for its caller to keep, which goes back where the caller never hears of it. */
  lease: Releasable | undefined = undefined
  /** When it got its connection; negative where it had one all the time. */
  acquiredAt = -1
  /** It waits for a connection, and others may be before it. */
  waiting = false
  /** Its statement is on its way to the server or back. */
  running = false
  /** Where it is among those who hold its connection; negative where it is not. */
  holderSlot = -1
  /** Its long hold was told. */
  reported = false
  /** No fiber of it runs: it has not begun yet, or has ended. */
  hasEnded = true
  /** Where its deadline is kept; 0 for none. */
  deadlineBucket = 0
  /** The caller was answered or is gone. */
  private settled = false
  private readonly core: PoolCore
  private readonly fiber: Fiber.Fiber<unknown, unknown>
  private child: Fiber.Fiber<unknown, unknown> | undefined = undefined
  private work: Work<any, any, any> | undefined = undefined
  private resume: Resume | undefined = undefined

  constructor(
    core: PoolCore,
    fiber: Fiber.Fiber<unknown, unknown>,
    startedAt: number,
    deadlineAt: number | undefined,
    exclusive: boolean
  ) {
    this.core = core
    this.fiber = fiber
    this.startedAt = startedAt
    this.deadlineAt = deadlineAt
    this.exclusive = exclusive
  }

  get isExpired(): boolean {
    return this.deadlineAt !== undefined && this.startedAt >= this.deadlineAt
  }

  /** Where its caller is, who waits here all the time. */
  describe(): string {
    return describeWaiting(this.fiber)
  }

  /** Runs the work until it is done, the request's time is up, or the caller is interrupted. */
  run<A, E, R>(work: Work<A, E, R>): Effect.Effect<A, E | SqlError, R> {
    return Effect.callback<A, E | SqlError, R>((resume) => {
      this.begin(work, resume)
      return Effect.suspend(() => this.interrupted())
    })
  }

  /**
   * Runs on a connection that the caller has already. What counts it there is raised in the same step as the fiber
   * starts whose end lowers it: an interruption between the two would leave it raised for ever.
   */
  runOn<A, E, R>(connection: PooledConnection, attempt: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R> {
    return Effect.callback<A, E | SqlError, R>((resume) => {
      this.connection = connection
      this.core.startRunning(this)
      this.begin({ attempt }, resume)
      return Effect.suspend(() => this.interrupted())
    })
  }

  /** Gives back what the caller never got. Until its fiber has ended, that may still be on its way. */
  releaseUndelivered(): void {
    const { lease: held } = this
    if (held === undefined || !this.hasEnded) return
    this.lease = undefined
    this.core.fork(held.release)
  }

  /** The time is up. */
  expire(): void {
    if (this.settled) return
    this.fail(this.running ? this.core.queryTimeout(this) : this.core.acquireTimeout(this))
  }

  /** Answers the caller with an error and leaves the fiber behind. */
  fail(error: SqlError): void {
    if (this.settled) return
    this.abandon()
    this.resume!(Effect.fail(error))
  }

  // Closures are handed on as arguments: V8 allocates those that are assigned to another object's property as
  // long-lived, and each would keep the objects of later statements from being collected early.
  private begin(work: Work<any, any, any>, resume: Resume): void {
    this.work = work
    this.resume = resume
    this.start()
    if (!this.settled && !this.running) this.core.enqueue(this)
  }

  private start(): void {
    this.hasEnded = false
    const child = Effect.runForkWith(this.fiber.context)(this.work!.attempt as Effect.Effect<unknown, unknown>)
    this.child = child
    child.addObserver((exit) => this.onEnded(exit))
  }

  private onEnded(exit: Exit.Exit<unknown, unknown>): void {
    this.hasEnded = true
    if (this.running) this.core.finish(this, exit, this.settled)
    const value = Exit.isSuccess(exit) ? exit.value : undefined
    if (this.settled || Exit.isFailure(exit)) this.releaseUndelivered()
    if (this.settled) return
    if (value === Retry) {
      this.connection = undefined
      return this.start()
    }
    this.settled = true
    if (this.waiting && Exit.isFailure(exit)) this.core.counters.unavailable++
    this.core.stopWaiting(this)
    this.resume!(Exit.isSuccess(exit) ? exit : Effect.failCause(this.core.explain(exit.cause, this.connection)))
  }

  private abandon(): void {
    this.settled = true
    this.core.stopWaiting(this)
    this.core.cancel(this)
    this.child!.interruptUnsafe()
  }

  /**
   * The caller is interrupted, and waits until nothing of its work runs any more or its session was ended under it; on
   * a shared connection, where that can take as long as others wait for answers, it does not.
   */
  private interrupted(): Effect.Effect<void> {
    if (this.settled) return Effect.void
    this.abandon()
    if (!this.exclusive) return Effect.void
    const { connection } = this
    return connection === undefined ? this.whenEnded : Effect.raceFirst(this.whenEnded, connection.whenClosed)
  }

  /** Waits until its fiber has ended. */
  get whenEnded(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      this.child!.addObserver(() => resume(Effect.void))
    })
  }
}
