/**
 * The embedded database of a process that stays: cached in its memory, and none the wiser than what other processes have
 * written. It is opened when it is needed, and again where its file is no longer the one that was opened.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as CacheStore from "../cache/CacheStore.ts"
import * as SqliteChanges from "../cache/SqliteChanges.ts"
import * as CachedMemory from "../memory/CachedMemory.ts"
import * as MemorySchema from "../memory/MemorySchema.ts"
import type * as Retention from "../memory/Retention.ts"
import * as Profiler from "../profiler/Profiler.ts"
import * as LazyExecutor from "../query/LazyExecutor.ts"
import * as QueryExecutor from "../query/QueryExecutor.ts"
import * as Database from "../sql/Database.ts"
import * as FileIdentity from "../internal/fileIdentity.ts"
import * as Held from "./diagnostics.ts"
import * as Patience from "./lockedExecutor.ts"
import { retentionJob } from "./retentionJob.ts"

/** The cache is of this process alone: a file before a file gains nothing. */
const cached = SqliteChanges.layer.pipe(
  Layer.provideMerge(CachedMemory.middleware()),
  Layer.provide(CacheStore.layerNoop)
)

const opened = (settings: Database.Embedded, retention: Retention.Policy) =>
  Layer.unwrap(
    Effect.as(
      MemorySchema.migrate,
      Layer.merge(Held.showCache, retentionJob(retention)).pipe(
        Layer.provideMerge(Patience.layer),
        Layer.provideMerge(cached),
        Layer.provide(Profiler.layerQueries),
        Layer.provide(QueryExecutor.layer)
      )
    )
  ).pipe(Layer.provide(Database.layer(settings, { timeout: Patience.busyTimeout })))

export const layer = (settings: Database.Embedded, retention: Retention.Policy) =>
  Layer.unwrap(
    Effect.map(Path.Path, (path) =>
      LazyExecutor.layer(opened(settings, retention), {
        watch: FileIdentity.watchDatabase(path.join(settings.home, Database.filename))
      })
    )
  )
