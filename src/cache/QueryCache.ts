/**
 * A cache between a program and its database: a middleware over `QueryExecutor`, and a service to steer it by.
 *
 * Results are kept in two levels, in the memory of the process and in a `CacheStore`, which may be a file that all
 * processes of a host share. Queries say what they read and mutations what they change, and that is all the cache
 * needs to keep two promises:
 *
 * - once a mutation has committed, no read that starts afterwards gets what was there before, in this process or, with
 *   a shared store, in another one, also when the writer was killed between its commit and anything that follows it;
 * - a load that ran while a mutation committed is kept nowhere.
 *
 * Mutations are seen when they run through the middleware. A transaction that the caller opens around them counts as a
 * whole: its changes count when it commits, and not at all when it rolls back; reads inside it go to the database.
 *
 * A store that is away, slow or damaged never fails a read. While a shared store can't be asked, what others have
 * changed can't be known, so nothing is served from memory either: reads go to the database, and those who ask for the
 * same thing at the same time still share one load.
 *
 * Results are shared between those who ask: treat them as immutable. A query is known in memory by its value, so make it
 * once, at the top of a module, and not at each read.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { Dependency } from "../query/Dependency.ts"
import type { Query, QueryError } from "../query/Query.ts"
import { QueryExecutor } from "../query/QueryExecutor.ts"
import type * as CacheStore from "./CacheStore.ts"
import { ChangeFeed } from "./ChangeFeed.ts"
import * as Middleware from "./internal/middleware.ts"

/**
 * How results of one query are kept. What is absent is as the options of the cache say.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy {
  /** How long a result is fresh, at most, in either level; goes before `Query.timeToLive`. Zero: never cached. */
  readonly timeToLive?: Duration.Input | undefined
  /** How long this result is fresh, at most; `undefined` leaves it to the other limits, zero keeps it nowhere. */
  readonly timeToLiveOf?: ((result: any, input: any) => Duration.Input | undefined) | undefined
  /** Names to invalidate results by, beside what they were read from. */
  readonly tags?: ((input: any) => ReadonlyArray<string>) | undefined
  readonly grace?: Duration.Input | undefined
  readonly softTimeout?: Duration.Input | undefined
  readonly hardTimeout?: Duration.Input | undefined
  readonly backoff?: Duration.Input | undefined
  readonly earlyRefresh?: number | undefined
}

/**
 * Options of the cache. Numbers out of their bounds are moved to the nearest bound.
 *
 * @category models
 * @since 0.1.0
 */
