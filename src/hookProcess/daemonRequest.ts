/**
 * The HTTP exchange of a hook process with the daemon, over its socket.
 *
 * It uses `node:net`: loading `node:http` would cost every hook time.
 */
import * as HostPaths from "../host/paths.ts"
import { nodeBuiltin } from "../internal/nodeBuiltin.ts"
import { projectVariables } from "../internal/projectVariables.ts"

type Env = Readonly<Record<string, string | undefined>>

/** A request of HTTP/1.1, whose connection ends with its answer. */
export interface DaemonRequest {
  readonly head: string
  readonly body: Buffer
  /** How long the answer may take, in milliseconds. */
  readonly waitMs: number
}

/** `--agent NAME` of the command line, Claude Code without it. */
export const agentOf = (args: ReadonlyArray<string>): string => {
  const at = args.findIndex((arg) => arg === "--agent" || arg.startsWith("--agent="))
  return at < 0 ? "claude" : args[at]!.slice("--agent=".length) || (args[at + 1] ?? "")
}

/** The name of the event: the first that stands in the body as one, which is not always the event's own. */
export const eventOf = (body: Buffer): string => {
  const at = body.indexOf('"hook_event_name"')
  return at < 0 ? "" : (/^"hook_event_name"\s*:\s*"(\w{1,64})"/.exec(body.toString("latin1", at, at + 128))?.[1] ?? "")
}

/**
 * A little longer than the resident process takes at most, and no more than the agent and the way in process leave: all
 * hooks at the end of a session have 1.5 seconds.
 */
const waits: Readonly<Record<string, number>> = { SessionStart: 500, SessionEnd: 600 }

const otherwiseMs = 250

/** What can stand in a header and in a path; whatever can't is not asked for. */
const isPlain = (text: string): boolean => /^[\w.~+/=-]+$/.test(text)

const lines = (first: string, headers: Readonly<Record<string, string | number | undefined>>): string =>
  [
    `${first} HTTP/1.1`,
    ...Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`])),
    "\r\n"
  ].join("\r\n")

const common = (token: string) => ({
  host: "localhost",
  connection: "close",
  authorization: `Bearer ${token}`,
  [HostPaths.headers.protocol]: HostPaths.protocol
})

const projectOf = (agent: string, env: Env): string | undefined => {
  const variable = Object.hasOwn(projectVariables, agent)
    ? projectVariables[agent as keyof typeof projectVariables]
    : undefined
  const folder = variable === undefined ? undefined : env[variable]
  return folder ? encodeURIComponent(folder.toWellFormed()) : undefined
}

/** The event, told; nothing where it can't be said in a request. */
export const hookRequest = (options: {
  readonly agent: string
  readonly token: string
  readonly deliveryId: string
  readonly body: Buffer
  readonly env: Env
}): DaemonRequest | undefined => {
  const { agent, body, deliveryId, env, token } = options
  if (!isPlain(token) || !/^\w+$/.test(agent)) return undefined
  return {
    head: lines(`POST /hooks/${agent}`, {
      ...common(token),
      "content-type": "application/json",
      "content-length": body.length,
      [HostPaths.headers.database]: HostPaths.databaseOf(env),
      [HostPaths.headers.delivery]: deliveryId,
      [HostPaths.headers.project]: projectOf(agent, env)
    }),
    body,
    waitMs: waits[eventOf(body)] ?? otherwiseMs
  }
}

/** Whether the resident process is there. */
export const healthRequest = (token: string): DaemonRequest | undefined =>
  isPlain(token)
    ? { head: lines("GET /health", common(token)), body: Buffer.alloc(0), waitMs: waits["SessionStart"]! }
    : undefined

/** The longest answer that is read, in bytes; an agent takes no more than 10,000 characters of context. */
const maxBytes = 256 * 1024

export interface DaemonResponse {
  readonly status: number
  /** The version of the process; empty where it does not say so. */
  readonly version: string
  /** The JSON object of an answer of status 200, and of 202 where it has one; an empty one for any other. */
  readonly body: string
}

const nonsense = "nonsense"

const isObject = (text: string): boolean => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}

/** The answer that begins with these bytes: nothing where more of it must come, or what is wrong with it. */
const parseResponse = (bytes: Buffer): DaemonResponse | "nonsense" | "another protocol" | undefined => {
  const end = bytes.indexOf("\r\n\r\n")
  if (end < 0) return undefined
  const [first = "", ...lines] = bytes.toString("latin1", 0, end).split("\r\n")
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1])
  if (!(status >= 200)) return nonsense
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
    })
  )
  if (headers.get(HostPaths.headers.protocol) !== HostPaths.protocol) return "another protocol"
  const version = headers.get(HostPaths.headers.version) ?? ""
  const length = Number(headers.get("content-length") || Number.NaN)
  if (status !== 200 && !(status === 202 && length > 0)) return { status, version, body: "{}" }
  if (!(length <= maxBytes)) return nonsense
  if (bytes.length < end + 4 + length) return undefined
  const body = bytes.toString("utf8", end + 4, end + 4 + length)
  return isObject(body) ? { status, version, body } : nonsense
}

/** Asks, and gives the answer or why there is none, once. */
export const exchange = (
  socket: string,
  question: DaemonRequest,
  done: (reply: DaemonResponse | string) => void
): void => {
  const connection = nodeBuiltin("node:net").connect(socket)
  const chunks: Array<Buffer> = []
  let size = 0
  let isDone = false
  const end = (reply: DaemonResponse | string): void => {
    if (isDone) return
    isDone = true
    clearTimeout(timer)
    // After an answer this process ends at once, and its connection with it.
    if (typeof reply === "string") connection.destroy()
    done(reply)
  }
  const timer = setTimeout(() => end(`nothing within ${question.waitMs} ms`), question.waitMs)
  connection.on("error", (error: NodeJS.ErrnoException) => end(String(error.code)))
  connection.on("close", () => end("cut"))
  connection.on("data", (chunk: Buffer) => {
    chunks.push(chunk)
    size += chunk.length
    if (size > maxBytes + 16_384) return end("too much")
    const reply = parseResponse(Buffer.concat(chunks))
    if (reply !== undefined) end(reply)
  })
  // Sent at once, not the one after the other has gone.
  connection.cork()
  connection.write(question.head)
  if (question.body.length > 0) connection.write(question.body)
  connection.uncork()
}
