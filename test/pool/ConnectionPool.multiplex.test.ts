/**
 * Connections that statements of several callers share, on virtual time.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import { advance, type FakePool, make as setup, type Options, reasonOf, scoped, settle } from "../utils/FakePool.ts"
import * as Stream from "effect/Stream"
import * as FakeSessions from "../utils/FakeSessions.ts"

it.effect("returns all results on a shared connection with an expired statement, on a full server", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run, stats } = yield* setup({ multiplex: true, maxConnections: 1 })
      yield* settle
      const late = run("sleep 200").pipe(ConnectionPool.withDeadline("100 millis"), Effect.flip)
      const first = yield* Effect.forkChild(late)
      const neighbour = yield* Effect.forkChild(run("sleep 1000"))
      yield* settle
      database.refusing = FakeSessions.refused()
      yield* advance(100)
      assert.strictEqual(reasonOf(yield* Fiber.join(first))._tag, "QueryTimeout")
      const next = yield* Effect.forkChild(run("next"))
      yield* advance(1_100)
      yield* Fiber.join(neighbour)
      assert.isTrue(database.sessions[0]!.isOpen)
      database.refusing = undefined
      yield* advance(100)
      yield* Fiber.join(next)
      assert.deepStrictEqual(
        database.sessions.map((session) => [session.isOpen, session.beside]),
        [
          [false, false],
          [false, true],
          [true, false]
        ]
      )
      assert.strictEqual(stats().closed.cancelled, 1)
    })
  )
)

it.effect("begins no transaction on a connection that is being terminated", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run, sql } = yield* setup({ multiplex: true, maxConnections: 1 })
      yield* settle
      const late = yield* Effect.forkChild(
        Effect.flip(run("sleep 500").pipe(ConnectionPool.withDeadline("100 millis")))
      )
      yield* settle
      const transaction = yield* Effect.forkChild(sql.withTransaction(run("inside")))
      yield* advance(100)
      yield* Fiber.join(late)
      yield* advance(10)
      yield* Fiber.join(transaction)
      assert.deepStrictEqual(database.openSessions()[0]!.statements, ["BEGIN", "inside", "COMMIT"])
    })
  )
)

/** Runs with a stranger's statement of nine seconds on the only connection that is open. */
const beside = (options: Options) =>
  Effect.gen(function* () {
    const pool = yield* setup({ multiplex: true, drainTimeout: 0, ...options })
    yield* settle
    const stranger = yield* Effect.forkChild(pool.run("sleep 9000"))
    yield* settle
    return { ...pool, stranger }
  })

/** The operations that need an exclusive connection. */
const alone: ReadonlyArray<readonly [string, (pool: FakePool) => Effect.Effect<unknown, unknown>]> = [
  ["transaction", ({ run, sql }) => sql.withTransaction(run("inside"))],
  ["stream", ({ sql }) => Stream.runDrain(sql.unsafe("inside").stream)],
  ["reservation", ({ sql }) => Effect.scoped(sql.reserve)],
  ["listener", ({ sql }) => Effect.scoped(sql.listen("news"))]
]

