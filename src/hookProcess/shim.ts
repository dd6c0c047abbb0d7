/**
 * `node shim.cjs hook`: the script in the settings of agents. It is a single small file, because every file and every
 * byte costs each hook time.
 */
import * as Shim from "./runShim.ts"

declare const __dirname: string

Shim.main(__dirname, process.argv.slice(2))
