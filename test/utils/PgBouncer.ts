/**
 * A PgBouncer in transaction mode before a Postgres server: the package `pgbouncer` of the system, ended with the scope.
 */
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { freePort } from "./freePort.ts"
import * as TempFolder from "./TempFolder.ts"

const command = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"].find((file) =>
  fs.existsSync(file)
)

/** Why there is none, or nothing where there is. On a machine that builds, its absence is a fault. */
export const absent: string | undefined =
  command !== undefined || process.env["CI"] !== undefined ? undefined : "the package pgbouncer is not installed"

export interface Server {
  readonly host: string
  readonly port: number
  readonly username: string
  readonly password: string
}

const idOfNobody = (flag: string): number => Number(spawnSync("id", [flag, "nobody"], { encoding: "utf8" }).stdout)

/** It refuses to run as root, so tests run by root start it as the user `nobody`. */
const account = (): { readonly uid?: number; readonly gid?: number } => {
  if (process.getuid?.() !== 0) return {}
  return { uid: idOfNobody("-u"), gid: idOfNobody("-g") }
}

const untilListening = async (port: number): Promise<void> => {
  for (;;) {
    const socket = net.connect({ host: "127.0.0.1", port })
    const open = await once(socket, "connect").then(
      () => true,
      () => false
    )
    socket.destroy()
    if (open) return
    await delay(20)
  }
}

/** Starts one before `server`, with few connections of its own, so that its clients share them. */
export const make = (server: Server): Effect.Effect<Server, never, Scope.Scope> =>
  Effect.gen(function* () {
    if (command === undefined) return yield* Effect.die(new Error("the package pgbouncer is not installed"))
    const folder = yield* TempFolder.make
    const port = yield* Effect.promise(freePort)
    fs.writeFileSync(path.join(folder, "users.txt"), `"${server.username}" "${server.password}"\n`)
    fs.writeFileSync(
      path.join(folder, "pgbouncer.ini"),
      `[databases]
* = host=${server.host} port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = plain
auth_file = ${path.join(folder, "users.txt")}
pool_mode = transaction
default_pool_size = 2
max_client_conn = 100
ignore_startup_parameters = extra_float_digits
logfile = ${path.join(folder, "log")}
`
    )
    fs.chmodSync(folder, 0o777)
    const running = spawn(command, ["-q", path.join(folder, "pgbouncer.ini")], { stdio: "ignore", ...account() })
    yield* Effect.addFinalizer(() =>
      Effect.promise(async () => {
        if (running.exitCode !== null) return
        const ended = once(running, "exit")
        running.kill("SIGKILL")
        await ended
      })
    )
    yield* Effect.promise(() =>
      Promise.race([
        untilListening(port),
        once(running, "exit").then(() => {
          throw new Error(fs.readFileSync(path.join(folder, "log"), "utf8"))
        })
      ])
    )
    return { ...server, host: "127.0.0.1", port }
  })
