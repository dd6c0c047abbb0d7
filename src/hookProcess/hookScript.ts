/**
 * Selects the bundle of the one-shot hook, and the folder of its compiled code.
 */
import { fs, nodeBuiltin } from "../internal/nodeBuiltin.ts"
import * as HomePath from "../internal/homePath.ts"
import * as SqliteWarning from "../internal/sqliteWarning.ts"
import * as CompiledScript from "./compiledScript.ts"
import type * as Hook from "./hook.ts"

/** Returns whether only this user can write to a folder, which is created on request. */
const isOwn = (folder: string, make: boolean): boolean => {
  try {
    if (make) fs.mkdirSync(folder, { mode: 0o700 })
  } catch {
    // The folder exists already, or can't be created: `statSync` below decides.
  }
  const stats = fs.statSync(folder, { throwIfNoEntry: false })
  return (
    stats !== undefined &&
    (process.getuid === undefined || (stats.uid === process.getuid() && (stats.mode & 0o022) === 0))
  )
}

/**
 * Returns the folder of compiled code in the home, unless other users could replace the code. Commands that read create
 * no home, so they cache their code only in an existing one.
 */
export const codeFolder = (makeHome: boolean): string | undefined => {
  try {
    const home = HomePath.of(process.env, nodeBuiltin("node:path"))
    if ("problem" in home) return undefined
    const folder = `${home.path}/compile-cache`
    return isOwn(home.path, makeHome) && isOwn(folder, true) ? folder : undefined
  } catch {
    return undefined
  }
}

/** Returns the smallest bundle that supports the configuration. */
const scriptName = (): string => {
  const { env } = process
  const profiled = /^(?:wall|standard|deep)$/.test(env["ATHENA_PROFILE"] ?? "") ? "-profiled" : ""
  const postgres = env["ATHENA_DATABASE_URL"] || env["ATHENA_POSTGRES_HOST"] ? "-postgres" : ""
  return `hook${profiled}${postgres}.cjs`
}

/** Responds to an event with a bundle of the folder, and ends the process. */
export const run = (folder: string, event: Hook.Event): void => {
  SqliteWarning.silence()
  const { exports, save } = CompiledScript.run(`${folder}/${scriptName()}`, codeFolder(true))
  ;(exports as typeof Hook).main(save, event)
}
