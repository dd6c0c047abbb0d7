/**
 * Checks of the daemon: its state, its port, its token, and a real request to the address in the settings.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import * as Endpoint from "../daemon/Endpoint.ts"
import * as Layout from "../host/paths.ts"
import * as Ports from "../daemon/ports.ts"
import { monotonicMs } from "../internal/clock.ts"
import * as Wiring from "../install/Wiring.ts"
import { type Check, failed, ok, warning } from "./check.ts"
import * as HookPaths from "../install/hookHandler.ts"
import type { HookStatus } from "../install/hookStatus.ts"
import * as DaemonProbe from "../daemon/DaemonProbe.ts"
import { version } from "../internal/version.ts"

const again = "run: athena install"

const replaced = "the next session of an agent replaces it, or run: athena stop"

export const process = (daemon: DaemonProbe.ProbeResult): Check => {
  const name = "process"
  switch (daemon._tag) {
    case "NotRunning":
      return warning(name, daemon.message, "the next session of an agent starts it")
    case "UntrustedFolder":
      return failed(name, daemon.message, `remove ${daemon.folder}`)
    case "Refused": {
      const why = daemon.status === 401 ? ": its token differs from this home's" : ""
      return failed(name, `${daemon.message}${why}`, replaced)
    }
    case "Unresponsive":
      return failed(name, daemon.message, replaced)
    case "Running": {
      const { pid, problem, version: found } = daemon.health
      if (problem !== null) return failed(name, problem, again)
      if (DaemonProbe.hasOtherDatabase(daemon.health)) {
        return failed(
          name,
          `process ${pid} uses another database than this environment`,
          DaemonProbe.otherDatabaseAdvice
        )
      }
      return found === version
        ? ok(name, `version ${version}, process ${pid}`)
        : warning(name, `version ${found} runs; this is ${version}`, replaced)
    }
  }
}

/** The request of an HTTP hook. */
interface Post {
  readonly url: URL
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

const postOf = ({ handler: { headers, timeout, url } }: Wiring.Wire): Post | undefined =>
  typeof url !== "string" || !URL.canParse(url)
    ? undefined
    : {
        url: new URL(url),
        headers: Object.fromEntries(
          Object.entries(isRecord(headers) ? headers : {}).map(([name, value]) => [name, String(value)])
        ),
        timeoutMs: (typeof timeout === "number" ? timeout : 1) * 1_000
      }

const isRunningAt = (daemon: DaemonProbe.ProbeResult, port: number): boolean =>
  daemon._tag === "Running" && daemon.health.port === port

/** Checks that the daemon listens on the port of the settings, or can. */
const port = Effect.fnUntraced(function* (daemon: DaemonProbe.ProbeResult, { url }: Post) {
  const name = "port"
  const wanted = Number(url.port)
  if (url.hostname !== "127.0.0.1") return failed(name, `events are posted to ${url.host}, not to 127.0.0.1`, again)
  if (isRunningAt(daemon, wanted)) return ok(name, `the daemon listens on port ${wanted}`)
  if (daemon._tag === "Unresponsive" || daemon._tag === "Refused") {
    return warning(name, `the daemon does not respond, so the listener of port ${wanted} is unknown`, replaced)
  }
  if (yield* Ports.isHeld(wanted)) {
    return failed(
      name,
      `another program listens on port ${wanted} of the HTTP hooks`,
      `${again}, which selects another port`
    )
  }
  if (daemon._tag === "Running") {
    const where = daemon.health.port === null ? "no port" : `port ${daemon.health.port}`
    return failed(name, `HTTP hooks use port ${wanted}, but the daemon listens on ${where}`, again)
  }
  return ok(name, `events are posted to port ${wanted}, which is free`)
})

const authorization = ({ headers }: Post): string | undefined =>
  Object.entries(headers).find(([name]) => name.toLowerCase() === "authorization")?.[1]

/** Checks that the settings contain the token of this home. */
const token = Effect.fnUntraced(function* (home: string, posts: ReadonlyArray<Post>) {
  const name = "token"
  const endpoint = yield* Effect.result(Endpoint.read(home))
  if (endpoint._tag === "Failure") return failed(name, endpoint.failure.message, again)
  if (Option.isNone(endpoint.success)) return failed(name, `${home} has no valid token and port`, again)
  const wanted = Wiring.bearer(endpoint.success.value.token)
  return posts.every((post) => authorization(post) === wanted)
    ? ok(name, "the settings contain the token of this home")
    : failed(name, "the token in the settings differs from this home's", again)
})

/** A valid event that the memory ignores. */
const event = (home: string): string =>
  JSON.stringify({ hook_event_name: "Notification", session_id: "athena-doctor", cwd: home })

const statuses: Readonly<Record<number, string>> = {
  401: "the daemon rejects the token",
  403: "the daemon rejects the origin of the request",
  404: "the daemon does not know the address",
  409: "the daemon uses another database than the installed hooks",
  429: "the daemon is overloaded",
  503: "the daemon is stopping or overloaded"
}

interface Problem {
  readonly detail: string
  readonly advice: string
}

const problem = (detail: string): Problem => ({ detail, advice: `${again}, then start a new session` })

const answerProblem = ({ headers, status }: HttpClientResponse): Problem | undefined => {
  const detail = `${statuses[status] ?? "the daemon rejected the event"} (status ${status})`
  if (status === 409) return { detail, advice: DaemonProbe.otherDatabaseAdvice }
  if (status !== 200 && status !== 204) return problem(detail)
  return headers[Layout.headers.version] === undefined ? problem("another program responded") : undefined
}

/** Describes a failed request without any of its content. */
const noAnswer = ({ reason }: HttpClientError): string => {
  const code =
    typeof reason.cause === "object" && reason.cause !== null && "code" in reason.cause ? reason.cause.code : undefined
  return `no response (${typeof code === "string" ? code : reason._tag})`
}

/** Posts an event as the agent would, without a proxy, and validates the response. */
const post = Effect.fnUntraced(function* (home: string, { headers, timeoutMs, url }: Post) {
  const client = yield* HttpClient.HttpClient
  const request = HttpClientRequest.post(url).pipe(
    HttpClientRequest.bodyText(event(home), "application/json"),
    HttpClientRequest.setHeaders(headers)
  )
  const before = yield* monotonicMs
  const found = yield* client.execute(request).pipe(
    Effect.tap((response) => response.text),
    Effect.map(answerProblem),
    Effect.catch((error) => Effect.succeed(problem(noAnswer(error)))),
    Effect.timeoutOrElse({
      duration: timeoutMs,
      orElse: () => Effect.succeed(problem(`no response within ${timeoutMs} ms, the timeout of the agent`))
    })
  )
  return { found, tookMs: Math.round((yield* monotonicMs) - before) }
}, Effect.provide(NodeHttpClient.layerNodeHttp))

/** Removes duplicates; the shortest timeout remains. */
const unique = (posts: ReadonlyArray<Post>): ReadonlyArray<Post> => [
  ...new Map(
    posts
      .toSorted((left, right) => right.timeoutMs - left.timeoutMs)
      .map((post) => [JSON.stringify([post.url.href, post.headers]), post])
  ).values()
]

const posted = Effect.fnUntraced(function* (home: string, agent: string, posts: ReadonlyArray<Post>) {
  const name = `${agent} post`
  const runs = yield* Effect.forEach(unique(posts), (one) => post(home, one))
  const found = runs.find((run) => run.found !== undefined)?.found
  const tookMs = Math.max(...runs.map((run) => run.tookMs))
  return found === undefined
    ? ok(name, `the daemon responded in ${tookMs} ms`)
    : failed(name, found.detail, found.advice)
})

/** Runs the checks of the HTTP hooks of an agent. */
export const of = Effect.fnUntraced(function* (
  home: string,
  { agent, handlers }: HookStatus,
  daemon: DaemonProbe.ProbeResult
) {
  const posts = handlers.filter(HookPaths.isPost).flatMap((wire) => postOf(wire) ?? [])
  const [first] = posts
  if (first === undefined) return []
  // The token may be sent only to the daemon of this home.
  const isSafe =
    posts.every(({ url }) => url.origin === first.url.origin) && isRunningAt(daemon, Number(first.url.port))
  return [
    yield* token(home, posts),
    yield* port(daemon, first),
    ...(isSafe && first.url.hostname === "127.0.0.1" ? [yield* posted(home, agent, posts)] : [])
  ]
})
