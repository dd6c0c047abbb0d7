/**
 * The memory with a `QueryCache` between its verbs and the database.
 *
 * **When to use**
 *
 * Use it in a long-running process with a remote database, such as Postgres. The embedded database responds about as
 * fast as a store in a file.
 *
 * Repeated reads are served from memory or the store. A recorded event invalidates the affected results of its own
 * project only.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as SqlClient from "effect/sql/SqlClient"
import type { CacheStore } from "../cache/CacheStore.ts"
import type { ChangeFeed } from "../cache/ChangeFeed.ts"
import * as QueryCache from "../cache/QueryCache.ts"
import * as QueryExecutor from "../query/QueryExecutor.ts"
import * as MemoryBridge from "./MemoryBridge.ts"
import * as MemoryError from "./MemoryError.ts"
import * as MemorySchema from "./MemorySchema.ts"

/**
 * The version of the queries' meaning, for changes that leave their Schemas unchanged. It precedes the version of the
 * options in every key.
 *
 * @category constants
 * @since 0.1.0
 */
export const version = "1"

const versioned = (options: QueryCache.QueryCacheOptions): QueryCache.QueryCacheOptions => ({
  ...options,
  version: [version, options.version ?? ""].join("/")
})

/**
 * Provides the cache as a middleware for the queries of the memory: `QueryCache.layer` with their version.
 *
 * @category layers
 * @since 0.1.0
 */
export const middleware = (
  options: QueryCache.QueryCacheOptions = {}
): Layer.Layer<QueryExecutor.QueryExecutor | QueryCache.QueryCache, never, QueryExecutor.QueryExecutor | CacheStore> =>
  QueryCache.layer(versioned(options))

/**
 * As `middleware`, for a database that other hosts write to as well: `QueryCache.layerFeed`.
 *
 * @category layers
 * @since 0.1.0
 */
export const middlewareFeed = (
  options: QueryCache.QueryCacheOptions = {}
): Layer.Layer<
  QueryExecutor.QueryExecutor | QueryCache.QueryCache,
  never,
  QueryExecutor.QueryExecutor | CacheStore | ChangeFeed
> => QueryCache.layerFeed(versioned(options))

/**
 * Provides the memory and its cache, and creates or migrates the tables. Set a `namespace` if several databases share
 * the store.
 *
 * **Example**
 *
 * ```ts
 * import * as CacheStore from "athena-hooks/cache/CacheStore"
 * import * as CachedMemory from "athena-hooks/memory/CachedMemory"
 * import * as ConnectionPool from "athena-hooks/pool/ConnectionPool"
 * import * as Layer from "effect/Layer"
 * import * as Redacted from "effect/Redacted"
 *
 * const Memory = CachedMemory.layer({ namespace: "db.example/athena" }).pipe(
 *   Layer.provide(CacheStore.layerSqlite({ filename: "cache.db" })),
 *   Layer.provide(ConnectionPool.layer({ url: Redacted.make("postgres://athena@db.example/athena") }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: QueryCache.QueryCacheOptions = {}
): Layer.Layer<
  MemoryBridge.MemoryBridge | QueryCache.QueryCache,
  MemoryError.MemoryError,
  SqlClient.SqlClient | CacheStore
> =>
  Layer.unwrap(
    MemorySchema.migrate.pipe(
      Effect.mapError((error) => MemoryError.from("open", error)),
      Effect.as(MemoryBridge.layer.pipe(Layer.provideMerge(middleware(options)), Layer.provide(QueryExecutor.layer)))
    )
  )

/**
 * Provides the memory and its cache, with the options of the cache read from `Config`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Wrap<QueryCache.QueryCacheOptions>
): Layer.Layer<
  MemoryBridge.MemoryBridge | QueryCache.QueryCache,
  Config.ConfigError | MemoryError.MemoryError,
  SqlClient.SqlClient | CacheStore
> => Layer.unwrap(Effect.map(Config.unwrap(config), layer))
