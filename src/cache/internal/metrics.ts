/**
 * The counters of the cache, exported as metrics on demand: a hit pays for none of them.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"

/** The name and the description of each counter. */
const descriptions = {
  memoryHits: ["athena_cache_memory_hits_total", "Reads served from memory"],
  storeHits: ["athena_cache_store_hits_total", "Reads served from the store"],
  misses: ["athena_cache_misses_total", "Reads that were in neither tier"],
  loads: ["athena_cache_loads_total", "Loads from the database"],
  loadFailures: ["athena_cache_load_failures_total", "Loads that failed"],
  coalesced: ["athena_cache_coalesced_total", "Reads served by the load of another read"],
  stale: ["athena_cache_stale_total", "Reads served with a stale result"],
  discarded: ["athena_cache_discarded_total", "Loads whose result was not stored"],
  bypassed: ["athena_cache_bypassed_total", "Reads that bypassed the cache"]
} as const

/** The counters of one query. */
export type Counters = Record<keyof typeof descriptions, number>

const names = Object.keys(descriptions) as ReadonlyArray<keyof Counters>

export const zeroCounters = (): Counters => Object.fromEntries(names.map((name) => [name, 0])) as Counters

/** The durations of loads, by query. */
export const loadTime = Metric.timer("athena_cache_load", { description: "Durations of loads from the database" })

export interface Metrics {
  /** Exports the counters of a query. */
  readonly counters: (query: string, counters: Counters) => void
  /** Exports a number of the whole cache. */
  readonly gauge: (name: string, description: string, get: () => number) => void
}

const nothing = (): void => undefined

export const make: Effect.Effect<Metrics, never, Scope.Scope> = Effect.gen(function* () {
  const context = yield* Effect.context<never>()
  const registrations: Array<Metric.Registration> = []
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const registration of registrations) registration.remove()
    })
  )
  return {
    counters: (query, counters) => {
      for (const key of names) {
        const [name, description] = descriptions[key]
        const metric = Metric.counter(name, { description, incremental: true, attributes: { query } })
        const get = () => ({ count: counters[key], incremental: true })
        registrations.push(Metric.registerUnsafe(metric, context, { get, update: nothing, modify: nothing }))
      }
    },
    gauge: (name, description, get) => {
      const hooks = { get: () => ({ value: get() }), update: nothing, modify: nothing }
      registrations.push(Metric.registerUnsafe(Metric.gauge(name, { description }), context, hooks))
    }
  }
})
