/**
 * What a process got open from the one that started it, beside its three streams: such as a pipe whose reader waits until
 * nobody can write to it any more, which an agent's wrapper would do for as long as the resident process lives.
 */
import { fs } from "../internal/nodeBuiltin.ts"

/** The bit of a file that goes with no other program. */
const closeOnExec = 0o2000000

/** All that Node.js opens by itself has that bit, and what was inherited has not: it is here. */
const isInherited = (fd: number): boolean => {
  const flags = /^flags:\s*(\d+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1]
  return flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0
}

/**
 * Closes what was inherited but for one file, before anything is opened; nothing where the system does not say what that
 * is.
 */
export const closeAllBut = (spared: number | undefined): void => {
  // The channel to a program in Node.js that started this one.
  if (process.platform !== "linux" || process.connected) return
  for (const name of fs.existsSync("/proc/self/fdinfo") ? fs.readdirSync("/proc/self/fdinfo") : []) {
    try {
      if (Number(name) > 2 && Number(name) !== spared && isInherited(Number(name))) fs.closeSync(Number(name))
    } catch {
      // What the folder was read by is closed already.
    }
  }
}
