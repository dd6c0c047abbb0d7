/**
 * The control operations of a pool, and its rejections, on virtual time.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Logger from "effect/Logger"
import type { SqlError } from "effect/sql/SqlError"
import * as PgPoolClient from "../../src/pool/internal/pgClient.ts"
import { advance, type FakePool, make as setup, reasonOf, scoped, settle } from "../utils/FakePool.ts"
import * as FakeSessions from "../utils/FakeSessions.ts"

const statementsOf = ({ database }: FakePool) =>
  database.sessions.map(({ statements }) => statements).filter(({ length }) => length > 0)

const controlling = [
  "BEGIN",
  "begin isolation level serializable",
  "/* mine */ BEGIN",
  "-- mine\nBEGIN",
  "START TRANSACTION READ ONLY",
  "COMMIT",
  "COMMIT AND CHAIN",
  "END",
  "ROLLBACK",
  "ABORT",
  "ROLLBACK TO SAVEPOINT one",
  "SAVEPOINT one",
  "RELEASE SAVEPOINT one",
  "PREPARE TRANSACTION 'one'"
]

for (const multiplex of [false, true]) {
  it.effect.each(controlling)(`refuses %s as a separate statement without sending it, multiplex ${multiplex}`, (text) =>
    scoped(
      Effect.gen(function* () {
        const pool = yield* setup({ multiplex })
        for (const sent of [pool.run(text), pool.sql.unsafe(text).raw, pool.sql.unsafe(text).values]) {
          const error = yield* Effect.flip(sent as Effect.Effect<unknown, SqlError>)
          assert.strictEqual(reasonOf(error)._tag, "TransactionStatementRefused")
          assert.include(error.message, "sql.withTransaction")
          assert.isFalse(error.isRetryable)
        }
        yield* pool.run("next")
        assert.deepStrictEqual(statementsOf(pool), [["next"]])
        assert.strictEqual(pool.stats().inUse, 0)
      })
    )
  )
}

it.effect(
  "a transaction of a connection that is held can be controlled by hand, and a prepared one from anywhere",
  () =>
    scoped(
      Effect.gen(function* () {
        const pool = yield* setup({ maxConnections: 1 })
        yield* Effect.scoped(
          Effect.flatMap(pool.sql.reserve, (connection) =>
            Effect.forEach(["BEGIN", "SAVEPOINT one", "COMMIT"], (text) => connection.execute(text, [], undefined))
          )
        )
        yield* pool.run("COMMIT PREPARED 'one'")
        yield* pool.run("ROLLBACK PREPARED 'one'")
        assert.deepStrictEqual(statementsOf(pool), [
          ["BEGIN", "SAVEPOINT one", "COMMIT", "COMMIT PREPARED 'one'", "ROLLBACK PREPARED 'one'"]
        ])
      })
    )
)

it.effect("repeats connectionInitSql only after a reset", () =>
  scoped(
    Effect.gen(function* () {
      const pool = yield* setup({ maxConnections: 1, connectionInitSql: ["SET a = 1", "SET b = 2"] })
      yield* pool.run("plain")
      yield* pool.sql.withTransaction(pool.run("inside"))
      yield* pool.run("SET a = 5")
      assert.deepStrictEqual(statementsOf(pool), [
        [
          "plain",
          "BEGIN",
          "inside",
          "COMMIT",
          "SET a = 5",
          "SET SESSION AUTHORIZATION DEFAULT",
          "RESET ALL",
          "SET a = 1",
          "SET b = 2"
        ]
      ])
    })
  )
)

it.effect("evicts a session that refuses to write", () =>
  scoped(
    Effect.gen(function* () {
      const pool = yield* setup({ maxConnections: 1 })
      const error = yield* Effect.flip(pool.run("fail 25006"))
      assert.isFalse(error.isRetryable)
      yield* settle
      yield* pool.run("next")
      assert.deepStrictEqual(statementsOf(pool), [["fail 25006"], ["next"]])
      assert.strictEqual(pool.stats().closed.readOnly, 1)
    })
  )
)

for (const target of ["primary", "preferPrimary"] as const) {
  it.effect(`makes a refusal to write retryable with ${target}, within a transaction and outside`, () =>
    scoped(
      Effect.gen(function* () {
        const pool = yield* setup({ maxConnections: 2, target })
        for (const write of [pool.run("fail 25006"), pool.sql.withTransaction(pool.run("fail 25006"))]) {
          const error = yield* Effect.flip(write)
          const reason = reasonOf(error)
          assert.strictEqual(reason._tag === "DatabaseUnavailable" && reason.problem, "readOnly")
          assert.isTrue(error.isRetryable)
          assert.include(error.message, "failed by 25006")
          yield* settle
        }
        assert.deepStrictEqual(statementsOf(pool), [["fail 25006"], ["BEGIN", "fail 25006", "ROLLBACK"]])
        assert.strictEqual(pool.stats().closed.readOnly, 2)
      })
    )
  )
}

