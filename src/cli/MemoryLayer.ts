/**
 * The memory that the settings name, as the command and its hooks use it.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as MemoryBridge from "../memory/MemoryBridge.ts"
import * as Database from "../sql/Database.ts"

/** The file of the cache, in the folder of the memory. */
export const cacheFilename = "cache.db"

/**
 * `ATHENA_CACHE`: whether the processes of this host share a cache before a Postgres server. It takes a hook about ten
 * milliseconds and saves it round trips, so it is for a server that is far away.
 */
const isWanted = Config.withDefault(Config.Boolean("ATHENA_CACHE"), false)

/**
 * The server and the file of the cache before it; nothing where none is used. Where the file is there all processes use
 * it, whatever their environment says: one that wrote without a word would leave the others with what it replaced.
 */
export const sharedCache = (settings: Database.Settings) =>
  Effect.gen(function* () {
    if (settings._tag === "Embedded") return undefined
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const filename = path.join(yield* Database.home, cacheFilename)
    const isUsed = (yield* isWanted) || (yield* Effect.orElseSucceed(fs.exists(filename), () => false))
    return isUsed ? { settings, filename } : undefined
  })

/** The embedded database answers as fast as a cache in a file would, so it never has one. */
export const memoryLayer = (settings: Database.Settings, options: Database.DatabaseOptions = {}) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const shared = yield* sharedCache(settings)
      if (shared === undefined) return MemoryBridge.layerSql.pipe(Layer.provide(Database.layer(settings, options)))
      const SharedCache = yield* Effect.promise(() => import("./SharedCache.ts"))
      return SharedCache.layer(shared.settings, shared.filename, options)
    })
  )
