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
const isHook = process.argv[2] === "hook" && process.argv.length === 3

/** Only its owner can write the memory's own folder: compiled code that others can write would be theirs to replace. */
const codeFolder = (): string => {
  const home = env["ATHENA_HOME"] || `${process.getBuiltinModule("node:os").homedir()}/.athena`
  try {
    process.getBuiltinModule("node:fs").mkdirSync(`${home}/compile-cache`, { recursive: true, mode: 0o700 })
  } catch {
    // Without it the command is slower and nothing else.
  }
  return `${home}/compile-cache`
}

const runHook = (): void => {
  // A hook tells of a failure in one line, and every trace costs time, whether it is looked at or not.
  Error.stackTraceLimit = 0
  const postgres = env["ATHENA_DATABASE_URL"] || env["ATHENA_POSTGRES_HOST"]
  const script = `${import.meta.dirname}/${postgres ? "hook-postgres.cjs" : "hook.cjs"}`
  const { exports, keep } = CompiledScript.run(script, codeFolder())
  ;(exports as typeof Hook).main(keep)
}

const runMain = (): void => {
  const module = process.getBuiltinModule("node:module")
  // The demonstration writes nowhere but to its own folder.
  if (process.argv[2] !== "demo") module.enableCompileCache(codeFolder())
  ;(module.createRequire(import.meta.url)("./main.cjs") as typeof Main).main()
}

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`athena needs Node.js 22.19 or newer; this is ${process.version}\n`)
  if (isHook) process.stdout.write("{}\n")
  else process.exitCode = 1
} else if (isHook) runHook()
else runMain()
