/**
 * The options of the pool: bounds, defaults, and errors.
 */
import { inspect } from "node:util"
import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import * as PoolSettings from "../../src/pool/internal/poolSettings.ts"
import { scoped, type Options } from "../utils/FakePool.ts"

const wrong: ReadonlyArray<readonly [string, Options]> = [
  ["minConnections", { minConnections: -1 }],
  ["minConnections", { minConnections: 4, maxConnections: 3 }],
  ["maxConnections", { maxConnections: 0 }],
  ["maxConnections", { maxConnections: 1.5 }],
  ["acquireTimeout", { acquireTimeout: "1 millis" }],
  ["acquireTimeout", { acquireTimeout: "soon" as never }],
  ["maxWaiters", { maxWaiters: -1 }],
  ["idleTimeout", { idleTimeout: -1 }],
  ["maxLifetime", { maxLifetime: -1 }],
  ["lifetimeJitter", { lifetimeJitter: 1.1 }],
  ["validationTimeout", { validationTimeout: "2 seconds", acquireTimeout: "1 second" }],
  ["keepaliveInterval", { keepaliveInterval: "1 hour", maxLifetime: "30 minutes" }],
  ["connectTimeout", { connectTimeout: 1 }],
  ["connectRetries", { connectRetries: -1 }],
  ["breakerFailures", { breakerFailures: 0 }],
  ["deadline", { deadline: 0 }],
  ["leakDetectionThreshold", { leakDetectionThreshold: 1 }],
  ["slowAcquire", { slowAcquire: "10 seconds" }],
  ["breakerResetTimeout", { breakerResetTimeout: Infinity }],
  ["connectBackoff", { connectBackoff: Infinity }],
  ["keepAlive", { keepAlive: Infinity }],
  ["drainTimeout", { drainTimeout: -1 }],
  ["multiplexConcurrency", { multiplex: true, multiplexConcurrency: -1 }],
  ["connectionInitSql", { connectionInitSql: " " }],
  ["connectionInitSql", { connectionInitSql: ["SET a = 1", ""] }],
  ["directUrl", { directUrl: Redacted.make("mysql://me:s3cret@db/x") }],
  ["hosts", { hosts: [] }],
  ["hosts", { hosts: [{ host: "a" }], host: "b" }],
  ["port", { port: 70_000 }],
  ["maxLifetime", { maxLifetime: "1 minute", connectionTTL: "1 minute" }],
  ["connectionTTL", { connectionTTL: -1 }],
  ["connect_timeout", { url: Redacted.make("postgres://me:s3cret@db/x?connect_timeout=soon") }],
  ["url", { url: Redacted.make("not a url with s3cret") }],
  ["url", { url: Redacted.make("mysql://me:s3cret@db/x") }],
  ["url", { url: Redacted.make("jdbc:postgresql://me:s3cret@db/x") }],
  ["url", { url: Redacted.make("postgres:me:s3cret@db/x") }],
  ["url", { url: Redacted.make("postgres://me:123/s3cret@db/x") }],
  ["url", { url: Redacted.make("postgres://me:123#s3cret@db/x") }],
  ["url", { url: Redacted.make("postgres://me@db/%s3cret") }],
  ["target", { target: "secondary" as "standby" }],
  ["hosts[0].host", { hosts: [{}] as never }],
  ["hosts[1].host", { hosts: [{ host: "a" }, { host: "" }] }],
  ["preparedStatementCacheSize", { preparedStatementCacheSize: -5 }],
  ["maxMessageSize", { maxMessageSize: Number.NaN }]
]

it.effect.each(wrong)("dies with an error that names an invalid %s", ([name, options]) =>
  scoped(
    Effect.gen(function* () {
      const error = Cause.squash(yield* Effect.flip(Effect.sandbox(ConnectionPool.make(options))))
      assert.instanceOf(error, RangeError)
      assert.include(error.message, name)
      assert.notInclude(inspect(error, { depth: Infinity }), "s3cret")
    })
  )
)

