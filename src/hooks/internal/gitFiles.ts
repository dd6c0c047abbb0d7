/**
 * Reads the files of a git repository that identify it. An unreadable file counts as absent.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as GitConfig from "./gitConfig.ts"

/** The prefix of the line in a file `.git`. */
const maxLineBytes = 16 * 1024

/** The maximum size of a configuration, in bytes. */
const maxConfigBytes = 1024 * 1024

/** The maximum number of bytes read from an index. */
const maxIndexBytes = 64 * 1024

export const make = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path

  const info = (file: string) => Effect.option(fs.stat(file))
  const isFolder = (file: string) =>
    Effect.map(info(file), (found) => Option.isSome(found) && found.value.type === "Directory")
  const real = (file: string): Effect.Effect<string | undefined> =>
    Effect.orElseSucceed(fs.realPath(file), () => undefined)

  /** Opens only small regular files: a read from a pipe might never return. */
  const read = (file: string, maxBytes: number) =>
    fs.stat(file).pipe(
      Effect.flatMap(({ size, type }) =>
        type === "File" && Number(size) <= maxBytes ? fs.readFileString(file) : Effect.undefined
      ),
      Effect.orElseSucceed(() => undefined)
    )

  /** Reads the beginning of a file of any size. */
  const readStart = (file: string, bytes: number) =>
    Effect.gen(function* () {
      if ((yield* fs.stat(file)).type !== "File") return undefined
      const opened = yield* fs.open(file, { flag: "r" })
      return Option.getOrUndefined(yield* opened.readAlloc(bytes))
    }).pipe(
      Effect.scoped,
      Effect.orElseSucceed(() => undefined)
    )

  /** Reads the single line of a file that contains a path. */
  const readLine = (file: string): Effect.Effect<string | undefined> =>
    Effect.map(read(file, maxLineBytes), (text) => text?.split(/\r?\n/, 1)[0]?.trim() || undefined)

  /** Returns the target of a file `.git`, as git resolves it. */
  const readLink = (file: string): Effect.Effect<string | undefined> =>
    Effect.map(readLine(file), (line) => {
      const target = line?.startsWith("gitdir: ") === true ? line.slice("gitdir: ".length).trim() : ""
      return target === "" ? undefined : path.resolve(path.dirname(file), target)
    })

  /** Returns the folder that all worktrees of a repository share; `undefined` if it shares none. */
  const sharedOf = (folder: string): Effect.Effect<string | undefined> =>
    Effect.flatMap(readLine(path.join(folder, "commondir")), (line) =>
      line === undefined ? Effect.undefined : real(path.resolve(folder, line))
    )

  const config = (folder: string) =>
    Effect.gen(function* () {
      const shared = GitConfig.parse((yield* read(path.join(folder, "config"), maxConfigBytes)) ?? "")
      if (GitConfig.get(shared, "extensions.worktreeconfig") === undefined) return shared
      return [...shared, ...GitConfig.parse((yield* read(path.join(folder, "config.worktree"), maxConfigBytes)) ?? "")]
    })

  /** Whether git accepts a folder as a repository: it has a head, objects and references. */
  const isRepository = Effect.fnUntraced(function* (folder: string) {
    const head = yield* readLine(path.join(folder, "HEAD"))
    if (head === undefined || !/^(?:ref:\s*refs\/|[0-9a-f]{40})/.test(head)) return false
    const common = (yield* sharedOf(folder)) ?? folder
    return (yield* isFolder(path.join(common, "objects"))) && (yield* isFolder(path.join(common, "refs")))
  })

  /** Returns the worktree of a repository's settings, if its `.git` refers back. */
  const ownWorktree = Effect.fnUntraced(function* (repository: string, settings: GitConfig.GitConfig) {
    const named = GitConfig.get(settings, "core.worktree")
    const worktree = named === undefined ? undefined : yield* real(path.resolve(repository, named))
    if (worktree === undefined) return undefined
    return (yield* leadsTo(path.join(worktree, ".git"), repository)) ? worktree : undefined
  })

  /** Whether a file `.git` refers to a folder. */
  const leadsTo = Effect.fnUntraced(function* (link: string, repository: string) {
    const target = yield* readLink(link)
    return target !== undefined && (yield* real(target)) === repository
  })

  return {
    info,
    real,
    readLink,
    readLine,
    sharedOf,
    config,
    isRepository,
    ownWorktree,
    leadsTo,
    exists: (file: string) => Effect.orElseSucceed(fs.exists(file), () => false),
    typeOf: (file: string) => Effect.map(info(file), (found) => (Option.isSome(found) ? found.value.type : undefined)),
    /** Returns the first entries of the index, enough to recognise the worktree. */
    readIndex: (folder: string) => readStart(path.join(folder, "index"), maxIndexBytes),
    /** Returns the first entry of the reflog, if it still exists. */
    readFirstReflogLine: (folder: string) =>
      Effect.map(readStart(path.join(folder, "logs", "HEAD"), 1024), (bytes) =>
        bytes === undefined ? undefined : new TextDecoder().decode(bytes).split("\n", 1)[0]
      )
  }
})

export type GitFiles = Effect.Success<typeof make>
