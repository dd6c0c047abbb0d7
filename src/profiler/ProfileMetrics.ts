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
import * as Metric from "effect/Metric"
import { Profiler } from "./Profiler.ts"
import * as Histogram from "./internal/histogram.ts"
import type { Operation, Outcome } from "./internal/operations.ts"
import { recorderOf } from "./internal/callRecorder.ts"

/** Upper bounds of the buckets, in seconds: from 0.1 ms to 1 minute. */
const boundaries = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60
]

const outcomes: ReadonlyArray<Outcome> = ["success", "failure", "defect", "interrupted"]

const nothing = (): void => undefined

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

const histogram = (name: string, description: string, attributes: Record<string, string>) =>
  Metric.histogram(name, { description, boundaries, attributes: { ...attributes, unit: "s" } })

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
    const context = yield* Effect.context<never>()
    const registrations: Array<Metric.Registration> = []
    const removeAll = (): void => {
      for (const registration of registrations.splice(0)) registration.remove()
    }
    const show = <Input, State>(metric: Metric.Metric<Input, State>, get: () => State): void => {
      registrations.push(Metric.registerUnsafe(metric, context, { get, update: nothing, modify: nothing }))
    }

    const showOperation = (operation: Operation): void => {
      const attributes = { kind: operation.kind, operation: operation.name }
      for (const outcome of outcomes) {
        const calls = Metric.counter("athena_profiler_calls_total", {
          description: "Calls that have ended",
          incremental: true,
          attributes: { ...attributes, outcome }
        })
        show(calls, () => ({ count: operation.outcomes[outcome], incremental: true }))
      }
      show(Metric.gauge("athena_profiler_open", { description: "Calls that are open", attributes }), () => ({
        value: operation.open
      }))
      show(histogram("athena_profiler_wall_seconds", "How long calls took", attributes), () => seconds(operation.wall))
      if (recorder.isDeep) {
        const active = histogram("athena_profiler_active_seconds", "How long calls held the thread", attributes)
        const none = Histogram.make()
        show(active, () => seconds(operation.thread?.active ?? none))
      }
    }

    const showCost = (): void =>
      show(
        Metric.gauge("athena_profiler_cost_seconds", {
          description: "The cost of profiling, without the run loop's share"
        }),
        () => ({
          value: recorder.internalCost / 1_000
        })
      )

    showCost()
    const stop = recorder.operations.observe({
      added: showOperation,
      cleared: () => {
        removeAll()
        showCost()
      }
    })
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        stop()
        removeAll()
      })
    )
  })
)
