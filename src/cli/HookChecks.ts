/**
 * What `athena doctor` looks at where hooks are installed: the settings of each agent, a real run of what they say, and the
 * way of what they post.
 */
import * as Effect from "effect/Effect"
import * as Database from "../sql/Database.ts"
import { type Check, failed, ok, warning } from "./Check.ts"
import * as EnvironmentChecks from "./EnvironmentChecks.ts"
import * as HookRun from "./HookRun.ts"
import * as DaemonSwitch from "./DaemonSwitch.ts"
import * as HookStatus from "./HookStatus.ts"
import * as PermissionChecks from "./PermissionChecks.ts"
import * as PostChecks from "./PostChecks.ts"
import * as Resident from "./Resident.ts"
import * as ResidentChecks from "./ResidentChecks.ts"

const settingsOf = ({ agent, events, file, problems, scope, transport, versions }: HookStatus.HookStatus): Check => {
  const name = `${agent} ${scope}`
  const [first, ...others] = problems
  return first === undefined
    ? ok(
        name,
        `hooks for ${events.length} events, ${transport === "http" ? "posted" : "by command"}, version ${versions.join(", ")}, in ${file}`
      )
    : failed(name, file, [first, ...others].join("; "))
}

const runOf = Effect.fnUntraced(function* ({ agent, handlers, scope }: HookStatus.HookStatus) {
  const commands = handlers.filter((wire) => !HookStatus.isPost(wire))
  const first = commands.find(({ event }) => event === "SessionStart") ?? commands[0]
  if (first === undefined) return []
  const { problem, tookMs } = yield* HookRun.start(first.handler)
  const name = `${agent} run`
  const took = `the installed command answered a session's start in ${tookMs} ms`
  return [
    problem === undefined
      ? ok(name, took)
      : failed(name, problem, `install it again (athena install --agent ${agent} --scope ${scope})`)
  ]
})

/** Nothing installed is nothing wrong: the hooks may be called in another way. */
const none = ok("hooks", "not installed for any agent; athena install puts them in")

/** What is posted and what is run by command are two deliveries, each with its answer. */
const twice = (statuses: ReadonlyArray<HookStatus.HookStatus>): ReadonlyArray<Check> => {
  const claude = statuses.filter(({ agent, installed }) => agent === "claude" && installed)
  if (new Set(claude.map(({ transport }) => transport)).size < 2) return []
  const detail = "the user's settings post what those of the project run by command: the agent is answered twice"
  return [warning("claude twice", detail, "run: athena uninstall --scope project")]
}

/** The process, and the way of what is posted to it. */
const resident = Effect.fnUntraced(function* (statuses: ReadonlyArray<HookStatus.HookStatus>) {
  const posting = statuses.find(({ transport }) => transport === "http")
  if (posting === undefined && (yield* DaemonSwitch.isOff)) return []
  const home = yield* Database.home
  const found = yield* Resident.ask(home)
  const checks = [ResidentChecks.process(found)]
  if (posting === undefined) return checks
  const address = String(posting.handlers.find(HookStatus.isPost)?.handler["url"])
  return [
    ...checks,
    ...(yield* ResidentChecks.of(home, posting, found)),
    ...(URL.canParse(address) ? yield* PostChecks.of(address) : [])
  ]
})

/** Whether what Claude Code sets for its hooks leads them elsewhere. Other agents have no such setting. */
const environment = Effect.fnUntraced(function* (statuses: ReadonlyArray<HookStatus.HookStatus>) {
  const transports = new Set(statuses.flatMap(({ agent, transport }) => (agent === "claude" ? [transport] : [])))
  const transport = transports.has("http") ? "http" : transports.has("command") ? "command" : undefined
  return transport === undefined ? [] : [yield* EnvironmentChecks.of(yield* Database.home, transport)]
})

/** The checks of every agent and scope that has hooks of ours, or a file that can't be read. */
export const all = Effect.gen(function* () {
  const permissions = yield* PermissionChecks.of(yield* Database.home)
  const statuses = (yield* HookStatus.all).filter(({ installed, problems }) => installed || problems.length > 0)
  const checks = yield* Effect.forEach(statuses, (status) =>
    Effect.map(runOf(status), (runs) => [settingsOf(status), ...runs])
  )
  if (statuses.length === 0) return [none]
  return [
    ...checks.flat(),
    ...twice(statuses),
    permissions,
    ...(yield* environment(statuses)),
    ...(yield* resident(statuses))
  ]
}).pipe(
  Effect.catch((error) =>
    Effect.succeed([
      warning("hooks", error.message, "call it from a folder that exists, with HOME set, to see what is installed")
    ])
  )
)
