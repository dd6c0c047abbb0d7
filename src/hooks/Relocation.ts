/**
 * Which project a repository is that has moved, or has taken the path of another one.
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

/** How long a path is looked at; one that does not answer is still there. */
const lookupTimeout = "500 millis"

const isNotFound = (cause: unknown): boolean =>
  typeof cause === "object" &&
  cause !== null &&
  "reason" in cause &&
  (cause.reason as { readonly _tag?: unknown } | undefined)?._tag === "NotFound"

/** Whether a path no longer leads to the repository that a project there is of. */
const hasLeft = (path: string, { marks }: Project.ProjectLocation) =>
  Repository.find(path).pipe(
    Effect.map(({ project }) => Project.make(project)),
    Effect.map((project) => project.path !== path || Project.compareMarks(project.marks, marks) === "different"),
    Effect.catchTag("FolderNotFound", ({ cause }) => Effect.succeed(isNotFound(cause))),
    Effect.timeoutOrElse({ duration: lookupTimeout, orElse: () => Effect.succeed(false) })
  )

/** The first of some projects that has moved to a place; nothing where all are still where they were. */
export const findMoved: (
  location: Project.ProjectLocation,
  candidates: ReadonlyArray<Project.Project>
) => Effect.Effect<Project.Project | undefined, never, FileSystem.FileSystem | Path.Path> = Effect.fnUntraced(
  function* (location, candidates) {
    for (const candidate of candidates) {
      // A path that was redacted can't be looked at.
      if (!candidate.path.includes("[redacted-") && (yield* hasLeft(candidate.path, location))) return candidate
    }
    return undefined
  }
)

/**
 * Makes the path of a repository that repository's own, before its project is opened: a project that moved there gets the
 * path, and one of another repository gives it up. A second clone is a project of its own as long as the first is there.
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
