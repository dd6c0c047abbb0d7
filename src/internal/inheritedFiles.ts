/**
 * File descriptors that a process inherits besides its three streams, for example a pipe whose reader waits for the
 * last writer. A wrapper of an agent would wait for as long as the daemon runs.
 */
import { fs } from "./nodeBuiltin.ts"

const closeOnExec = 0o2000000

/** Node.js sets the close-on-exec flag on every file that it opens; an inherited file lacks it. */
const isInherited = (fd: number): boolean => {
  const flags = /^flags:\s*(\d+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, "latin1"))?.[1]
  return flags !== undefined && (Number.parseInt(flags, 8) & closeOnExec) === 0
}

/** Closes all inherited files but one. Call it before anything is opened. It does nothing without `/proc`. */
export const closeAllBut = (spared: number | undefined): void => {
  // The IPC channel to a parent that is a Node.js process is inherited on purpose.
  if (process.platform !== "linux" || process.connected) return
  for (const name of fs.existsSync("/proc/self/fdinfo") ? fs.readdirSync("/proc/self/fdinfo") : []) {
    try {
      if (Number(name) > 2 && Number(name) !== spared && isInherited(Number(name))) fs.closeSync(Number(name))
    } catch {
      // The descriptor of the directory listing is closed already.
    }
  }
}