it.effect("retains the session after a requested refusal to write", () =>
  scoped(
    Effect.gen(function* () {
      const asked = yield* setup({ maxConnections: 1, target: "primary" })
      for (const begin of ["BEGIN READ ONLY", "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ  ONLY"]) {
        yield* Effect.scoped(
          Effect.flatMap(asked.sql.reserve, (connection) =>
            Effect.andThen(
              connection.execute(begin, [], undefined),
              Effect.ignore(connection.execute("fail 25006", [], undefined))
            )
          )
        )
      }
      yield* asked.run("next")
      const standby = yield* setup({ maxConnections: 1, target: "standby" })
      yield* Effect.ignore(standby.run("fail 25006"))
      yield* standby.run("next")
      assert.deepStrictEqual([asked.stats().created, standby.stats().created], [1, 1])
      // A request of one holder does not affect the next.
      yield* Effect.ignore(asked.run("fail 25006"))
      yield* settle
      assert.strictEqual(asked.stats().closed.readOnly, 1)
    })
  )
)

it.effect("closes idle connections immediately and those in use on return with evictAll", () =>
  scoped(
    Effect.gen(function* () {
      const pool = yield* setup({ minConnections: 2, maxConnections: 2 })
      const release = yield* Latch.make()
      const holder = yield* Effect.forkChild(pool.sql.withTransaction(release.await))
      yield* settle
      yield* pool.core.evictAll()
      yield* settle
      assert.deepStrictEqual(
        pool.database.sessions.map(({ isOpen }) => isOpen),
        [true, false, true]
      )
      yield* release.open
      yield* Fiber.join(holder)
      yield* settle
      assert.strictEqual(pool.stats().closed.evicted, 2)
      assert.deepStrictEqual(
        pool.database.openSessions().map(({ id }) => id),
        [2, 3]
      )
    })
  )
)

it.effect("closes an evicted connection on return, and ignores those of other pools", () =>
  scoped(
    Effect.gen(function* () {
      const pool = yield* setup({ maxConnections: 1 })
      const other = yield* setup({ maxConnections: 1 })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const connection = yield* pool.sql.reserve
          yield* PgPoolClient.evict(other.core, connection)
          yield* PgPoolClient.evict(pool.core, connection)
          yield* connection.execute("still", [], undefined)
        })
      )
      yield* pool.run("next")
      assert.deepStrictEqual(statementsOf(pool), [["still"], ["next"]])
      assert.deepStrictEqual([pool.stats().closed.evicted, other.stats().closed.evicted], [1, 0])
    })
  )
)

it.effect("lets holders continue while suspended, and serves waiting callers on resume", () =>
  scoped(
    Effect.gen(function* () {
      const pool = yield* setup({ maxConnections: 1, acquireTimeout: 1_000, validationWindow: Infinity })
      const asked = ["a", "b"].map((text) => pool.run(text))
      yield* pool.sql.withTransaction(
        Effect.gen(function* () {
          pool.core.suspend()
          pool.core.suspend()
          yield* pool.run("inside")
        })
      )
      const waiting = yield* Effect.forkChild(Effect.all([...asked, pool.sql.withTransaction(pool.run("c"))]))
      yield* advance(900)
      assert.isUndefined(waiting.pollUnsafe())
      assert.isTrue(pool.stats().suspended)
      pool.core.resume()
      yield* Fiber.join(waiting)
      assert.isFalse(pool.stats().suspended)
      assert.deepStrictEqual(statementsOf(pool), [["BEGIN", "inside", "COMMIT", "a", "b", "BEGIN", "c", "COMMIT"]])
    })
  )
)

it.effect("fails with PoolExhausted when a suspension exceeds the acquire timeout", () =>
  scoped(
    Effect.gen(function* () {
      const pool = yield* setup({ maxConnections: 1, acquireTimeout: 1_000, maxWaiters: 0 })
      pool.core.suspend()
      const caller = yield* Effect.forkChild(Effect.flip(pool.run("a")))
      yield* advance(1_005)
      const error = yield* Fiber.join(caller)
      assert.strictEqual(reasonOf(error)._tag, "PoolExhausted")
      assert.include(error.message, "suspended")
    })
  )
)

it.effect("logs the return of a reported connection only", () =>
  scoped(
    Effect.gen(function* () {
      const logged: Array<string> = []
      const logger = Logger.make(({ message }) => {
        logged.push(String(message))
      })
      yield* Effect.gen(function* () {
        const pool = yield* setup({ maxConnections: 2, leakDetectionThreshold: 1_000 })
        const long = yield* Effect.forkChild(pool.sql.withTransaction(Effect.sleep(3_000)))
        const statement = yield* Effect.forkChild(pool.run("sleep 2500"))
        yield* settle
        yield* advance(1_000)
        yield* advance(5_000)
        yield* Fiber.join(long)
        yield* Fiber.join(statement)
        yield* pool.sql.withTransaction(pool.run("short"))
        yield* settle
      }).pipe(Effect.provide(Logger.layer([logger])))
      const held = "ConnectionPool: possible connection leak"
      const returned = "ConnectionPool: reported connection was returned"
      assert.deepStrictEqual(logged, [held, held, returned, returned])
    })
  )
)

