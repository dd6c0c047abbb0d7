/**
 * The Postgres backend of the daemon: a connection pool, and the cache shared by all processes of this host, which
 * receives invalidations of other hosts through Postgres notifications. Loaded only if the database is Postgres.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PostgresChangeFeed from "../cache/PostgresChangeFeed.ts"
import * as CachedMemory from "../memory/CachedMemory.ts"
import * as MemorySchema from "../memory/MemorySchema.ts"
import * as Profiler from "../profiler/Profiler.ts"
import * as QueryExecutor from "../query/QueryExecutor.ts"
import * as ConnectionPool from "../pool/ConnectionPool.ts"
import * as Database from "../sql/Database.ts"
import * as Held from "./backend.ts"
import * as HostCache from "./sharedCache.ts"

const reportPool = Layer.effectDiscard(
  Effect.gen(function* () {
    const held = yield* Held.DiagnosticParts
    held.pool = (yield* ConnectionPool.ConnectionPool).stats
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        held.pool = undefined
      })
    )
  })
)

const pool = (settings: Database.Postgres) =>
  ConnectionPool.layer({
    ...Database.poolOptions(settings),
    minConnections: 1,
    maxConnections: 8,
    acquireTimeout: "5 seconds",
    connectTimeout: "5 seconds",
    deadline: "10 seconds"
  })

const cached = (settings: Database.Postgres, file: string) =>
  CachedMemory.middlewareFeed(HostCache.options(settings)).pipe(
    Layer.provide(PostgresChangeFeed.layer()),
    Layer.provide(HostCache.store(file))
  )

export const layer = (settings: Database.Postgres, file: string, jobs: Held.Jobs) =>
  Layer.unwrap(
    Effect.as(
      MemorySchema.migrate,
      Layer.mergeAll(Held.reportCache, reportPool, Held.jobs(jobs)).pipe(
        Layer.provideMerge(cached(settings, file)),
        Layer.provide(Profiler.layerQueries),
        Layer.provide(QueryExecutor.layer)
      )
    )
  ).pipe(Layer.provide(pool(settings)))
