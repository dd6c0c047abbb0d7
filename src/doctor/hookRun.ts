/**
 * Runs an installed hook as its agent would, with a temporary home.
 */
import { execFile } from "node:child_process"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { monotonicMs } from "../internal/clock.ts"
import * as Redaction from "../redaction/Redaction.ts"
import type { Handler } from "../install/Wiring.ts"

export interface HookRun {
  /** The problem, or `undefined` if the response is valid. */
  readonly problem: string | undefined
  /** The lifetime of the process in milliseconds. */
  readonly tookMs: number
}

/** The timeout that the agent applies, in milliseconds. */
const limitMs = 10_000

/** These variables would lead the hook to the real home. */
const isOwn = (name: string): boolean => name.startsWith("ATHENA_")

const environment = (home: string) => ({
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !isOwn(name))),
  ATHENA_HOME: home,
  // The home is temporary, so no daemon may outlive it.
  ATHENA_DAEMON: "off"
})

const shell = process.platform === "win32" ? ["cmd.exe", "/d", "/s", "/c"] : ["/bin/sh", "-c"]

const commandOf = ({ args, command }: Handler): ReadonlyArray<string> =>
  Array.isArray(args) ? [String(command), ...args.map(String)] : [...shell, String(command)]

interface Ended {
  readonly failed: boolean
  readonly stdout: string
  readonly stderr: string
}

const run = (handler: Handler, home: string, body: string): Effect.Effect<Ended> =>
  Effect.callback((resume) => {
    const [file = "", ...args] = commandOf(handler)
    const child = execFile(
      file,
      args,
      { cwd: home, env: environment(home), timeout: limitMs, killSignal: "SIGKILL" },
      (error, stdout, stderr) => resume(Effect.succeed({ failed: error !== null, stdout, stderr }))
    )
    // A failed start closes standard input; `execFile` reports the failure.
    child.stdin?.on("error", () => undefined)
    child.stdin?.end(body)
    return Effect.sync(() => child.kill("SIGKILL"))
  })

const isObject = (text: string): boolean => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}

const problemOf = ({ failed, stderr, stdout }: Ended): string | undefined => {
  const said = Redaction.excerpt(stderr.trim().split("\n", 1)[0]!, 300)
  if (failed) return `it did not start or failed${said ? `: ${said}` : ""}`
  if (said) return said
  return isObject(stdout) ? undefined : "its response is not a JSON object"
}

/** Sends a `SessionStart` event to a handler. */
export const start = (handler: Handler) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const home = yield* files.makeTempDirectoryScoped({ prefix: "athena-doctor-" })
    const body = JSON.stringify({
      hook_event_name: "SessionStart",
      session_id: "athena-doctor",
      cwd: home,
      source: "startup"
    })
    const before = yield* monotonicMs
    const ended = yield* run(handler, home, body)
    return { problem: problemOf(ended), tookMs: Math.round((yield* monotonicMs) - before) } satisfies HookRun as HookRun
  }).pipe(Effect.scoped)
