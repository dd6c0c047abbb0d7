/**
 * Selects the path of Node.js for settings. The path of this process often belongs to one version of a version manager
 * and disappears with the next upgrade, so a path that follows the current version is preferred.
 */
import { execFile } from "node:child_process"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { versionProblem } from "../../internal/nodeBuiltin.ts"

const windows = process.platform === "win32"

const program = windows ? "node.exe" : "node"

/** Folders of one version, of one shell, or of one run of a package manager. */
const temporary =
  /[\\/](?:[^\\/]*\d+\.\d+\.\d+[^\\/]*|v\d+|[0-9a-z]{32}-[^\\/]+|fnm_multishells|_npx|dlx-[^\\/]+|yarn--[^\\/]+)[\\/]/i

/** Whether a path does not outlive an upgrade. */
export const isTemporary = (file: string): boolean => temporary.test(file)

/** Package managers add a project's programs to the search path. */
const isOfProject = (file: string): boolean => /[\\/]node_modules[\\/]/.test(file)

/** Whether a program selects a version by the current folder: a hook may run in any folder. */
const isVersionShim = Effect.fnUntraced(function* (real: string) {
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

/** Whether a path leads to a supported Node.js, in any folder. */
const leadsToNode = Effect.fnUntraced(
  function* (file: string) {
    const files = yield* FileSystem.FileSystem
    const real = yield* files.realPath(file)
    if (real === (yield* files.realPath(process.execPath))) return true
    if (yield* isVersionShim(real)) return false
    const [, version] = /^v(\d+\.\d+\.\d+)/.exec(yield* versionOf(file)) ?? []
    return version !== undefined && versionProblem(version) === undefined
  },
  Effect.orElseSucceed(() => false)
)

/** Returns the links to the current version that version managers provide. */
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
 * Returns the installed path if it is stable and works; else the first stable path of the search path that leads to a
 * supported Node.js; else the path of this process.
 */
export const find = Effect.fnUntraced(function* (installed: string | undefined) {
  const path = yield* Path.Path
  const own = process.execPath
  const known = installed !== undefined && path.isAbsolute(installed) ? [installed] : []
  const named = isTemporary(own) ? (yield* onPath).filter((file) => !isOfProject(file)) : [own]
  const candidates = [...known, ...named, ...linksOf(own)].filter((file) => !isTemporary(file))
  const found = yield* Effect.findFirst([...new Set(candidates)], leadsToNode)
  return found._tag === "Some" ? found.value : own
})
