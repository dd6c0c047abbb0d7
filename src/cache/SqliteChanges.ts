/**
 * Invalidates a cache when other processes write to its SQLite database.
 *
 * This middleware sits above the cache. Before each query it checks, in a few microseconds and without disk access, whether
 * another connection has committed, and clears the cache if so. Writes of its own connection invalidate as usual.
 *
 * **When to use**
 *
 * For files that one process writes often and others rarely.
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
 * Provides the middleware over a cache. The `SqlClient` must be the client of the cache's queries and mutations, with one
 * connection, as `Sqlite.layer` has.
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

      /** A number that changes only when another connection commits. */
      const commits = Effect.map(sql<{ data_version: number }>`PRAGMA data_version`, ([row]) => row?.data_version)
      let last = yield* commits

      // A commit between the check and `clear` changes the number again.
      const clearIfChanged = Effect.flatMap(commits, (now) => {
        if (now === last) return Effect.void
        last = now
        return cache.clear
      })

      return QueryExecutor.of({
        ...executor,
        query: (query, input) => Effect.andThen(clearIfChanged, executor.query(query, input))
      })
    })
  )
