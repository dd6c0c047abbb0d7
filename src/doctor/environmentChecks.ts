/**
 * Checks the variables that the settings of an agent set for its hooks: a value that differs from this environment
 * leads the hooks to another home or database than this command checks. Values are never printed.
 */
import * as nodePath from "node:path"
import * as Effect from "effect/Effect"
import * as Agents from "../install/Agents.ts"
import * as Layout from "../host/paths.ts"
import * as HomePath from "../internal/homePath.ts"
import { failed, ok, warning } from "./check.ts"
import { isDaemonDisabled } from "../host/environment.ts"
import { isOff } from "../internal/offSwitch.ts"
import * as SettingsFiles from "../install/settingsFiles.ts"

interface Place {
  readonly file: string
  readonly env: Readonly<Record<string, unknown>>
}

/** Returns the effective value of a variable in the settings. */
const settingOf = (places: ReadonlyArray<Place>, name: string) => {
  const place = places.find(({ env }) => ["string", "number", "boolean"].includes(typeof env[name]))
  return place === undefined ? undefined : { name, file: place.file, value: String(place.env[name]) }
}

/** Returns whether a value has another meaning than the environment of this command. */
type Differs = (value: string) => boolean

const own = (name: string): string => process.env[name] ?? ""

/** Only HTTP hooks depend on the daemon. */
const switchOf = (isDisabled: boolean): Readonly<Record<string, Differs>> => ({
  ATHENA_DAEMON: (value) => isOff(value) !== isDisabled
})

const memory = (home: string): Readonly<Record<string, Differs>> => ({
  ATHENA_HOME: (value) => {
    if (value === "") return false
    const named = HomePath.of({ ...process.env, ATHENA_HOME: value }, nodePath)
    return !("path" in named) || named.path !== home
  },
  ...Object.fromEntries(
    // Another password means the same database, but the connection fails.
    [...Layout.databaseVariables, "POSTGRES_PASSWORD"].map((name) => [
      `ATHENA_${name}`,
      (value: string) => value !== own(`ATHENA_${name}`)
    ])
  )
})

/** Checks the variables that the settings of Claude Code set for its hooks. */
export const of = Effect.fnUntraced(function* (home: string, transport: "http" | "command") {
  const name = "environment"
  const files = yield* SettingsFiles.of(Agents.claude)
  const places = files.map(({ file, text }): Place => ({ file, env: SettingsFiles.envOf(Agents.claude, text) }))
  const rules = { ...(transport === "http" ? switchOf(yield* isDaemonDisabled) : {}), ...memory(home) }
  const found = Object.entries(rules).flatMap(([variable, differs]) => {
    const setting = settingOf(places, variable)
    return setting !== undefined && differs(setting.value) ? [setting] : []
  })
  if (found.length === 0) return ok(name, "the settings of the agent set no conflicting variables")
  const detail = found.map(({ file, name }) => `${name} (env in ${file})`).join(", ")
  const advice = "remove it there, or set the same value here and run: athena install"
  return transport === "http"
    ? failed(name, `hooks run with another ${detail}, so events are lost or rejected`, advice)
    : warning(name, `hooks run with another ${detail}: they use another memory than these checks`, advice)
})
