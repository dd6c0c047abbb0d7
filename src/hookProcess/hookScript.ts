/**
 * The bundles that answer a hook in its own process: which one, and where its compiled code is kept.
 */
import { fs, nodeBuiltin } from "../internal/nodeBuiltin.ts"
import * as HomePath from "../internal/homePath.ts"
import * as CompiledScript from "./compiledScript.ts"
import type * as Hook from "./hook.ts"

/** Whether only this user can write in a folder, which is made where there is none and it may be. */
const isOwn = (folder: string, make: boolean): boolean => {
  try {
    if (make) fs.mkdirSync(folder, { mode: 0o700 })
  } catch {
    // It is there already, or it can't be made, which shows when it is looked at.
  }
  const stats = fs.statSync(folder, { throwIfNoEntry: false })
  return (
    stats !== undefined &&
    (process.getuid === undefined || (stats.uid === process.getuid() && (stats.mode & 0o022) === 0))
  )
}

/**
 * Where compiled code is kept: in the memory's own folder, if nobody else can write there, for the code would be theirs
 * to replace. Without it the command is slower and nothing else. Hooks make it; other commands make nothing.
 */
export const codeFolder = (make: boolean): string | undefined => {
  try {
    const home = HomePath.of(process.env, nodeBuiltin("node:path"))
    if ("problem" in home) return undefined
    const folder = `${home.path}/compile-cache`
    return isOwn(home.path, make) && isOwn(folder, make) ? folder : undefined
  } catch {
    return undefined
  }
}

/** Which bundle answers: one without what this hook does not need. */
const scriptName = (): string => {
  const { env } = process
  const profiled = /^(?:wall|standard|deep)$/.test(env["ATHENA_PROFILE"] ?? "") ? "-profiled" : ""
  const postgres = env["ATHENA_DATABASE_URL"] || env["ATHENA_POSTGRES_HOST"] ? "-postgres" : ""
  return `hook${profiled}${postgres}.cjs`
}

/** Answers an event with the bundle that lies in a folder, and ends the process. */
export const run = (folder: string, event: Hook.Event): void => {
  const { exports, keep } = CompiledScript.run(`${folder}/${scriptName()}`, codeFolder(true))
  ;(exports as typeof Hook).main(keep, event)
}
