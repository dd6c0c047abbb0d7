/**
 * Sends an event to the daemon and prints its response. If the daemon is not available, the one-shot hook handles the
 * event.
 *
 * The output is always valid JSON and the exit code 0. The current event comes first: a daemon for later events starts
 * at exit.
 */
import { fs, nodeBuiltin, versionProblem } from "../internal/nodeBuiltin.ts"
import { hostPaths } from "../host/paths.ts"
import type * as Layout from "../host/paths.ts"
import { problemOf } from "../internal/privateFolder.ts"
import { isOlder } from "../internal/compareVersions.ts"
import { maxPayloadBytes } from "../internal/maxPayloadBytes.ts"
import * as HomePath from "../internal/homePath.ts"
import * as HomeAccess from "../host/homeAccess.ts"
import * as HookScript from "./hookScript.ts"
import * as HookStreams from "./hookStreams.ts"
import { isOff } from "../internal/offSwitch.ts"
import { version } from "../internal/version.ts"
import * as DaemonRequest from "./daemonRequest.ts"
import * as SpawnDaemon from "./spawnDaemon.ts"
import * as Trace from "./trace.ts"

const isDaemonDisabled = (): boolean => isOff(process.env["ATHENA_DAEMON"])

/** Resolves the home like `Database.home`; `--home` from the settings replaces a missing `ATHENA_HOME`. */
const findHome = (args: ReadonlyArray<string>): string | undefined => {
  const { env } = process
  const at = args.indexOf("--home")
  if (at >= 0) env["ATHENA_HOME"] ||= args[at + 1] ?? ""
  const home = HomePath.of(env, nodeBuiltin("node:path"))
  return "path" in home ? home.path : undefined
}

/** Returns a UUID of version 4. It distinguishes deliveries of one session, which needs no secrecy. */
const uuid = (): string =>
  "xxxxxxxx-xxxx-4xxx-axxx-xxxxxxxxxxxx".replace(/x/g, () => Math.floor(Math.random() * 16).toString(16))

/**
 * The time in milliseconds that a session start waits for a starting daemon. The HTTP hooks that follow need the daemon
 * and would wait for it anyway.
 */
const startTimeoutMs = 2_500

/** The initial and the maximum interval between attempts to reach a starting daemon, in milliseconds. */
const initialIntervalMs = 25
const maxIntervalMs = 200

/** Returns the reason why the socket can't be trusted, or `undefined`. */
const socketProblem = (paths: Layout.Paths): string | undefined => {
  if (process.platform === "win32") return undefined
  const folder = paths.socket.slice(0, paths.socket.lastIndexOf("/"))
  const problem = problemOf(folder)
  return problem === undefined ? undefined : `the folder of the socket is ${problem}`
}

const absent = "the folder of the socket is absent"

const tokenOf = (paths: Layout.Paths): string => {
  try {
    return fs.readFileSync(paths.token, "latin1").trim()
  } catch {
    return ""
  }
}

/** Whether a new daemon could serve better: not if this one responds, is as recent, and rejects the event. */
const wantsNewDaemon = (response: DaemonRequest.DaemonResponse | string): boolean =>
  typeof response === "string" ||
  response.status >= 500 ||
  (response.version !== "" && isOlder(response.version, version))

const describe = (response: DaemonRequest.DaemonResponse | string): string =>
  typeof response === "string" ? response : `status ${response.status}`

/** A daemon without a port receives no HTTP hooks. */
const hasNoPort = ({ body }: DaemonRequest.DaemonResponse): boolean => body.includes('"port":null')

/** Whether no daemon listens, or it is stopping. */
const isUnavailable = (response: DaemonRequest.DaemonResponse | string): boolean =>
  typeof response === "string"
    ? /^(?:ECONNREFUSED|ENOENT|ECONNRESET|EPIPE|connection closed)$/.test(response)
    : response.status === 503

/** Whether the daemon accepted the event. */
const isAccepted = ({ status }: DaemonRequest.DaemonResponse): boolean =>
  status === 200 || status === 202 || status === 204

const failed = (error: unknown): never =>
  HookStreams.finish("{}", [
    String(error instanceof Error ? error.message : error)
      .replace(/\s+/g, " ")
      .slice(0, 500)
  ])