it.effect.each(wrong)("fails with a ConfigError that names an invalid %s", ([name, options]) =>
  Effect.gen(function* () {
    const config = Config.succeed(options) as never
    const error = yield* Effect.flip(Effect.scoped(Layer.build(ConnectionPool.layerConfig(config))))
    assert.strictEqual(error._tag, "ConfigError")
    assert.include(error.message, name)
    assert.notInclude(inspect(error, { depth: Infinity }), "s3cret")
  })
)

const settingsOf = (options: Options) => Effect.sync(() => PoolSettings.resolve(options))

it.effect("is named after its first server and database", () =>
  Effect.gen(function* () {
    const url = Redacted.make("postgres://me:s3cret@db.test:6000/orders")
    assert.strictEqual((yield* settingsOf({ url })).name, "db.test:6000/orders")
    assert.strictEqual(
      (yield* settingsOf({ url: Redacted.make("postgres://me:s3cret@db.test") })).name,
      "db.test:5432/me"
    )
    const hosts = [{ host: "a" }, { host: "b" }]
    assert.strictEqual((yield* settingsOf({ hosts, database: "stock" })).name, "a:5432/stock")
    assert.strictEqual((yield* settingsOf({ url, name: "mine" })).name, "mine")
  })
)

it.effect("takes the connect timeout from the option, the URL, or the default", () =>
  Effect.gen(function* () {
    const url = Redacted.make("postgres://me@db/x?connect_timeout=7")
    assert.strictEqual((yield* settingsOf({ url })).connectTimeoutMs, 7_000)
    assert.strictEqual((yield* settingsOf({ url, connectTimeout: "1 second" })).connectTimeoutMs, 1_000)
    assert.strictEqual((yield* settingsOf({ host: "db" })).connectTimeoutMs, 5_000)
  })
)

it.effect("accepts the options of the driver's pool", () =>
  Effect.gen(function* () {
    const days = "25 days"
    const settings = yield* settingsOf({
      connectionTTL: 0,
      idleTimeout: 0,
      connectTimeout: Infinity,
      acquireTimeout: days,
      multiplex: true,
      multiplexConcurrency: 5_000
    })
    assert.deepInclude(settings, {
      maxLifetimeMs: 0,
      keepaliveMs: Infinity,
      idleTimeoutMs: 0,
      connectTimeoutMs: Infinity,
      acquireTimeoutMs: 25 * 24 * 3_600_000,
      concurrency: 5_000
    })
    const forEver = yield* settingsOf({ acquireTimeout: Infinity, drainTimeout: Infinity, deadline: Infinity })
    assert.deepInclude(forEver, { acquireTimeoutMs: Infinity, drainMs: Infinity, deadlineMs: undefined })
    const url = Redacted.make("postgres://me@db/x?connect_timeout=0")
    assert.strictEqual((yield* settingsOf({ url })).connectTimeoutMs, Infinity)
  })
)

const sizes = ({ max, min }: PoolSettings.Settings) => [min, max]

it.effect("raises the default maximum to minConnections", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual(sizes(yield* settingsOf({})), [1, 3])
    assert.deepStrictEqual(sizes(yield* settingsOf({ minConnections: 5 })), [5, 5])
    assert.deepStrictEqual(sizes(yield* settingsOf({ minConnections: 2 })), [2, 3])
    assert.deepStrictEqual(sizes(yield* settingsOf({ minConnections: 0, maxConnections: 1 })), [0, 1])
  })
)

it.effect("accepts connectionTTL as the maximum lifetime", () =>
  Effect.gen(function* () {
    const settings = yield* settingsOf({ connectionTTL: "1 minute" })
    assert.strictEqual(settings.maxLifetimeMs, 60_000)
    assert.isBelow(settings.keepaliveMs, 60_000)
  })
)
