/**
 * Estimates the total time of an event too frequent to time each: the first ones, which are the slowest, are all timed,
 * then 1 of N.
 */
export class OverheadEstimator {
  private readonly every: number
  private early = 0
  private timed = 0
  private sum = 0
  count = 0

  constructor(every: number) {
    this.every = every
  }

  /** Counts an event and returns whether to time it. */
  next(): boolean {
    const count = this.count++
    return count < this.every || count % this.every === 0
  }

  /** Adds the duration of a timed event, in milliseconds. */
  add(ms: number): void {
    if (this.count <= this.every) this.early += ms
    else {
      this.timed++
      this.sum += ms
    }
  }

  /** The current estimate per event, in milliseconds. */
  get each(): number {
    return this.timed > 0 ? this.sum / this.timed : this.count === 0 ? 0 : this.early / Math.min(this.count, this.every)
  }

  /** The estimated total, in milliseconds. */
  get total(): number {
    return this.early + Math.max(0, this.count - this.every) * this.each
  }

  clear(): void {
    this.early = this.timed = this.sum = this.count = 0
  }
}
