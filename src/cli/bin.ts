#!/usr/bin/env node
/**
 * The command `athena`. It decides what to load and loads nothing else: a hook needs neither the parser of the command
 * line nor, mostly, the Postgres driver. The modules of Node.js are taken without `import`, which would evaluate parts
 * of them that a hook does not use.
 */
import * as CompiledScript from "./CompiledScript.ts"
import type * as Hook from "./hook.ts"
import type * as Main from "./main.ts"

const env = process.env
/** Whatever else an agent's settings say after it, `hook` is answered as a hook. */
const isHook = process.argv[2] === "hook" && !process.argv.includes("--help") && !process.argv.includes("-h")

/** Makes a folder where there is none, and says whether only its owner can write in it. */
const isOwn = (folder: string): boolean => {
  const fs = process.getBuiltinModule("node:fs")
  try {
    fs.mkdirSync(folder, { mode: 0o700 })
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
 * to replace. Without it the command is slower and nothing else.
 */
const codeFolder = (): string | undefined => {
  const home = env["ATHENA_HOME"] || `${process.getBuiltinModule("node:os").homedir()}/.athena`
  try {
    return isOwn(home) && isOwn(`${home}/compile-cache`) ? `${home}/compile-cache` : undefined
  } catch {
    return undefined
  }
}

/** Which bundle answers: one without what this hook does not need. */
const hookScript = (): string => {
  const profiled = /^(?:wall|standard|deep)$/.test(env["ATHENA_PROFILE"] ?? "") ? "-profiled" : ""
  const postgres = env["ATHENA_DATABASE_URL"] || env["ATHENA_POSTGRES_HOST"] ? "-postgres" : ""
  return `hook${profiled}${postgres}.cjs`
}

const runHook = (): void => {
  // A hook tells of a failure in one line, and every trace costs time, whether it is looked at or not.
  Error.stackTraceLimit = 0
  const { exports, keep } = CompiledScript.run(`${import.meta.dirname}/${hookScript()}`, codeFolder())
  ;(exports as typeof Hook).main(keep)
}

const runMain = (): void => {
  const module = process.getBuiltinModule("node:module")
  // The demonstration writes nowhere but to its own folder.
  const folder = process.argv[2] === "demo" ? undefined : codeFolder()
  if (folder !== undefined) module.enableCompileCache(folder)
  ;(module.createRequire(import.meta.url)("./main.cjs") as typeof Main).main()
}

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`athena needs Node.js 22.19 or newer; this is ${process.version}\n`)
  if (isHook) process.stdout.write("{}\n")
  else process.exitCode = 1
} else if (isHook) runHook()
else runMain()
