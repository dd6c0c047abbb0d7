/**
 * Starts the resident process, for the hooks to come. Nothing of the agent that happens to be first goes with it: not its
 * terminal, not its pipes, not its secrets.
 *
 * A session's start is followed by posts to the port of the home at once. So the port is listened on before the process
 * is there, and the process inherits it: the system holds the posts until they are accepted.
 */
import type { ChildProcess, StdioOptions } from "node:child_process"
import { fs, nodeBuiltin } from "../internal/nodeBuiltin.ts"
import type { Paths } from "../host/paths.ts"

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

const shell = "/bin/sh"

/**
 * Starts the process again where a signal has ended it that no process ends by itself with (its memory, a fault, kill -9),
 * and where it asks for that (75). The shell has the port as well, so what is posted meanwhile waits. Five times at most.
 */
const supervisor = `n=0
while :; do
"$@"
code=$?
case $code in 75|132|133|134|135|136|137|139) ;; *) exit $code ;; esac
n=$((n+1))
[ $n -gt 5 ] && exit $code
[ $n -gt 1 ] && sleep 1
done`

/** The number under which the process inherits its port. */
const listenerFd = 3

const environment = (): Record<string, string | undefined> =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => isKept(name)))

/** Makes a folder for its owner alone where there is none. */
const makeFolder = (folder: string): void => {
  if (!fs.existsSync(folder)) fs.mkdirSync(folder, { mode: 0o700 })
}

/** Whether whoever claimed a start is gone; not where the file does not say who that is. */
const isLeft = (file: string): boolean => {
  const pid = Number(fs.readFileSync(file, "latin1"))
  if (!(pid > 0)) return false
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH"
  }
}

/**
 * Whether the start is this process's to do. It is cheap and not certain; certain is the lock that is taken then. A start
 * that is urgent waits for nobody who is gone.
 */
const claim = (file: string, isUrgent: boolean): boolean => {
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
  if (stats === undefined) return false
  if (Math.abs(Date.now() - stats.mtimeMs) < claimMs && !(isUrgent && isLeft(file))) return false
  fs.rmSync(file, { force: true })
  return make()
}

/** What came of a start. */
export interface Start {
  /** For a person. */
  readonly outcome: string
  /** Whether a process was started, and has ended. */
  readonly hasEnded: () => boolean
}

const outcome = (outcome: string): Start => ({ outcome, hasEnded: () => false })

const failed = (error: unknown): Start => outcome(`it can't be started: ${(error as NodeJS.ErrnoException).code}`)

/** Starts the process of a home by the command that lies in a folder. It outlives this one. */
const spawn = (folder: string, home: string, places: Paths, listener: number | undefined): Start => {
  const command = [
    process.execPath,
    ...memoryBounds,
    `${folder}/bin.js`,
    "serve",
    ...(listener === undefined ? [] : ["--listener-fd", String(listenerFd)])
  ]
  const [file = "", ...args] = fs.existsSync(shell) ? [shell, "-c", supervisor, "athena", ...command] : command
  const child: ChildProcess = nodeBuiltin("node:child_process").spawn(file, args, {
    cwd: home,
    detached: true,
    env: { ...environment(), ATHENA_HOME: home },
    stdio: ["ignore", "ignore", "ignore", ...(listener === undefined ? [] : [listener])] as StdioOptions,
    windowsHide: true
  })
  let isOver = child.pid === undefined
  const over = (): void => {
    isOver = true
  }
  child.on("error", over)
  child.on("exit", over)
  child.unref()
  if (child.pid === undefined) return outcome("it can't be started")
  fs.writeFileSync(places.startClaim, String(child.pid))
  return { outcome: "it is started", hasEnded: () => isOver }
}

const isOurs = (home: string, places: Paths, isUrgent: boolean): boolean => {
  makeFolder(home)
  makeFolder(places.folder)
  return claim(places.startClaim, isUrgent)
}

const starting = outcome("it is starting")

/** Starts the process of a home by the command that lies in a folder, unless somebody is at it. Says what came of it. */
export const start = (folder: string, home: string, places: Paths): string => {
  try {
    return (isOurs(home, places, false) ? spawn(folder, home, places, undefined) : starting).outcome
  } catch (error) {
    return failed(error).outcome
  }
}

/** The port of the home; none where it has none yet, and where no process can inherit one. */
const portOf = (places: Paths): number | undefined => {
  if (process.platform === "win32") return undefined
  try {
    const port = Number(fs.readFileSync(places.port, "latin1"))
    return port > 0 && port <= 65_535 ? port : undefined
  } catch {
    return undefined
  }
}

/**
 * Listens on the port of the home, unless somebody does, and gives what listens for as long as `use` runs: this process
 * itself accepts nothing.
 */
const withPort = (places: Paths, use: (listener: number | undefined) => void): void => {
  const port = portOf(places)
  if (port === undefined) return use(undefined)
  const server = nodeBuiltin("node:net").createServer()
  server.once("error", () => use(undefined))
  server.listen({ host: "127.0.0.1", port, exclusive: true }, () => {
    // What Node.js passes on as a stream it reads from, which what listens is not.
    use((server as { readonly _handle?: { readonly fd?: number } })._handle?.fd)
    server.close()
  })
}

/** As `start`, at once and with the port of the home, for posts that are about to come. */
export const startNow = (folder: string, home: string, places: Paths, done: (start: Start) => void): void => {
  try {
    if (!isOurs(home, places, true)) return done(starting)
  } catch (error) {
    return done(failed(error))
  }
  withPort(places, (listener) => {
    try {
      done(spawn(folder, home, places, listener))
    } catch (error) {
      done(failed(error))
    }
  })
}
