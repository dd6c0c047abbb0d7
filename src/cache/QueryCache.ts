/**
 * A query cache: a middleware over `QueryExecutor` with two tiers, memory and a `CacheStore`, and a service to control it.
 *
 * Queries name what they read and mutations what they change. From that the cache guarantees:
 *
 * - after a mutation has committed, no read that starts later returns the earlier state, in this process or, with a shared
 *   store, in another one, even if the writer was killed right after its commit;
 * - a load that ran while a mutation committed is never stored.
 *
 * A transaction of the caller takes effect when it commits; reads inside it bypass the cache. A store that is unavailable,
 * slow or damaged never fails a read. While a shared store is unavailable, changes of other processes are unknown and
 * nothing is served from memory; concurrent reads still share one load.
 *
 * **When to use**
 *
 * In front of a database with round trips, in a process that reads the same results repeatedly.
 *
 * **Gotchas**
 *
 * - Results are shared between readers: treat them as immutable.
 * - Construct a query once, at the top of a module: memory identifies it by its value. Names are unique; the cache logs a
 *   warning once for a name with several `Query` values.
 * - The cache intercepts the mutations of the `QueryExecutor` that its Layer receives, so mutations that bypass the
 *   middleware invalidate too. After writes without a `Mutation`, call `invalidateDependencies`.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Options from "../internal/options.ts"
import type { Dependency } from "../query/Dependency.ts"
import type { Query, QueryError } from "../query/Query.ts"
import { QueryExecutor } from "../query/QueryExecutor.ts"
import type * as CacheStore from "./CacheStore.ts"
import { ChangeFeed } from "./ChangeFeed.ts"
import * as Middleware from "./internal/middleware.ts"
import type { Read } from "./internal/reader.ts"
import * as Settings from "./internal/settings.ts"
import type { Traced } from "./internal/tiers.ts"

export type { Tier } from "./internal/memoryTier.ts"
export { type Read, read } from "./internal/reader.ts"
export { type Policy, policy, type PolicyOptions, type QueryCacheOptions } from "./internal/settings.ts"
export type { CacheReason, Traced } from "./internal/tiers.ts"

/**
 * The counters of one query.
 *
 * @category models
 * @since 0.1.0
 */
export interface QueryStats {
  readonly memoryHits: number
  readonly storeHits: number
  /** Reads that were in neither tier. */
  readonly misses: number
  readonly loads: number
  readonly loadFailures: number
  /** Reads served by the load of another read. */
  readonly coalesced: number
  /** Reads served with a stale result. */
  readonly stale: number
  /** Loads whose result was not stored, because of a concurrent change or an unavailable store. */
  readonly discarded: number
  /** Reads that bypassed the cache: in a transaction, or of an uncached query. */
  readonly bypassed: number
}

/**
 * The state of the cache and its counters since its construction.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly memory: { readonly entries: number; readonly bytes: number; readonly evictions: number }
  /** `undefined` while the store is unavailable. */
  readonly store: CacheStore.Stats | undefined
  readonly storeFailures: number
  /** Changed keys that the store has not received; 10,000 means everything. */
  readonly pendingInvalidations: number
  /** Prefetched results: all, those read afterwards, and those removed unread. */
  readonly prefetch: { readonly loaded: number; readonly used: number; readonly unused: number }
  /** By name, for the first 1,000 names; the others together as `(others)`. */
  readonly queries: Readonly<Record<string, QueryStats>>
}

/**
 * Service to inspect and control the cache. Programs read and write through `QueryExecutor`.
 *
 * @category services
 * @since 0.1.0
 */
