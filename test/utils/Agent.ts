/**
 * An agent as far as hooks go: it reads its settings and runs, or posts to, what they say at an event.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as Effect from "effect/Effect"

export interface Handler {
  readonly type: string
  /** Where the event is posted to, and with what. */
  readonly url?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly command: string
  /** Where present, the command is a program and is run without a shell. */
  readonly args?: ReadonlyArray<string>
  readonly timeout: number
  /** Whether it is run beside the agent, which does not read the answer. */
  readonly async?: boolean
}

export interface Answer {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Session {
  readonly settings: string
  /** Without `ATHENA_DAEMON`, commands start no resident process. */
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
    const options = { env: { PATH: process.env["PATH"] ?? "", ATHENA_DAEMON: "off", ...session.env }, cwd: session.cwd }
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

/** An answer that is not of the 200s is an error that the user sees. */
const post = ({ headers, url }: Handler, body: unknown): Effect.Effect<Answer> =>
  Effect.promise(async () => {
    const init = {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body)
    }
    try {
      const response = await fetch(url!, init)
      const text = await response.text()
      return { code: response.ok ? 0 : response.status, stdout: text || "{}", stderr: "" }
    } catch (error) {
      return { code: null, stdout: "", stderr: String(error) }
    }
  })

/** Tells all handlers of an event that the agent waits for, and gives their answers. */
export const tell = (session: Session, body: { readonly hook_event_name: string }) =>
  Effect.forEach(
    handlers(session.settings, body.hook_event_name).filter((handler) => handler.async !== true),
    (handler) => (handler.type === "http" ? post(handler, body) : run(handler, session, body))
  )
