import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Body from "../../src/daemon/internal/requestBody.ts"

/** A server that reads one body, and what came of it. */
const reading = Effect.gen(function* () {
  const read = yield* Deferred.make<Exit.Exit<string, Body.CutShort>>()
  const port = yield* Effect.acquireRelease(
    Effect.callback<http.Server>((resume) => {
      const server = http.createServer((request, response) => {
        const length = Number(request.headers["content-length"])
        Effect.runCallback(Body.read(request, length), {
          onExit: (exit) => {
            response.end()
            Deferred.doneUnsafe(read, Effect.succeed(exit))
          }
        })
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  ).pipe(Effect.map((server) => (server.address() as AddressInfo).port))
  return { port, exit: Deferred.await(read) }
})

/** Sends the parts of a body one after the other, and says of how many bytes it is. */
const send = (port: number, length: number, parts: ReadonlyArray<Uint8Array>, ends: boolean) =>
  Effect.callback<void>((resume) => {
    const socket = net.connect(port, "127.0.0.1")
    socket.on("error", () => {})
    socket.on("data", () => socket.end())
    socket.on("close", () => resume(Effect.void))
    socket.write(`POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n\r\n`)
    for (const part of parts) socket.write(part)
    if (ends) socket.end()
  })

/** Parts that end in the middle of a character. */
const cut = (text: string): ReadonlyArray<Uint8Array> => {
  const bytes = Buffer.from(text)
  const size = Math.ceil(bytes.length / 3) + 1
  return [bytes.subarray(0, size), bytes.subarray(size, 2 * size), bytes.subarray(2 * size)]
}

describe("requestBody", () => {
  for (const [name, text] of Object.entries({
    empty: "",
    small: '{"a":"é😀"}',
    "just not large": "é".repeat(32 * 1024 - 1),
    large: "😀é".repeat(300_000)
  })) {
    it.live(`reads ${name} unchanged`, () =>
      Effect.gen(function* () {
        const { exit, port } = yield* reading
        yield* send(port, Buffer.byteLength(text), cut(text), false)
        assert.isTrue((yield* yield* exit) === text)
      }).pipe(Effect.scoped)
    )
  }

  for (const length of [100, 1_000_000]) {
    it.live(`fails for ${length} bytes that end early`, () =>
      Effect.gen(function* () {
        const { exit, port } = yield* reading
        yield* send(port, length, [Buffer.from('{"half":')], true)
        assert.instanceOf(yield* Effect.flip(yield* exit), Body.CutShort)
      }).pipe(Effect.scoped)
    )
  }
})
