/**
 * Runs the built command `athena` as a process of its own.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as TempFolder from "./TempFolder.ts"

export const bin: string = path.join(import.meta.dirname, "..", "..", "dist", "cli", "bin.js")

const shim = path.join(path.dirname(bin), "shim.cjs")

/** What is written into the settings of agents. */
export const hookScript: string = fs.existsSync(shim) ? shim : bin

export interface Result {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  /** Another script than the command. */
  readonly script?: string
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly input?: string | Uint8Array
  /** Leaves standard input open behind what was given. */
  readonly keepInputOpen?: boolean
  /** Runs in a shell that first runs this, for example to lower a limit. */
  readonly shell?: string
  /** As a user without rights where the test itself runs as root, who may do anything. */
  readonly unprivileged?: boolean
}

/** Runs `athena ...args` to its end, with nothing of this process's environment, and without a resident process. */
export const run = (args: ReadonlyArray<string>, options: RunOptions = {}): Effect.Effect<Result> =>
  Effect.callback((resume) => {
    const command = [process.execPath, options.script ?? bin, ...args]
    const [file, ...rest] =
      options.shell === undefined ? command : ["/bin/sh", "-c", `${options.shell}; exec "$@"`, "sh", ...command]
    const child = spawn(file!, rest, {
      env: { PATH: process.env["PATH"] ?? "", ATHENA_DAEMON: "off", ...options.env },
      cwd: options.cwd,
      ...(options.unprivileged === true && process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {})
    })
    let stdout = ""
    let stderr = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
    // A process that does not read its input to the end breaks the pipe; that is its right.
    child.stdin.on("error", () => {})
    child.on("close", (code) => resume(Effect.succeed({ code, stdout, stderr })))
    child.stdin.write(options.input ?? "")
    if (options.keepInputOpen !== true) child.stdin.end()
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** An installation that posts where the agent can, also on a machine where several people log in. */
export const posting = (args: ReadonlyArray<string>): ReadonlyArray<string> =>
  args[0] === "install" && !args.some((arg) => /^(?:--(?:no-)?post|--scope|codex|gemini|cursor)$/.test(arg))
    ? [...args, "--post"]
    : args

/** A folder for the memory and a repository to work in, removed with their scope. */
export const scratch = Effect.gen(function* () {
  const folder = fs.realpathSync(yield* TempFolder.make)
  const project = path.join(folder, "shop")
  fs.mkdirSync(path.join(project, ".git"), { recursive: true })
  fs.chmodSync(folder, 0o777)
  const home = path.join(folder, "home")
  return { folder, project, home, env: { ATHENA_HOME: home, HOME: folder } }
})

/** An event as Claude Code sends it. */
export const event = (project: string, name: string, more: Readonly<Record<string, unknown>> = {}): string =>
  JSON.stringify({ session_id: "s-1", cwd: project, hook_event_name: name, ...more })