for (const [name, ask] of alone) {
  it.effect(`bounds the wait of a ${name} for another caller's statement by the acquire timeout`, () =>
    scoped(
      Effect.gen(function* () {
        const pool = yield* beside({ maxConnections: 1, acquireTimeout: "2 seconds" })
        const caller = yield* Effect.forkChild(Effect.flip(ask(pool)))
        yield* settle
        assert.strictEqual(pool.stats().waiting, 1)
        yield* advance(2_000)
        assert.strictEqual(reasonOf(yield* Fiber.join(caller))._tag, "PoolExhausted")
        yield* pool.run("after").pipe(Effect.forkChild)
        yield* advance(7_000)
        yield* Fiber.join(pool.stranger)
        yield* settle
        assert.deepStrictEqual([pool.stats().inUse, pool.stats().waiting], [0, 0])
        assert.deepStrictEqual(pool.database.sessions[0]!.statements, ["sleep 9000", "after"])
      })
    )
  )

  it.effect(`bounds the wait of a ${name} for another caller's statement by its deadline`, () =>
    scoped(
      Effect.gen(function* () {
        const pool = yield* beside({ maxConnections: 1 })
        const caller = yield* ask(pool).pipe(ConnectionPool.withDeadline("300 millis"), Effect.flip, Effect.forkChild)
        yield* advance(300)
        assert.strictEqual(reasonOf(yield* Fiber.join(caller))._tag, "PoolExhausted")
      })
    )
  )

  it.effect(`interrupts a ${name} without waiting for another caller's statement`, () =>
    scoped(
      Effect.gen(function* () {
        const pool = yield* beside({ maxConnections: 1 })
        const caller = yield* Effect.forkChild(ask(pool))
        yield* advance(300)
        yield* Fiber.interrupt(caller)
        yield* settle
        // The connection accepts callers immediately, and no statement was ended.
        yield* pool.run("next").pipe(Effect.forkChild)
        yield* settle
        assert.deepStrictEqual(pool.database.sessions[0]!.statements, ["sleep 9000", "next"])
        assert.deepStrictEqual(pool.database.violations, [])
      })
    )
  )
}

it.effect("opens another connection for a transaction instead of waiting", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run, sql, stats, stranger } = yield* beside({ maxConnections: 3 })
      database.connectMs = 100
      const transaction = yield* Effect.forkChild(sql.withTransaction(run("sleep 300")))
      yield* advance(100)
      assert.deepStrictEqual(database.sessions[1]!.statements, ["BEGIN", "sleep 300"])
      // The stranger's connection takes new callers again.
      yield* run("beside the stranger").pipe(Effect.forkChild)
      yield* settle
      assert.deepStrictEqual(database.sessions[0]!.statements, ["sleep 9000", "beside the stranger"])
      yield* advance(300)
      yield* Fiber.join(transaction)
      yield* advance(9_000)
      yield* Fiber.join(stranger)
      assert.deepStrictEqual([stats().inUse, stats().total], [0, 2])
    })
  )
)

it.effect("leases a transaction the first free connection, though another is being opened", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run, sql, stats, stranger } = yield* beside({ maxConnections: 2, acquireTimeout: "1 minute" })
      database.connectMs = 10_000
      const transaction = yield* Effect.forkChild(sql.withTransaction(run("inside")))
      yield* advance(4_000)
      assert.strictEqual(stats().opening, 1)
      yield* advance(5_000)
      yield* Fiber.join(stranger)
      yield* Fiber.join(transaction)
      assert.deepStrictEqual(database.sessions[0]!.statements, ["sleep 9000", "BEGIN", "inside", "COMMIT"])
    })
  )
)

it.effect("leases a transaction another connection when the awaited one breaks", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run, sql, stranger } = yield* beside({ maxConnections: 1 })
      const transaction = yield* Effect.forkChild(sql.withTransaction(run("inside")))
      yield* advance(1_000)
      database.sessions[0]!.kill()
      yield* settle
      assert.strictEqual(reasonOf(yield* Effect.flip(Fiber.join(stranger)))._tag, "DatabaseUnavailable")
      yield* Fiber.join(transaction)
      assert.deepStrictEqual(database.sessions[1]!.statements, ["BEGIN", "inside", "COMMIT"])
    })
  )
)

it.effect("leases one connection to waiting transactions one at a time", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run, sql, stats } = yield* setup({ multiplex: true, maxConnections: 1, validationWindow: 0 })
      yield* settle
      const mixed = Array.from({ length: 12 }, (_, index) =>
        index % 3 === 0 ? run("sleep 20") : sql.withTransaction(run("sleep 30"))
      )
      const callers = yield* Effect.forEach(mixed, (program) => Effect.forkChild(program))
      for (let index = 0; index < 60; index++) yield* advance(10)
      yield* Effect.forEach(callers, Fiber.join)
      assert.deepStrictEqual(database.violations, [])
      assert.deepStrictEqual([stats().inUse, stats().waiting, stats().total], [0, 0, 1])
    })
  )
)
