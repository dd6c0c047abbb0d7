/**
 * Where the resident process and those who look for it meet. Pure, and without any import but one: the shim, which must
 * start at once, is built from it too.
 */
import { fnv1a } from "../internal/fnv1a.ts"
import { nodeBuiltin } from "../internal/nodeBuiltin.ts"

/** What of this host the places depend on. */
export interface Host {
  readonly platform: NodeJS.Platform
  /** The number of the user, where the system has such. */
  readonly uid: number | undefined
}

/** The files of the resident process of one home. */
export interface Paths {
  /** The folder of all of them but, where its path is too long for a socket, the socket; mode 700. */
  readonly folder: string
  /** The unix socket, or the named pipe on Windows. Its folder has mode 700 and belongs to the user. */
  readonly socket: string
  /** Locked, by the operating system, for as long as the process lives. */
  readonly lock: string
  /** Who holds the lock, as JSON. */
  readonly identity: string
  /** The token of this user; mode 600. */
  readonly token: string
  /** The port on loopback, as decimal digits. */
  readonly port: string
  /** Is there, and young, while somebody starts the process. */
  readonly startClaim: string
  /** The folder of the logs. */
  readonly logs: string
}

/** The longest path of a socket that every system takes, in bytes, with the zero that ends it. */
const maxSocketPath = 103

const socketOf = (folder: string, host: Host): string => {
  if (host.platform === "win32") return `\\\\.\\pipe\\athena-hooks-${fnv1a(folder)}`
  const near = `${folder}/socket`
  return Buffer.byteLength(near) <= maxSocketPath
    ? near
    : // Not where the environment says: two agents that are told different places would not meet.
      `/tmp/athena-${host.uid ?? 0}-${fnv1a(folder)}/socket`
}

/** The places of a home, which is an absolute path. */
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

/** The one path that all names of a folder lead to, links followed; what is not there yet stays as it is named. */
const realPath = (folder: string): string => {
  try {
    return nodeBuiltin("node:fs").realpathSync(folder)
  } catch {
    const { basename, dirname, join } = nodeBuiltin("node:path")
    const above = dirname(folder)
    return above === folder ? folder : join(realPath(above), basename(folder))
  }
}

/** The places of a home. Two names of one home have the same places, so that one process serves both. */
export const hostPaths = (home: string): Paths =>
  pathsOf(realPath(home), { platform: process.platform, uid: process.getuid?.() })

/** The port of a home that has none yet: below those that systems give away by themselves. */
export const defaultPort = (home: string): number => 21_000 + (Number.parseInt(fnv1a(home), 16) % 8_000)

/** The variables that say which database is meant, after `ATHENA_`. */
export const databaseVariables = ["DATABASE_URL", "POSTGRES_HOST", "POSTGRES_PORT", "POSTGRES_DB", "POSTGRES_USER"]

/**
 * Tells one database from another, so that a hook whose environment names another one than the resident process uses
 * is not answered from the wrong memory. It stands in settings that are closed to others, and is said over the socket and to
 * who has the token, so passwords are no part of it: nobody may try theirs on it.
 */
export const databaseOf = (env: Readonly<Record<string, string | undefined>>): string =>
  fnv1a(
    JSON.stringify(databaseVariables.map((name) => env[`ATHENA_${name}`] ?? "")).replace(
      /:[^:@]*@|password=[^&"]*/g,
      "@"
    )
  )

/** Identifies the database that the environment of this process names. The shim computes the same without Effect, so the variables are read unparsed. */
export const databaseIdentity = (): string => databaseOf(process.env)

/** The version of what is said over the socket; another one is not spoken to. */
export const protocol = "1"

/** The names of the headers. A request needs `authorization: Bearer TOKEN`; over the socket all of these as well. */
export const headers = {
  /** `protocol`, both ways. */
  protocol: "athena-protocol",
  /** The version of the resident process; in answers. */
  version: "athena-version",
  /** `databaseOf` of who asks. */
  database: "athena-database",
  /** The folder of the project, by `encodeURIComponent`, where the agent says it in its environment. */
  project: "athena-project",
  /** Names the delivery: the same where one event is told twice, here and in process. */
  delivery: "athena-delivery"
} as const
