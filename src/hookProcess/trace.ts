/**
 * `shim.log`: hooks that ran without the daemon, with the reason. It contains no payload.
 */
import { fs } from "../internal/nodeBuiltin.ts"
import type { Paths } from "../host/paths.ts"

/** The maximum size of the file in bytes. One rotated file remains. */
const maxBytes = 256 * 1024

/** Appends one line, if the folder is writable. */
export const append = (paths: Paths, line: Readonly<Record<string, string>>): void => {
  const file = `${paths.logs}/shim.log`
  try {
    if (!fs.existsSync(paths.logs)) fs.mkdirSync(paths.logs, { mode: 0o700 })
    const stats = fs.statSync(file, { throwIfNoEntry: false })
    if (stats !== undefined && stats.size > maxBytes) fs.renameSync(file, `${file}.1`)
    fs.appendFileSync(file, `${JSON.stringify({ time: new Date().toISOString(), ...line })}\n`, { mode: 0o600 })
  } catch {
    // The folder is not writable, or another process has just rotated the file.
  }
}
