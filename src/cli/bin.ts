#!/usr/bin/env node
/**
 * The command `athena`. It decides what to load and loads nothing else: a hook needs neither the parser of the command
 * line nor, mostly, the Postgres driver. The modules of Node.js are taken without `import`, which would evaluate parts
 * of them that a hook does not use.
 */
import { nodeBuiltin, versionProblem } from "../internal/nodeBuiltin.ts"
import * as HomePath from "../internal/homePath.ts"
import * as HomeAccess from "../host/homeAccess.ts"
import * as HookScript from "../hookProcess/hookScript.ts"
import * as InheritedFiles from "./inheritedFiles.ts"
import type * as Main from "./main.ts"
import * as Shim from "../hookProcess/runShim.ts"
import * as SqliteWarning from "./sqliteWarning.ts"

/** Whatever else an agent's settings say after it, `hook` is answered as a hook. */
const isHook = process.argv[2] === "hook" && !process.argv.includes("--help") && !process.argv.includes("-h")

const runMain = (): void => {
  // It outlives whoever starts it, and takes no more of it than its port.
  if (process.argv[2] === "serve")
    InheritedFiles.closeAllBut(Number(process.argv[3] === "--listener-fd" && process.argv[4]))
  SqliteWarning.silence()
  const module = process.getBuiltinModule("node:module")
  // The demonstration writes nowhere but to its own folder, and what only shows what it would do writes nothing.
  const isWriting = process.argv[2] !== "demo" && !process.argv.includes("--dry-run")
  const folder = isWriting ? HookScript.codeFolder(false) : undefined
  if (folder !== undefined) module.enableCompileCache(folder)
  ;(module.createRequire(import.meta.url)("./main.cjs") as typeof Main).main()
}

/** Why this process can't work in the home that the environment names, see `HomeAccess`. */
const homeProblem = (): string | undefined => {
  const home = HomePath.of(process.env, nodeBuiltin("node:path"))
  return "path" in home && !isHook ? HomeAccess.prepare(home.path, import.meta.dirname) : undefined
}

const problem = versionProblem(process.versions.node) ?? homeProblem()
if (isHook) Shim.main(import.meta.dirname, process.argv.slice(3))
else if (problem === undefined) runMain()
else {
  process.stderr.write(`${problem}\n`)
  process.exitCode = 1
}
