/**
 * `athena install`: adds the hooks to the settings of a coding agent.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Command from "effect/cli/Command"
import type { Endpoint } from "../../daemon/Endpoint.ts"
import * as Installer from "../../install/Installer.ts"
import * as InstallEndpoint from "../../install/installEndpoint.ts"
import * as Installation from "../../install/installation.ts"
import * as InstallFlags from "../installFlags.ts"
import * as Output from "../output.ts"

const octal = (mode: number): string => mode.toString(8)

/** The JSON form of a result. */
export const report = ({ backup, plan }: Installer.Done, dryRun: boolean) => ({
  agent: plan.target.agent.name,
  file: plan.target.file,
  change: plan.kind,
  done: !dryRun && plan.kind !== "nothing",
  diff: plan.diff,
  mode: plan.kind === "delete" ? null : octal(plan.mode.after),
  backup: backup ?? null
})

/** Describes a change of the file mode. */
export const modeLines = ({ kind, mode: { after, before }, target }: Installer.Plan): ReadonlyArray<string> => {
  if (kind !== "change" || before === undefined || before === after) return []
  return after < before
    ? [`${target.file} contains a token, so other users can't read it: mode ${octal(after)}, ${octal(before)} before`]
    : [`${target.file} contains no token any more: mode ${octal(after)}`]
}

const lines = (
  { backup, plan }: Installer.Done,
  events: number,
  details: ReadonlyArray<string>
): ReadonlyArray<string> => {
  const { agent, file } = plan.target
  if (plan.kind === "nothing") return [`${agent.title}: ${file} is up to date`]
  return [
    `${agent.title}: installed hooks for ${events} events in ${file}`,
    ...(backup === undefined ? [] : [`backup: ${backup}`]),
    ...details,
    "next: athena status; to remove the hooks: athena uninstall"
  ]
}

/** Returns the endpoint of HTTP hooks, and creates it unless this is a dry run. */
const endpointFor = Effect.fnUntraced(function* (
  { agent, home }: Installer.Target,
  scope: Installation.Scope,
  requested: Option.Option<boolean>,
  dryRun: boolean
) {
  const { note, posted } = yield* Installation.transport(agent, scope, requested)
  if (!posted) return { endpoint: Option.none<Endpoint>(), notes: note === undefined ? [] : [note] }
  const { endpoint, notes } = yield* dryRun ? InstallEndpoint.planned(home) : InstallEndpoint.make(home)
  return { endpoint: Option.some(endpoint), notes }
})

const postedTo = ({ port }: Endpoint): string =>
  `events are posted to 127.0.0.1:${port}; the next session starts the daemon there`

export const install = Command.make(
  "install",
  {
    agent: InstallFlags.agent,
    scope: InstallFlags.scope,
    post: InstallFlags.post,
    dryRun: InstallFlags.dryRun,
    json: Output.json
  },
  Effect.fnUntraced(function* ({ agent: name, dryRun, json, post, scope }) {
    const target = yield* Installation.target(yield* Installation.supported(name), scope)
    // Validates the settings file first, so that a failure leaves nothing behind.
    const found = yield* Installer.inspect(target, yield* Installation.wantedCommand(target, scope))
    yield* Installer.checkWritable(target)
    const { endpoint, notes } = yield* endpointFor(target, scope, post, dryRun)
    const command = yield* Installation.command(target, endpoint, scope)
    const wiring = target.agent.wiring(command)
    const cautions = [...Installation.temporaryPaths(command), ...Installation.cautions(target.agent, found)]
    const warnings = cautions.map((caution) => `warning: ${caution}`)
    const done = dryRun
      ? { plan: yield* Installer.planInstall(target, wiring), backup: undefined }
      : yield* Installer.install(target, wiring)
    const more = Option.isSome(endpoint) ? yield* InstallEndpoint.warnings(target.file) : []
    const events = new Set(wiring.map(({ event }) => event)).size
    const isChange = done.plan.kind !== "nothing"
    const details = isChange ? [...modeLines(done.plan), ...Option.toArray(endpoint).map(postedTo)] : []
    const untrusted = dryRun ? [] : yield* Installation.inactiveHooks(target)
    const trust = Installation.inactiveLines(target.agent, untrusted)
    const diff = [...done.plan.diff.trimEnd().split("\n"), ...details].filter((line) => line !== "")
    const text = dryRun && isChange ? diff : lines(done, events, details)
    yield* Output.print(
      json,
      {
        ...report(done, dryRun),
        transport: Option.isSome(endpoint) ? "http" : "command",
        port: Option.getOrNull(Option.map(endpoint, ({ port }) => port)),
        untrusted,
        notes,
        warnings: [...warnings, ...more, ...trust]
      },
      [...text, ...trust, ...notes, ...warnings, ...more]
    )
  })
).pipe(Command.withDescription("Add the hooks to the settings of a coding agent, preserving everything else"))
