/**
 * Publishes the profiler's figures as Effect metrics, for any exporter. They are computed when an exporter reads them, so
 * that they cost an operation nothing.
 *
 * | metric | kind | attributes | unit |
 * |---|---|---|---|
 * | `athena_profiler_calls_total` | counter | `kind`, `operation`, `outcome` | calls |
 * | `athena_profiler_open` | gauge | `kind`, `operation` | calls |
 * | `athena_profiler_wall_seconds` | histogram | `kind`, `operation` | s |
 * | `athena_profiler_active_seconds`, level `deep` | histogram | `kind`, `operation` | s |
 * | `athena_profiler_cost_seconds` | gauge | - | s |
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Metric from "effect/Metric"
import * as Metrics from "../internal/metrics.ts"
import { Profiler } from "./Profiler.ts"
import * as Histogram from "./internal/histogram.ts"
import type { Operation, Outcome } from "./internal/operations.ts"
import { recorderOf } from "./internal/callRecorder.ts"

/** Upper bounds of the buckets, in seconds: from 0.1 ms to 1 minute. */
const boundaries = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60
]

const outcomes: ReadonlyArray<Outcome> = ["success", "failure", "defect", "interrupted"]

const seconds = (histogram: Histogram.Histogram): Metric.HistogramState => {
  const bounds = [...boundaries, Infinity]
  const counts = Histogram.cumulative(
    histogram,
    bounds.map((bound) => bound * 1_000)
  )
  return {
    buckets: bounds.map((bound, at) => [bound, counts[at]!]),
    count: histogram.count,
    min: histogram.count === 0 ? 0 : histogram.min / 1_000,
    max: histogram.max / 1_000,
    sum: histogram.sum / 1_000
  }
}

/**
 * Registers the profiler's figures as metrics until the Layer closes.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<never, never, Profiler> = Layer.effectDiscard(
  Effect.gen(function* () {
    const recorder = recorderOf(yield* Profiler)
    if (recorder === undefined) return
    const { counter, gauge, histogram, removeAll } = yield* Metrics.make()

    const showOperation = (operation: Operation): void => {
      const attributes = { kind: operation.kind, operation: operation.name }
      const times = (name: string, description: string, get: () => Histogram.Histogram): void =>
        histogram(name, description, boundaries, () => seconds(get()), attributes)
      for (const outcome of outcomes) {
        const calls = () => operation.outcomes[outcome]
        counter("athena_profiler_calls_total", "Calls that have ended", calls, { ...attributes, outcome })
      }
      gauge("athena_profiler_open", "Calls that are open", () => operation.open, attributes)
      times("athena_profiler_wall_seconds", "How long calls took", () => operation.wall)
      if (!recorder.isDeep) return
      const none = Histogram.make()
      times("athena_profiler_active_seconds", "How long calls held the thread", () => operation.thread?.active ?? none)
    }

    const showCost = (): void =>
      gauge(
        "athena_profiler_cost_seconds",
        "The cost of profiling, without the run loop's share",
        () => recorder.internalCost / 1_000
      )

    showCost()
    const stop = recorder.operations.observe({
      added: showOperation,
      cleared: () => {
        removeAll()
        showCost()
      }
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))
  })
)
