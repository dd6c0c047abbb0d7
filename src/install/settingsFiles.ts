/**
 * The settings files that an agent reads in the current folder: user, project, and administrator.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import type * as Agents from "./Agents.ts"
import type * as Wiring from "./Wiring.ts"
import * as Installation from "./installation.ts"
import { readText } from "./internal/settingsFile.ts"

export interface SettingsFile {
  readonly file: string
  /** Empty if the file is absent or unreadable. */
  readonly text: string
  /** The switches in the file that disable hooks. */
  readonly switches: ReadonlyArray<string>
}

/** The settings of Claude Code that an administrator manages. */
const managed: Readonly<Record<string, string>> = {
  darwin: "/Library/Application Support/ClaudeCode/managed-settings.json",
  linux: "/etc/claude-code/managed-settings.json",
  win32: "C:\\Program Files\\ClaudeCode\\managed-settings.json"
}

/** Parses settings; `undefined` if they are invalid. */
export const valueOf = (agent: Agents.Agent, text: string): unknown =>
  Result.match(agent.text.value(text), { onFailure: () => undefined, onSuccess: ({ value }) => value })

/** Returns the variables that settings set for hooks. */
export const envOf = (agent: Agents.Agent, text: string): Readonly<Record<string, unknown>> => {
  const value = valueOf(agent, text)
  const env = typeof value === "object" && value !== null && "env" in value ? value.env : undefined
  return typeof env === "object" && env !== null ? (env as Record<string, unknown>) : {}
}

/** Returns our handlers in settings; none if they are invalid. */
export const handlersOf = (agent: Agents.Agent, text: string): Wiring.Wiring =>
  Result.getOrElse(agent.text.found(text), () => [])

const ownSwitches = (agent: Agents.Agent) => (text: string) => agent.switches(valueOf(agent, text))

/** Returns the settings files of an agent, highest precedence first. */
export const of = Effect.fnUntraced(function* (agent: Agents.Agent) {
  const path = yield* Path.Path
  const user = yield* Installation.target(agent, "user")
  const project = yield* Installation.target(agent, "project").pipe(
    Effect.map(Arr.of),
    Effect.catchTag("WorkingFolderGone", () => Effect.succeed([]))
  )
  const places = [user, ...project].flatMap(({ agent, file }) => [
    { file, switches: ownSwitches(agent) },
    ...agent.switchFiles.map((other) => ({ ...other, file: path.join(path.dirname(file), other.file) }))
  ])
  const administrators = agent.name === "claude" ? managed[process.platform] : undefined
  if (administrators !== undefined) places.push({ file: administrators, switches: ownSwitches(agent) })
  return yield* Effect.forEach(places.toReversed(), ({ file, switches }) =>
    Effect.map(readText(file), (text): SettingsFile => ({ file, text, switches: switches(text) }))
  )
})
