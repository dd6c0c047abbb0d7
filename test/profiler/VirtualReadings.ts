/**
 * Readings that a test controls: work advances the clocks.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { CurrentReadings, type Readings } from "../../src/profiler/internal/processReadings.ts"

export interface Virtual extends Readings {
  /** Holds the thread for so long, in milliseconds. */
  readonly busy: (ms: number) => Effect.Effect<void>
  /** As `busy`, synchronously. */
  readonly work: (ms: number) => void
  readonly allocate: (bytes: number) => void
  /** Has the highest resident memory reach this. */
  readonly grow: (bytes: number) => void
  /** Advances the time without work, and wakes fibers that slept until then. */
  readonly pass: (ms: number) => Effect.Effect<void>
}

export const make = (): Virtual => {
  let now = 0
  let cpu = 0
  let memory = 0
  let peak = 0
  const work = (ms: number): void => {
    now += ms
    cpu += ms
  }
  return {
    now: () => now,
    cpu: () => ({ user: cpu * 0.75, system: cpu * 0.25 }),
    memory: () => memory,
    peak: {
      reset: () => {
        peak = 0
        return true
      },
      read: () => peak
    },
    work,
    busy: (ms) => Effect.sync(() => work(ms)),
    allocate: (bytes) => {
      memory += bytes
    },
    grow: (bytes) => {
      peak = Math.max(peak, bytes)
    },
    pass: (ms) =>
      Effect.suspend(() => {
        now += ms
        return TestClock.adjust(ms)
      })
  }
}

export const layer = (readings: Readings): Layer.Layer<never> => Layer.succeed(CurrentReadings, readings)
