/**
 * The HTTP exchange of a hook process with the daemon, over its socket. It uses `node:net`: loading `node:http` would
 * cost every hook time.
 */
import * as HostPaths from "../host/paths.ts"
import { nodeBuiltin } from "../internal/nodeBuiltin.ts"
import { projectVariables } from "../internal/projectVariables.ts"

type Env = Readonly<Record<string, string | undefined>>

/** An HTTP/1.1 request with `connection: close`. */
export interface DaemonRequest {
  readonly head: string
  readonly body: Buffer
  /** The timeout of the response in milliseconds. */
  readonly waitMs: number
}

/** Returns the value of `--agent`; Claude Code when absent. */
export const agentOf = (args: ReadonlyArray<string>): string => {
  const at = args.findIndex((arg) => arg === "--agent" || arg.startsWith("--agent="))
  return at < 0 ? "claude" : args[at]!.slice("--agent=".length) || (args[at + 1] ?? "")
}

/** Returns the first event name in the body. It selects the timeout only, because it may belong to a nested value. */
export const eventOf = (body: Buffer): string => {
  const at = body.indexOf('"hook_event_name"')
  return at < 0 ? "" : (/^"hook_event_name"\s*:\s*"(\w{1,64})"/.exec(body.toString("latin1", at, at + 128))?.[1] ?? "")
}

/**
 * Slightly more than the daemon's deadline. The agent grants all hooks of a session's end 1.5 seconds, which must also
 * suffice for the fallback.
 */
const waits: Readonly<Record<string, number>> = { SessionStart: 500, SessionEnd: 600 }

const defaultWaitMs = 250

/** Characters that are safe in a header and a path. */
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

/** Encodes an event as a request; `undefined` if a value is not safe in a header. */
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
    waitMs: waits[eventOf(body)] ?? defaultWaitMs
  }
}

/** Encodes a health request. */
export const healthRequest = (token: string): DaemonRequest | undefined =>
  isPlain(token)
    ? { head: lines("GET /health", common(token)), body: Buffer.alloc(0), waitMs: waits["SessionStart"]! }
    : undefined

/** The maximum response in bytes. An agent accepts at most 10,000 characters of context. */
const maxBytes = 256 * 1024

export interface DaemonResponse {
  readonly status: number
  /** The version of the daemon; empty if the response does not state it. */
  readonly version: string
  /** The JSON object of a response with status 200 or 202; `{}` otherwise. */
  readonly body: string
}

const invalid = "invalid response"

const isObject = (text: string): boolean => {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === "object" && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}

/** Parses a response; `undefined` if it is incomplete, a description if it is invalid. */
const parseResponse = (bytes: Buffer): DaemonResponse | "invalid response" | "another protocol" | undefined => {
  const end = bytes.indexOf("\r\n\r\n")
  if (end < 0) return undefined
  const [first = "", ...lines] = bytes.toString("latin1", 0, end).split("\r\n")
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1])
  if (!(status >= 200)) return invalid
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
  if (!(length <= maxBytes)) return invalid
  if (bytes.length < end + 4 + length) return undefined
  const body = bytes.toString("utf8", end + 4, end + 4 + length)
  return isObject(body) ? { status, version, body } : invalid
}

/** Sends a request. Calls `done` once, with the response or the reason for its absence. */
export const exchange = (
  socket: string,
  request: DaemonRequest,
  done: (response: DaemonResponse | string) => void
): void => {
  const connection = nodeBuiltin("node:net").connect(socket)
  const chunks: Array<Buffer> = []
  let size = 0
  let isDone = false
  const end = (response: DaemonResponse | string): void => {
    if (isDone) return
    isDone = true
    clearTimeout(timer)
    // After a response the process exits, which closes the connection.
    if (typeof response === "string") connection.destroy()
    done(response)
  }
  const timer = setTimeout(() => end(`no response within ${request.waitMs} ms`), request.waitMs)
  connection.on("error", (error: NodeJS.ErrnoException) => end(String(error.code)))
  connection.on("close", () => end("connection closed"))
  connection.on("data", (chunk: Buffer) => {
    chunks.push(chunk)
    size += chunk.length
    if (size > maxBytes + 16_384) return end("response too large")
    const response = parseResponse(Buffer.concat(chunks))
    if (response !== undefined) end(response)
  })
  // Head and body leave in one write.
  connection.cork()
  connection.write(request.head)
  if (request.body.length > 0) connection.write(request.body)
  connection.uncork()
}
