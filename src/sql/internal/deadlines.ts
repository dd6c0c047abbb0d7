/**
 * Deadlines of many operations at the price of one timer.
 *
 * An operation registers a moment and a callback and takes it back when it is done, which nearly all do long before.
 * A timer for each would cost more than the query it guards, so moments are rounded up to `resolutionMs` and kept in
 * buckets, and one fiber sleeps until the first of them.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { monotonicMs } from "./monotonic.ts"

/** How late a deadline may fire, in milliseconds. */
export const resolutionMs = 5

/** A registered deadline. */
export interface Entry {
  readonly bucket: number
  readonly onExpire: () => void
}

export class Deadlines {
  private readonly clock: Clock.Clock
  private readonly fork: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>
  private readonly buckets = new Map<number, Set<Entry>>()
  private sleeper: Fiber.Fiber<void> | undefined
  private wakesAt = Infinity
  private closed = false

  constructor(clock: Clock.Clock, fork: <A>(effect: Effect.Effect<A>) => Fiber.Fiber<A>) {
    this.clock = clock
    this.fork = fork
  }

  /** Calls back once the monotonic clock has reached `atMs`, unless it is removed before. */
  add(atMs: number, onExpire: () => void): Entry {
    const bucket = Math.ceil(atMs / resolutionMs)
    const entry: Entry = { bucket, onExpire }
    const entries = this.buckets.get(bucket)
    if (entries === undefined) this.buckets.set(bucket, new Set([entry]))
    else entries.add(entry)
    if (bucket < this.wakesAt) this.sleepUntil(bucket)
    return entry
  }

  remove(entry: Entry): void {
    const entries = this.buckets.get(entry.bucket)
    if (entries === undefined) return
    entries.delete(entry)
    if (entries.size === 0) this.buckets.delete(entry.bucket)
  }

  /** Forgets all entries; nothing fires any more. */
  close(): void {
    this.closed = true
    this.buckets.clear()
    this.sleeper?.interruptUnsafe()
  }

  private sleepUntil(bucket: number): void {
    if (this.closed) return
    this.sleeper?.interruptUnsafe()
    this.wakesAt = bucket
    const ms = Math.max(0, bucket * resolutionMs - monotonicMs(this.clock))
    this.sleeper = this.fork(
      Effect.andThen(
        this.clock.sleep(Duration.millis(ms)),
        Effect.sync(() => this.wake())
      )
    )
  }

  private wake(): void {
    this.wakesAt = Infinity
    this.sleeper = undefined
    const now = monotonicMs(this.clock)
    const due: Array<Entry> = []
    for (const [bucket, entries] of this.buckets) {
      if (bucket * resolutionMs > now) continue
      this.buckets.delete(bucket)
      due.push(...entries)
    }
    due.sort((a, b) => a.bucket - b.bucket)
    for (const entry of due) entry.onExpire()
    let next = Infinity
    for (const bucket of this.buckets.keys()) next = Math.min(next, bucket)
    if (next < this.wakesAt) this.sleepUntil(next)
  }
}
