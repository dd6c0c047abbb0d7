/**
 * What the client makes of everything that can be at the place of the daemon.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as DaemonClient from "../../src/daemon/DaemonClient.ts"
import * as FakeDaemon from "../utils/FakeDaemon.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const homeIn = Effect.map(TempFolder.make, (folder) => path.join(fs.realpathSync(folder), "home"))

const ask = <A, E>(
  home: string,
  question: (client: DaemonClient.DaemonClient["Service"]) => Effect.Effect<A, E>,
  timeout: Duration.Input = "5 seconds"
) =>
  DaemonClient.DaemonClient.use(question).pipe(
    Effect.provide(
      DaemonClient.layer({ home, timeout }).pipe(
        Layer.provide(NodeHttpClient.layerNodeHttpOptions({ socketPath: DaemonClient.socketOf(home) })),
        Layer.provide(NodeServices.layer)
      )
    )
  )

const failed = (home: string, timeout?: Duration.Input) => Effect.flip(ask(home, ({ health }) => health, timeout))

describe("DaemonClient", () => {
  it.live("sends token and protocol, and decodes the responses", () =>
    Effect.gen(function* () {
      const home = yield* homeIn
      const requests = yield* FakeDaemon.start(home, (request, response) => {
        if (request.url === "/stop") response.writeHead(202, FakeDaemon.headers()).end()
        else if (request.url === "/status") FakeDaemon.answer(response, FakeDaemon.statusOf(home))
        else FakeDaemon.answer(response, { ...FakeDaemon.healthOf(home), more: 1 })
      })
      assert.deepStrictEqual(yield* ask(home, ({ health }) => health), FakeDaemon.healthOf(home) as never)
      assert.deepStrictEqual(yield* ask(home, ({ status }) => status), FakeDaemon.statusOf(home) as never)
      yield* ask(home, ({ stop }) => stop)
      assert.deepStrictEqual(
        requests.map(({ headers, method, url }) => [method, url, headers.authorization, headers["athena-protocol"]]),
        [
          ["GET", "/health"],
          ["GET", "/status"],
          ["POST", "/stop"]
        ].map((line) => [...line, `Bearer ${FakeDaemon.token}`, "1"])
      )
    }).pipe(Effect.scoped)
  )

  it.live("reports a missing folder, a missing socket and a stale socket", () =>
    Effect.gen(function* () {
      const home = yield* homeIn
      assert.strictEqual((yield* failed(home))._tag, "NotRunning")
      const { socket } = FakeDaemon.prepare(home)
      assert.strictEqual((yield* failed(home))._tag, "NotRunning")
      fs.writeFileSync(socket, "")
      assert.strictEqual((yield* failed(home))._tag, "NotRunning")
    }).pipe(Effect.scoped)
  )

  it.live("reports the status and the version of a rejection", () =>
    Effect.gen(function* () {
      const home = yield* homeIn
      let status = 401
      yield* FakeDaemon.start(home, (_, response) => response.writeHead(status, FakeDaemon.headers("0.0.9")).end())
      for (status of [401, 409, 500, 503]) {
        const error = yield* failed(home)
        assert.strictEqual(error._tag, "Refused")
        assert.deepInclude(error, { status, version: "0.0.9" })
        assert.notInclude(JSON.stringify(error), FakeDaemon.token)
      }
    }).pipe(Effect.scoped)
  )

  it.live("times out, and rejects invalid responses", () =>
    Effect.gen(function* () {
      const answers: ReadonlyArray<FakeDaemon.Respond> = [
        () => {},
        (_, response) => response.destroy(),
        (_, response) => response.socket!.end("nonsense\r\n\r\n"),
        (_, response) => response.writeHead(200).end("{}"),
        (_, response) => FakeDaemon.answer(response, { name: "another program" }),
        (_, response) => response.writeHead(200, { ...FakeDaemon.headers(), "content-length": 10 }).end("{"),
        (_, response) => FakeDaemon.answer(response, "x".repeat(2 * 1024 * 1024))
      ]
      for (const [i, respond] of answers.entries()) {
        const home = yield* homeIn
        yield* FakeDaemon.start(home, respond)
        const error = yield* failed(home, i === 0 ? "100 millis" : "5 seconds")
        assert.strictEqual(error._tag, "Unresponsive", `answer ${i}`)
      }
    }).pipe(Effect.scoped)
  )

  it.live("rejects a socket in a folder that other users can write", () =>
    Effect.gen(function* () {
      const home = yield* homeIn
      const requests = yield* FakeDaemon.start(home, (_, response) =>
        FakeDaemon.answer(response, FakeDaemon.healthOf(home))
      )
      fs.chmodSync(FakeDaemon.layoutOf(home).folder, 0o711)
      const error = yield* failed(home)
      assert.strictEqual(error._tag, "UntrustedFolder")
      assert.include(error.message, "open to others")
      assert.deepStrictEqual(requests, [])
    }).pipe(Effect.scoped)
  )

  it.live("connects to the socket of a home with a long path", () =>
    Effect.gen(function* () {
      const home = path.join(yield* homeIn, "x".repeat(150))
      const folder = path.dirname(DaemonClient.socketOf(home))
      yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true })))
      yield* FakeDaemon.start(home, (_, response) => FakeDaemon.answer(response, FakeDaemon.healthOf(home)))
      assert.strictEqual((yield* ask(home, ({ health }) => health)).home, home)
    }).pipe(Effect.scoped)
  )

  it.live("names an invalid option", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(ask("/home", ({ health }) => health, "0 seconds"))
      assert.include(String(exit), "timeout must be more than 0")
    })
  )
})
