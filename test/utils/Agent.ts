/**
 * An agent as far as hooks go: it reads its settings and runs what they say at an event.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as Effect from "effect/Effect"

export interface Handler {
  readonly type: string
  readonly command: string
  /** Where present, the command is a program and is run without a shell. */
  readonly args?: ReadonlyArray<string>
  readonly timeout: number
}

export interface Answer {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Session {
  readonly settings: string
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
}

/** The handlers of an event, as the settings file has them. */
export const handlers = (settings: string, event: string): ReadonlyArray<Handler> => {
  const parsed = JSON.parse(fs.readFileSync(settings, "utf8")) as {
    readonly hooks?: Readonly<Record<string, ReadonlyArray<{ readonly hooks: ReadonlyArray<Handler> }>>>
  }
  return (parsed.hooks?.[event] ?? []).flatMap((group) => group.hooks)
}

const run = (handler: Handler, session: Session, body: unknown): Effect.Effect<Answer> =>
  Effect.callback((resume) => {
    const options = { env: { PATH: process.env["PATH"] ?? "", ...session.env }, cwd: session.cwd }
    const child =
      handler.args === undefined
        ? spawn("/bin/sh", ["-c", handler.command], options)
        : spawn(handler.command, handler.args, options)
    let stdout = ""
    let stderr = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
    child.stdin.on("error", () => {})
    child.on("error", (error) => resume(Effect.succeed({ code: null, stdout, stderr: error.message })))
    child.on("close", (code) => resume(Effect.succeed({ code, stdout, stderr })))
    child.stdin.end(JSON.stringify(body))
    return Effect.sync(() => child.kill("SIGKILL"))
  })

/** Tells all handlers of an event, and gives their answers. */
export const tell = (session: Session, body: { readonly hook_event_name: string }) =>
  Effect.forEach(handlers(session.settings, body.hook_event_name), (handler) => run(handler, session, body))
