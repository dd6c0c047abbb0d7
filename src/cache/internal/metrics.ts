/**
 * The counters of the cache, exported as metrics on demand: a hit pays for none of them.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"

/** The counters of one query. */
export interface Counters {
  memoryHits: number
  storeHits: number
  misses: number
  loads: number
  loadFailures: number
  coalesced: number
  stale: number
  discarded: number
  bypassed: number
}

export const zeroCounters = (): Counters => ({
  memoryHits: 0,
  storeHits: 0,
  misses: 0,
  loads: 0,
  loadFailures: 0,
  coalesced: 0,
  stale: 0,
  discarded: 0,
  bypassed: 0
})

const descriptions: Readonly<Record<keyof Counters, readonly [name: string, description: string]>> = {
  memoryHits: ["athena_cache_memory_hits_total", "Reads served from memory"],
  storeHits: ["athena_cache_store_hits_total", "Reads served from the store"],
  misses: ["athena_cache_misses_total", "Reads that were in neither tier"],
  loads: ["athena_cache_loads_total", "Loads from the database"],
  loadFailures: ["athena_cache_load_failures_total", "Loads that failed"],
  coalesced: ["athena_cache_coalesced_total", "Reads served by the load of another read"],
  stale: ["athena_cache_stale_total", "Reads served with a stale result"],
  discarded: ["athena_cache_discarded_total", "Loads whose result was not stored"],
  bypassed: ["athena_cache_bypassed_total", "Reads that bypassed the cache"]
}

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
      for (const key of Object.keys(descriptions) as Array<keyof Counters>) {
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
