/**
 * The path of Node.js that goes into settings. The one that runs this command is often of a single version, below the folder
 * of a version manager, and gone after the next upgrade; a path that leads to whichever version is current stays.
 */
import { execFile } from "node:child_process"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { versionProblem } from "../../internal/nodeBuiltin.ts"

const windows = process.platform === "win32"

const program = windows ? "node.exe" : "node"

/** Folders that hold one version, or last as long as a shell or a run of a package manager. */
const passing =
  /[\\/](?:[^\\/]*\d+\.\d+\.\d+[^\\/]*|v\d+|[0-9a-z]{32}-[^\\/]+|fnm_multishells|_npx|dlx-[^\\/]+|yarn--[^\\/]+)[\\/]/i

/** Whether a path is of one version of Node.js, or of a folder that will not stay. */
export const isPassing = (file: string): boolean => passing.test(file)

/** A package manager puts a project's own programs on the search path of what it runs. */
const isOfProject = (file: string): boolean => /[\\/]node_modules[\\/]/.test(file)

/** A program that chooses a version by the current folder, in which a hook may run with any. */
const isChooser = Effect.fnUntraced(function* (real: string) {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  if (!/^node(?:js)?(?:\.exe)?$/i.test(path.basename(real)) || /[\\/]shims[\\/]/i.test(real)) return true
  const head = yield* Effect.scoped(Effect.flatMap(files.open(real, { flag: "r" }), (file) => file.readAlloc(2)))
  return head._tag === "Some" && Buffer.from(head.value).toString("latin1") === "#!"
})

const versionOf = (file: string): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const child = execFile(file, ["--version"], { timeout: 5_000, killSignal: "SIGKILL" }, (error, stdout) =>
      resume(Effect.succeed(error === null ? stdout.trim() : ""))
    )
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** Whether a path leads to a Node.js that runs hooks, in whichever folder it is started. */
const leadsToNode = Effect.fnUntraced(
  function* (file: string) {
    const files = yield* FileSystem.FileSystem
    const real = yield* files.realPath(file)
    if (real === (yield* files.realPath(process.execPath))) return true
    if (yield* isChooser(real)) return false
    const [, version] = /^v(\d+\.\d+\.\d+)/.exec(yield* versionOf(file)) ?? []
    return version !== undefined && versionProblem(version) === undefined
  },
  Effect.orElseSucceed(() => false)
)

/** Where managers of versions have a link to the current one, for the path of one of their versions. */
const linksOf = (file: string): ReadonlyArray<string> =>
  (
    [
      [/^(.*)\/Cellar\/([^/]+)\/[^/]+\/bin\/node$/, "$1/opt/$2/bin/node"],
      [/^(.*)\/node-versions\/[^/]+\/installation\/bin\/node$/, "$1/aliases/default/bin/node"],
      [/^(.*)\/versions\/node\/[^/]+\/bin\/node$/, "$1/current/bin/node"],
      [/^(.*\/installs\/node)\/[^/]+\/bin\/node$/, "$1/latest/bin/node"]
    ] as const
  ).flatMap(([pattern, link]) => (pattern.test(file) ? [file.replace(pattern, link)] : []))

const onPath = Effect.gen(function* () {
  const path = yield* Path.Path
  const named = yield* Effect.orElseSucceed(Config.String("PATH"), () => "")
  return named
    .split(windows ? ";" : ":")
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, program))
})

/**
 * The path for settings: the one that is installed, where it will stay and works; else the first on the search path that
 * will stay and leads to a Node.js that runs hooks; else that of this process.
 */
export const find = Effect.fnUntraced(function* (installed: string | undefined) {
  const path = yield* Path.Path
  const own = process.execPath
  const known = installed !== undefined && path.isAbsolute(installed) ? [installed] : []
  const named = isPassing(own) ? (yield* onPath).filter((file) => !isOfProject(file)) : [own]
  const candidates = [...known, ...named, ...linksOf(own)].filter((file) => !isPassing(file))
  const found = yield* Effect.findFirst([...new Set(candidates)], leadsToNode)
  return found._tag === "Some" ? found.value : own
})
