/**
 * The embedded backend of the daemon: cached in its memory, and invalidated by the writes of other processes. The
 * database is opened on first use, and again if its file was replaced.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Semaphore from "effect/Semaphore"
import * as CacheStore from "../cache/CacheStore.ts"
import * as SqliteChanges from "../cache/SqliteChanges.ts"
import * as FileIdentity from "../internal/fileIdentity.ts"
import { isLocked, retryWhileLocked } from "../internal/lockRetry.ts"
import * as CachedMemory from "../memory/CachedMemory.ts"
import * as MemorySchema from "../memory/MemorySchema.ts"
import * as Profiler from "../profiler/Profiler.ts"
import * as LazyExecutor from "../query/LazyExecutor.ts"
import type { QueryError } from "../query/Query.ts"
import * as QueryExecutor from "../query/QueryExecutor.ts"
import * as Database from "../sql/Database.ts"
import * as Backend from "./backend.ts"

/** SQLite's own wait for a lock blocks the thread, and with it all other hooks. */
export const busyTimeout = Duration.millis(1)

/** Retries while the database is locked, one caller at a time, because each attempt blocks the thread. */
export const layerLockRetry: Layer.Layer<QueryExecutor.QueryExecutor, never, QueryExecutor.QueryExecutor> =
  Layer.effect(
    QueryExecutor.QueryExecutor,
    Effect.gen(function* () {
      const executor = yield* QueryExecutor.QueryExecutor
      const turn = yield* Semaphore.make(1)
      const patient = <A>(effect: Effect.Effect<A, QueryError>): Effect.Effect<A, QueryError> =>
        Effect.catchIf(effect, isLocked, () => turn.withPermit(retryWhileLocked(effect)))
      return QueryExecutor.QueryExecutor.of({
        ...executor,
        query: (query, input) => patient(executor.query(query, input)),
        mutate: (mutation, input) => patient(executor.mutate(mutation, input))
      })
    })
  )

/** A single process uses this cache, so a store tier would gain nothing. */
const cached = SqliteChanges.layer.pipe(
  Layer.provideMerge(CachedMemory.middleware()),
  Layer.provide(CacheStore.layerNoop)
)

const opened = (settings: Database.Embedded, jobs: Backend.Jobs) =>
  Layer.unwrap(
    Effect.as(
      MemorySchema.migrate,
      Layer.merge(Backend.reportCache, Backend.jobs(jobs)).pipe(
        Layer.provideMerge(layerLockRetry),
        Layer.provideMerge(cached),
        Layer.provide(Profiler.layerQueries),
        Layer.provide(QueryExecutor.layer)
      )
    )
  ).pipe(Layer.provide(Database.layer(settings, { timeout: busyTimeout })))

export const layer = (settings: Database.Embedded, jobs: Backend.Jobs) =>
  Layer.unwrap(
    Effect.map(Path.Path, (path) =>
      LazyExecutor.layer(opened(settings, jobs), {
        watch: FileIdentity.watchDatabase(path.join(settings.home, Database.filename))
      })
    )
  )
