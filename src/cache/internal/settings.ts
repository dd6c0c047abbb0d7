/** The options of the query cache, with their defaults and bounds. */
import type * as Duration from "effect/Duration"
import * as Options from "../../internal/options.ts"
import type { Query } from "../../query/Query.ts"

/**
 * How the results of one query are cached. Absent options have the values of the cache.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicyOptions<in I, in A> {
  /**
   * How long a result is fresh in either tier, at most; overrides `Query.timeToLive`. A function decides per result:
   * `undefined` sets no limit of its own, zero stores nothing. A constant zero disables caching.
   */
  readonly timeToLive?: Duration.Input | ((result: A, input: I) => Duration.Input | undefined) | undefined
  /** Tags by which results can be invalidated, in addition to their dependencies. */
  readonly tags?: ((input: I) => ReadonlyArray<string>) | undefined
  readonly grace?: Duration.Input | undefined
  readonly softTimeout?: Duration.Input | undefined
  readonly hardTimeout?: Duration.Input | undefined
  readonly backoff?: Duration.Input | undefined
  readonly earlyRefresh?: number | undefined
}

/**
 * A policy and the name of its query. See `policy`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy extends PolicyOptions<never, never> {
  readonly query: string
}

/**
 * Constructs the policy of a query for `QueryCacheOptions.policies`.
 *
 * **Example**
 *
 * ```ts
 * import * as QueryCache from "athena-hooks/cache/QueryCache"
 * import * as Goals from "athena-hooks/memory/queries/Goals"
 *
 * const Cached = QueryCache.layer({
 *   policies: [
 *     QueryCache.policy(Goals.withStatus, {
 *       timeToLive: ({ count }) => (count === 0 ? "10 seconds" : "1 hour"),
 *       tags: ({ projectId }) => [`project-${projectId}`]
 *     })
 *   ]
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const policy = <I, A>(query: Query<I, A>, options: PolicyOptions<I, A>): Policy => ({
  ...options,
  query: query.name
})

/**
 * Options of the cache. An option beyond its bounds is a `RangeError` that names it: a defect of `layer`, a
 * `ConfigError` of `layerConfig`.
 *
 * @category models
 * @since 0.1.0
 */
export interface QueryCacheOptions {
  /**
   * Identifies the database, for example its URL without the password. Caches over different databases that share a
   * store need different namespaces: otherwise they read each other's results. Empty when absent.
   */
  readonly namespace?: string | undefined
  /**
   * Identifies the meaning of the queries where it changes without a change of their schemas, for example in the
   * functions of a transformation. Results of another version are not read; invalidations reach all versions. Empty
   * when absent.
   */
  readonly version?: string | undefined
  /** How long a result is fresh in memory. Up to 400 days, or infinite; 5 minutes when absent. */
  readonly memoryTimeToLive?: Duration.Input | undefined
  /** The maximum number of results in memory. From 1 to 1,000,000; 1,000 when absent. */
  readonly memoryCapacity?: number | undefined
  /** The approximate maximum size of the results in memory, in bytes. From 1 KiB to 4 GiB; 32 MiB when absent. */
  readonly memoryBytes?: number | undefined
  /** How long a result is fresh in the store. Up to 400 days, or infinite; 1 hour when absent. */
  readonly storeTimeToLive?: Duration.Input | undefined
  /** The random reduction of a time to live, as a share, so that entries expire at different times. 0 to 0.9; 0.1. */
  readonly jitter?: number | undefined
  /** The timeout of one operation of the store. From 1 millisecond to 10 seconds; 50 milliseconds when absent. */
  readonly storeTimeout?: Duration.Input | undefined
  /** The consecutive failures after which the breaker of the store opens. From 1 to 1,000,000; 3 when absent. */
  readonly storeBreakerFailures?: number | undefined
  /** How long the breaker stays open. From 1 millisecond to 1 hour; 5 seconds when absent. */
  readonly storeBreakerResetTimeout?: Duration.Input | undefined
  /**
   * How long each mutation waits until the store accepts its announcement, for example while another process has the
   * lock of its file. Up to 1 minute; 500 milliseconds when absent.
   */
  readonly announceTimeout?: Duration.Input | undefined
  /**
   * What happens to a mutation whose announcement the store has not accepted within `announceTimeout`, or has lost
   * before the commit and does not accept again.
   *
   * - `proceed`: it runs. Other processes may serve replaced results until the store accepts the change, which is
   *   retried five times a second
   * - `fail`: it fails with a `SqlError`, reason `LockTimeoutError`, and nothing is written
   *
   * `proceed` when absent.
   */
  readonly unannounced?: "proceed" | "fail" | undefined
  /**
   * How long an announcement is valid without a renewal, after which it counts as a change, because its writer may have
   * been killed after the commit. A live writer renews it. From 1 second to 1 hour; 30 seconds when absent.
   */
  readonly announcementLease?: Duration.Input | undefined
  /**
   * How long the load of one process blocks the same load in other processes of the host: they wait for its entry in
   * the store, and when the lease ends the next one loads. Applies to queries whose loads take 5 milliseconds or more.
   * Up to 1 minute, zero disables it; 1 second when absent.
   */
  readonly loadLease?: Duration.Input | undefined
  /**
   * Whether to learn which reads follow each other, and to load the next one ahead: the read that followed at least
   * twice and at least every second time. Limits: 512 reads, 8 concurrent loads. `false` when absent.
   */
  readonly prefetch?: boolean | undefined
  /**
   * How long a result is retained after its time to live, to be served while the database is slow or fails. It is never
   * served after a change of its dependencies. Up to 400 days, or infinite; none when absent.
   */
  readonly grace?: Duration.Input | undefined
  /**
   * How long a read waits for the database before it serves a stale result within its grace. The load continues, for at
   * most 30 seconds or `hardTimeout`. Zero serves the stale result immediately. No limit when absent.
   */
  readonly softTimeout?: Duration.Input | undefined
  /** The timeout of a load, which then fails with `StatementTimeoutError`. No limit when absent. */
  readonly hardTimeout?: Duration.Input | undefined
  /** How long a stale result is served without another load after a load has failed. 10 seconds when absent. */
  readonly backoff?: Duration.Input | undefined
  /**
   * The share of its time to live after which a read reloads the result in the background, unless the store has a newer
   * one. From 0.01 to 1, which disables it; 1 when absent.
   */
  readonly earlyRefresh?: number | undefined
  /** Policies of single queries, see `policy`. A later policy of the same query replaces an earlier one. */
  readonly policies?: ReadonlyArray<Policy> | undefined
}

