/**
 * `athena uninstall`: removes the hooks from the settings of a coding agent. It deletes no memories.
 */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as Installer from "../../install/Installer.ts"
import * as Installation from "../../install/installation.ts"
import * as InstallFlags from "../installFlags.ts"
import * as Output from "../output.ts"
import * as HookStatus from "../../install/hookStatus.ts"
import * as DaemonProbe from "../../daemon/DaemonProbe.ts"
import { modeLines, report } from "./install.ts"

const lines = ({ backup, plan }: Installer.Done): ReadonlyArray<string> => {
  const { agent, file } = plan.target
  if (plan.kind === "nothing") return [`${agent.title}: no hooks of athena are in ${file}`]
  return [
    plan.kind === "delete"
      ? `${agent.title}: ${file} contained nothing else and is deleted`
      : `${agent.title}: the hooks are removed from ${file}`,
    ...(backup === undefined ? [] : [`backup: ${backup}`]),
    ...modeLines(plan),
    "the memories remain in ATHENA_HOME or the database"
  ]
}

/** Stops the daemon if no known agent has hooks, and returns whether it ran. */
const stopDaemon = Effect.fnUntraced(function* (home: string) {
  return (yield* HookStatus.isAnyInstalled(home)) ? false : yield* DaemonProbe.stop(home)
})

const ended = "no agent has hooks any more; the daemon is stopping"

export const uninstall = Command.make(
  "uninstall",
  { agent: InstallFlags.agent, scope: InstallFlags.scope, dryRun: InstallFlags.dryRun, json: Output.json },
  Effect.fnUntraced(function* ({ agent: name, dryRun, json, scope }) {
    const target = yield* Installation.target(yield* Installation.supported(name), scope)
    const done = dryRun
      ? { plan: yield* Installer.planUninstall(target), backup: undefined }
      : yield* Installer.uninstall(target)
    const stopped = dryRun ? false : yield* stopDaemon(target.home)
    const text = dryRun && done.plan.kind !== "nothing" ? done.plan.diff.trimEnd().split("\n") : lines(done)
    yield* Output.print(json, { ...report(done, dryRun), stopped }, [...text, ...(stopped ? [ended] : [])])
  })
).pipe(Command.withDescription("Remove the hooks from the settings of a coding agent without deleting memories"))