export class QueryCache extends Context.Service<
  QueryCache,
  {
    /** As `QueryExecutor.query`, with the origin of the result. */
    readonly get: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<Traced<A>, QueryError>
    /**
     * As `get` for each input, in order: one read of the store, and up to 100 concurrent loads. They start together, so
     * that a query with a `RequestResolver` sends one statement. Fails with the first failure.
     */
    readonly getMany: <I, A>(
      query: Query<I, A>,
      inputs: ReadonlyArray<I>
    ) => Effect.Effect<ReadonlyArray<Traced<A>>, QueryError>
    /** Loads missing and stale results, four concurrently. Failures are counted and ignored. */
    readonly warm: (reads: ReadonlyArray<Read>) => Effect.Effect<void>
    /** Reloads the result and stores it. */
    readonly refresh: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<A, QueryError>
    /** Removes one result, here and for all users of the store. */
    readonly invalidate: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<void>
    /**
     * Invalidates the results with these dependencies, for writes without a `Mutation`. In a transaction of the
     * executor's client, or of the client in the context, when it commits.
     */
    readonly invalidateDependencies: (dependencies: ReadonlyArray<Dependency>) => Effect.Effect<void>
    /** Invalidates the results with one of these tags. */
    readonly invalidateTags: (tags: ReadonlyArray<string>) => Effect.Effect<void>
    /**
     * Ends the time to live of one result, here and in the store; it is retained for its grace. Copies in the memory of
     * other processes stay fresh for their own time to live; `invalidate` reaches them.
     */
    readonly expire: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<void>
    /** Removes everything, here and in the store. */
    readonly clear: Effect.Effect<void>
    readonly stats: Effect.Effect<Stats>
  }
>()("athena-hooks/cache/QueryCache") {}

type Made = { readonly executor: QueryExecutor["Service"]; readonly cache: QueryCache["Service"] }
type Requirements = QueryExecutor | CacheStore.CacheStore

/**
 * Constructs the middleware and its service; with a feed, as `layerFeed` provides it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: Settings.QueryCacheOptions = {},
  feed?: ChangeFeed["Service"]
): Effect.Effect<Made, never, Requirements | Scope.Scope> =>
  Effect.suspend(() => Middleware.make(Settings.make(options), feed))

const contextOf = ({ cache, executor }: Made): Context.Context<QueryExecutor | QueryCache> =>
  Context.make(QueryExecutor, executor).pipe(Context.add(QueryCache, cache))

/**
 * Provides the middleware, as the `QueryExecutor`, and its service, over the executor of the database.
 *
 * **Example**
 *
 * ```ts
 * import * as CacheStore from "athena-hooks/cache/CacheStore"
 * import * as QueryCache from "athena-hooks/cache/QueryCache"
 * import * as QueryExecutor from "athena-hooks/query/QueryExecutor"
 * import * as Sqlite from "athena-hooks/sql/Sqlite"
 * import * as Layer from "effect/Layer"
 *
 * const Cached = QueryCache.layer({ grace: "10 minutes", softTimeout: "200 millis" }).pipe(
 *   Layer.provide(CacheStore.layerSqlite({ filename: "cache.db" })),
 *   Layer.provide(QueryExecutor.layer),
 *   Layer.provide(Sqlite.layer({ filename: "memory.db" }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: Settings.QueryCacheOptions = {}
): Layer.Layer<QueryExecutor | QueryCache, never, Requirements> =>
  Layer.effectContext(Effect.map(make(options), contextOf))

/**
 * As `layer`, with its options read from `Config`. An invalid option is a `ConfigError`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Wrap<Settings.QueryCacheOptions>
): Layer.Layer<QueryExecutor | QueryCache, Config.ConfigError, Requirements> =>
  Layer.effectContext(
    Options.fromConfig(config, Settings.make).pipe(
      Effect.flatMap((settings) => Middleware.make(settings, undefined)),
      Effect.map(contextOf)
    )
  )

/**
 * As `layer`, for a database that other hosts write to: each mutation publishes its changes in its own transaction, and
 * the changes of other hosts invalidate results here. While the feed is lost the cache serves nothing, and after it
 * reconnects everything is reloaded. See `PostgresChangeFeed` for the bound, and an example.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFeed = (
  options: Settings.QueryCacheOptions = {}
): Layer.Layer<QueryExecutor | QueryCache, never, Requirements | ChangeFeed> =>
  Layer.effectContext(
    Effect.map(
      Effect.flatMap(ChangeFeed, (feed) => make(options, feed)),
      contextOf
    )
  )
