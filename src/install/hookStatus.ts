/**
 * How the hooks of an agent stand: what is in its settings, and what keeps it from working.
 */
import * as fs from "node:fs"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Agents from "./Agents.ts"
import * as Installer from "./Installer.ts"
import * as Wiring from "./Wiring.ts"
import { isPost, pathsOf } from "./hookHandler.ts"
import * as Installation from "./installation.ts"
import * as SettingsFiles from "./settingsFiles.ts"
import { readText } from "./internal/settingsFile.ts"
import { version } from "../internal/version.ts"

export interface HookStatus {
  readonly agent: Agents.AgentName
  readonly title: string
  readonly scope: Installation.Scope
  readonly file: string
  readonly installed: boolean
  /** Whether events are posted to the resident process, or run a command each; none where nothing is installed. */
  readonly transport: "http" | "command" | null
  readonly events: ReadonlyArray<string>
  readonly missing: ReadonlyArray<string>
  readonly outdated: ReadonlyArray<string>
  readonly versions: ReadonlyArray<string>
  /** Switches that keep hooks from running, and where they are. */
  readonly disabled: ReadonlyArray<string>
  /** Those that the agent passes over until a person confirms them. */
  readonly untrusted: ReadonlyArray<Agents.InactiveHook>
  /** What is wrong, and what to do; empty where all is well. */
  readonly problems: ReadonlyArray<string>
  readonly handlers: ReadonlyArray<Wiring.Wire>
}

/** What is switched off, in any file that counts for the agent here. */
const switches = Effect.fnUntraced(function* (agent: Agents.Agent) {
  const files = yield* SettingsFiles.of(agent)
  return [...new Set(files.flatMap(({ file, switches }) => switches.map((name) => `${name} in ${file}`)))]
})

const isExecutable = (file: string): boolean => {
  try {
    fs.accessSync(file, fs.constants.X_OK)
    return fs.statSync(file).isFile()
  } catch {
    return false
  }
}

const transportOf = (handlers: ReadonlyArray<Wiring.Wire>): HookStatus["transport"] =>
  handlers.length === 0 ? null : handlers.some(isPost) ? "http" : "command"

const missingPaths = (handlers: ReadonlyArray<Wiring.Wire>): ReadonlyArray<string> => {
  const pairs = handlers.filter((wire) => !isPost(wire)).map(pathsOf)
  const gone = pairs.flatMap(([node = "", script = ""]) => [
    ...(isExecutable(node) ? [] : [node]),
    ...(fs.existsSync(script) ? [] : [script])
  ])
  return [...new Set(gone)]
}

const again = ({ name }: Agents.Agent, scope: Installation.Scope): string =>
  `run: athena install${name === "claude" ? "" : ` --agent ${name}`}${scope === "user" ? "" : ` --scope ${scope}`}`

const difference = (versions: ReadonlyArray<string>): string =>
  versions.every((found) => found === version)
    ? "with another handler, path, port, token or database than would be installed now"
    : `of another version (${versions.join(", ")})`

const problemsOf = (
  agent: Agents.Agent,
  scope: Installation.Scope,
  found: Installer.Inspection,
  disabled: ReadonlyArray<string>,
  untrusted: ReadonlyArray<Agents.InactiveHook>
): ReadonlyArray<string> => {
  if (found.events.length === 0) return []
  const gone = missingPaths(found.handlers)
  return [
    ...disabled.map((name) => `switched off by ${name}: take that out`),
    ...gone.map((file) => `${file} is not there, or can't be run; ${again(agent, scope)}`),
    ...(found.missing.length > 0 ? [`a hook is missing for ${found.missing.join(", ")}; ${again(agent, scope)}`] : []),
    ...(found.outdated.length > 0 && gone.length === 0
      ? [`${difference(found.versions)}; ${again(agent, scope)}`]
      : []),
    ...Installation.inactiveLines(agent, untrusted),
    ...Installation.cautions(agent, found)
  ]
}

/** How the hooks of an agent stand in a scope. It never fails: a file that can't be read is a problem to tell of. */
export const of = (agent: Agents.Agent, scope: Installation.Scope) =>
  Effect.gen(function* () {
    const target = yield* Installation.target(agent, scope)
    const common = { agent: agent.name, title: agent.title, scope, file: target.file }
    const inspection = yield* Effect.result(Installer.inspect(target, yield* Installation.wantedCommand(target, scope)))
    if (Result.isFailure(inspection)) {
      const none = { events: [], missing: [], outdated: [], versions: [], disabled: [], untrusted: [], handlers: [] }
      return {
        ...common,
        ...none,
        installed: false,
        transport: null,
        problems: [inspection.failure.message]
      } satisfies HookStatus
    }
    const found = inspection.success
    const disabled = yield* switches(agent)
    const untrusted = yield* Installation.inactiveHooks(target)
    return {
      ...common,
      installed: found.events.length > 0,
      transport: transportOf(found.handlers),
      events: found.events,
      missing: found.missing,
      outdated: found.outdated,
      versions: found.versions,
      disabled,
      untrusted,
      problems: problemsOf(target.agent, scope, found, disabled, untrusted),
      handlers: found.handlers
    } satisfies HookStatus as HookStatus
  })

/** Every supported agent in every scope. */
export const all = Effect.forEach(Agents.supported, (agent) =>
  Effect.all([
    Effect.asSome(of(agent, "user")),
    // Without a working directory there is no project to look at.
    Effect.asSome(of(agent, "project")).pipe(Effect.catchTag("WorkingFolderGone", () => Effect.succeedNone))
  ])
).pipe(
  Effect.map((statuses) => Arr.getSomes(statuses.flat())),
  // In the home folder both scopes are one file.
  Effect.map((statuses) =>
    statuses.filter(({ file }, index) => statuses.findIndex((one) => one.file === file) === index)
  )
)

const isInstalled = (agent: Agents.Agent, scope: Installation.Scope) =>
  Effect.orElseSucceed(
    Effect.map(of(agent, scope), ({ installed }) => installed),
    // Without HOME it has no place here, so nothing is installed for it that anybody here could run.
    () => false
  )

/** Whether hooks are in a settings file that they were once put into: of another profile, or of another project. */
const isInstalledIn = (file: string) => Effect.map(readText(file), Wiring.isMentioned)

/** Whether hooks are installed for any agent, as far as the memory of a home knows. It never fails. */
export const isAnyInstalled = Effect.fnUntraced(function* (home: string) {
  const files = yield* Installer.installedFiles(home)
  if ((yield* Effect.forEach(files, isInstalledIn)).includes(true)) return true
  const found = yield* Effect.forEach(Agents.supported, (agent) =>
    Effect.all([isInstalled(agent, "user"), isInstalled(agent, "project")])
  )
  return found.flat().includes(true)
})
