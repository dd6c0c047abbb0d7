/**
 * The time to find a server while none responds, on virtual time.
 */
import { Duplex } from "node:stream"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import * as Connector from "../../src/pool/internal/connector.ts"
import { advance, settle } from "../utils/FakePool.ts"

/** A line on which everything is lost. */
const silent = () => new Duplex({ read: () => {}, write: (_chunk, _encoding, sent) => sent() })

const connectTimeoutMs = 900

/** Connects to three servers; `lines` has the time of each attempt. */
const begin = (target: ConnectionPool.Target) =>
  Effect.gen(function* () {
    const lines: Array<Duplex> = []
    const connector = Connector.make({
      client: {
        username: "fake",
        stream: () => {
          const line = silent()
          lines.push(line)
          return line
        }
      },
      tcpKeepAliveMs: 1_000,
      direct: undefined,
      initSql: [],
      addresses: [1, 2, 3].map((port) => ({ host: "fake", port, path: undefined })),
      target,
      connectTimeoutMs
    })
    const opening = yield* Effect.forkChild(Effect.result(Effect.scoped(connector.open)))
    yield* settle
    return { lines, opening }
  })

for (const target of ["any", "primary", "standby"] as const) {
  it.effect(`divides the connect timeout equally among all hosts, target ${target}`, () =>
    Effect.gen(function* () {
      const { lines, opening } = yield* begin(target)
      assert.strictEqual(lines.length, 1)
      yield* advance(299)
      assert.strictEqual(lines.length, 1)
      yield* advance(1)
      assert.strictEqual(lines.length, 2)
      yield* advance(300)
      assert.strictEqual(lines.length, 3)
      yield* advance(299)
      assert.isUndefined(opening.pollUnsafe())
      yield* advance(1)
      assert.strictEqual((yield* Fiber.join(opening))._tag, "Failure")
    })
  )
}

for (const target of ["preferPrimary", "preferStandby"] as const) {
  it.effect(`finds a preferred role within the connect timeout, target ${target}`, () =>
    Effect.gen(function* () {
      const { lines, opening } = yield* begin(target)
      yield* advance(connectTimeoutMs)
      assert.strictEqual((yield* Fiber.join(opening))._tag, "Failure")
      assert.strictEqual(lines.length, 3)
    })
  )
}

it.effect("passes the unused share of a refusing host to the next", () =>
  Effect.gen(function* () {
    const { lines, opening } = yield* begin("any")
    lines[0]!.destroy(new Error("refused"))
    // The error arrives in the next iteration of the event loop.
    yield* Effect.promise(() => new Promise(setImmediate))
    yield* settle
    assert.strictEqual(lines.length, 2)
    yield* advance(449)
    assert.strictEqual(lines.length, 2)
    yield* advance(1)
    assert.strictEqual(lines.length, 3)
    yield* advance(450)
    assert.strictEqual((yield* Fiber.join(opening))._tag, "Failure")
  })
)
