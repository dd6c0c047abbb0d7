/**
 * Paths, protocol and identities that the daemon and its clients share. Part of the shim, whose start-up time matters:
 * it imports almost nothing.
 */
import { fnv1a } from "../internal/fnv1a.ts"
import { nodeBuiltin } from "../internal/nodeBuiltin.ts"

/** The properties of this host on which the paths depend. */
export interface Host {
  readonly platform: NodeJS.Platform
  /** The id of the user, if the system has one. */
  readonly uid: number | undefined
}

/** The files of the daemon of one home. */
export interface Paths {
  /** The folder of all of them, except for a socket whose path would be too long; mode 700. */
  readonly folder: string
  /** The unix socket, or the named pipe on Windows. Its folder has mode 700 and belongs to the user. */
  readonly socket: string
  /** Locked by the operating system while the daemon lives. */
  readonly lock: string
  /** The holder of the lock, as JSON. */
  readonly identity: string
  /** The token of this user; mode 600. */
  readonly token: string
  /** The port on loopback, as decimal digits. */
  readonly port: string
  /** Exists, and is recent, while a process starts the daemon. */
  readonly startClaim: string
  /** The folder of the logs. */
  readonly logs: string
}

/** The longest socket path that every system accepts, in bytes, including the terminating zero. */
const maxSocketPath = 103

const socketOf = (folder: string, host: Host): string => {
  if (host.platform === "win32") return `\\\\.\\pipe\\athena-hooks-${fnv1a(folder)}`
  const near = `${folder}/socket`
  return Buffer.byteLength(near) <= maxSocketPath
    ? near
    : // Not `TMPDIR`: agents with different environments must find the same socket.
      `/tmp/athena-${host.uid ?? 0}-${fnv1a(folder)}/socket`
}

/** The paths of a home, which is absolute. */
export const pathsOf = (home: string, host: Host): Paths => {
  const folder = `${home}/daemon`
  return {
    folder,
    socket: socketOf(folder, host),
    lock: `${folder}/lock.db`,
    identity: `${folder}/identity.json`,
    token: `${folder}/token`,
    port: `${folder}/port`,
    startClaim: `${folder}/starting`,
    logs: `${folder}/logs`
  }
}

/** Resolves all links of a folder; an absent part remains as it is. */
const realPath = (folder: string): string => {
  try {
    return nodeBuiltin("node:fs").realpathSync(folder)
  } catch {
    const { basename, dirname, join } = nodeBuiltin("node:path")
    const above = dirname(folder)
    return above === folder ? folder : join(realPath(above), basename(folder))
  }
}

/** The paths of a home. All names of one home have the same paths, so that one daemon serves them. */
export const hostPaths = (home: string): Paths =>
  pathsOf(realPath(home), { platform: process.platform, uid: process.getuid?.() })

/** The preferred port of a home, below the ephemeral ports of common systems. */
export const defaultPort = (home: string): number => 21_000 + (Number.parseInt(fnv1a(home), 16) % 8_000)

/** The variables that identify the database, without the prefix `ATHENA_`. */
export const databaseVariables = ["DATABASE_URL", "POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB", "POSTGRES_USER"]

/**
 * A hash that identifies a database: a hook with another database in its environment must not be served from this one.
 * It is stored in settings and sent to clients, so it excludes passwords: no one can test a guess against it.
 */
export const databaseOf = (env: Readonly<Record<string, string | undefined>>): string =>
  fnv1a(
    JSON.stringify(databaseVariables.map((name) => env[`ATHENA_${name}`] ?? "")).replace(
      /:[^:@]*@|password=[^&"]*/g,
      "@"
    )
  )

/** The database that this environment names. The shim computes the same without Effect, from unparsed variables. */
export const databaseIdentity = (): string => databaseOf(process.env)

/** Version of the protocol over the socket. */
export const protocol = "1"

/** Names of the headers. A request needs `authorization: Bearer TOKEN`; over the socket all of these as well. */
export const headers = {
  /** `protocol`, in requests and responses. */
  protocol: "athena-protocol",
  /** Version of the daemon, in responses. */
  version: "athena-version",
  /** `databaseOf` the client. */
  database: "athena-database",
  /** The folder of the project, URI-encoded, if the agent's environment names it. */
  project: "athena-project",
  /** Identifies the delivery: the same for an event that is sent to the daemon and also processed in the hook. */
  delivery: "athena-delivery"
} as const