export interface QueryCacheOptions {
  /**
   * Names the database that the results are of, for example its URL without the password. Caches over different
   * databases that share a store must have different namespaces: they would read each other's results otherwise. Empty
   * when absent.
   */
  readonly namespace?: string | undefined
  /**
   * Names what the queries mean, where that changes and their Schemas do not seem to: results that were stored under
   * another version are not read. What the functions of a Schema's transformations do is not seen, for one. Their invalidation is common to all versions. Empty when absent.
   */
  readonly version?: string | undefined
  /** How long a result is fresh in memory. Up to 400 days; 5 minutes when absent. */
  readonly memoryTimeToLive?: Duration.Input | undefined
  /** How many results are kept in memory. From 1 to 1,000,000; 1,000 when absent. */
  readonly memoryCapacity?: number | undefined
  /** How many bytes of results are kept in memory, about. From 1 KiB to 4 GiB; 32 MiB when absent. */
  readonly memoryBytes?: number | undefined
  /** How long a result is fresh in the store. Up to 400 days; 1 hour when absent. */
  readonly storeTimeToLive?: Duration.Input | undefined
  /** The part of a time to live that is taken off by chance, so that entries do not end together. 0 to 0.9; 0.1. */
  readonly jitter?: number | undefined
  /** How long one operation of the store may take. From 1 millisecond to 10 seconds; 50 milliseconds when absent. */
  readonly storeTimeout?: Duration.Input | undefined
  /** After how many failures in a row the store is left alone. From 1; 3 when absent. */
  readonly storeBreakerFailures?: number | undefined
  /** For how long it is then left alone. From 1 millisecond; 5 seconds when absent. */
  readonly storeBreakerResetTimeout?: Duration.Input | undefined
  /**
   * How long each mutation waits for the store to take its announcement, for example while another process has the lock
   * of its file. Up to 1 minute; 500 milliseconds when absent.
   */
  readonly announceTimeout?: Duration.Input | undefined
  /**
   * What becomes of a mutation that the store has not taken the announcement of in that time.
   *
   * - `proceed`: it is carried out. Other processes may serve what it replaced until the store takes the change, which
   *   is tried five times a second
   * - `fail`: it fails with a `SqlError`, reason `LockTimeoutError`, and nothing is written
   *
   * The same goes for an announcement that is gone before the mutation commits, because the store was replaced, and can't
   * be made again. `proceed` when absent.
   */
  readonly unannounced?: "proceed" | "fail" | undefined
  /**
   * How long an announcement stands without word from its writer, after which it counts as a change: what a kill of a
   * writer keeps from being cached. It is renewed while the writer lives. From 1 second to 1 hour; 30 seconds.
   */
  readonly announcementLease?: Duration.Input | undefined
  /**
   * How long a load of one process keeps other processes of the host from loading the same: they wait for the row it
   * stores, and when the time is over the next one loads. For loads that take 5 milliseconds or more, as far as is
   * known. Up to 1 minute, zero is never; 1 second when absent.
   */
  readonly loadLease?: Duration.Input | undefined
  /**
   * Whether to learn which reads follow which, and to load the next one before it is asked for: what came after a read
   * at least twice and every second time. Remembers 512 reads, loads at most 8 ahead at once. `false` when absent.
   */
  readonly prefetch?: boolean | undefined
  /**
   * How long a result is kept after it is no longer fresh, to be served where the database is slow or fails. It is never
   * served once what it was read from has changed. None when absent.
   */
  readonly grace?: Duration.Input | undefined
  /**
   * How long a reader waits for the database where there is a stale result within its grace: that is then served, and
   * the load goes on, for at most 30 seconds or its hard limit. Zero serves it at once. No limit when absent.
   */
  readonly softTimeout?: Duration.Input | undefined
  /** How long the database may take for a query, which then fails with `StatementTimeoutError`. No limit when absent. */
  readonly hardTimeout?: Duration.Input | undefined
  /** How long a stale result is served without asking again after the database has failed. 10 seconds when absent. */
  readonly backoff?: Duration.Input | undefined
  /**
   * The part of its time to live after which a result that is asked for is loaded again in the background, unless the
   * store has a newer one. From 0.01 to 1, which is never; 1 when absent.
   */
  readonly earlyRefresh?: number | undefined
  /** What goes for single queries, by their names. */
  readonly policies?: Readonly<Record<string, Policy>> | undefined
}

/**
 * Where a result came from.
 *
 * @category models
 * @since 0.1.0
 */
export type Tier = "memory" | "store" | "source"

/**
 * Why a result came from where it did.
 *
 * - `hit`: it was there and fresh
 * - `miss`: it was nowhere
 * - `expired`: it was there and no longer fresh
 * - `changed`: it was there, and what it was read from has changed since
 * - `written`: what it is read from is being written at this moment
 * - `transaction`: the reader is in a transaction
 * - `uncached`: the query is not cached, or its input has no key
 * - `unavailable`: the store could not be asked
 * - `refreshed`: it was asked for anew
 * - `late`, `failed`: it is stale, and the database was late, or failed
 *
 * @category models
 * @since 0.1.0
 */
export type CacheReason =
  | "hit"
  | "miss"
  | "expired"
  | "changed"
  | "written"
  | "transaction"
  | "uncached"
  | "unavailable"
  | "refreshed"
  | "late"
  | "failed"

/**
 * A result, and how it came about.
 *
 * @category models
 * @since 0.1.0
 */
export interface Traced<out A> {
  readonly value: A
  readonly level: Tier
  /** How long ago it was loaded, in milliseconds. */
  readonly age: number
  /** Whether its time to live is over. What it was read from has not changed for all that. */
  readonly stale: boolean
  /** Whether another reader's load served this one. */
  readonly coalesced: boolean
  readonly reason: CacheReason
}

/**
 * What the cache did with one query.
 *
 * @category models
 * @since 0.1.0
 */
export interface QueryStats {
  readonly memoryHits: number
  readonly storeHits: number
  /** Reads that were in neither level. */
  readonly misses: number
  readonly loads: number
  readonly loadFailures: number
  /** Reads that another one's load served. */
  readonly coalesced: number
  /** Reads that got a result past its time to live. */
  readonly stale: number
  /** Loads that were not kept, because something was written meanwhile or the store could not be asked. */
  readonly refused: number
  /** Reads that went by the cache: in a transaction, or of an uncached query. */
  readonly bypassed: number
}

/**
 * What the cache holds and did since it was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly memory: { readonly entries: number; readonly bytes: number; readonly evictions: number }
  /** `undefined` where the store could not be asked. */
  readonly store: CacheStore.Stats | undefined
  readonly storeFailures: number
  /** Changed things that the store has not been told of yet; 10,000 stands for everything. */
  readonly pendingInvalidations: number
  /** What was loaded ahead because it was expected to be read next. */
  readonly ahead: { readonly loaded: number; readonly useful: number; readonly wasted: number }
  /** By name, for the first 1,000 names; the rest together as `(others)`. */
  readonly queries: Readonly<Record<string, QueryStats>>
}

