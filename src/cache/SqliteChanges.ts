/**
 * Tells a cache what others have written to its SQLite database.
 *
 * A cache hears of the mutations that run through it. Where other processes write to the same file, this middleware goes
 * above the cache: before each query it asks SQLite, in some microseconds and without a look at the disk, whether another
 * connection has committed, and drops everything if so. Its own connection's writes stay as exact as the cache is, so
 * it is for files that one process writes often and others now and then.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { QueryExecutor } from "../query/QueryExecutor.ts"
import { QueryCache } from "./QueryCache.ts"

/**
 * Provides the middleware over a cache. The `SqlClient` must be the one that the cache's queries and mutations run on, and
 * have one connection, as `Sqlite.layer` has.
 *
 * **Example**
 *
 * ```ts
 * import * as CacheStore from "athena-hooks/cache/CacheStore"
 * import * as QueryCache from "athena-hooks/cache/QueryCache"
 * import * as SqliteChanges from "athena-hooks/cache/SqliteChanges"
 * import * as QueryExecutor from "athena-hooks/query/QueryExecutor"
 * import * as Sqlite from "athena-hooks/sql/Sqlite"
 * import * as Layer from "effect/Layer"
 *
 * const Cached = SqliteChanges.layer.pipe(
 *   Layer.provideMerge(QueryCache.layer()),
 *   Layer.provide(CacheStore.layerNoop),
 *   Layer.provide(QueryExecutor.layer),
 *   Layer.provide(Sqlite.layer({ filename: "memory.db" }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<QueryExecutor, SqlError, QueryExecutor | QueryCache | SqlClient.SqlClient> =
  Layer.effect(
    QueryExecutor,
    Effect.gen(function* () {
      const executor = yield* QueryExecutor
      const cache = yield* QueryCache
      const sql = yield* SqlClient.SqlClient

      /** A number that changes when another connection commits, and at no other time. */
      const commits = Effect.map(sql<{ data_version: number }>`PRAGMA data_version`, ([row]) => row?.data_version)
      let seen = yield* commits

      // A commit that falls between the question and the clearing changes the number again.
      const keepUp = Effect.flatMap(commits, (now) => {
        if (now === seen) return Effect.void
        seen = now
        return cache.clear
      })

      return QueryExecutor.of({
        ...executor,
        query: (query, input) => Effect.andThen(keepUp, executor.query(query, input))
      })
    })
  )
