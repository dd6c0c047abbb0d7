/**
 * How long something takes that happens too often to time it each time: the first times are all timed, because they are
 * the slowest, and of the others one in so many.
 */
export class Meter {
  private readonly every: number
  private early = 0
  private timed = 0
  private sum = 0
  count = 0

  constructor(every: number) {
    this.every = every
  }

  /** Counts once more, and says whether this time is to be timed. */
  next(): boolean {
    const count = this.count++
    return count < this.every || count % this.every === 0
  }

  /** Adds what a time took that was timed, in milliseconds. */
  add(ms: number): void {
    if (this.count <= this.every) this.early += ms
    else {
      this.timed++
      this.sum += ms
    }
  }

  /** What a time takes now, in milliseconds. */
  get each(): number {
    return this.timed > 0 ? this.sum / this.timed : this.count === 0 ? 0 : this.early / Math.min(this.count, this.every)
  }

  /** What all times took, in milliseconds. */
  get total(): number {
    return this.early + Math.max(0, this.count - this.every) * this.each
  }

  clear(): void {
    this.early = this.timed = this.sum = this.count = 0
  }
}
