import * as net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as Connections from "../../src/daemon/internal/connectionLimits.ts"
import * as TestDaemon from "../utils/TestDaemon.ts"

/** A connection whose other side never ends its own half. */
const connect = (port: number, text = "") =>
  Effect.acquireRelease(
    Effect.callback<{ readonly socket: net.Socket; readonly answer: Promise<string> }, Error>((resume) => {
      const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true })
      const answer = new Promise<string>((resolve) => {
        let got = ""
        socket.on("data", (data) => (got += data.toString()))
        socket.on("end", () => resolve(got))
        socket.on("close", () => resolve(got))
      })
      socket.on("error", (error) => resume(Effect.fail(error)))
      socket.on("connect", () => {
        socket.write(text)
        resume(Effect.succeed({ socket, answer }))
      })
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
const upgrade = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
const otherUpgrade = "POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: foo\r\nContent-Length: 100\r\n\r\n"
const endlessBody = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 16000000\r\n\r\nabc"
const halfHead = "POST /hooks/claude HTTP/1.1\r\nHost: x\r\n"

const refused = [
  ["a request", get],
  ["a request to upgrade", upgrade],
  ["a request to upgrade to something else", otherUpgrade],
  ["a body that never ends", endlessBody]
] as const

describe("a connection without a token", () => {
  for (const [what, text] of refused) {
    it.live(`closes after the rejection of ${what}`, () =>
      Effect.gen(function* () {
        const daemon = yield* TestDaemon.start()
        const { answer } = yield* connect(daemon.port, text)
        const [head = ""] = (yield* Effect.promise(() => answer)).split("\r\n\r\n")
        assert.match(head, /^HTTP\/1\.1 401 /)
        assert.match(head, /connection: close/i)
      }).pipe(Effect.scoped)
    )
  }

  it.live("closes after a request with a token and a foreign host or origin", () =>
    Effect.gen(function* () {
      const daemon = yield* TestDaemon.start()
      const { answer } = yield* connect(
        daemon.port,
        `GET /health HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TestDaemon.token}\r\n\r\n`
      )
      assert.match(yield* Effect.promise(() => answer), /^HTTP\/1\.1 403 /)
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["that says nothing", ""],
    ["with half a request", halfHead],
    ["that is refused", get],
    ["that would upgrade", upgrade]
  ])("admits the agent beside any number of %s", ([_, text]) =>
    Effect.gen(function* () {
      const daemon = yield* TestDaemon.start()
      yield* Effect.forEach(Array.from({ length: 600 }), () => connect(daemon.port, text), { concurrency: 32 })
      assert.strictEqual((yield* daemon.send({ path: "/health" })).status, 200)
    }).pipe(Effect.scoped)
  )
})

const open = (server: net.Server): net.Socket => {
  const socket = new net.Socket()
  server.emit("connection", socket)
  return socket
}

describe("connections", () => {
  it.effect("closes unauthenticated connections after ten seconds", () =>
    Effect.gen(function* () {
      const server = net.createServer()
      const { authenticate } = yield* Connections.limitUnauthenticated(server)
      const [stranger, known] = [open(server), open(server)]
      authenticate(known)
      yield* TestClock.adjust("9 seconds")
      assert.isFalse(stranger.destroyed)
      yield* TestClock.adjust("1 second")
      assert.isTrue(stranger.destroyed)
      yield* TestClock.adjust("1 hour")
      assert.isFalse(known.destroyed)
    })
  )

  it.effect("closes the oldest unauthenticated connection beyond the limit", () =>
    Effect.gen(function* () {
      const server = net.createServer()
      const { authenticate } = yield* Connections.limitUnauthenticated(server)
      const known = open(server)
      authenticate(known)
      const strangers = Array.from({ length: Connections.maxUnauthenticated }, () => open(server))
      assert.isFalse(strangers.some(({ destroyed }) => destroyed))
      open(server)
      assert.deepStrictEqual(
        strangers.flatMap(({ destroyed }, index) => (destroyed ? [index] : [])),
        [0]
      )
      assert.isFalse(known.destroyed)
    })
  )
})
