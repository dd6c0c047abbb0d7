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
  if (plan.kind === "nothing") return [`${agent.title}: nothing of athena is in ${file}`]
  return [
    plan.kind === "delete"
      ? `${agent.title}: ${file} held nothing else and is removed`
      : `${agent.title}: the hooks are out of ${file}`,
    ...(backup === undefined ? [] : [`before it was: ${backup}`]),
    ...modeLines(plan),
    "what is remembered stays, in ATHENA_HOME or the database"
  ]
}

/** Stops the daemon if no known agent has hooks, and returns whether it ran. */
const endResident = Effect.fnUntraced(function* (home: string) {
  return (yield* HookStatus.isAnyInstalled(home)) ? false : yield* DaemonProbe.stop(home)
})

const ended = "no agent has hooks any more, so the resident process was asked to end"

export const uninstall = Command.make(
  "uninstall",
  { agent: InstallFlags.agent, scope: InstallFlags.scope, dryRun: InstallFlags.dryRun, json: Output.json },
  Effect.fnUntraced(function* ({ agent: name, dryRun, json, scope }) {
    const target = yield* Installation.target(yield* Installation.supported(name), scope)
    const done = dryRun
      ? { plan: yield* Installer.planUninstall(target), backup: undefined }
      : yield* Installer.uninstall(target)
    const stopped = dryRun ? false : yield* endResident(target.home)
    const text = dryRun && done.plan.kind !== "nothing" ? [done.plan.diff.trimEnd()] : lines(done)
    yield* Output.print(json, { ...report(done, dryRun), stopped }, [...text, ...(stopped ? [ended] : [])])
  })
).pipe(Command.withDescription("Take the hooks out of the settings of a coding agent; what is remembered stays"))
