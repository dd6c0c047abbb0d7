/**
 * How a process works in the home: as the user whose home it is, and closed to others. The shim, which must start at once,
 * is built from it too.
 */
import { fs, nodeBuiltin } from "../internal/nodeBuiltin.ts"
import * as PrivateFile from "../internal/privateFile.ts"

/** What is stored in a home, by its name. */
const isStored = (name: string): boolean => /^(?:athena\.db|cache\.db|events\b.*\.spool|profile\.)/.test(name)

/** The folder, or the first above it that is there. */
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

/** Takes the rights of a user for good; says whether this could be done, and whether the user can read the command. */
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

/** Closes what is stored in a home that others can look into. */
const restrictStored = (home: string): void => {
  for (const name of fs.readdirSync(home)) if (isStored(name)) PrivateFile.restrict(`${home}/${name}`)
  const logs = `${home}/daemon/logs`
  for (const name of fs.existsSync(logs) ? fs.readdirSync(logs) : []) PrivateFile.restrict(`${logs}/${name}`)
}

/**
 * Prepares this process to work in a home: all that it makes is its user's alone. Root, as by `sudo` that leaves `HOME`
 * as it is, works in the home of another user as that user, so that it leaves nothing there that the user can't write.
 * `folder` has the scripts of the command. Says why it can't work there; nothing where it can.
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
    // It can't be looked at, or is none yet: who opens it says so.
  }
  return undefined
}
