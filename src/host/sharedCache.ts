/**
 * The cache that all processes of this host share in front of a Postgres server: it saves round trips. It costs a hook
 * about ten milliseconds, so it is meant for a distant server.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as CacheStore from "../cache/CacheStore.ts"
import * as CachedMemory from "../memory/CachedMemory.ts"
import * as QueryExecutor from "../query/QueryExecutor.ts"
import * as Database from "../sql/Database.ts"

/** The file of the cache, in the home. */
export const filename = "cache.db"

/** Short, because a lock on the file blocks the thread, and a hook has little time. */
const busyTimeout = "20 millis"

const isWanted = Config.withDefault(Config.Boolean("ATHENA_CACHE"), false)

/**
 * Path of the cache; `undefined` if the cache is disabled. If the file exists, all processes use it whatever their
 * environment: a process that wrote without invalidating would leave stale entries to the others.
 */
export const file = (settings: Database.Settings) =>
  Effect.gen(function* () {
    // The embedded database is as fast as a cache in a file.
    if (settings._tag === "Embedded") return undefined
    const fs = yield* FileSystem.FileSystem
    const path = (yield* Path.Path).join(yield* Database.home, filename)
    const isUsed = (yield* isWanted) || (yield* Effect.orElseSucceed(fs.exists(path), () => false))
    return isUsed ? path : undefined
  })

/** Users may see different rows, so they share no results. */
const namespaceOf = (settings: Database.Postgres): string => {
  const { server, user } = Database.identity(settings)
  return `${user}@${server}`
}

/**
 * Options that all processes sharing the file must use. A host without a daemon notifies no other host, so entries live
 * briefly.
 */
export const options = (settings: Database.Postgres) => ({
  namespace: namespaceOf(settings),
  memoryTimeToLive: "5 minutes" as const,
  storeTimeToLive: "5 minutes" as const,
  announceTimeout: "100 millis" as const
})

/** The store in the file. */
export const store = (file: string) => CacheStore.layerSqlite({ filename: file, busyTimeout })

/** The cache as a middleware of the executor. */
export const middleware = (settings: Database.Postgres, file: string) =>
  CachedMemory.middleware(options(settings)).pipe(Layer.provide(store(file)))

/** The executor with the cache in front of it, or unchanged if the cache is disabled. */
export const layer = (
  settings: Database.Settings
): Layer.Layer<
  QueryExecutor.QueryExecutor,
  Effect.Error<ReturnType<typeof file>>,
  QueryExecutor.QueryExecutor | FileSystem.FileSystem | Path.Path
> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const cache = yield* file(settings)
      if (cache === undefined || settings._tag === "Embedded") {
        return Layer.effect(QueryExecutor.QueryExecutor, QueryExecutor.QueryExecutor)
      }
      // On a failure the cache runs without its store.
      yield* Effect.ignore(Database.makeFolder(yield* Database.home))
      return middleware(settings, cache)
    })
  )
