/**
 * Deadlines of many operations at the price of one timer.
 *
 * An operation registers itself with a moment and takes itself back when it is done, which nearly all do long before.
 * A timer for each would cost more than the query it guards, so moments are rounded up to `resolutionMs` and kept in
 * buckets, and one fiber sleeps until the first of them.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { monotonicMsOf } from "../../internal/clock.ts"

/** How late a deadline may fire, in milliseconds. */
export const resolutionMs = 5

/** Something that has a deadline. */
export interface Expirable {
  readonly expire: () => void
}

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

  /** Lets it expire once the monotonic clock has reached `atMs`, and gives the bucket to remove it from before. */
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

  /** Forgets everything; nothing expires any more. */
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
