/**
 * The status of an agent's hooks: the installed handlers and the reasons that prevent them from running.
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
  /** Whether events use HTTP hooks or command hooks; `null` if no hook is installed. */
  readonly transport: "http" | "command" | null
  readonly events: ReadonlyArray<string>
  readonly missing: ReadonlyArray<string>
  readonly outdated: ReadonlyArray<string>
  readonly versions: ReadonlyArray<string>
  /** Switches that disable hooks, with their files. */
  readonly disabled: ReadonlyArray<string>
  /** Hooks that the agent does not run until the user confirms them. */
  readonly untrusted: ReadonlyArray<Agents.InactiveHook>
  /** Problems, each with its next step. */
  readonly problems: ReadonlyArray<string>
  readonly handlers: ReadonlyArray<Wiring.Wire>
}

/** Returns the active switches in all settings files of the agent. */
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
    ? "outdated handler, path, port, token or database"
    : `installed by another version (${versions.join(", ")})`

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
    ...disabled.map((name) => `disabled by ${name}: remove that setting`),
    ...gone.map((file) => `${file} does not exist or is not executable; ${again(agent, scope)}`),
    ...(found.missing.length > 0 ? [`hooks are missing for ${found.missing.join(", ")}; ${again(agent, scope)}`] : []),
    ...(found.outdated.length > 0 && gone.length === 0
      ? [`${difference(found.versions)}; ${again(agent, scope)}`]
      : []),
    ...Installation.inactiveLines(agent, untrusted),
    ...Installation.cautions(agent, found)
  ]
}

/** Returns the status of an agent's hooks in a scope. An unreadable settings file is reported as a problem. */
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

/** The status of every supported agent in every scope. */
export const all = Effect.forEach(Agents.supported, (agent) =>
  Effect.all([
    Effect.asSome(of(agent, "user")),
    // Without a working directory there is no project.
    Effect.asSome(of(agent, "project")).pipe(Effect.catchTag("WorkingFolderGone", () => Effect.succeedNone))
  ])
).pipe(
  Effect.map((statuses) => Arr.getSomes(statuses.flat())),
  // In the user's home folder both scopes share one file.
  Effect.map((statuses) =>
    statuses.filter(({ file }, index) => statuses.findIndex((one) => one.file === file) === index)
  )
)

const isInstalled = (agent: Agents.Agent, scope: Installation.Scope) =>
  Effect.orElseSucceed(
    Effect.map(of(agent, scope), ({ installed }) => installed),
    // Without HOME the agent has no settings here.
    () => false
  )

/** Returns whether a recorded settings file, of another profile or project, still contains hooks. */
const isInstalledIn = (file: string) => Effect.map(readText(file), Wiring.isMentioned)

/** Returns whether any settings file known to a home contains hooks. It never fails. */
export const isAnyInstalled = Effect.fnUntraced(function* (home: string) {
  const files = yield* Installer.installedFiles(home)
  if ((yield* Effect.forEach(files, isInstalledIn)).includes(true)) return true
  const found = yield* Effect.forEach(Agents.supported, (agent) =>
    Effect.all([isInstalled(agent, "user"), isInstalled(agent, "project")])
  )
  return found.flat().includes(true)
})
