/**
 * The counters of the cache as metrics. They are read when somebody looks, so that a hit pays for none of them.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import type { Counters } from "./cachedQuery.ts"

const descriptions: Readonly<Record<keyof Counters, readonly [name: string, description: string]>> = {
  memoryHits: ["athena_cache_memory_hits_total", "Reads answered from memory"],
  storeHits: ["athena_cache_store_hits_total", "Reads answered from the store"],
  misses: ["athena_cache_misses_total", "Reads that were in neither level"],
  loads: ["athena_cache_loads_total", "Loads from the database"],
  loadFailures: ["athena_cache_load_failures_total", "Loads that failed"],
  coalesced: ["athena_cache_coalesced_total", "Reads that another one's load served"],
  stale: ["athena_cache_stale_total", "Reads that got a result past its time to live"],
  refused: ["athena_cache_refused_total", "Loads that were not kept"],
  bypassed: ["athena_cache_bypassed_total", "Reads that went by the cache"]
}

/** How long loads take, by query. */
export const loadTime = Metric.timer("athena_cache_load", { description: "How long loads from the database take" })

export interface Metrics {
  /** Shows the counters of a query. */
  readonly counters: (query: string, counters: Counters) => void
  /** Shows a number of the whole cache. */
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
