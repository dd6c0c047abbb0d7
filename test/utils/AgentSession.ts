/**
 * A session of an agent, as strict with its hooks as Claude Code was seen to be.
 *
 * It posts once, over one connection that is kept for what comes in turn and one more for each call beside it; it waits as
 * long as the handler says and no longer; and it takes no answer but those that do what they say.
 */
import { spawn } from "node:child_process"
import * as http from "node:http"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Agent from "./Agent.ts"

export interface Body {
  readonly hook_event_name: string
  readonly [field: string]: unknown
}

/** What came of one handler of one event. */
export interface Heard {
  readonly event: string
  readonly body: Body
  readonly via: "post" | "command"
  /** Whether the agent waited for it. */
  readonly awaited: boolean
  readonly tookMs: number
  readonly timeoutMs: number
  /** Whether it was told that the event is safe. */
  readonly isKept: boolean
  readonly context: string | undefined
  /** The line that its user sees. */
  readonly error: string | undefined
  /** What no hook may ever answer. */
  readonly invalid: string | undefined
}

interface Outcome {
  readonly isKept: boolean
  readonly text: string
  readonly error?: string | undefined
  readonly invalid?: string | undefined
}

export interface AgentSession {
  /** Tells all handlers of an event at once and waits for those that are waited for. */
  readonly tell: (body: Body) => Effect.Effect<ReadonlyArray<Heard>>
  /** Waits for those that nobody waits for. */
  readonly settled: Effect.Effect<void>
}

export interface Options extends Agent.Session {
  /** Hears of everything. */
  readonly heard: (heard: Heard) => void
}

/** A call with its result, as Claude Code writes it to its transcript. */
export const transcriptOf = (message: string, call: Readonly<Record<string, unknown>>): string => {
  const use = { type: "tool_use", id: call["tool_use_id"], name: call["tool_name"], input: call["tool_input"] }
  const result = { type: "tool_result", tool_use_id: call["tool_use_id"], content: "out", is_error: false }
  const lines = [
    { type: "assistant", message: { id: message, role: "assistant", content: [use] } },
    { type: "user", message: { role: "user", content: [result] } }
  ]
  return lines.map((line) => `${JSON.stringify(line)}\n`).join("")
}

/** The longest context that the model gets as it is, in UTF-16 units. */
const maxContext = 10_000

const contextual: ReadonlySet<string> = new Set([
  "SessionStart",
  "UserPromptSubmit",
  "PostToolUse",
  "PostToolUseFailure",
  "PostToolBatch"
])

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** Reads an answer; what is wrong with it where it is not one that this event may have. */
const read = (event: string, text: string): { readonly context?: string; readonly invalid?: string } => {
  if (text === "") return {}
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    return { invalid: `no JSON: ${text.slice(0, 200)}` }
  }
  if (!isRecord(answer)) return { invalid: "no JSON object" }
  if ("decision" in answer) return { invalid: "a decision" }
  if ("continue" in answer) return { invalid: "it says whether to go on" }
  const output = answer["hookSpecificOutput"]
  if (output === undefined) return {}
  if (!isRecord(output) || output["hookEventName"] !== event) return { invalid: "the event of another" }
  if (!contextual.has(event)) return { invalid: `${event} has no output of its own` }
  const context = output["additionalContext"]
  if (context === undefined) return {}
  if (typeof context !== "string") return { invalid: "context that is no text" }
  return context.length > maxContext ? { invalid: `${context.length} units of context` } : { context }
}

