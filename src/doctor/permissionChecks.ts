/**
 * Checks the permissions of the files that contain the token.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import { hostPaths } from "../host/paths.ts"
import * as Agents from "../install/Agents.ts"
import * as Wiring from "../install/Wiring.ts"
import { type Check, failed, ok, warning } from "./check.ts"
import * as SettingsFiles from "../install/settingsFiles.ts"

interface Private {
  readonly file: string
  /** The expected mode, for the advice. */
  readonly mode: string
}

type Openness = "closed" | "open" | "foreign"

/** Returns who can access a file; `closed` if it does not exist. */
const opennessOf = Effect.fnUntraced(function* (file: string) {
  const own = process.getuid?.()
  const info = yield* Effect.option((yield* FileSystem.FileSystem).stat(file))
  if (own === undefined || Option.isNone(info)) return "closed" satisfies Openness
  const { mode, uid } = info.value
  if (Option.isSome(uid) && uid.value !== own) return "foreign" satisfies Openness
  return ((mode & 0o077) === 0 ? "closed" : "open") satisfies Openness
})

/** The settings files of an agent that contain a token. */
const withToken = (agent: Agents.Agent) =>
  Effect.map(SettingsFiles.of(agent), (files): ReadonlyArray<Private> =>
    files
      .filter(({ text }) => Wiring.hasSecret(SettingsFiles.handlersOf(agent, text)))
      .map(({ file }) => ({ file, mode: "600" }))
  )

const all = Effect.fnUntraced(function* (home: string) {
  const path = yield* Path.Path
  const { folder, port, socket, token } = hostPaths(home)
  const near = path.dirname(socket)
  return [
    { file: home, mode: "700" },
    { file: folder, mode: "700" },
    ...(near === folder || process.platform === "win32" ? [] : [{ file: near, mode: "700" }]),
    { file: token, mode: "600" },
    { file: port, mode: "600" },
    ...(yield* Effect.forEach(
      Agents.supported.filter(({ posts }) => posts),
      withToken
    )).flat()
  ]
})

/** Checks that only this user can read private files. It must run before any code that closes such files. */
export const of = Effect.fnUntraced(function* (home: string) {
  const name = "permissions"
  const files = yield* Effect.forEach(yield* all(home), (one) =>
    Effect.map(opennessOf(one.file), (openness) => ({ ...one, openness }))
  )
  const foreign = files.filter(({ openness }) => openness === "foreign").map(({ file }) => file)
  const open = files.filter(({ openness }) => openness === "open")
  if (foreign.length > 0) {
    const advice = "remove what is not yours, or set ATHENA_HOME to a folder of your own"
    return failed(name, `of another user: ${foreign.join(", ")}`, advice)
  }
  if (open.length === 0) return ok(name, "only you can read the token and reach the daemon") satisfies Check
  return warning(
    name,
    `open to other users: ${open.map(({ file }) => file).join(", ")}`,
    open.map(({ file, mode }) => `chmod ${mode} ${file}`).join("; ")
  )
})
