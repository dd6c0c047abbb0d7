/**
 * Starts the resident process, for the hooks to come. Nothing of the agent that happens to be first goes with it: not its
 * terminal, not its pipes, not its secrets.
 */
import { builtin } from "../../internal/builtin.ts"
import type { Layout } from "../../daemon/internal/layout.ts"
import { fs } from "../nodeFs.ts"

/** How long a start is somebody else's, in milliseconds: as long as it may take, and the pause after one that failed. */
const claimMs = 10_000

/** What of an environment goes with the process. Names are told apart by case on some systems and not on others. */
const isKept = (name: string): boolean =>
  /^(?:(?:LC|ATHENA)_\w+|PATH|HOME|USER|LOGNAME|LANG|TZ|TMPDIR|TE?MP|SYSTEMROOT|USERPROFILE|(?:LOCAL)?APPDATA|NODE_EXTRA_CA_CERTS|SSL_CERT_(?:FILE|DIR)|PGSSLROOTCERT)$/i.test(
    name
  )

/**
 * Keeps the process small. With V8's own bounds it lets young objects and dead payloads lie until there is three times as
 * much of them, and gains nothing by it; 192 MB is room for the largest payload, in any script.
 */
const memoryBounds = ["--max-semi-space-size=4", "--max-old-space-size=192"]

const environment = (): Record<string, string | undefined> =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => isKept(name)))

/** Makes a folder for its owner alone where there is none. */
const makeFolder = (folder: string): void => {
  if (!fs.existsSync(folder)) fs.mkdirSync(folder, { mode: 0o700 })
}

/** Whether the start is this process's to do. It is cheap and not certain; certain is the lock that is taken then. */
const claim = (file: string): boolean => {
  const make = (): boolean => {
    try {
      fs.writeFileSync(file, String(process.pid), { flag: "wx", mode: 0o600 })
      return true
    } catch {
      return false
    }
  }
  if (make()) return true
  const stats = fs.statSync(file, { throwIfNoEntry: false })
  if (stats === undefined || Math.abs(Date.now() - stats.mtimeMs) < claimMs) return false
  fs.rmSync(file, { force: true })
  return make()
}

/** Starts the process of a home by the command that lies in a folder, unless somebody is at it. Says what came of it. */
export const start = (folder: string, home: string, places: Layout): string => {
  try {
    makeFolder(home)
    makeFolder(places.folder)
    if (!claim(places.starting)) return "it is starting"
    const child = builtin("node:child_process").spawn(
      process.execPath,
      [...memoryBounds, `${folder}/bin.js`, "serve"],
      {
        cwd: home,
        detached: true,
        env: { ...environment(), ATHENA_HOME: home },
        stdio: "ignore",
        windowsHide: true
      }
    )
    child.on("error", () => {})
    child.unref()
    return child.pid === undefined ? "it can't be started" : "it is started"
  } catch (error) {
    return `it can't be started: ${(error as NodeJS.ErrnoException).code}`
  }
}