const respond = (folder: string, args: ReadonlyArray<string>, body: Buffer): void => {
  const found = findHome(args)
  const refused = found === undefined ? undefined : HomeAccess.prepare(found, folder)
  if (refused !== undefined) return failed(refused)
  const home = isDaemonDisabled() ? undefined : found
  const isRevival = args.includes("--revive")
  const deliveryId = uuid()
  const since = performance.now()
  const event = DaemonRequest.eventOf(body)
  /** The daemon start that this event waits for. */
  let started: SpawnDaemon.Start | undefined
  let interval = initialIntervalMs

  const inProcess = (): void =>
    HookScript.run(folder, { body, deliveryId, waitedMs: performance.now() - since, quiet: isRevival })
  if (home === undefined) return inProcess()

  const paths = hostPaths(home)
  const fallBack = (why: DaemonRequest.DaemonResponse | string, reason = describe(why)): void => {
    // Root leaves no files in the home of another user.
    if (problemOf(paths.folder) === "of another user") return inProcess()
    process.once("exit", () => {
      const next = started?.outcome ?? (wantsNewDaemon(why) ? SpawnDaemon.start(folder, home, paths) : "no start")
      Trace.append(paths, { event, reason, next })
    })
    inProcess()
  }
  const onResponse = (response: DaemonRequest.DaemonResponse | string): void => {
    if (typeof response === "string" || !isAccepted(response)) return fallBack(response)
    if (isRevival && hasNoPort(response)) return fallBack(response, "no port")
    if (started !== undefined) Trace.append(paths, { event, reason: "away", next: started.outcome })
    if (wantsNewDaemon(response)) process.once("exit", () => SpawnDaemon.start(folder, home, paths))
    HookStreams.finish(
      isRevival ? "{}" : response.body,
      response.status === 202 ? ["the event is accepted but not durable yet; see: athena logs"] : []
    )
  }

  /** Only a session start waits for the daemon, because HTTP hooks follow it. */
  const onUnavailable = (why: DaemonRequest.DaemonResponse | string): void => {
    const isOver = started?.hasEnded() === true || performance.now() - since > startTimeoutMs
    if (event !== "SessionStart" || isOver || problemOf(paths.folder) !== undefined) return fallBack(why)
    SpawnDaemon.startNow(folder, home, paths, (start) => {
      if (started === undefined || start.outcome === "started") started = start
      setTimeout(attempt, interval)
      interval = Math.min(maxIntervalMs, interval * 1.5)
    })
  }
  const attempt = (): void => {
    const problem = socketProblem(paths)
    if (problem !== undefined) return problem === absent ? onUnavailable(problem) : fallBack(problem)
    const token = tokenOf(paths)
    const request = isRevival
      ? DaemonRequest.healthRequest(token)
      : DaemonRequest.hookRequest({ agent: DaemonRequest.agentOf(args), token, deliveryId, body, env: process.env })
    if (request === undefined) return fallBack(token === "" ? "no token" : "no such agent")
    DaemonRequest.exchange(paths.socket, request, (response) =>
      isUnavailable(response) ? onUnavailable(response) : onResponse(response)
    )
  }
  attempt()
}

/** Responds to the event on standard input and ends the process. `folder` contains the bundles and `bin.js`. */
export const main = (folder: string, args: ReadonlyArray<string>): void => {
  // Failures are one line, so stack traces would only cost time.
  Error.stackTraceLimit = 0
  const problem = versionProblem(process.versions.node)
  if (problem !== undefined) {
    process.stderr.write(`${problem}\n`)
    process.stdout.write("{}\n")
    return
  }
  // Applies until the one-shot hook installs its own handler. An update may remove its bundle.
  process.on("uncaughtException", failed)
  // The last resort.
  setTimeout(() => failed(`no response within ${HookStreams.lifetimeMs} ms`), HookStreams.lifeLeftMs())
  HookStreams.readInput(maxPayloadBytes, (input) => {
    if (input instanceof Error) failed(input)
    else respond(folder, args, input)
  })
  // Loads while a thread waits for standard input.
  if (!isDaemonDisabled()) nodeBuiltin("node:net")
}
