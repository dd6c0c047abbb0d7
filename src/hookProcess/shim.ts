/**
 * `node shim.cjs hook`: what an agent's settings name. One small script of its own, because every file and every byte of
 * a script costs a hook time.
 */
import * as Shim from "./runShim.ts"

declare const __dirname: string

Shim.main(__dirname, process.argv.slice(2))
