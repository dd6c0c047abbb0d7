/**
 * The options of the cache as numbers, within their bounds.
 */
import * as Duration from "effect/Duration"
import type { QueryCacheOptions } from "../QueryCache.ts"

const clamp = (value: number | undefined, absent: number, minimum: number, maximum: number): number =>
  value === undefined || Number.isNaN(value) ? absent : Math.min(Math.max(value, minimum), maximum)

const between = (input: Duration.Input | undefined, absent: number, minimum: number, maximum: number) =>
  Duration.millis(clamp(input === undefined ? undefined : Duration.toMillis(input), absent, minimum, maximum))

export type Settings = ReturnType<typeof make>

export const make = (options: QueryCacheOptions) => ({
  namespace: options.namespace ?? "",
  memoryCapacity: Math.round(clamp(options.memoryCapacity, 1_000, 1, 1_000_000)),
  memoryBytes: Math.round(clamp(options.memoryBytes, 32 * 1024 * 1024, 1_024, 4 * 2 ** 30)),
  jitter: clamp(options.jitter, 0.1, 0, 0.9),
  storeTimeout: between(options.storeTimeout, 50, 1, 10_000),
  storeBreakerFailures: Math.round(clamp(options.storeBreakerFailures, 3, 1, 1_000_000)),
  storeBreakerResetTimeout: between(options.storeBreakerResetTimeout, 5_000, 1, 3_600_000),
  announceTimeout: between(options.announceTimeout, 500, 0, 60_000),
  unannounced: options.unannounced ?? "proceed",
  lease: between(options.announcementLease, 30_000, 1_000, 3_600_000),
  loadLease: Duration.toMillis(between(options.loadLease, 1_000, 0, 60_000)),
  prefetch: options.prefetch ?? false
})
