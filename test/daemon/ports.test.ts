import * as net from "node:net"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Ports from "../../src/daemon/ports.ts"

/** What the system says to who would listen there. */
const refusal = (options: net.ListenOptions): Effect.Effect<NodeJS.ErrnoException> =>
  Effect.callback((resume) => {
    const server = net.createServer()
    server.once("error", (error) => resume(Effect.succeed(error)))
    server.listen(options, () => server.close(() => resume(Effect.die("it was let in"))))
  })

describe("ports.problemOf", () => {
  it.live("reports a port that another program holds", () =>
    Effect.gen(function* () {
      const holder = net.createServer()
      const port = yield* Effect.callback<number>((resume) => {
        holder.listen(0, "127.0.0.1", () => resume(Effect.succeed((holder.address() as net.AddressInfo).port)))
      })
      const error = yield* refusal({ host: "127.0.0.1", port })
      holder.close()
      assert.strictEqual(
        Ports.problemOf(port, error),
        `port ${port} is held by another program: run "athena install" for another one`
      )
    })
  )

  it.live("reports an unavailable address", () =>
    Effect.gen(function* () {
      // An address for documentation, which no machine has.
      const problem = Ports.problemOf(21_000, yield* refusal({ host: "192.0.2.1", port: 0 }))
      assert.include(problem, "EADDRNOTAVAIL")
      assert.notInclude(problem, "another program")
    })
  )

  it.each([
    ["EACCES", "by this user"],
    ["EPERM", "by this user"],
    ["EMFILE", "(EMFILE)"]
  ])("reports the error code: %s", (code, text) => {
    const problem = Ports.problemOf(80, Object.assign(new Error(code), { code }))
    assert.include(problem, text)
    assert.include(problem, code)
    assert.notInclude(problem, "another program")
  })

  it("reports an unknown error", () => {
    assert.include(Ports.problemOf(80, undefined), "port 80")
  })
})