/**
 * A query and its input: a read that can be asked for later.
 *
 * @category models
 * @since 0.1.0
 */
export interface Read {
  readonly query: Query<any, any>
  readonly input: unknown
}

/**
 * Constructs a `Read`.
 *
 * **Example**
 *
 * ```ts
 * import * as QueryCache from "athena-hooks/cache/QueryCache"
 * import * as Goals from "athena-hooks/memory/queries/Goals"
 *
 * const goals = QueryCache.read(Goals.withStatus, { projectId: 1, statuses: ["active"], limit: 5 })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const read = <I, A>(query: Query<I, A>, input: I): Read => ({ query, input })

/**
 * Service to look into the cache and to steer it. Reading and writing go through `QueryExecutor`.
 *
 * @category services
 * @since 0.1.0
 */
export class QueryCache extends Context.Service<
  QueryCache,
  {
    /** As `QueryExecutor.query`, and tells how the result came about. */
    readonly get: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<Traced<A>, QueryError>
    /**
     * As `get` for each input, in their order: one read of the store and at most 100 loads at once. The loads begin
     * together, so that a query that asks through a `RequestResolver` asks the database once for all. Fails with the
     * first failure.
     */
    readonly getMany: <I, A>(
      query: Query<I, A>,
      inputs: ReadonlyArray<I>
    ) => Effect.Effect<ReadonlyArray<Traced<A>>, QueryError>
    /** Loads what is not there or not fresh, four at a time. What fails is counted and left out. */
    readonly warm: (reads: ReadonlyArray<Read>) => Effect.Effect<void>
    /** Loads the result anew and keeps it. */
    readonly refresh: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<A, QueryError>
    /** Drops one result, here and for all who share the store. */
    readonly invalidate: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<void>
    /**
     * Drops what was read from these: for writes that do not run through the middleware. In a transaction, when it
     * commits, where its client is in the context or mutations have run on it.
     */
    readonly invalidateDependencies: (dependencies: ReadonlyArray<Dependency>) => Effect.Effect<void>
    /** Drops what has one of these tags. */
    readonly invalidateTags: (tags: ReadonlyArray<string>) => Effect.Effect<void>
    /**
     * Ends the time to live of one result, here and in the store, which is kept for its grace. What other processes have
     * in memory stays fresh there for its own time to live; `invalidate` reaches them.
     */
    readonly expire: <I, A>(query: Query<I, A>, input: I) => Effect.Effect<void>
    /** Drops everything, here and in the store. */
    readonly clear: Effect.Effect<void>
    readonly stats: Effect.Effect<Stats>
  }
>()("athena-hooks/cache/QueryCache") {}

type Made = { readonly executor: QueryExecutor["Service"]; readonly cache: QueryCache["Service"] }

/**
 * Constructs the middleware and its service; with a feed, as `layerFeed` provides it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: QueryCacheOptions = {},
  feed?: ChangeFeed["Service"]
): Effect.Effect<Made, never, QueryExecutor | CacheStore.CacheStore | Scope.Scope> => Middleware.make(options, feed)

const contextOf = ({ cache, executor }: Made): Context.Context<QueryExecutor | QueryCache> =>
  Context.make(QueryExecutor, executor).pipe(Context.add(QueryCache, cache))

/**
 * Provides the middleware, as the `QueryExecutor`, and its service. Below it goes the executor that asks the database.
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
 * const Cached = QueryCache.layer({ grace: "10 minutes", softLimit: "200 millis" }).pipe(
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
  options: QueryCacheOptions = {}
): Layer.Layer<QueryExecutor | QueryCache, never, QueryExecutor | CacheStore.CacheStore> =>
  Layer.effectContext(Effect.map(make(options), contextOf))

/**
 * As `layer`, for a database that other hosts write to as well: mutations tell them in their own transactions what they
 * change, and what they tell is dropped here. While the feed is down nothing is served from the cache, and when it is up
 * again everything is loaded anew. See `PostgresChangeFeed` for the bound, and an example.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFeed = (
  options: QueryCacheOptions = {}
): Layer.Layer<QueryExecutor | QueryCache, never, QueryExecutor | CacheStore.CacheStore | ChangeFeed> =>
  Layer.effectContext(
    Effect.map(
      Effect.flatMap(ChangeFeed, (feed) => make(options, feed)),
      contextOf
    )
  )
