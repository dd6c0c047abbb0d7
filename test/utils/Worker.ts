/**
 * A module of the tests as a process, which signals its readiness and starts on request.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as esbuild from "esbuild"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

export interface Worker {
  readonly pid: number
  readonly begin: Effect.Effect<void>
  /** Its output after a success, else its exit and its errors. */
  readonly ended: Effect.Effect<string>
  /** Ends it as `kill -9` does. */
  readonly kill: Effect.Effect<void>
}

const bundles = new Map<string, string>()

/**
 * Returns the path of a module as one file, built once per test process: a process that loads several hundred files
 * needs six times as much processor time to start.
 */
export const bundle = (module: string): string => {
  const existing = bundles.get(module)
  if (existing !== undefined) return existing
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "athena-worker-"))
  process.once("exit", () => fs.rmSync(folder, { recursive: true, force: true }))
  const outfile = path.join(folder, `${path.basename(module, ".ts")}.mjs`)
  esbuild.buildSync({
    entryPoints: [module],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    // Some bundled packages are CommonJS.
    banner: {
      js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url)'
    },
    logLevel: "error"
  })
  bundles.set(module, outfile)
  return outfile
}

/**
 * Starts a module with arguments, in a shell that first runs `shell` where that is given, and waits until it is ready. It
 * is killed with the scope.
 */
export const start = (
  module: string,
  args: ReadonlyArray<string>,
  options: { readonly shell?: string } = {}
): Effect.Effect<Worker, never, Scope.Scope> =>
  Effect.gen(function* () {
    const ready = yield* Deferred.make<void>()
    const ended = yield* Deferred.make<string>()
    const command = [process.execPath, bundle(module), ...args] as const
    const [file, ...rest] =
      options.shell === undefined
        ? command
        : (["/bin/sh", "-c", `${options.shell}; exec "$@"`, "sh", ...command] as const)
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => spawn(file, rest)),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    let output = ""
    let trouble = ""
    child.stdin.on("error", () => {})
    child.stderr.setEncoding("utf8").on("data", (text: string) => (trouble += text))
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text
      Deferred.doneUnsafe(ready, Effect.void)
    })
    child.on("close", (code, signal) => {
      const end = code === 0 ? output.replace("ready\n", "") : `ended by ${code ?? signal}: ${trouble}`
      Deferred.doneUnsafe(ended, Effect.succeed(end))
      Deferred.doneUnsafe(ready, Effect.void)
    })
    yield* Deferred.await(ready)
    return {
      pid: child.pid!,
      begin: Effect.sync(() => void child.stdin.write("go\n")),
      ended: Deferred.await(ended),
      kill: Effect.andThen(
        Effect.sync(() => void child.kill("SIGKILL")),
        Effect.asVoid(Deferred.await(ended))
      )
    }
  })

/** In the worker: signals readiness, and waits for the start. */
export const ready: Effect.Effect<void> = Effect.callback((resume) => {
  process.stdin.once("data", () => resume(Effect.void))
  process.stdout.write("ready\n")
})
