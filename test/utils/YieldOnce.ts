/**
 * A scheduler that yields at one chosen step, so that a test can try every step.
 */
import type * as Fiber from "effect/Fiber"
import { MixedScheduler } from "effect/Scheduler"

/** Yields at one step, counted over all fibers, and calls back before any continues. */
export class YieldOnce extends MixedScheduler {
  /** Whether there was such a step. */
  hit = false
  private steps = 0
  private readonly at: number
  private readonly onYield: () => void

  constructor(at: number, onYield: () => void) {
    super()
    this.at = at
    this.onYield = onYield
  }

  override shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    if (this.steps++ !== this.at) return super.shouldYield(fiber)
    this.hit = true
    queueMicrotask(this.onYield)
    return true
  }
}
