#!/usr/bin/env node
/**
 * The command `athena`. It loads as little as it can: a hook needs neither the parser of the command line nor the other
 * commands.
 */
import * as fs from "node:fs"
import * as module from "node:module"
import * as os from "node:os"
import * as path from "node:path"

const isHook = process.argv[2] === "hook" && process.argv.length === 3
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)

/**
 * V8 keeps what it has compiled in the memory's own folder, which only its owner can write: code in a folder that others
 * can write would be theirs to replace.
 */
const keepCompiledCode = (): void => {
  const home = process.env["ATHENA_HOME"] || path.join(os.homedir(), ".athena")
  try {
    fs.mkdirSync(home, { recursive: true, mode: 0o700 })
    module.enableCompileCache(path.join(home, "compile-cache"))
  } catch {
    // Without it the command is slower and nothing else.
  }
}

if (major < 22 || (major === 22 && minor < 19)) {
  process.stderr.write(`athena needs Node.js 22.19 or newer; this is ${process.version}\n`)
  if (isHook) process.stdout.write("{}\n")
  else process.exitCode = 1
} else if (isHook) {
  keepCompiledCode()
  void import("./hook.ts").then((hook) => hook.main())
} else {
  // The demonstration writes nowhere but to its own folder.
  if (process.argv[2] !== "demo") keepCompiledCode()
  void import("./main.ts").then((main) => main.main())
}
