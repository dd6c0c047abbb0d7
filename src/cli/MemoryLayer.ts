/**
 * The memory that the settings name, as the command and its hooks use it.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MemoryBridge from "../memory/MemoryBridge.ts"
import * as Database from "../sql/Database.ts"

/**
 * `ATHENA_CACHE`: whether the processes of this host share a cache before a Postgres server. It takes a hook about ten
 * milliseconds and saves it round trips, so it is for a server that is far away; and it must be the same for all of them.
 */
const isShared = Config.withDefault(Config.Boolean("ATHENA_CACHE"), false)

/** The server and the folder of the cache before it; nothing where none is used. */
export const sharedCache = (settings: Database.Settings) =>
  Effect.gen(function* () {
    if (settings._tag === "Embedded" || !(yield* isShared)) return undefined
    return { settings, home: yield* Database.home }
  })

/** The embedded database answers as fast as a cache in a file would, so it never has one. */
export const memoryLayer = (settings: Database.Settings, options: Database.DatabaseOptions = {}) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const shared = yield* sharedCache(settings)
      if (shared === undefined) return MemoryBridge.layerSql.pipe(Layer.provide(Database.layer(settings, options)))
      const SharedCache = yield* Effect.promise(() => import("./SharedCache.ts"))
      return SharedCache.layer(shared.settings, shared.home, options)
    })
  )
