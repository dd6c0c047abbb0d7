/**
 * A Postgres server of a test's own, for faults that would hurt everybody on a shared one.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import EmbeddedPostgres from "./EmbeddedPostgres.ts"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { freePort } from "./freePort.ts"
import type { Certificate } from "./SelfSigned.ts"
import * as TempFolder from "./TempFolder.ts"

export interface PrivatePostgres {
  readonly host: string
  readonly port: number
  readonly username: string
  readonly password: string
  readonly start: Effect.Effect<void>
  /** Stops it and ends its sessions, with a word to them. */
  readonly stop: Effect.Effect<void>
  /** Freezes the server and all its sessions. */
  readonly freeze: Effect.Effect<void>
  readonly thaw: Effect.Effect<void>
  /** Copies the data of the server, which must be stopped, into a standby that can be started beside it. */
  readonly makeStandby: Effect.Effect<PrivatePostgres, never, Scope.Scope>
}

const username = "postgres"
const password = "first-password"

/** The server's own process and those of its sessions. */
const processesOf = (dataFolder: string): Array<number> => {
  const server = Number(fs.readFileSync(path.join(dataFolder, "postmaster.pid"), "utf8").split("\n", 1)[0])
  const all = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" })
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
  return [server, ...all.filter(([, parent]) => parent === server).map(([pid]) => pid!)]
}

const signal = (dataFolder: string, name: NodeJS.Signals): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const pid of processesOf(dataFolder)) process.kill(pid, name)
  })

/** The server writes into its lock file how far it is. */
const untilReady = async (dataFolder: string): Promise<void> => {
  for (;;) {
    await delay(20)
    const file = path.join(dataFolder, "postmaster.pid")
    const state = fs.existsSync(file) ? fs.readFileSync(file, "utf8").split("\n")[7]?.trim() : undefined
    if (state === "ready" || state === "standby") return
  }
}

interface Options {
  readonly maxConnections?: number | undefined
  /** The certificate for TLS; TLS is refused when absent. */
  readonly tls?: Certificate | undefined
}

/** The server accepts only a key that is private. */
const writeCertificate = (dataFolder: string, tls: Certificate): void => {
  const { gid, uid } = fs.statSync(dataFolder)
  for (const [name, content] of [
    ["server.crt", tls.certificate],
    ["server.key", tls.privateKey]
  ] as const) {
    const file = path.join(dataFolder, name)
    fs.writeFileSync(file, content, { mode: 0o600 })
    fs.chownSync(file, uid, gid)
  }
}

const over = (dataFolder: string, options: Options): Effect.Effect<PrivatePostgres, never, Scope.Scope> =>
  Effect.gen(function* () {
    const port = yield* Effect.promise(freePort)
    const postgres = new EmbeddedPostgres({
      databaseDir: dataFolder,
      port,
      user: username,
      password,
      persistent: true,
      createPostgresUser: process.getuid?.() === 0,
      authMethod: "scram-sha-256",
      initdbFlags: ["--encoding=UTF8", "--locale=C"],
      postgresFlags: [
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        `max_connections=${options.maxConnections ?? 20}`,
        "-c",
        "superuser_reserved_connections=0",
        "-c",
        "reserved_connections=0",
        "-c",
        "fsync=off",
        "-c",
        `ssl=${options.tls === undefined ? "off" : "on"}`
      ],
      onLog: () => {},
      onError: () => {}
    })
    if (!fs.existsSync(path.join(dataFolder, "PG_VERSION"))) yield* Effect.promise(() => postgres.initialise())
    if (options.tls !== undefined) writeCertificate(dataFolder, options.tls)
    let running = false
    const start = Effect.promise(() => {
      running = true
      // It waits for a line of the log that a standby does not write.
      postgres.start().catch(() => {})
      return untilReady(dataFolder)
    })
    const stop = Effect.suspend(() => {
      if (!running) return Effect.void
      running = false
      return Effect.promise(() => postgres.stop())
    })
    yield* Effect.addFinalizer(() => stop)
    return {
      host: "127.0.0.1",
      port,
      username,
      password,
      start,
      stop,
      freeze: signal(dataFolder, "SIGSTOP"),
      thaw: signal(dataFolder, "SIGCONT"),
      makeStandby: Effect.suspend(() => {
        const standby = `${dataFolder}-standby`
        fs.cpSync(dataFolder, standby, { recursive: true })
        fs.writeFileSync(path.join(standby, "standby.signal"), "")
        const { gid, uid } = fs.statSync(dataFolder)
        fs.chmodSync(standby, 0o700)
        execFileSync("chown", ["-R", `${uid}:${gid}`, standby])
        return over(standby, options)
      })
    }
  })

/** Makes a server in a temporary folder; it is not started yet, and ends with the scope. */
export const make = (options: Options = {}): Effect.Effect<PrivatePostgres, never, Scope.Scope> =>
  Effect.gen(function* () {
    const folder = yield* TempFolder.make
    fs.chmodSync(folder, 0o755)
    return yield* over(path.join(folder, "data"), options)
  })
