/**
 * Detects repositories that moved, and paths that another repository has taken over.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import type * as Path from "effect/Path"
import { MemoryBridge } from "../memory/MemoryBridge.ts"
import type { MemoryError } from "../memory/MemoryError.ts"
import * as Project from "../memory/Project.ts"
import * as Repository from "./Repository.ts"

/** Timeout for the lookup of a path. A path that does not respond counts as present. */
const lookupTimeout = "500 millis"

const isNotFound = (cause: unknown): boolean =>
  typeof cause === "object" &&
  cause !== null &&
  "reason" in cause &&
  (cause.reason as { readonly _tag?: unknown } | undefined)?._tag === "NotFound"

/** Whether the repository of a project is no longer at the path. */
const hasLeft = (path: string, { marks }: Project.ProjectLocation) =>
  Repository.find(path).pipe(
    Effect.map(({ project }) => Project.make(project)),
    Effect.map((project) => project.path !== path || Project.compareMarks(project.marks, marks) === "different"),
    Effect.catchTag("FolderNotFound", ({ cause }) => Effect.succeed(isNotFound(cause))),
    Effect.timeoutOrElse({ duration: lookupTimeout, orElse: () => Effect.succeed(false) })
  )

/** The first candidate that moved to the location; `undefined` if all are still at their paths. */
export const findMoved: (
  location: Project.ProjectLocation,
  candidates: ReadonlyArray<Project.Project>
) => Effect.Effect<Project.Project | undefined, never, FileSystem.FileSystem | Path.Path> = Effect.fnUntraced(
  function* (location, candidates) {
    for (const candidate of candidates) {
      // A redacted path can't be looked up.
      if (!candidate.path.includes("[redacted-") && (yield* hasLeft(candidate.path, location))) return candidate
    }
    return undefined
  }
)

/**
 * Assigns a repository's path to its project before the project is opened: a moved project receives the path, and a
 * project of another repository loses it. A second clone is a project of its own while the first still exists.
 *
 * @category combinators
 * @since 0.1.0
 */
export const reconcile: (
  location: Project.ProjectLocation
) => Effect.Effect<void, MemoryError, MemoryBridge | FileSystem.FileSystem | Path.Path> = Effect.fnUntraced(
  function* (location) {
    if (location.marks === undefined) return
    const memory = yield* MemoryBridge
    const standing = yield* memory.checkProject(location)
    if (standing._tag === "Settled") return
    const moved = yield* findMoved(location, standing.candidates)
    if (moved === undefined && standing._tag === "Absent") return
    yield* memory.relocateProject(moved === undefined ? location : { ...location, movedFrom: moved.id })
  }
)
