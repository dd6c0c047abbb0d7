/**
 * The cache that all processes of this host share before a Postgres server: what it spares is round trips. It takes a
 * hook about ten milliseconds, so it is for a server that is far away.
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

/** The file of the cache, in the folder of the memory. */
export const filename = "cache.db"

/** The file holds a thread up while another process has it locked, and a hook has little time. */
const busyTimeout = "20 millis"

const isWanted = Config.withDefault(Config.Boolean("ATHENA_CACHE"), false)

/**
 * The file of the cache; nothing where none is used. Where the file is there all processes use it, whatever their
 * environment says: one that wrote without a word would leave the others with what it replaced.
 */
export const file = (settings: Database.Settings) =>
  Effect.gen(function* () {
    // The embedded database answers as fast as a cache in a file would.
    if (settings._tag === "Embedded") return undefined
    const fs = yield* FileSystem.FileSystem
    const path = (yield* Path.Path).join(yield* Database.home, filename)
    const isUsed = (yield* isWanted) || (yield* Effect.orElseSucceed(fs.exists(path), () => false))
    return isUsed ? path : undefined
  })

/** Who may see what differs, so results are not shared between users. */
const namespaceOf = (settings: Database.Postgres): string => {
  const { server, user } = Database.identity(settings)
  return `${user}@${server}`
}

/**
 * How all processes that share the file must use it. A host whose hooks run without a process that stays tells other
 * hosts nothing, so nothing is kept for long.
 */
export const options = (settings: Database.Postgres) => ({
  namespace: namespaceOf(settings),
  memoryTimeToLive: "5 minutes" as const,
  storeTimeToLive: "5 minutes" as const,
  announceTimeout: "100 millis" as const
})

/** The store in the file. */
export const store = (file: string) => CacheStore.layerSqlite({ filename: file, busyTimeout })

/** The cache in a file, as a middleware. */
export const middleware = (settings: Database.Postgres, file: string) =>
  CachedMemory.middleware(options(settings)).pipe(Layer.provide(store(file)))

/** What goes between the memory and the executor of the database: the cache, or nothing. */
export const layer = (
  settings: Database.Settings
): Layer.Layer<
  QueryExecutor.QueryExecutor,
  Effect.Error<ReturnType<typeof file>>,
  QueryExecutor.QueryExecutor | FileSystem.FileSystem | Path.Path
> =>
  Layer.unwrap(
    Effect.map(file(settings), (file) =>
      file === undefined || settings._tag === "Embedded"
        ? Layer.effect(QueryExecutor.QueryExecutor, QueryExecutor.QueryExecutor)
        : middleware(settings, file)
    )
  )
