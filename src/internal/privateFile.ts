/**
 * Files that only their owner can read, whatever their folder and the umask of the process allow. The shim, which must
 * start at once, is built from it too.
 */
import { nodeBuiltin } from "./nodeBuiltin.ts"

const isOpen = (mode: number): boolean => (mode & 0o077) !== 0

/** Closes a file of this user to others. One of another user, or none, is left as it is. */
export const restrict = (file: string): void => {
  const own = process.getuid?.()
  if (own === undefined) return
  const fs = nodeBuiltin("node:fs")
  try {
    // A link is not followed: it may lead to a file that is open for a reason.
    const stats = fs.lstatSync(file, { throwIfNoEntry: false })
    if (stats !== undefined && stats.isFile() && stats.uid === own && isOpen(stats.mode)) fs.chmodSync(file, 0o600)
  } catch {
    // The open that follows reports the error.
  }
}

/** Makes the file of a database where there is none, and closes it and those that SQLite puts beside it to others. */
export const makeDatabase = (file: string): void => {
  const fs = nodeBuiltin("node:fs")
  try {
    const fd = fs.openSync(file, "wx", 0o600)
    // The mask may have taken more than it should.
    fs.fchmodSync(fd, 0o600)
    fs.closeSync(fd)
  } catch {
    for (const suffix of ["", "-wal", "-shm"]) restrict(`${file}${suffix}`)
  }
}
