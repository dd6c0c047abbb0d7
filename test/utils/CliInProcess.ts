/**
 * Runs the built command `athena` inside this process, without the start of a process: for the many cases of one check.
 * `Cli.run` starts a process.
 */
import { createRequire } from "node:module"
import * as path from "node:path"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import type * as Main from "../../src/cli/main.ts"
import * as Cli from "./Cli.ts"

const { run: runCommand } = createRequire(import.meta.url)(path.join(path.dirname(Cli.bin), "main.cjs")) as typeof Main

/** Environment, folder, umask and exit code belong to the whole process. */
const exclusive = Semaphore.makeUnsafe(1)

const replaceEnvironment = (env: Readonly<Record<string, string | undefined>>) => {
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, env)
}

/** Replaces the state of this process that a command reads; its scope restores the state. */
const asProcess = (env: Readonly<Record<string, string>>, cwd: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = {
        env: { ...process.env },
        cwd: process.cwd(),
        script: process.argv[1]!,
        umask: process.umask(0o077)
      }
      replaceEnvironment(env)
      process.chdir(cwd)
      process.argv[1] = Cli.bin
      process.exitCode = undefined
      return before
    }),
    (before) =>
      Effect.sync(() => {
        replaceEnvironment(before.env)
        process.chdir(before.cwd)
        process.argv[1] = before.script
        process.umask(before.umask)
        process.exitCode = undefined
      })
  )

/** Runs `athena ...args` to its end, with nothing of this process's environment, and without a daemon. */
export const run = (
  args: ReadonlyArray<string>,
  options: { readonly env: Readonly<Record<string, string>>; readonly cwd: string }
): Effect.Effect<Cli.Result> =>
  Effect.suspend(() => {
    const env = { PATH: process.env["PATH"] ?? "", ATHENA_DAEMON: "off", ...options.env }
    const lines: Record<"log" | "error", Array<string>> = { log: [], error: [] }
    const console: Console.Console = {
      ...globalThis.console,
      log: (line: string) => lines.log.push(`${line}\n`),
      error: (line: string) => lines.error.push(`${line}\n`)
    }
    return Effect.gen(function* () {
      yield* asProcess(env, options.cwd)
      yield* Effect.ignore(runCommand(args))
      return { code: Number(process.exitCode ?? 0), stdout: lines.log.join(""), stderr: lines.error.join("") }
    }).pipe(
      Effect.provideService(Console.Console, console),
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env })),
      Effect.scoped
    )
  }).pipe(exclusive.withPermit)
