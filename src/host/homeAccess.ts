/**
 * Access of a process to the home: as the user who owns the home, and with files that other users can't read. Part of
 * the shim, whose start-up time matters.
 */
import { fs, nodeBuiltin } from "../internal/nodeBuiltin.ts"
import * as PrivateFile from "../internal/privateFile.ts"

/** Whether a file of the home contains stored data. */
const isStored = (name: string): boolean => /^(?:athena\.db|cache\.db|events\b.*\.spool|profile\.)/.test(name)

/** The folder, or its nearest existing ancestor. */
const nearestExisting = (folder: string) => {
  const path = nodeBuiltin("node:path")
  let current = folder
  for (;;) {
    const stats = fs.statSync(current, { throwIfNoEntry: false })
    if (stats !== undefined) return stats
    if (path.dirname(current) === current) return undefined
    current = path.dirname(current)
  }
}

/** Assumes the identity of a user permanently. Returns whether this succeeded and the user can read the command. */
const assumeUser = (uid: number, gid: number, folder: string): boolean => {
  try {
    process.setgroups!([gid])
    process.setgid!(gid)
    process.setuid!(uid)
    fs.accessSync(folder, fs.constants.R_OK | fs.constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Restricts the files of a home that other users can read. */
const restrictStored = (home: string): void => {
  for (const name of fs.readdirSync(home)) if (isStored(name)) PrivateFile.restrict(`${home}/${name}`)
  const logs = `${home}/daemon/logs`
  for (const name of fs.existsSync(logs) ? fs.readdirSync(logs) : []) PrivateFile.restrict(`${logs}/${name}`)
}

/**
 * Prepares this process to work in a home: every file it creates belongs to the owner of the home alone. Root, as by
 * `sudo` that preserves `HOME`, assumes the identity of the owner, so that it creates no file that the owner can't
 * write. `folder` contains the scripts of the command. Returns the reason if the process can't work there.
 */
export const prepare = (home: string, folder: string): string | undefined => {
  process.umask(0o077)
  if (process.getuid === undefined) return undefined
  try {
    const stats = nearestExisting(home)
    if (stats === undefined) return undefined
    if (process.getuid() === 0 && stats.uid !== 0 && !assumeUser(stats.uid, stats.gid, folder)) {
      return "the folder of the memory belongs to another user, whose rights can't be taken: run it as that user"
    }
    if (stats.uid === process.getuid() && (stats.mode & 0o077) !== 0) restrictStored(home)
  } catch {
    // The home can't be read or does not exist yet: the process that opens it reports the problem.
  }
  return undefined
}