it.effect("leases each connection once with a maximum lifetime of zero", () =>
  scoped(
    Effect.gen(function* () {
      const pool = yield* setup({ maxConnections: 1, connectionTTL: 0 })
      yield* settle
      for (const text of ["a", "b", "c"]) yield* pool.run(text)
      assert.deepStrictEqual(statementsOf(pool).slice(0, 3), [["a"], ["b"], ["c"]])
    })
  )
)

it.effect("fails with PoolExhausted while one connection responds", () =>
  scoped(
    Effect.gen(function* () {
      const pool = yield* setup({ minConnections: 3, maxConnections: 3, acquireTimeout: 1_000, drainTimeout: 0 })
      yield* settle
      const holder = pool.sql.withTransaction(Effect.forever(pool.run("sleep 100")))
      const busy = yield* Effect.forkChild(Effect.all([holder, holder], { concurrency: 2 }))
      yield* settle
      // The third is lost, and its replacement opens after all timeouts.
      pool.database.connectMs = 4_000
      for (const session of pool.database.openSessions()) if (session.pending.size === 0) session.kill()
      yield* advance(50)
      assert.deepInclude(pool.stats(), { inUse: 2, opening: 1 })
      const ask = Effect.flip(pool.run("next"))
      const callers = yield* Effect.forkChild(
        Effect.all(
          Array.from({ length: 50 }, () => ask),
          { concurrency: "unbounded" }
        )
      )
      yield* settle
      for (let index = 0; index < 22; index++) yield* advance(50)
      const errors = yield* Fiber.join(callers)
      assert.deepStrictEqual([...new Set(errors.map((error) => reasonOf(error)._tag))], ["PoolExhausted"])
      busy.interruptUnsafe()
    })
  )
)

it.effect("fails with DatabaseUnavailable when no connection has responded since the last failure", () =>
  scoped(
    Effect.gen(function* () {
      const pool = yield* setup({ minConnections: 1, maxConnections: 2, acquireTimeout: 1_000, connectRetries: 0 })
      yield* settle
      const holder = yield* Effect.forkChild(pool.sql.withTransaction(Effect.sleep(60_000)))
      yield* settle
      yield* advance(10)
      pool.database.refusing = FakeSessions.refused()
      const caller = yield* Effect.forkChild(Effect.flip(pool.run("a")))
      yield* advance(1_010)
      const reason = reasonOf(yield* Fiber.join(caller))
      assert.strictEqual(reason._tag === "DatabaseUnavailable" && reason.problem, "refused")
      assert.include(reason.message, "refused (ECONNREFUSED)")
      holder.interruptUnsafe()
    })
  )
)

it.effect("resumes paused openings when a connection opens", () =>
  scoped(
    Effect.gen(function* () {
      const pool = yield* setup({
        minConnections: 2,
        maxConnections: 2,
        connectRetries: 0,
        breakerFailures: 1,
        breakerResetTimeout: 1_000
      })
      yield* settle
      pool.database.refusing = FakeSessions.refused()
      for (const session of pool.database.openSessions()) session.kill()
      yield* settle
      yield* advance(700)
      pool.database.refusing = undefined
      // The breaker admits one attempt; the other is paused until a second after its own failure.
      yield* advance(300)
      yield* advance(5)
      assert.strictEqual(pool.database.openSessions().length, 2)
    })
  )
)

it.effect("restarts a connect without a response when the server responds again", () =>
  scoped(
    Effect.gen(function* () {
      const pool = yield* setup({ minConnections: 0, maxConnections: 1, acquireTimeout: 10_000 })
      pool.database.silent = true
      const caller = yield* Effect.forkChild(pool.run("a"))
      yield* advance(500)
      yield* advance(500)
      pool.database.silent = false
      yield* advance(499)
      assert.isUndefined(caller.pollUnsafe())
      yield* advance(1)
      yield* Fiber.join(caller)
      assert.deepStrictEqual([pool.database.asked, pool.database.opening, pool.stats().total], [2, 0, 1])
    })
  )
)

it.effect("continues a slow connect while the server responds", () =>
  scoped(
    Effect.gen(function* () {
      const pool = yield* setup({ minConnections: 0, maxConnections: 1, acquireTimeout: 10_000 })
      pool.database.connectMs = 4_000
      const caller = yield* Effect.forkChild(pool.run("a"))
      for (let index = 0; index < 40; index++) yield* advance(100)
      yield* Fiber.join(caller)
      assert.strictEqual(pool.database.asked, 1)
    })
  )
)
