/**
 * The pool's numbers as OpenTelemetry's `db.client.connection.*` metrics, read when they are asked for and never
 * written, so that they cost a query nothing.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import type { PoolCore } from "./poolCore.ts"
import { bucketBounds, type Histogram } from "./poolStats.ts"

const pull = <Input, State>(get: () => State): Metric.Metric.Hooks<Input, State> => ({
  get,
  update: () => {},
  modify: () => {}
})

/** OpenTelemetry counts times in seconds. */
const histogramState = (histogram: Histogram): Metric.HistogramState => {
  let count = 0
  const bounds = [...bucketBounds.map((ms) => ms / 1_000), Infinity]
  return {
    buckets: bounds.map((bound, index) => {
      count += histogram.counts[index]!
      return [bound, count]
    }),
    count: histogram.count,
    min: histogram.min / 1_000,
    max: histogram.max / 1_000,
    sum: histogram.sum / 1_000
  }
}

/** Registers the metrics until the scope closes. */
export const register = (core: PoolCore): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Effect.context<never>()
    const registrations: Array<Metric.Registration> = []
    const pool = { "db.client.connection.pool.name": core.settings.name }

    const gauge = (name: string, description: string, get: () => number, attributes: Record<string, string> = {}) => {
      const metric = Metric.gauge(`db.client.connection.${name}`, {
        description,
        attributes: { ...pool, ...attributes }
      })
      registrations.push(
        Metric.registerUnsafe(
          metric,
          context,
          pull(() => ({ value: get() }))
        )
      )
    }
    const counter = (name: string, description: string, get: () => number, attributes: Record<string, string> = {}) => {
      const metric = Metric.counter(`db.client.connection.${name}`, {
        description,
        incremental: true,
        attributes: { ...pool, ...attributes }
      })
      registrations.push(
        Metric.registerUnsafe(
          metric,
          context,
          pull(() => ({ count: get(), incremental: true }))
        )
      )
    }
    const histogram = (name: string, description: string, source: Histogram) => {
      const metric = Metric.histogram(`db.client.connection.${name}`, {
        description,
        boundaries: bucketBounds.map((ms) => ms / 1_000),
        attributes: { ...pool, unit: "s" }
      })
      registrations.push(
        Metric.registerUnsafe(
          metric,
          context,
          pull(() => histogramState(source))
        )
      )
    }

    const { counters, settings } = core
    const state = "db.client.connection.state"
    gauge("count", "Open connections by state", () => core.occupancy().idle, { [state]: "idle" })
    gauge("count", "Open connections by state", () => core.occupancy().inUse, { [state]: "used" })
    gauge("idle.max", "Idle connections allowed at most", () => settings.max)
    gauge("idle.min", "Idle connections kept at least", () => settings.min)
    gauge("max", "Open connections allowed at most", () => settings.max)
    gauge("pending_requests", "Callers that wait for a connection", () => core.waiting.size)
    counter("timeouts", "Callers that got no connection in time", () => counters.exhausted + counters.unavailable)
    histogram("create_time", "Time to open a connection", counters.create)
    histogram("wait_time", "Time to obtain a connection", counters.acquire)
    histogram("use_time", "Time a connection was held", counters.use)

    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const registration of registrations) registration.remove()
      })
    )
  })
