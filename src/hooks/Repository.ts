/**
 * The project of a folder.
 *
 * A project is a git repository with all of its worktrees; a folder outside any repository is a project of its own. The
 * module reads git's files, without starting git and without the variables of git's environment.
 *
 * **Gotchas**
 *
 * A file `.git` counts only if the repository refers back to the folder: by `worktrees/NAME/gitdir` for a linked
 * worktree, by `core.worktree` for a submodule, by the index for a repository made with `--separate-git-dir`. Otherwise
 * the folder is a project of its own.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import type { Input as ProjectLocation } from "../memory/Project.ts"
import * as Redaction from "../redaction/Redaction.ts"
import * as GitFiles from "./internal/gitFiles.ts"
import * as GitIdentity from "./internal/gitIdentity.ts"
import * as GitMarks from "./internal/gitMarks.ts"

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
    return `the working directory ${JSON.stringify(Redaction.excerpt(this.folder, 200))} does not exist or can't be read`
  }
}

/**
 * The project and worktree of a folder.
 *
 * @category models
 * @since 0.1.0
 */
export interface Repository {
  readonly project: ProjectLocation
  /** The root of the worktree that contains the folder. */
  readonly worktreePath: string
}

/** The most parent folders inspected. */
const maxDepth = 64

const named = (path: Path.Path, projectPath: string, worktreePath: string): Repository => ({
  project: { path: projectPath, name: path.basename(projectPath) || projectPath },
  worktreePath
})

/**
 * A folder as a project of its own, without access to the disk: for a folder that was deleted or does not respond.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromPath = (folder: string): Effect.Effect<Repository, never, Path.Path> =>
  Effect.map(Path.Path, (path) => named(path, folder, folder))

/** A folder that git would use as a worktree or repository. */
interface GitFolder {
  readonly worktree: string
  /** The repository's folder; `undefined` if git rejects it, or it does not refer back to the worktree. */
  readonly repository: string | undefined
}

/**
 * Inspects one folder as git does: for a `.git` in it, or as a repository without a worktree. `undefined` if it is
 * neither.
 */
const inspect = Effect.fnUntraced(function* (
  git: GitFiles.GitFiles,
  identity: Effect.Success<ReturnType<typeof GitIdentity.make>>,
  path: Path.Path,
  folder: string
) {
  const link = path.join(folder, ".git")
  const type = (yield* git.exists(link)) ? yield* git.typeOf(link) : undefined
  if (type === "File") {
    const named = yield* git.readLink(link)
    const target = named === undefined ? undefined : yield* git.real(named)
    const isTaken = target !== undefined && (yield* git.isRepository(target))
    return {
      worktree: folder,
      repository: isTaken ? yield* identity.repositoryOf(target, folder) : undefined
    } satisfies GitFolder as GitFolder
  }
  if (type === "Directory" && (yield* git.isRepository(link))) {
    const target = yield* git.real(link)
    const isOwn = target === link && (yield* git.sharedOf(link)) === undefined
    const repository = isOwn ? link : target === undefined ? undefined : yield* identity.repositoryOf(target, folder)
    return { worktree: folder, repository } satisfies GitFolder as GitFolder
  }
  if (!(yield* git.exists(path.join(folder, "HEAD"))) || !(yield* git.isRepository(folder))) return undefined
  return { worktree: folder, repository: yield* identity.repositoryAround(folder) } satisfies GitFolder as GitFolder
})

/**
 * Finds the repository that contains a folder.
 *
 * @category combinators
 * @since 0.1.0
 */
export const find = (folder: string): Effect.Effect<Repository, FolderNotFound, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const start = yield* fs.realPath(folder).pipe(Effect.mapError((cause) => new FolderNotFound({ folder, cause })))
    const git = yield* GitFiles.make
    const identity = yield* GitIdentity.make(git)

    const lookUp = Effect.fnUntraced(function* () {
      let current = start
      for (let depth = 0; depth < maxDepth; depth++) {
        const found = yield* inspect(git, identity, path, current)
        if (found !== undefined) return found
        const parent = path.dirname(current)
        if (parent === current) break
        current = parent
      }
      return undefined
    })

    const found = yield* lookUp()
    if (found === undefined) return named(path, start, start)
    const { repository, worktree } = found
    if (repository === undefined) return named(path, worktree, worktree)
    const { project } = named(path, yield* identity.projectOf(repository), worktree)
    const marks = yield* GitMarks.of(git, repository)
    return { project: marks === undefined ? project : { ...project, marks }, worktreePath: worktree }
  })
