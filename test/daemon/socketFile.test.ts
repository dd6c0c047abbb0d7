/**
 * The socket of the daemon, after another program removed it or its folder.
 */
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as SocketFile from "../../src/daemon/internal/socketFile.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const serve = (at: string) =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.callback<net.Server>((resume) => {
        const server = net.createServer().listen(at, () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
    )
  )

const connect = (socket: string) =>
  Effect.callback<void, "refused">((resume) => {
    const connection = net.connect(socket)
    connection.on("connect", () => connection.destroy())
    connection.on("close", (hadError) => resume(hadError ? Effect.fail("refused" as const) : Effect.void))
    connection.on("error", () => {})
  })

const eventually = Effect.retry({
  schedule: Schedule.spaced("10 millis").pipe(Schedule.upTo({ duration: "20 seconds" }))
})

describe("socketFile", () => {
  it.live("restores the socket and its folder outside the home after they were removed", () =>
    Effect.gen(function* () {
      const root = yield* TempFolder.make
      const socket = path.join(root, "short", "socket")
      fs.mkdirSync(path.dirname(socket), { mode: 0o700 })
      yield* SocketFile.listen(socket, path.join(root, "home"), serve, "10 millis")
      yield* connect(socket)
      fs.rmSync(socket)
      yield* eventually(connect(socket))
      fs.rmSync(path.dirname(socket), { recursive: true })
      yield* eventually(connect(socket))
      assert.strictEqual(fs.statSync(path.dirname(socket)).mode & 0o777, 0o700)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("restores no folder inside a removed home, and leaves the socket of another process", () =>
    Effect.gen(function* () {
      const home = path.join(yield* TempFolder.make, "home")
      const socket = path.join(home, "daemon", "socket")
      fs.mkdirSync(path.dirname(socket), { recursive: true, mode: 0o700 })
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* SocketFile.listen(socket, home, serve, "10 millis")
          fs.rmSync(home, { recursive: true })
          yield* Effect.sleep("50 millis")
          assert.isFalse(fs.existsSync(home))
          fs.mkdirSync(path.dirname(socket), { recursive: true, mode: 0o700 })
          fs.writeFileSync(socket, "another process's")
        })
      )
      assert.strictEqual(fs.readFileSync(socket, "utf8"), "another process's")
    }).pipe(Effect.provide(NodeServices.layer))
  )
})
