/**
 * The Layers of the commands: the configured memory, and the project of the working folder.
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

/** The executor of the provided database, after the migration of its schema. */
const migrated = Layer.unwrap(
  MemorySchema.migrate.pipe(
    Effect.mapError((error) => MemoryError.from("open", error)),
    Effect.as(QueryExecutor.layer)
  )
)

/** The executor of a database, after the migration of its schema. */
export const database = (settings: Database.Settings) => migrated.pipe(Layer.provide(Database.layer(settings)))

/** The executor of the provided database, with the shared cache if it is enabled. */
export const executorOn = (settings: Database.Settings) => HostCache.layer(settings).pipe(Layer.provide(migrated))

/** The executor of the configured database, with the shared cache if it is enabled. */
export const executor = Layer.unwrap(
  Effect.map(Database.settings, (settings) => executorOn(settings).pipe(Layer.provide(Database.layer(settings))))
)

/** The configured memory. */
export const layer = MemoryBridge.layer.pipe(Layer.provide(executor))

/** Whether the database exists: a command that only reads creates none. */
export const exists = (settings: Database.Settings) =>
  Effect.gen(function* () {
    if (settings._tag === "Postgres") return true
    const file = (yield* Path.Path).join(settings.home, Database.filename)
    return yield* Effect.orElseSucceed((yield* FileSystem.FileSystem).exists(file), () => false)
  })

const currentRepository = Effect.flatMap(workingFolder, Repository.find)

/** The project of the working folder, created on first use. */
export const currentProject = Effect.gen(function* () {
  const memory = yield* MemoryBridge.MemoryBridge
  const repository = yield* currentRepository
  const location = makeProject(repository.project)
  yield* Relocation.reconcile(location)
  const project = yield* memory.ensureProject(location)
  return { ...project, worktreePath: repository.worktreePath }
})

/** Reads from the memory. Creates no database. */
export const read = Effect.fnUntraced(function* <A, E, R>(
  read: (memory: MemoryBridge.MemoryBridge["Service"]) => Effect.Effect<A, E, R>,
  absent: () => A
) {
  if (!(yield* exists(yield* Database.settings))) return absent()
  return yield* Effect.provide(Effect.flatMap(MemoryBridge.MemoryBridge, read), layer)
})

/** Reads from the project of the working folder. Creates neither the project nor the database. */
export const readCurrentProject = Effect.fnUntraced(function* <A, E, R>(
  read: (project: Project, memory: MemoryBridge.MemoryBridge["Service"]) => Effect.Effect<A, E, R>,
  absent: (name: string) => A
) {
  const location = makeProject((yield* currentRepository).project)
  if (!(yield* exists(yield* Database.settings))) return absent(location.name)
  return yield* Effect.gen(function* () {
    const memory = yield* MemoryBridge.MemoryBridge
    const standing = yield* memory.checkProject(location)
    // The next session records a move.
    const found =
      standing._tag === "Settled" ? standing.project : yield* Relocation.findMoved(location, standing.candidates)
    return found === undefined ? absent(location.name) : yield* read(found, memory)
  }).pipe(Effect.provide(layer))
})