const post = (handler: Agent.Handler, body: string, agent: http.Agent): Promise<Outcome> =>
  new Promise((resolve) => {
    const failed = (error: string) => resolve({ isKept: false, text: "", error })
    const request = http.request(handler.url!, {
      method: "POST",
      agent,
      headers: {
        accept: "application/json, text/plain, */*",
        "content-type": "application/json",
        "user-agent": "axios/1.15.2",
        "accept-encoding": "gzip, compress, deflate, br",
        "content-length": Buffer.byteLength(body),
        ...handler.headers
      }
    })
    const timer = setTimeout(() => {
      failed("timed out")
      request.destroy()
    }, handler.timeout * 1_000)
    request.on("error", (error: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      failed(error.code ?? error.message)
    })
    request.on("response", (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
      response.on("error", () => failed("cut"))
      response.on("end", () => {
        clearTimeout(timer)
        const { statusCode: status = 0 } = response
        if (status < 200 || status > 299) return failed(`HTTP ${status}`)
        resolve({ isKept: status === 200 || status === 204, text })
      })
    })
    request.end(body)
  })

const run = (handler: Agent.Handler, body: string, session: Agent.Session): Promise<Outcome> =>
  new Promise((resolve) => {
    const options = { env: { PATH: process.env["PATH"] ?? "", ...session.env }, cwd: session.cwd }
    const child =
      handler.args === undefined
        ? spawn("/bin/sh", ["-c", handler.command], options)
        : spawn(handler.command, handler.args, options)
    const timer = setTimeout(() => {
      child.kill("SIGKILL")
      resolve({ isKept: false, text: "", error: "timed out" })
    }, handler.timeout * 1_000)
    let text = ""
    let trouble = ""
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => (trouble += chunk))
    child.stdin.on("error", () => {})
    child.on("error", ({ message }) => (trouble += message))
    // What it left behind may keep its output open: the agent waits for the process, not for that.
    child.on("exit", (code) =>
      setImmediate(() => {
        clearTimeout(timer)
        const invalid =
          code !== 0
            ? `exit code ${code}`
            : trouble.split("\n").length > 2
              ? "more than one line of trouble"
              : undefined
        resolve({ isKept: code === 0 && trouble === "", text, error: trouble.trim() || undefined, invalid })
      })
    )
    child.stdin.end(body)
  })

/** Opens a session with the settings of a file. Its connections go with the scope. */
export const make = (options: Options): Effect.Effect<AgentSession, never, Scope.Scope> =>
  Effect.gen(function* () {
    const agent = yield* Effect.acquireRelease(
      Effect.sync(() => new http.Agent({ keepAlive: true })),
      (agent) => Effect.sync(() => agent.destroy())
    )
    const beside = new Set<Promise<Heard>>()

    const one = async (handler: Agent.Handler, body: Body): Promise<Heard> => {
      const since = performance.now()
      const event = body.hook_event_name
      const isPost = handler.type === "http"
      const text = JSON.stringify(body)
      const outcome = await (isPost ? post(handler, text, agent) : run(handler, text, options))
      const { context, invalid } = read(event, outcome.text.trim())
      const heard: Heard = {
        event,
        body,
        via: isPost ? "post" : "command",
        awaited: handler.async !== true,
        tookMs: performance.now() - since,
        timeoutMs: handler.timeout * 1_000,
        isKept: outcome.isKept,
        context,
        error: outcome.error,
        invalid: outcome.invalid ?? invalid
      }
      options.heard(heard)
      return heard
    }

    return {
      tell: (body) =>
        Effect.promise(() => {
          const seen = new Set<string>()
          const handlers = Agent.handlers(options.settings, body.hook_event_name).filter((handler) => {
            if (handler.type !== "http") return true
            // It posts to an address once, and says nothing of a session's start to any.
            const isNew = body.hook_event_name !== "SessionStart" && !seen.has(handler.url!)
            seen.add(handler.url!)
            return isNew
          })
          const answers = handlers.map((handler) => {
            const answer = one(handler, body)
            if (handler.async !== true) return answer
            beside.add(answer)
            void answer.then(() => beside.delete(answer))
            return undefined
          })
          return Promise.all(answers.filter((answer) => answer !== undefined))
        }),
      settled: Effect.promise(() => Promise.all(beside)).pipe(Effect.asVoid)
    }
  })
