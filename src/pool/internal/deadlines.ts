/** The deadline of a fiber's database operations, and one timer for the deadlines of all operations. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { monotonicMsOf } from "../../internal/clock.ts"

/**
 * Monotonic milliseconds of the fiber's clock; absent where only the pool's own deadline applies. Fibers inherit it, so
 * all statements of a program share its deadline.
 */
export const CurrentDeadline: Context.Reference<number | undefined> = Context.Reference<number | undefined>(
  "athena-hooks/pool/ConnectionPool/CurrentDeadline",
  { defaultValue: () => undefined }
)

/** The time left for a fiber, in milliseconds. Its clock may differ from the pool's. */
export const remainingMs = (fiber: Fiber.Fiber<unknown, unknown>): number | undefined => {
  const deadline = fiber.getRef(CurrentDeadline)
  return deadline === undefined ? undefined : deadline - monotonicMsOf(fiber.getRef(Clock.Clock))
}

/** The resolution of deadlines, in milliseconds: none fires later than this. */
export const resolutionMs = 5

export interface Expirable {
  readonly expire: () => void
}

/**
 * Runs the deadlines of many operations with one sleeping fiber. Most operations finish long before their deadline, and a
 * timer for each would cost more than the query. Deadlines are rounded up to `resolutionMs` and collected in buckets.
 */
export class DeadlineTimer {
  private readonly clock: Clock.Clock
  private readonly fork: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>
  private readonly buckets = new Map<number, Set<Expirable>>()
  private sleeper: Fiber.Fiber<void> | undefined
  private wakesAt = Infinity
  private closed = false

  constructor(clock: Clock.Clock, fork: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>) {
    this.clock = clock
    this.fork = fork
  }

  /** Expires the target when the monotonic clock reaches `atMs`. Returns the bucket for `remove`. */
  add(atMs: number, target: Expirable): number {
    const bucket = Math.ceil(atMs / resolutionMs)
    const targets = this.buckets.get(bucket)
    if (targets === undefined) this.buckets.set(bucket, new Set([target]))
    else targets.add(target)
    if (bucket < this.wakesAt) this.sleepUntil(bucket)
    return bucket
  }

  remove(bucket: number, target: Expirable): void {
    const targets = this.buckets.get(bucket)
    if (targets === undefined) return
    targets.delete(target)
    if (targets.size === 0) this.buckets.delete(bucket)
  }

  /** Drops all deadlines without expiring them. */
  close(): void {
    this.closed = true
    this.buckets.clear()
    this.sleeper?.interruptUnsafe()
  }

  private sleepUntil(bucket: number): void {
    if (this.closed) return
    this.sleeper?.interruptUnsafe()
    this.wakesAt = bucket
    const ms = Math.max(0, bucket * resolutionMs - monotonicMsOf(this.clock))
    const wake = Effect.sync(() => this.wake())
    this.sleeper = this.fork(Effect.andThen(this.clock.sleep(Duration.millis(ms)), wake))
  }

  private wake(): void {
    this.wakesAt = Infinity
    this.sleeper = undefined
    const now = monotonicMsOf(this.clock)
    const due: Array<readonly [number, Set<Expirable>]> = []
    for (const [bucket, targets] of this.buckets) {
      if (bucket * resolutionMs > now) continue
      this.buckets.delete(bucket)
      due.push([bucket, targets])
    }
    for (const [, targets] of due.toSorted(([a], [b]) => a - b)) {
      for (const target of targets) target.expire()
    }
    let next = Infinity
    for (const bucket of this.buckets.keys()) next = Math.min(next, bucket)
    if (next < this.wakesAt) this.sleepUntil(next)
  }
}
