#!/usr/bin/env node
/**
 * The command `athena`. It selects the script to load and loads nothing else: a hook needs neither the command line
 * parser nor, usually, the Postgres driver.
 */
import { nodeBuiltin, versionProblem } from "../internal/nodeBuiltin.ts"
import * as HomePath from "../internal/homePath.ts"
import * as HomeAccess from "../host/homeAccess.ts"
import * as CompiledScript from "../hookProcess/compiledScript.ts"
import * as HookScript from "../hookProcess/hookScript.ts"
import * as InheritedFiles from "../internal/inheritedFiles.ts"
import * as Sanitize from "../internal/sanitize.ts"
import * as SqliteWarning from "../internal/sqliteWarning.ts"
import type * as Main from "./main.ts"
import * as Shim from "../hookProcess/runShim.ts"

/** `hook` always runs as a hook, whatever arguments the settings of an agent add. */
const isHook = process.argv[2] === "hook" && !process.argv.includes("--help") && !process.argv.includes("-h")

const runMain = (): void => {
  // The daemon outlives its parent and inherits only the listening socket.
  if (process.argv[2] === "serve")
    InheritedFiles.closeAllBut(Number(process.argv[3] === "--listener-fd" && process.argv[4]))
  SqliteWarning.silence()
  // `demo` and `--dry-run` write nothing to the home.
  const isWriting = process.argv[2] !== "demo" && !process.argv.includes("--dry-run")
  const folder = isWriting ? HookScript.codeFolder(false) : undefined
  const { exports, save } = CompiledScript.run(`${import.meta.dirname}/main.cjs`, folder)
  // The code of the daemon, which runs for hours, would be larger than the rest.
  if (process.argv[2] !== "serve") process.once("exit", () => save(process.argv[2] ?? "help"))
  ;(exports as typeof Main).main()
}

/** Returns the reason why this process can't use the home, or `undefined`. */
const homeProblem = (): string | undefined => {
  const home = HomePath.of(process.env, nodeBuiltin("node:path"))
  return "path" in home && !isHook ? HomeAccess.prepare(home.path, import.meta.dirname) : undefined
}

const problem = versionProblem(process.versions.node) ?? homeProblem()
if (isHook) Shim.main(import.meta.dirname, process.argv.slice(3))
else if (problem === undefined) runMain()
else {
  process.stderr.write(`${Sanitize.line(problem)}\n`)
  process.exitCode = 1
}
