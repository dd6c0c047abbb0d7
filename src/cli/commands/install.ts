/**
 * `athena install`: puts the hooks into the settings of a coding agent.
 */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as Installer from "../../install/Installer.ts"
import * as Installation from "../Installation.ts"
import * as Output from "../Output.ts"

/** What was done, as JSON. */
export const report = ({ backup, plan }: Installer.Done, dryRun: boolean) => ({
  agent: plan.target.agent.name,
  file: plan.target.file,
  change: plan.kind,
  done: !dryRun && plan.kind !== "nothing",
  diff: plan.diff,
  backup: backup ?? null
})

const passing = (script: string) =>
  `warning: ${script} is in a cache that is emptied now and then: install athena-hooks for good, and run this again`

const lines = ({ backup, plan }: Installer.Done, events: number): ReadonlyArray<string> => {
  const { agent, file } = plan.target
  if (plan.kind === "nothing") return [`${agent.title}: up to date, ${file} is as it was`]
  return [
    `${agent.title}: hooks for ${events} events are in ${file}`,
    ...(backup === undefined ? [] : [`before it was: ${backup}`]),
    ...(agent.hint === undefined ? [] : [agent.hint]),
    "see that it works: athena status; take it out: athena uninstall"
  ]
}

export const install = Command.make(
  "install",
  { agent: Installation.agent, scope: Installation.scope, dryRun: Installation.dryRun, json: Output.json },
  Effect.fnUntraced(function* ({ agent: name, dryRun, json, scope }) {
    const agent = yield* Installation.supported(name)
    const command = yield* Installation.command
    const target = yield* Installation.target(agent, scope)
    const wiring = target.agent.wiring(command)
    const found = yield* Installer.inspect(target, command)
    const warnings = [
      ...(Installation.isPassing(command) ? [passing(command.script)] : []),
      ...Installation.cautions(agent, found).map((caution) => `warning: ${caution}`)
    ]
    const done = dryRun
      ? { plan: yield* Installer.planInstall(target, wiring), backup: undefined }
      : yield* Installer.install(target, wiring)
    const text = dryRun && done.plan.kind !== "nothing" ? [done.plan.diff.trimEnd()] : lines(done, wiring.length)
    yield* Output.print(json, { ...report(done, dryRun), warnings }, [...text, ...warnings])
  })
).pipe(
  Command.withDescription("Put the hooks into the settings of a coding agent; everything else in them stays as it is")
)
