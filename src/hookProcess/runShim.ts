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
const startMs = 2_500

/** The initial and the maximum interval between attempts to reach a starting daemon, in milliseconds. */
const pauseMs = 25
const longestPauseMs = 200

/** Returns the reason why the socket can't be trusted, or `undefined`. */
const obstacle = (places: Layout.Paths): string | undefined => {
  if (process.platform === "win32") return undefined
  const folder = places.socket.slice(0, places.socket.lastIndexOf("/"))
  const problem = problemOf(folder)
  return problem === undefined ? undefined : `the folder of the socket is ${problem}`
}

const absent = "the folder of the socket is absent"

const tokenOf = (places: Layout.Paths): string => {
  try {
    return fs.readFileSync(places.token, "latin1").trim()
  } catch {
    return ""
  }
}

/** Whether a new daemon could serve better: not if this one responds, is as recent, and rejects the event. */
const wantsAnother = (reply: DaemonRequest.DaemonResponse | string): boolean =>
  typeof reply === "string" || reply.status >= 500 || (reply.version !== "" && isOlder(reply.version, version))

const describe = (reply: DaemonRequest.DaemonResponse | string): string =>
  typeof reply === "string" ? reply : `status ${reply.status}`

/** A daemon without a port receives no HTTP hooks. */
const isUnheard = ({ body }: DaemonRequest.DaemonResponse): boolean => body.includes('"port":null')

/** Whether no daemon listens, or it is stopping. */
const isAway = (reply: DaemonRequest.DaemonResponse | string): boolean =>
  typeof reply === "string" ? /^(?:ECONNREFUSED|ENOENT|ECONNRESET|EPIPE|cut)$/.test(reply) : reply.status === 503

/** Whether the daemon accepted the event. */
const isTaken = ({ status }: DaemonRequest.DaemonResponse): boolean =>
  status === 200 || status === 202 || status === 204

const failed = (error: unknown): never =>
  HookStreams.finish("{}", [
    String(error instanceof Error ? error.message : error)
      .replace(/\s+/g, " ")
      .slice(0, 500)
  ])

const answer = (folder: string, args: ReadonlyArray<string>, body: Buffer): void => {
  const found = findHome(args)
  const refused = found === undefined ? undefined : HomeAccess.prepare(found, folder)
  if (refused !== undefined) return failed(refused)
  const home = isDaemonDisabled() ? undefined : found
  const revives = args.includes("--revive")
  const deliveryId = uuid()
  const since = performance.now()
  const event = DaemonRequest.eventOf(body)
  /** The daemon start that this event waits for. */
  let started: SpawnDaemon.Start | undefined
  let pause = pauseMs

  const inProcess = (): void =>
    HookScript.run(folder, { body, deliveryId, waitedMs: performance.now() - since, quiet: revives })
  if (home === undefined) return inProcess()

  const places = hostPaths(home)
  const instead = (why: DaemonRequest.DaemonResponse | string, reason = describe(why)): void => {
    // Root leaves no files in the home of another user.
    if (problemOf(places.folder) === "of another user") return inProcess()
    process.once("exit", () => {
      const next =
        started?.outcome ?? (wantsAnother(why) ? SpawnDaemon.start(folder, home, places) : "it stays as it is")
      Trace.append(places, { event, reason, next })
    })
    inProcess()
  }
  const replied = (reply: DaemonRequest.DaemonResponse | string): void => {
    if (typeof reply === "string" || !isTaken(reply)) return instead(reply)
    if (revives && isUnheard(reply)) return instead(reply, "no port")
    if (started !== undefined) Trace.append(places, { event, reason: "away", next: started.outcome })
    if (wantsAnother(reply)) process.once("exit", () => SpawnDaemon.start(folder, home, places))
    HookStreams.finish(revives ? "{}" : reply.body, reply.status === 202 ? ["not safe yet, see: athena logs"] : [])
  }

  /** Only a session start waits for the daemon, because HTTP hooks follow it. */
  const missed = (why: DaemonRequest.DaemonResponse | string): void => {
    const isOver = started?.hasEnded() === true || performance.now() - since > startMs
    if (event !== "SessionStart" || isOver || problemOf(places.folder) !== undefined) return instead(why)
    SpawnDaemon.startNow(folder, home, places, (start) => {
      if (started === undefined || start.outcome === "it is started") started = start
      setTimeout(ask, pause)
      pause = Math.min(longestPauseMs, pause * 1.5)
    })
  }
  const ask = (): void => {
    const problem = obstacle(places)
    if (problem !== undefined) return problem === absent ? missed(problem) : instead(problem)
    const token = tokenOf(places)
    const question = revives
      ? DaemonRequest.healthRequest(token)
      : DaemonRequest.hookRequest({ agent: DaemonRequest.agentOf(args), token, deliveryId, body, env: process.env })
    if (question === undefined) return instead(token === "" ? "no token" : "no such agent")
    DaemonRequest.exchange(places.socket, question, (reply) => (isAway(reply) ? missed(reply) : replied(reply)))
  }
  ask()
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
  setTimeout(() => failed(`no answer within ${HookStreams.lifetimeMs} ms`), HookStreams.lifeLeftMs())
  HookStreams.readInput(maxPayloadBytes, (input) => {
    if (input instanceof Error) failed(input)
    else answer(folder, args, input)
  })
  // Loads while a thread waits for standard input.
  if (!isDaemonDisabled()) nodeBuiltin("node:net")
}
