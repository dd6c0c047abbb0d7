/**
 * Files that only their owner can read, whatever the modes of their folder and the umask. Part of the shim, whose
 * start-up time matters.
 */
import { nodeBuiltin } from "./nodeBuiltin.ts"

const isOpen = (mode: number): boolean => (mode & 0o077) !== 0

/** Restricts a file of this user to its owner. A file of another user, and an absent one, is left unchanged. */
export const restrict = (file: string): void => {
  const own = process.getuid?.()
  if (own === undefined) return
  const fs = nodeBuiltin("node:fs")
  try {
    // Links are not followed: the target may be readable for a reason.
    const stats = fs.lstatSync(file, { throwIfNoEntry: false })
    if (stats !== undefined && stats.isFile() && stats.uid === own && isOpen(stats.mode)) fs.chmodSync(file, 0o600)
  } catch {
    // The process that opens the file reports the problem.
  }
}

/** Creates the file of a database if it is absent; else restricts it and the files that SQLite puts beside it. */
export const makeDatabase = (file: string): void => {
  const fs = nodeBuiltin("node:fs")
  try {
    const fd = fs.openSync(file, "wx", 0o600)
    // The umask may have removed the owner's own permissions.
    fs.fchmodSync(fd, 0o600)
    fs.closeSync(fd)
  } catch {
    for (const suffix of ["", "-wal", "-shm"]) restrict(`${file}${suffix}`)
  }
}
