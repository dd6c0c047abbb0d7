/**
 * Which project a folder belongs to.
 *
 * A project is a git repository, so all of its worktrees are one project; a folder outside any repository is a project
 * of its own. It is read from the files that git keeps, without starting git.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import type { ProjectLocation } from "../memory/Project.ts"

/**
 * The folder does not exist, or can't be read.
 *
 * @category errors
 * @since 0.1.0
 */
export class FolderNotFound extends Schema.TaggedError<FolderNotFound>("athena-hooks/hooks/Repository/FolderNotFound")(
  "FolderNotFound",
  { folder: Schema.String, cause: Schema.Defect() }
) {
  override get message(): string {
    return `the working directory ${JSON.stringify(this.folder.slice(0, 200))} does not exist or can't be read`
  }
}

/**
 * Where a folder belongs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Repository {
  readonly project: ProjectLocation
  /** The root of the worktree that the folder is in. */
  readonly worktreePath: string
}

/** The most folders that are looked at on the way up. */
const maxDepth = 64

/** Git writes one line into a file that says where something is. */
const maxBytes = 16 * 1024

const named = (path: Path.Path, projectPath: string, worktreePath: string): Repository => ({
  project: { path: projectPath, name: (path.basename(projectPath) || projectPath).slice(0, 200) },
  worktreePath
})

/**
 * A folder as a project of its own, without a look at the disk: for one that is gone, or does not answer.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unseen = (folder: string): Effect.Effect<Repository, never, Path.Path> =>
  Effect.map(Path.Path, (path) => named(path, folder, folder))

/**
 * Finds the repository that a folder is in.
 *
 * @category combinators
 * @since 0.1.0
 */
export const find = (folder: string): Effect.Effect<Repository, FolderNotFound, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const start = yield* fs.realPath(folder).pipe(Effect.mapError((cause) => new FolderNotFound({ folder, cause })))

    /** Anything but a small file is not opened: a pipe would never answer. */
    const read = (file: string) =>
      fs.stat(file).pipe(
        Effect.flatMap(({ size, type }) =>
          type === "File" && Number(size) <= maxBytes ? fs.readFileString(file) : Effect.succeed(undefined)
        ),
        Effect.orElseSucceed(() => undefined)
      )
    const exists = (file: string) => Effect.orElseSucceed(fs.exists(file), () => false)

    /** The folder that all worktrees of the repository share. */
    const commonFolder = Effect.fnUntraced(function* (worktree: string) {
      const link = path.join(worktree, ".git")
      const gitdir = /^gitdir: (.+)$/m.exec((yield* read(link)) ?? "")?.[1]
      if (gitdir === undefined) return link
      const own = path.resolve(worktree, gitdir.trim())
      const common = yield* read(path.join(own, "commondir"))
      // A submodule has a git folder of its own and shares it with nobody.
      return common === undefined ? link : path.resolve(own, common.trim())
    })

    const worktreeRoot = Effect.fnUntraced(function* () {
      let current = start
      for (let depth = 0; depth < maxDepth; depth++) {
        if (yield* exists(path.join(current, ".git"))) return current
        const parent = path.dirname(current)
        if (parent === current) break
        current = parent
      }
      return undefined
    })

    const worktree = yield* worktreeRoot()
    if (worktree === undefined) return named(path, start, start)
    const common = yield* commonFolder(worktree)
    // A bare repository has no worktree of its own: the repository itself names the project.
    return named(path, path.basename(common) === ".git" ? path.dirname(common) : common, worktree)
  })