/** The longest time to live, in milliseconds: 400 days, which means infinite. */
export const unlimited = 400 * 24 * 60 * 60 * 1_000

const read = Options.reader("QueryCache")

/** In milliseconds; infinite is `unlimited`. */
const age = (name: string, value: Duration.Input): number => {
  const ms = read.duration(name, value, 0, Infinity)
  return ms === Infinity ? unlimited : read.duration(name, ms, 0, unlimited)
}

const querySettings = (
  options: QueryCacheOptions,
  name: string,
  policy: PolicyOptions<never, never>,
  queryTimeToLive: Duration.Input | undefined
) => {
  const of = (option: string) => (name === "" ? option : `${option} of "${name}"`)
  const { timeToLive } = policy
  const isFunction = typeof timeToLive === "function"
  const own = age(of("timeToLive"), (isFunction ? undefined : timeToLive) ?? queryTimeToLive ?? unlimited)
  return {
    isCached: own > 0,
    memoryMs: Math.min(own, age("memoryTimeToLive", options.memoryTimeToLive ?? 5 * 60_000)),
    storeMs: Math.min(own, age("storeTimeToLive", options.storeTimeToLive ?? 60 * 60_000)),
    graceMs: age(of("grace"), policy.grace ?? options.grace ?? 0),
    softMs: age(of("softTimeout"), policy.softTimeout ?? options.softTimeout ?? unlimited),
    hardMs: age(of("hardTimeout"), policy.hardTimeout ?? options.hardTimeout ?? unlimited),
    backoffMs: age(of("backoff"), policy.backoff ?? options.backoff ?? 10_000),
    earlyRefresh: read.number(of("earlyRefresh"), policy.earlyRefresh ?? options.earlyRefresh ?? 1, 0.01, 1),
    timeToLiveOf: isFunction ? timeToLive : undefined,
    tags: policy.tags
  }
}

/** The options of one query. Times are in milliseconds. */
export type QuerySettings = Readonly<ReturnType<typeof querySettings>>

export type Settings = Readonly<ReturnType<typeof make>>

/** Throws an `InvalidOption`. */
export const make = (options: QueryCacheOptions) => {
  const policies = new Map((options.policies ?? []).map((policy) => [policy.query, policy]))
  querySettings(options, "", {}, undefined)
  for (const [name, policy] of policies) querySettings(options, name, policy, undefined)
  return {
    namespace: options.namespace ?? "",
    version: options.version ?? "",
    memoryCapacity: read.whole("memoryCapacity", options.memoryCapacity ?? 1_000, 1, 1_000_000),
    memoryBytes: read.whole("memoryBytes", options.memoryBytes ?? 32 * 1024 * 1024, 1_024, 4 * 2 ** 30),
    jitter: read.number("jitter", options.jitter ?? 0.1, 0, 0.9),
    storeTimeoutMs: read.duration("storeTimeout", options.storeTimeout ?? 50, 1, 10_000),
    storeBreakerFailures: read.whole("storeBreakerFailures", options.storeBreakerFailures ?? 3, 1, 1_000_000),
    storeBreakerResetMs: read.duration(
      "storeBreakerResetTimeout",
      options.storeBreakerResetTimeout ?? 5_000,
      1,
      3_600_000
    ),
    announceTimeoutMs: read.duration("announceTimeout", options.announceTimeout ?? 500, 0, 60_000),
    unannounced: read.oneOf("unannounced", options.unannounced ?? "proceed", ["proceed", "fail"]),
    announcementLeaseMs: read.duration("announcementLease", options.announcementLease ?? 30_000, 1_000, 3_600_000),
    loadLeaseMs: read.duration("loadLease", options.loadLease ?? 1_000, 0, 60_000),
    prefetch: options.prefetch ?? false,
    ofQuery: (name: string, timeToLive: Duration.Input | undefined): QuerySettings =>
      querySettings(options, name, policies.get(name) ?? {}, timeToLive)
  }
}
