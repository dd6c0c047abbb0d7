/**
 * What the commands share: the memory that the configuration names, and the project of the current folder.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as Repository from "../hooks/Repository.ts"
import * as MemoryBridge from "../memory/MemoryBridge.ts"
import * as Database from "../sql/Database.ts"
import { memoryLayer } from "./MemoryLayer.ts"

/** The memory that the configuration names. */
export const layer = Layer.unwrap(Effect.map(Database.settings, (settings) => memoryLayer(settings)))

/** The project of the current folder, made on first sight. */
export const currentProject = Effect.gen(function* () {
  const path = yield* Path.Path
  const memory = yield* MemoryBridge.MemoryBridge
  const repository = yield* Repository.find(path.resolve("."))
  const project = yield* memory.ensureProject(repository.project)
  return { ...project, worktreePath: repository.worktreePath }
})
