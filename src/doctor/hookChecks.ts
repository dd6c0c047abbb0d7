/**
 * Checks of the installed hooks: the settings of each agent, a real run of the installed command, and the path of HTTP
 * hooks to the daemon.
 */
import * as Effect from "effect/Effect"
import { plural } from "../internal/text.ts"
import * as Database from "../sql/Database.ts"
import { type Check, failed, ok, warning } from "./check.ts"
import * as EnvironmentChecks from "./environmentChecks.ts"
import * as HookPaths from "../install/hookHandler.ts"
import * as HookRun from "./hookRun.ts"
import * as DaemonSwitch from "../host/environment.ts"
import * as HookStatus from "../install/hookStatus.ts"
import * as LoginUsers from "../install/loginUsers.ts"
import * as PermissionChecks from "./permissionChecks.ts"
import * as ProxyChecks from "./proxyChecks.ts"
import * as DaemonProbe from "../daemon/DaemonProbe.ts"
import * as DaemonChecks from "./daemonChecks.ts"

const settingsOf = ({ agent, events, file, problems, scope, transport, versions }: HookStatus.HookStatus): Check => {
  const name = `${agent} ${scope}`
  const [first, ...others] = problems
  const by = versions.length === 0 ? "" : `, version ${versions.join(", ")}`
  return first === undefined
    ? ok(
        name,
        `${transport === "http" ? "HTTP" : "command"} hooks for ${plural("event", events.length)}${by}, in ${file}`
      )
    : failed(name, file, [first, ...others].join("; "))
}

const runOf = Effect.fnUntraced(function* ({ agent, handlers, scope }: HookStatus.HookStatus) {
  const commands = handlers.filter((wire) => !HookPaths.isPost(wire))
  const first = commands.find(({ event }) => event === "SessionStart") ?? commands[0]
  if (first === undefined) return []
  const { problem, tookMs } = yield* HookRun.start(first.handler)
  const name = `${agent} run`
  const took = `the installed command responded in ${tookMs} ms`
  return [
    problem === undefined
      ? ok(name, took)
      : failed(name, problem, `install it again (athena install --agent ${agent} --scope ${scope})`)
  ]
})

/** Not a problem: another program may call the hooks. */
const none = ok("hooks", "not installed for any agent; run: athena install")

/** The agent deduplicates equal handlers only: an HTTP hook and a command hook both run. */
const duplicates = (statuses: ReadonlyArray<HookStatus.HookStatus>): ReadonlyArray<Check> =>
  [...new Set(statuses.map(({ agent }) => agent))].flatMap((name) => {
    const scopes = statuses.filter(({ agent, installed }) => agent === name && installed)
    if (new Set(scopes.map(({ transport }) => transport)).size < 2) return []
    const detail =
      "HTTP hooks in the user's settings and command hooks in the project's: the agent receives two responses"
    const which = name === "claude" ? "" : ` --agent ${name}`
    return [warning(`${name} twice`, detail, `run: athena uninstall${which} --scope project`)]
  })

/** Another user of the machine could listen on the port while the daemon is down. */
const otherUsers = Effect.map(LoginUsers.areSeveral, (several) => {
  const name = "other users"
  if (!several) return ok(name, "no other user of this machine can impersonate the daemon")
  const detail = "events are posted, and several people log in to this machine"
  const risk = "while the daemon is down, each of them could listen on its port, receive events and respond"
  return warning(name, `${detail}: ${risk}`, "run: athena install, which switches to command hooks")
})

/** Checks the daemon and the HTTP hooks that use it. */
const daemon = Effect.fnUntraced(function* (statuses: ReadonlyArray<HookStatus.HookStatus>) {
  const posting = statuses.filter(({ transport }) => transport === "http")
  if (posting.length === 0 && (yield* DaemonSwitch.isDaemonDisabled)) return []
  const home = yield* Database.home
  const found = yield* DaemonProbe.probe(home)
  const checks = [DaemonChecks.process(found)]
  if (posting.length === 0) return checks
  const ofAgents = yield* Effect.forEach(posting, (status) =>
    Effect.gen(function* () {
      const address = String(status.handlers.find(HookPaths.isPost)?.handler["url"])
      return [
        ...(yield* DaemonChecks.of(home, status, found)),
        ...(URL.canParse(address) ? yield* ProxyChecks.of(status.agent, address) : [])
      ]
    })
  )
  return [...checks, ...ofAgents.flat(), yield* otherUsers]
})

/** Only the settings of Claude Code can set variables for hooks. */
const environment = Effect.fnUntraced(function* (statuses: ReadonlyArray<HookStatus.HookStatus>) {
  const transports = new Set(statuses.flatMap(({ agent, transport }) => (agent === "claude" ? [transport] : [])))
  const transport = transports.has("http") ? "http" : transports.has("command") ? "command" : undefined
  return transport === undefined ? [] : [yield* EnvironmentChecks.of(yield* Database.home, transport)]
})

/** Checks every agent and scope with installed hooks or an unreadable settings file. */
export const all = Effect.gen(function* () {
  const permissions = yield* PermissionChecks.of(yield* Database.home)
  const statuses = (yield* HookStatus.all).filter(({ installed, problems }) => installed || problems.length > 0)
  const checks = yield* Effect.forEach(statuses, (status) =>
    Effect.map(runOf(status), (runs) => [settingsOf(status), ...runs])
  )
  if (statuses.length === 0) return [none]
  return [
    ...checks.flat(),
    ...duplicates(statuses),
    permissions,
    ...(yield* environment(statuses)),
    ...(yield* daemon(statuses))
  ]
}).pipe(
  Effect.catch((error) =>
    Effect.succeed([
      warning("hooks", error.message, "call it from a folder that exists, with HOME set, to see what is installed")
    ])
  )
)
