/**
 * What `athena doctor` looks at where hooks are installed: the settings of each agent, and a real run of what they say.
 */
import * as Effect from "effect/Effect"
import { type Check, failed, ok, warning } from "./Check.ts"
import * as HookRun from "./HookRun.ts"
import * as HookStatus from "./HookStatus.ts"

const settingsOf = ({ agent, events, file, problems, scope, versions }: HookStatus.HookStatus): Check => {
  const name = `${agent} ${scope}`
  const [first, ...others] = problems
  return first === undefined
    ? ok(name, `hooks for ${events.length} events, version ${versions.join(", ")}, in ${file}`)
    : failed(name, file, [first, ...others].join("; "))
}

const runOf = Effect.fnUntraced(function* ({ agent, handlers, scope }: HookStatus.HookStatus) {
  const first = handlers.find(({ event }) => event === "SessionStart") ?? handlers[0]
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

/** The checks of every agent and scope that has hooks of ours, or a file that can't be read. */
export const all = Effect.gen(function* () {
  const statuses = (yield* HookStatus.all).filter(({ installed, problems }) => installed || problems.length > 0)
  const checks = yield* Effect.forEach(statuses, (status) =>
    Effect.map(runOf(status), (runs) => [settingsOf(status), ...runs])
  )
  return statuses.length === 0 ? [none] : checks.flat()
}).pipe(
  Effect.catch((error) =>
    Effect.succeed([
      warning("hooks", error.message, "call it from a folder that exists, with HOME set, to see what is installed")
    ])
  )
)
