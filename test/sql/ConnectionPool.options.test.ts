/**
 * The options of the pool: bounds, defaults, and what is said of a wrong one.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as ConnectionPool from "../../src/sql/ConnectionPool.ts"
import { scoped, type Options } from "../utils/FakePool.ts"

const wrong: ReadonlyArray<readonly [string, Options]> = [
  ["minConnections", { minConnections: -1 }],
  ["minConnections", { minConnections: 4, maxConnections: 3 }],
  ["maxConnections", { maxConnections: 0 }],
  ["maxConnections", { maxConnections: 1.5 }],
  ["acquireTimeout", { acquireTimeout: "1 millis" }],
  ["acquireTimeout", { acquireTimeout: Infinity }],
  ["maxWaiters", { maxWaiters: -1 }],
  ["idleTimeout", { idleTimeout: "1 millis" }],
  ["maxLifetime", { maxLifetime: 0 }],
  ["lifetimeJitter", { lifetimeJitter: 1.1 }],
  ["validationTimeout", { validationTimeout: "2 seconds", acquireTimeout: "1 second" }],
  ["keepaliveInterval", { keepaliveInterval: "1 hour", maxLifetime: "30 minutes" }],
  ["connectTimeout", { connectTimeout: 1 }],
  ["connectRetries", { connectRetries: -1 }],
  ["breakerFailures", { breakerFailures: 0 }],
  ["deadline", { deadline: 0 }],
  ["longHold", { longHold: 1 }],
  ["slowAcquire", { slowAcquire: "10 seconds" }],
  ["drainTimeout", { drainTimeout: Infinity }],
  ["hosts", { hosts: [] }],
  ["hosts", { hosts: [{ host: "a" }], host: "b" }],
  ["port", { port: 70_000 }],
  ["url", { url: Redacted.make("not a url with s3cret") }]
]

it.effect.each(wrong)("a wrong %s is named", ([name, options]) =>
  scoped(
    Effect.gen(function* () {
      const error = yield* Effect.flip(ConnectionPool.make(options))
      assert.include(error.message, name)
      assert.isFalse(error.isRetryable)
      assert.notInclude(String(error) + JSON.stringify(error), "s3cret")
    })
  )
)
