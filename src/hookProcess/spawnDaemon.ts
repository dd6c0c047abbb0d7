/**
 * Starts the daemon for later hooks. It inherits neither the terminal, the pipes nor the secrets of the agent.
 *
 * HTTP hooks follow a session start immediately. Therefore this process listens on the port of the home first and the
 * daemon inherits the socket: the kernel queues the connections until the daemon accepts them.
 */
import type { ChildProcess, StdioOptions } from "node:child_process"
import * as InheritedFiles from "../internal/inheritedFiles.ts"
import { fs, nodeBuiltin } from "../internal/nodeBuiltin.ts"
import type { Paths } from "../host/paths.ts"

/** The lifetime of a claim in milliseconds: the maximum duration of a start, and the delay after a failed one. */
const claimMs = 10_000

/** Variables that the daemon inherits. Names are case-insensitive on some systems. */
const isInherited = (name: string): boolean =>
  /^(?:(?:LC|ATHENA)_\w+|PATH|HOME|USER|LOGNAME|LANG|TZ|TMPDIR|TE?MP|SYSTEMROOT|USERPROFILE|(?:LOCAL)?APPDATA|NODE_EXTRA_CA_CERTS|SSL_CERT_(?:FILE|DIR)|PGSSLROOTCERT)$/i.test(
    name
  )

/**
 * Limits the heap. V8's defaults retain three times as much garbage without benefit; 192 MB suffice for the largest
 * payload in any script.
 */
const memoryBounds = ["--max-semi-space-size=4", "--max-old-space-size=192"]

const shell = "/bin/sh"

/**
 * Restarts the daemon after a crash or `kill -9`, and when it requests a restart (75); five times at most. The shell
 * holds the socket too, so connections queue meanwhile.
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

/** The file descriptor of the inherited socket. */
const listenerFd = 3

const environment = (): Record<string, string | undefined> =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => isInherited(name)))

/** Creates a folder with mode 700. */
const makeFolder = (folder: string): void => {
  if (!fs.existsSync(folder)) fs.mkdirSync(folder, { mode: 0o700 })
}

/** Whether the process that claimed the start has exited. A file without a process id counts as alive. */
const isAbandoned = (file: string): boolean => {
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
 * Claims the start. The claim is cheap and approximate; the lock of the daemon decides. An urgent start ignores the
 * claim of an exited process.
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
  if (Math.abs(Date.now() - stats.mtimeMs) < claimMs && !(isUrgent && isAbandoned(file))) return false
  fs.rmSync(file, { force: true })
  return make()
}

/** The result of a start. */
export interface Start {
  /** A description for the log. */
  readonly outcome: string
  /** Whether a process was started and has exited. */
  readonly hasEnded: () => boolean
}

const outcome = (outcome: string): Start => ({ outcome, hasEnded: () => false })

const failed = (error: unknown): Start => outcome(`start failed: ${(error as NodeJS.ErrnoException).code}`)

/** Starts the daemon of a home with the `bin.js` of a folder, detached. */
const spawn = (folder: string, home: string, paths: Paths, listener: number | undefined): Start => {
  const command = [
    process.execPath,
    ...memoryBounds,
    `${folder}/bin.js`,
    "serve",
    ...(listener === undefined ? [] : ["--listener-fd", String(listenerFd)])
  ]
  const [file = "", ...args] = fs.existsSync(shell) ? [shell, "-c", supervisor, "athena", ...command] : command
  // The shell can't close files above 9 itself, and would hold a pipe of the agent's wrapper open as long as it lives.
  InheritedFiles.closeAllBut(undefined)
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
  if (child.pid === undefined) return outcome("start failed")
  fs.writeFileSync(paths.startClaim, String(child.pid))
  return { outcome: "started", hasEnded: () => isOver }
}

const isOurs = (home: string, paths: Paths, isUrgent: boolean): boolean => {
  makeFolder(home)
  makeFolder(paths.folder)
  return claim(paths.startClaim, isUrgent)
}

const starting = outcome("starting")

/** Starts the daemon unless another process is starting it, and returns the outcome. */
export const start = (folder: string, home: string, paths: Paths): string => {
  try {
    return (isOurs(home, paths, false) ? spawn(folder, home, paths, undefined) : starting).outcome
  } catch (error) {
    return failed(error).outcome
  }
}

/** Returns the port of the home; `undefined` if it has none, or if sockets can't be inherited. */
const portOf = (paths: Paths): number | undefined => {
  if (process.platform === "win32") return undefined
  try {
    const port = Number(fs.readFileSync(paths.port, "latin1"))
    return port > 0 && port <= 65_535 ? port : undefined
  } catch {
    return undefined
  }
}

/**
 * Listens on the port of the home if it is free and passes the file descriptor to `use`. This process accepts no
 * connections.
 */
const withPort = (paths: Paths, use: (listener: number | undefined) => void): void => {
  const port = portOf(paths)
  if (port === undefined) return use(undefined)
  const server = nodeBuiltin("node:net").createServer()
  server.once("error", () => use(undefined))
  server.listen({ host: "127.0.0.1", port, exclusive: true }, () => {
    // Node.js has no public API for the descriptor of a listening socket.
    use((server as { readonly _handle?: { readonly fd?: number } })._handle?.fd)
    server.close()
  })
}

/** Starts the daemon immediately with an inherited socket, for connections that are about to arrive. */
export const startNow = (folder: string, home: string, paths: Paths, done: (start: Start) => void): void => {
  try {
    if (!isOurs(home, paths, true)) return done(starting)
  } catch (error) {
    return done(failed(error))
  }
  withPort(paths, (listener) => {
    try {
      done(spawn(folder, home, paths, listener))
    } catch (error) {
      done(failed(error))
    }
  })
}
