/**
 * The proxy does what its faults say, seen from a plain socket in front of an echoing server.
 */
import * as net from "node:net"
import { assert, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FaultProxy from "./FaultProxy.ts"

/** A server that sends back what it gets, and what it has got so far. */
const echo = Effect.acquireRelease(
  Effect.callback<{ readonly server: net.Server; readonly port: number; readonly got: () => string }>((resume) => {
    let got = ""
    const server = net.createServer((socket) => {
      socket.on("error", () => {})
      socket.on("data", (bytes) => {
        got += bytes.toString()
        socket.write(bytes)
      })
    })
    server.listen(0, "127.0.0.1", () =>
      resume(Effect.succeed({ server, port: (server.address() as net.AddressInfo).port, got: () => got }))
    )
  }),
  ({ server }) => Effect.sync(() => server.close())
)

class Closed extends Data.TaggedError("Closed") {}

interface Client {
  readonly socket: net.Socket
  readonly received: () => string
  readonly send: (text: string) => Effect.Effect<void>
  /** Waits until so many characters have come, or the connection is over. */
  readonly until: (length: number) => Effect.Effect<string, Error | Closed>
}

const connect = (port: number) =>
  Effect.acquireRelease(
    Effect.callback<Client, Error>((resume) => {
      let received = ""
      const socket = net.connect({ host: "127.0.0.1", port })
      socket.on("data", (bytes) => (received += bytes.toString()))
      socket.once("error", (error) => resume(Effect.fail(error)))
      socket.once("connect", () =>
        resume(
          Effect.succeed({
            socket,
            received: () => received,
            send: (text) => Effect.sync(() => void socket.write(text)),
            until: (length) =>
              Effect.callback((done) => {
                const look = () => {
                  if (received.length >= length) done(Effect.succeed(received))
                }
                socket.on("data", look)
                socket.once("error", (error) => done(Effect.fail(error)))
                socket.once("close", () => done(Effect.fail(new Closed())))
                look()
              })
          })
        )
      )
    }),
    ({ socket }) => Effect.sync(() => socket.destroy())
  )

const setup = Effect.gen(function* () {
  const server = yield* echo
  const proxy = yield* FaultProxy.make(server)
  const client = yield* connect(proxy.port)
  yield* client.send("a")
  yield* client.until(1)
  return { server, proxy, client }
})

/** Time that passes while something runs, in milliseconds. */
const elapsed = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const start = performance.now()
    return Effect.map(effect, () => performance.now() - start)
  })

/** A round trip of something else, so that whatever was on its way has had the time to arrive. */
const roundTrip = Effect.scoped(
  Effect.gen(function* () {
    const other = yield* connect((yield* echo).port)
    yield* other.send("x".repeat(100))
    yield* other.until(100)
  })
)

it.live("a black hole holds everything back until it is over", () =>
  Effect.gen(function* () {
    const { client, proxy, server } = yield* setup
    yield* proxy.set({ _tag: "blackHole" })
    yield* client.send("b")
    yield* roundTrip
    assert.strictEqual(server.got(), "a")
    yield* proxy.set({ _tag: "pass" })
    assert.strictEqual(yield* client.until(2), "ab")
  })
)

it.live("a half-open line lets questions through and no answers until it is over", () =>
  Effect.gen(function* () {
    const { client, proxy, server } = yield* setup
    yield* proxy.set({ _tag: "halfOpen" })
    yield* client.send("b")
    while (server.got() !== "ab") yield* roundTrip
    yield* roundTrip
    assert.strictEqual(client.received(), "a")
    yield* proxy.set({ _tag: "pass" })
    assert.strictEqual(yield* client.until(2), "ab")
  })
)

it.live("latency and bandwidth take their time", () =>
  Effect.gen(function* () {
    const { client, proxy } = yield* setup
    yield* proxy.set({ _tag: "latency", ms: 40 })
    assert.isAtLeast(yield* elapsed(Effect.andThen(client.send("b"), client.until(2))), 79)
    yield* proxy.set({ _tag: "bandwidth", bytesPerSecond: 100_000 })
    assert.isAtLeast(yield* elapsed(Effect.andThen(client.send("c".repeat(10_000)), client.until(10_002))), 99)
  })
)

it.live("a reset ends what is open, and what comes", () =>
  Effect.gen(function* () {
    const { client, proxy } = yield* setup
    const over = yield* Deferred.make<string | undefined>()
    client.socket.once("error", (error: NodeJS.ErrnoException) => Deferred.doneUnsafe(over, Effect.succeed(error.code)))
    yield* proxy.set({ _tag: "reset" })
    assert.strictEqual(yield* Deferred.await(over), "ECONNRESET")
    const next = yield* Effect.exit(
      Effect.flatMap(connect(proxy.port), (late) => Effect.andThen(late.send("x"), late.until(1)))
    )
    assert.isTrue(Exit.isFailure(next))
  })
)

it.live("a slow close is heard of later", () =>
  Effect.gen(function* () {
    const { client, proxy } = yield* setup
    const closed = yield* Deferred.make<void>()
    client.socket.once("close", () => Deferred.doneUnsafe(closed, Effect.void))
    yield* proxy.set({ _tag: "slowClose", ms: 60 })
    const closing = Effect.andThen(
      Effect.sync(() => client.socket.end()),
      Deferred.await(closed)
    )
    assert.isAtLeast(yield* elapsed(closing), 59)
  })
)

it.live("refusing leaves what is open alone, and listens again afterwards", () =>
  Effect.gen(function* () {
    const { client, proxy } = yield* setup
    yield* proxy.set({ _tag: "refuse" })
    assert.isTrue(Exit.isFailure(yield* Effect.exit(connect(proxy.port))))
    yield* client.send("b")
    assert.strictEqual(yield* client.until(2), "ab")
    yield* proxy.set({ _tag: "pass" })
    yield* connect(proxy.port)
    assert.strictEqual(yield* proxy.accepted, 2)
  })
)
