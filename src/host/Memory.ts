/**
 * What the commands share: the memory that the configuration names, and the project of the current folder.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Relocation from "../hooks/Relocation.ts"
import * as Repository from "../hooks/Repository.ts"
import * as MemoryBridge from "../memory/MemoryBridge.ts"
import * as MemoryError from "../memory/MemoryError.ts"
import { make as makeProject } from "../memory/Project.ts"
import * as MemorySchema from "../memory/MemorySchema.ts"
import * as QueryExecutor from "../query/QueryExecutor.ts"
import * as Database from "../sql/Database.ts"
import * as HostCache from "./sharedCache.ts"
import type { Project } from "../memory/Project.ts"
import { workingFolder } from "./environment.ts"

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

/** Whether there is a database: a command that only reads makes none. */
export const exists = (settings: Database.Settings) =>
  Effect.gen(function* () {
    if (settings._tag === "Postgres") return true
    const file = (yield* Path.Path).join(settings.home, Database.filename)
    return yield* Effect.orElseSucceed((yield* FileSystem.FileSystem).exists(file), () => false)
  })

/** Where the current folder belongs. */
const currentRepository = Effect.flatMap(workingFolder, Repository.find)

/** The project of the current folder, made on first sight. */
export const currentProject = Effect.gen(function* () {
  const memory = yield* MemoryBridge.MemoryBridge
  const repository = yield* currentRepository
  const location = makeProject(repository.project)
  yield* Relocation.reconcile(location)
  const project = yield* memory.ensureProject(location)
  return { ...project, worktreePath: repository.worktreePath }
})

/** Reads something of the project of the current folder, and makes nothing: not the project, and not the database. */
export const readCurrentProject = Effect.fnUntraced(function* <A, E, R>(
  read: (project: Project, memory: MemoryBridge.MemoryBridge["Service"]) => Effect.Effect<A, E, R>,
  absent: (name: string) => A
) {
  const location = makeProject((yield* currentRepository).project)
  if (!(yield* exists(yield* Database.settings))) return absent(location.name)
  return yield* Effect.gen(function* () {
    const memory = yield* MemoryBridge.MemoryBridge
    const standing = yield* memory.checkProject(location)
    // One that has moved here is told so by the next session.
    const found =
      standing._tag === "Settled" ? standing.project : yield* Relocation.findMoved(location, standing.candidates)
    return found === undefined ? absent(location.name) : yield* read(found, memory)
  }).pipe(Effect.provide(layer))
})
