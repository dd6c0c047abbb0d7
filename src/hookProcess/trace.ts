/**
 * A trace that a person can find of what the shim had to do without: never of what was told.
 */
import { fs } from "../internal/nodeBuiltin.ts"
import type { Paths } from "../host/paths.ts"

/** At most this much in the file, in bytes, and as much in the one before it. */
const maxBytes = 256 * 1024

/** Appends one line. Where that can't be done there is none. */
export const append = (places: Paths, line: Readonly<Record<string, string>>): void => {
  const file = `${places.logs}/shim.log`
  try {
    if (!fs.existsSync(places.logs)) fs.mkdirSync(places.logs, { mode: 0o700 })
    const stats = fs.statSync(file, { throwIfNoEntry: false })
    if (stats !== undefined && stats.size > maxBytes) fs.renameSync(file, `${file}.1`)
    fs.appendFileSync(file, `${JSON.stringify({ time: new Date().toISOString(), ...line })}\n`, { mode: 0o600 })
  } catch {
    // The folder can't be written, or another one renamed the file first.
  }
}
