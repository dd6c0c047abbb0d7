import { assert, describe, it } from "@effect/vitest"
import * as Headers from "effect/http/Headers"
import * as Guard from "../../src/daemon/internal/requestAuth.ts"

const guard = Guard.make("secret", "db-1")
const loopback: Guard.Listener = { _tag: "Loopback", port: 21_234 }
const socket: Guard.Listener = { _tag: "Socket" }
const good = { authorization: "Bearer secret", host: "127.0.0.1:21234" }

const refuse = (headers: Record<string, string>, listener: Guard.Listener = loopback) =>
  Guard.refuse(guard, listener, Headers.fromInput(headers))

describe("requestAuth", () => {
  it("accepts a request with the token", () => {
    assert.isUndefined(refuse(good))
    for (const authorization of [
      "",
      "Bearer",
      "Bearer ",
      "secret",
      "Bearer secreT",
      "Bearer secret2",
      "bearer secret"
    ]) {
      assert.strictEqual(refuse({ ...good, authorization }), 401, authorization)
    }
    assert.strictEqual(refuse({ host: good.host }), 401)
  })

  it("rejects a request from a browser page", () => {
    assert.strictEqual(refuse({ ...good, origin: "https://evil.example" }), 403)
    assert.strictEqual(refuse({ ...good, origin: "http://127.0.0.1:21234" }), 403)
    assert.strictEqual(refuse({ ...good, origin: "null" }, socket), 403)
  })

  it("accepts only host names of loopback", () => {
    for (const host of ["localhost:21234", "[::1]:21234"]) assert.isUndefined(refuse({ ...good, host }))
    for (const host of ["evil.example:21234", "127.0.0.1", "127.0.0.1:80", "127.0.0.1.evil.example:21234", ""]) {
      assert.strictEqual(refuse({ ...good, host }), 403, host)
    }
    assert.strictEqual(refuse({ authorization: good.authorization }), 403)
    // A socket has no name.
    assert.isUndefined(refuse({ authorization: good.authorization, host: "anything" }, socket))
  })

  it("accepts only the same protocol and database", () => {
    assert.isUndefined(refuse({ ...good, "athena-protocol": "1", "athena-database": "db-1" }, socket))
    assert.strictEqual(refuse({ ...good, "athena-protocol": "2" }, socket), 409)
    assert.strictEqual(refuse({ ...good, "athena-database": "db-2" }, socket), 409)
  })
})
