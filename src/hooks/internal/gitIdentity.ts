/**
 * Identifies the project of a git repository, and verifies that a folder is a worktree of it.
 *
 * A file `.git` can point to any repository, and an archive can contain one. So a folder belongs to another repository
 * only if that repository, which the folder can't write, refers back to it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as GitConfig from "./gitConfig.ts"
import type { GitFiles } from "./gitFiles.ts"
import * as GitIndex from "./gitIndex.ts"

/** The maximum number of inspected parent folders. */
const maxDepth = 64

/** The number of files compared with the index. */
const maxCompared = 32

/** Returns the parent of the folder that a path omits. */
const splitLast = (text: string, part: string): readonly [string, string] | undefined => {
  const at = text.lastIndexOf(part)
  return at < 0 ? undefined : [text.slice(0, at), text.slice(at + part.length)]
}

export const make = Effect.fnUntraced(function* (git: GitFiles) {
  const path = yield* Path.Path

  const isInside = (folder: string, outer: string): boolean => {
    const relative = path.relative(outer, folder)
    return relative !== "" && !relative.startsWith("..") && !path.isAbsolute(relative)
  }

  const ownerOf = (file: string) =>
    Effect.map(git.info(file), (info) =>
      Option.getOrUndefined(Option.flatMap(info, ({ uid }) => uid as Option.Option<number>))
    )

  /** Git rejects a repository of another user; here the worktree's owner is accepted too. */
  const hasTrustedOwner = Effect.fnUntraced(function* (repository: string, worktree: string) {
    const owner = yield* ownerOf(repository)
    return owner === undefined || owner === process.getuid?.() || owner === (yield* ownerOf(worktree))
  })

  /** Returns the worktree of a folder in `worktrees`; its `.git` may not exist. */
  const linkedWorktree = (entry: string): Effect.Effect<string | undefined> =>
    Effect.map(git.readLine(path.join(entry, "gitdir")), (line) =>
      line === undefined ? undefined : path.dirname(path.resolve(entry, line))
    )

  /** A submodule in a linked worktree is the same project as the one in the main worktree. */
  const submoduleInWorktree = Effect.fnUntraced(function* (repository: string, worktree: string | undefined) {
    const [entry] = splitLast(repository, `${path.sep}modules${path.sep}`) ?? []
    const [outer] = entry === undefined ? [] : (splitLast(entry, `${path.sep}worktrees${path.sep}`) ?? [])
    if (worktree === undefined || entry === undefined || outer === undefined) return undefined
    if (path.dirname(entry) !== path.join(outer, "worktrees") || !(yield* git.isRepository(outer))) return undefined
    const linked = yield* linkedWorktree(entry)
    const around = linked === undefined ? undefined : yield* git.real(linked)
    if (around === undefined || !isInside(worktree, around)) return undefined
    return path.join(yield* projectOf(outer), path.relative(around, worktree))
  })

  /** Returns a folder above a repository whose file `.git` refers to it, such as one around a bare repository `.bare`. */
  const hubOf = Effect.fnUntraced(function* (repository: string) {
    let folder = path.dirname(repository)
    for (let depth = 0; depth < maxDepth; depth++) {
      if (yield* git.leadsTo(path.join(folder, ".git"), repository)) return folder
      const parent = path.dirname(folder)
      if (parent === folder) return undefined
      folder = parent
    }
    return undefined
  })

  /** Returns the real path that identifies the project of a repository: its main worktree, if it has one. */
  const projectOf: (repository: string) => Effect.Effect<string> = Effect.fnUntraced(function* (repository: string) {
    if (path.basename(repository) === ".git") return path.dirname(repository)
    const worktree = yield* git.ownWorktree(repository, yield* git.config(repository))
    return (yield* submoduleInWorktree(repository, worktree)) ?? worktree ?? (yield* hubOf(repository)) ?? repository
  })

  /** Whether a repository lists the folder in `worktrees` with a file that refers back. */
  const registersLinkedWorktree = Effect.fnUntraced(function* (repository: string, entry: string, worktree: string) {
    if (path.dirname(entry) !== path.join(repository, "worktrees")) return false
    const linked = yield* linkedWorktree(entry)
    if (linked === undefined || (yield* git.real(linked)) !== worktree) return false
    return yield* hasTrustedOwner(repository, worktree)
  })

  /** Whether files of the worktree match the repository's index, which only a real worktree's can. */
  const hasIndexedFiles = Effect.fnUntraced(function* (repository: string, worktree: string) {
    const bytes = yield* git.readIndex(repository)
    const recorded = bytes === undefined ? [] : GitIndex.entries(bytes, maxCompared)
    for (const entry of recorded) {
      const info = yield* git.info(path.join(worktree, entry.path))
      if (Option.isNone(info) || Option.isNone(info.value.ino) || Option.isNone(info.value.mtime)) continue
      const { ino, mtime } = info.value
      if (
        BigInt(entry.ino) === BigInt.asUintN(32, ino.value) &&
        entry.mtime === Math.floor(mtime.value.getTime() / 1000)
      )
        return true
    }
    return recorded.length === 0
  })

  /** Whether a repository without `worktrees` has the folder as its only worktree. */
  const registersMainWorktree = Effect.fnUntraced(function* (repository: string, worktree: string) {
    const settings = yield* git.config(repository)
    const named = GitConfig.get(settings, "core.worktree")
    if (named !== undefined) return (yield* git.real(path.resolve(repository, named))) === worktree
    // The worktree of a folder `.git` is its parent; a bare repository has none.
    if (path.basename(repository) === ".git" || GitConfig.isBare(settings)) return false
    return (yield* hasTrustedOwner(repository, worktree)) && (yield* hasIndexedFiles(repository, worktree))
  })

  /** Returns the repository at `target`, if the worktree belongs to it. */
  const repositoryOf = Effect.fnUntraced(function* (target: string, worktree: string) {
    const shared = yield* git.sharedOf(target)
    if (shared !== undefined) return (yield* registersLinkedWorktree(shared, target, worktree)) ? shared : undefined
    // A repository inside the folder needs no reference back.
    return isInside(target, worktree) || (yield* registersMainWorktree(target, worktree)) ? target : undefined
  })

  /** Returns the repository of a git folder: for a folder in `worktrees`, the enclosing one. */
  const repositoryAround = Effect.fnUntraced(function* (folder: string) {
    const shared = yield* git.sharedOf(folder)
    return shared !== undefined && path.dirname(folder) === path.join(shared, "worktrees") ? shared : folder
  })

  return { projectOf, repositoryOf, repositoryAround }
})
