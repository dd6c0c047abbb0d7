/** The counters of a pool: plain numbers that are cheap to increment, and a snapshot of them. */
import { AcquireTimes, ClosedConnections, PoolStats } from "../PoolError.ts"

/** The reason for which a connection was closed. */
export type CloseReason = keyof typeof ClosedConnections.fields

/** Upper bounds of the buckets in milliseconds: 1/64 ms, doubling up to about two minutes. */
export const bucketBounds: ReadonlyArray<number> = Array.from({ length: 24 }, (_, index) => 2 ** (index - 6))

/** A histogram of durations in milliseconds, in doubling buckets; the last one is unbounded. */
export class Histogram {
  readonly counts = new Float64Array(bucketBounds.length + 1)
  count = 0
  sum = 0
  min = 0
  max = 0

  /** Zero, the most frequent duration, has a fast path. */
  record(ms: number): void {
    this.min = this.count === 0 ? ms : Math.min(this.min, ms)
    this.count++
    if (ms <= 0) {
      this.counts[0]!++
      return
    }
    this.sum += ms
    if (ms > this.max) this.max = ms
    let index = 0
    while (index < bucketBounds.length && ms > bucketBounds[index]!) index++
    this.counts[index]!++
  }

  /** The upper bound of the bucket that contains the percentile, at most the maximum. */
  percentile(share: number): number {
    const rank = Math.ceil(this.count * share)
    let seen = 0
    for (let index = 0; index < bucketBounds.length; index++) {
      seen += this.counts[index]!
      if (seen >= rank) return Math.min(bucketBounds[index]!, this.max)
    }
    return this.max
  }
}

export interface Occupancy {
  readonly idle: number
  readonly inUse: number
  readonly opening: number
  readonly waiting: number
  readonly suspended: boolean
  readonly min: number
  readonly max: number
}

export class Counters {
  created = 0
  exhausted = 0
  unavailable = 0
  timedOut = 0
  readonly closed: Record<CloseReason, number> = {
    idle: 0,
    lifetime: 0,
    validation: 0,
    lost: 0,
    cancelled: 0,
    dirty: 0,
    readOnly: 0,
    evicted: 0,
    shutdown: 0
  }
  /** The time to acquire a connection. */
  readonly acquire = new Histogram()
  /** The time to open a connection. */
  readonly create = new Histogram()
  /** The time for which a connection was held. */
  readonly use = new Histogram()

  snapshot(occupancy: Occupancy): PoolStats {
    const acquire = this.acquire
    return new PoolStats({
      ...occupancy,
      total: occupancy.idle + occupancy.inUse,
      created: this.created,
      closed: new ClosedConnections(this.closed),
      exhausted: this.exhausted,
      unavailable: this.unavailable,
      timedOut: this.timedOut,
      acquire: new AcquireTimes({
        count: acquire.count,
        p50: acquire.percentile(0.5),
        p95: acquire.percentile(0.95),
        p99: acquire.percentile(0.99),
        max: acquire.max
      })
    })
  }
}
