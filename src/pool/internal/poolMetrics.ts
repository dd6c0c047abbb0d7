/**
 * The pool's counters as OpenTelemetry's `db.client.connection.*` metrics. They are read on demand, so they cost a
 * query nothing.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import type { PoolCore } from "./poolCore.ts"
import { bucketBounds, type CloseReason, type Histogram } from "./poolStats.ts"

const pull = <Input, State>(get: () => State): Metric.Metric.Hooks<Input, State> => ({
  get,
  update: () => {},
  modify: () => {}
})

/** OpenTelemetry's unit is seconds. */
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

type Attributes = Readonly<Record<string, string>>

class Registrations {
  private readonly all: Array<Metric.Registration> = []
  private readonly context: Context.Context<never>
  private readonly pool: Attributes

  constructor(context: Context.Context<never>, poolName: string) {
    this.context = context
    this.pool = { "db.client.connection.pool.name": poolName }
  }

  gauge(name: string, description: string, get: () => number, attributes?: Attributes): void {
    const metric = Metric.gauge(prefix + name, { description, attributes: { ...this.pool, ...attributes } })
    this.add(metric, () => ({ value: get() }))
  }

  counter(name: string, description: string, get: () => number, attributes?: Attributes): void {
    const options = { description, incremental: true, attributes: { ...this.pool, ...attributes } }
    this.add(Metric.counter(prefix + name, options), () => ({ count: get(), incremental: true }))
  }

  histogram(name: string, description: string, source: Histogram): void {
    const boundaries = bucketBounds.map((ms) => ms / 1_000)
    const metric = Metric.histogram(prefix + name, {
      description,
      boundaries,
      attributes: { ...this.pool, unit: "s" }
    })
    this.add(metric, () => histogramState(source))
  }

  remove(): void {
    for (const registration of this.all) registration.remove()
  }

  private add<Input, State>(metric: Metric.Metric<Input, State>, get: () => State): void {
    this.all.push(Metric.registerUnsafe(metric, this.context, pull(get)))
  }
}

const prefix = "db.client.connection."

const registerAll = (metrics: Registrations, core: PoolCore): void => {
  const { counters, settings } = core
  const state = `${prefix}state`
  metrics.gauge("count", "Open connections by state", () => core.occupancy().idle, { [state]: "idle" })
  metrics.gauge("count", "Open connections by state", () => core.occupancy().inUse, { [state]: "used" })
  metrics.gauge("idle.max", "Maximum idle connections", () => settings.max)
  metrics.gauge("idle.min", "Minimum idle connections", () => settings.min)
  metrics.gauge("max", "Maximum open connections", () => settings.max)
  metrics.gauge("pending_requests", "Callers that wait for a connection", () => core.waiting.size)
  metrics.counter("timeouts", "Callers without a connection in time", () => counters.exhausted + counters.unavailable)
  metrics.counter("created", "Connections opened", () => counters.created)
  for (const reason of Object.keys(counters.closed) as Array<CloseReason>) {
    const attributes = { [`${prefix}close_reason`]: reason }
    metrics.counter("closed", "Connections closed by reason", () => counters.closed[reason], attributes)
  }
  metrics.counter("query_timeouts", "Statements that exceeded their deadline", () => counters.timedOut)
  metrics.histogram("create_time", "Time to open a connection", counters.create)
  metrics.histogram("wait_time", "Time to obtain a connection", counters.acquire)
  metrics.histogram("use_time", "Time a connection was held", counters.use)
}

export const register = (core: PoolCore): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const metrics = new Registrations(yield* Effect.context<never>(), core.settings.name)
    registerAll(metrics, core)
    yield* Effect.addFinalizer(() => Effect.sync(() => metrics.remove()))
  })
