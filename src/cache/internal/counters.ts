/** The counters of a query, and their metrics. */
import * as Metric from "effect/Metric"
import type { Metrics } from "../../internal/metrics.ts"

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

export type Counters = Record<keyof typeof descriptions, number>

const names = Object.keys(descriptions) as ReadonlyArray<keyof Counters>

export const zeroCounters = (): Counters => Object.fromEntries(names.map((name) => [name, 0])) as Counters

export const loadTime = Metric.timer("athena_cache_load", { description: "Durations of loads from the database" })

export const register = ({ counter }: Metrics, query: string, counters: Counters): void => {
  for (const key of names) {
    const [name, description] = descriptions[key]
    counter(name, description, () => counters[key], { query })
  }
}
