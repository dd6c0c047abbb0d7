/**
 * The pool's counters as OpenTelemetry's `db.client.connection.*` metrics. They are read on demand, so they cost a
 * query nothing.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import * as Metrics from "../../internal/metrics.ts"
import type { PoolCore } from "./poolCore.ts"
import { bucketBounds, type CloseReason, type Histogram } from "./poolStats.ts"

const prefix = "db.client.connection."

const boundaries = bucketBounds.map((ms) => ms / 1_000)

const histogramState = (histogram: Histogram): Metric.HistogramState => {
  let count = 0
  const bounds = [...boundaries, Infinity]
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

const namesInUse = new WeakMap<object, Set<string>>()

/** A name that is unique in the registry until the scope closes, with a numeric suffix where needed. */
export const uniqueName = (name: string): Effect.Effect<string, never, Scope.Scope> =>
  Effect.gen(function* () {
    const registry = yield* Metric.MetricRegistry
    const names = namesInUse.get(registry) ?? new Set<string>()
    namesInUse.set(registry, names)
    let unique = name
    for (let number = 2; names.has(unique); number++) unique = `${name}#${number}`
    names.add(unique)
    yield* Effect.addFinalizer(() => Effect.sync(() => names.delete(unique)))
    return unique
  })

export const register = Effect.fnUntraced(function* (core: PoolCore) {
  const { counters, settings } = core
  const metrics = yield* Metrics.make({ [`${prefix}pool.name`]: settings.name })
  const state = `${prefix}state`
  const histogram = (name: string, description: string, source: Histogram): void =>
    metrics.histogram(`${prefix}${name}`, description, boundaries, () => histogramState(source))
  metrics.gauge(`${prefix}count`, "Open connections by state", () => core.occupancy().idle, { [state]: "idle" })
  metrics.gauge(`${prefix}count`, "Open connections by state", () => core.occupancy().inUse, { [state]: "used" })
  metrics.gauge(`${prefix}idle.max`, "Maximum idle connections", () => settings.max)
  metrics.gauge(`${prefix}idle.min`, "Minimum idle connections", () => settings.min)
  metrics.gauge(`${prefix}max`, "Maximum open connections", () => settings.max)
  metrics.gauge(`${prefix}pending_requests`, "Callers that wait for a connection", () => core.waiting.size)
  metrics.counter(
    `${prefix}timeouts`,
    "Callers without a connection in time",
    () => counters.exhausted + counters.unavailable
  )
  metrics.counter(`${prefix}created`, "Connections opened", () => counters.created)
  for (const reason of Object.keys(counters.closed) as Array<CloseReason>) {
    const attributes = { [`${prefix}close_reason`]: reason }
    metrics.counter(`${prefix}closed`, "Connections closed by reason", () => counters.closed[reason], attributes)
  }
  metrics.counter(`${prefix}query_timeouts`, "Statements that exceeded their deadline", () => counters.timedOut)
  histogram("create_time", "Time to open a connection", counters.create)
  histogram("wait_time", "Time to obtain a connection", counters.acquire)
  histogram("use_time", "Time a connection was held", counters.use)
})
