#!/usr/bin/env node
/**
 * The command `athena`. It decides what to load and loads nothing else: a hook needs neither the parser of the command
 * line nor, mostly, the Postgres driver. The modules of Node.js are taken without `import`, which would evaluate parts
 * of them that a hook does not use.
 */
import type * as Hook from "./hook.ts"
import type * as Main from "./main.ts"

const env = process.env
const isHook = process.argv[2] === "hook" && process.argv.length === 3

/**
 * V8 keeps what it has compiled in the memory's own folder, which only its owner can write: code in a folder that
 * others can write would be theirs to replace.
 */
const keepCompiledCode = (): void => {
  const fs = process.getBuiltinModule("node:fs")
  const os = process.getBuiltinModule("node:os")
  const home = env["ATHENA_HOME"] || `${os.homedir()}/.athena`
  try {
    fs.mkdirSync(home, { recursive: true, mode: 0o700 })
    process.getBuiltinModule("node:module").enableCompileCache(`${home}/compile-cache`)
  } catch {
    // Without it the command is slower and nothing else.
  }
}

const load = (): void => {
  const require = process.getBuiltinModule("node:module").createRequire(import.meta.url)
  if (isHook) {
    const postgres = env["ATHENA_DATABASE_URL"] || env["ATHENA_POSTGRES_HOST"]
    ;(require(postgres ? "./hook-postgres.cjs" : "./hook.cjs") as typeof Hook).main()
  } else {
    ;(require("./main.cjs") as typeof Main).main()
  }
}

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`athena needs Node.js 22.19 or newer; this is ${process.version}\n`)
  if (isHook) process.stdout.write("{}\n")
  else process.exitCode = 1
} else {
  // The demonstration writes nowhere but to its own folder.
  if (process.argv[2] !== "demo") keepCompiledCode()
  load()
}
