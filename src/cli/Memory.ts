/**
 * What the commands share: the memory that the configuration names, and the project of the current folder.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Repository from "../hooks/Repository.ts"
import * as MemoryBridge from "../memory/MemoryBridge.ts"
import * as MemoryError from "../memory/MemoryError.ts"
import * as MemorySchema from "../memory/MemorySchema.ts"
import * as QueryExecutor from "../query/QueryExecutor.ts"
import * as Database from "../sql/Database.ts"
import * as HostCache from "../daemon/internal/hostCache.ts"

/** The executor of the database of the context, with its tables made or brought up to date. */
const migrated = Layer.unwrap(
  MemorySchema.migrate.pipe(
    Effect.mapError((error) => MemoryError.from("open", error)),
    Effect.as(QueryExecutor.layer)
  )
)

/** The executor of a database, with its tables made or brought up to date. */
export const database = (settings: Database.Settings) => migrated.pipe(Layer.provide(Database.layer(settings)))

/** The executor of the database of the context, with the cache before it where one is used. */
export const executorOn = (settings: Database.Settings) => HostCache.layer(settings).pipe(Layer.provide(migrated))

/** The executor of the database that the configuration names, with the cache before it where one is used. */
export const executor = Layer.unwrap(
  Effect.map(Database.settings, (settings) => executorOn(settings).pipe(Layer.provide(Database.layer(settings))))
)

/** The memory that the configuration names. */
export const layer = MemoryBridge.layer.pipe(Layer.provide(executor))

/** The project of the current folder, made on first sight. */
export const currentProject = Effect.gen(function* () {
  const path = yield* Path.Path
  const memory = yield* MemoryBridge.MemoryBridge
  const repository = yield* Repository.find(path.resolve("."))
  const project = yield* memory.ensureProject(repository.project)
  return { ...project, worktreePath: repository.worktreePath }
})
