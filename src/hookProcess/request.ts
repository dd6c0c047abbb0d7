/**
 * What the shim asks of the resident process, and for how long it waits. Pure.
 */
import * as Layout from "../host/paths.ts"
import { projectVariables } from "../internal/projectVariables.ts"

type Env = Readonly<Record<string, string | undefined>>

/** A request of HTTP/1.1, whose connection ends with its answer. */
export interface ShimRequest {
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
  [Layout.headers.protocol]: Layout.protocol
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
}): ShimRequest | undefined => {
  const { agent, body, deliveryId, env, token } = options
  if (!isPlain(token) || !/^\w+$/.test(agent)) return undefined
  return {
    head: lines(`POST /hooks/${agent}`, {
      ...common(token),
      "content-type": "application/json",
      "content-length": body.length,
      [Layout.headers.database]: Layout.databaseOf(env),
      [Layout.headers.delivery]: deliveryId,
      [Layout.headers.project]: projectOf(agent, env)
    }),
    body,
    waitMs: waits[eventOf(body)] ?? otherwiseMs
  }
}

/** Whether the resident process is there. */
export const health = (token: string): ShimRequest | undefined =>
  isPlain(token)
    ? { head: lines("GET /health", common(token)), body: Buffer.alloc(0), waitMs: waits["SessionStart"]! }
    : undefined
