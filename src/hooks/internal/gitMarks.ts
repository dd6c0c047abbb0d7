/**
 * Marks that identify a repository independent of its path.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { RepositoryMarks } from "../../memory/Project.ts"
import * as GitConfig from "./gitConfig.ts"
import type { GitFiles } from "./gitFiles.ts"
import * as GitRemote from "./gitRemote.ts"

/** Returns the first commit, if it is the first entry of the reflog. */
const rootOf = (step: string | undefined): string | undefined =>
  /^0+ ([0-9a-f]{40,64}) .*\tcommit \(initial\)/.exec(step ?? "")?.[1]

/** Returns the identity of the folder in the file system, which survives a move on one disk. */
const instanceOf = Effect.fnUntraced(function* (git: GitFiles, repository: string) {
  const info = yield* git.info(repository)
  if (Option.isNone(info)) return undefined
  const { birthtime, ino } = info.value
  if (Option.isNone(birthtime) || Option.isNone(ino) || ino.value === 0n) return undefined
  return `${ino.value}-${Math.trunc(birthtime.value.getTime())}`
})

/** Returns the marks of a repository; `undefined` without any. */
export const of = Effect.fnUntraced(function* (git: GitFiles, repository: string) {
  const url = GitConfig.remoteUrl(yield* git.config(repository))
  const remote = url === undefined ? undefined : GitRemote.normalise(url)
  const root = rootOf(yield* git.readFirstReflogLine(repository))
  const instance = yield* instanceOf(git, repository)
  const marks: RepositoryMarks = {
    ...(remote === undefined ? {} : { remote }),
    ...(root === undefined ? {} : { root }),
    ...(instance === undefined ? {} : { instance })
  }
  return Object.keys(marks).length === 0 ? undefined : marks
})
