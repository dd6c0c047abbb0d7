/**
 * The pool's logic on virtual time: leasing, retaining and opening connections.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import { advance, make as setup, reasonOf, scoped, settle, type Options } from "../utils/FakePool.ts"
import * as FakeSessions from "../utils/FakeSessions.ts"

it.effect("maintains the minimum and grows to the maximum", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run, stats } = yield* setup({ minConnections: 1, maxConnections: 3 })
      yield* settle
      assert.strictEqual(stats().idle, 1)
      const fibers = yield* Effect.forEach([1, 2, 3, 4, 5], () => Effect.forkChild(run("sleep 100")))
      yield* settle
      assert.strictEqual(stats().inUse, 3)
      assert.strictEqual(stats().waiting, 2)
      yield* advance(100)
      yield* advance(100)
      yield* Effect.forEach(fibers, Fiber.join)
      assert.strictEqual(database.asked, 3)
    })
  )
)

it.effect("serves waiting callers in FIFO order", () =>
  scoped(
    Effect.gen(function* () {
      const { run } = yield* setup({ maxConnections: 1 })
      const order: Array<number> = []
      const fibers: Array<Fiber.Fiber<unknown, SqlError>> = []
      for (let index = 0; index < 8; index++) {
        const served = run("sleep 10").pipe(Effect.andThen(Effect.sync(() => order.push(index))))
        fibers.push(yield* Effect.forkChild(served))
        yield* settle
      }
      for (let index = 0; index < 8; index++) yield* advance(10)
      yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(order, [0, 1, 2, 3, 4, 5, 6, 7])
    })
  )
)

it.effect("fails with PoolExhausted and the pool's stats after the acquire timeout", () =>
  scoped(
    Effect.gen(function* () {
      const { run, sql, stats } = yield* setup({ minConnections: 0, maxConnections: 2 })
      yield* sql.reserve
      yield* sql.reserve
      const waiter = yield* Effect.forkChild(Effect.flip(run("late")))
      yield* advance(4_990)
      assert.strictEqual(stats().waiting, 1)
      yield* advance(10)
      const error = yield* Fiber.join(waiter)
      const reason = reasonOf(error)
      assert.strictEqual(reason._tag, "PoolExhausted")
      assert.isTrue(reason.isRetryable)
      assert.strictEqual(reason.stats.inUse, 2)
      assert.strictEqual(reason.stats.waiting, 1)
      assert.include((error as SqlError).message, "exhausted")
      assert.strictEqual(stats().waiting, 0)
      assert.strictEqual(stats().exhausted, 1)
    })
  )
)

it.effect("catches one reason by its name and passes other errors through", () =>
  scoped(
    Effect.gen(function* () {
      const { run, sql } = yield* setup({ minConnections: 0, maxConnections: 1, maxWaiters: 0 })
      yield* sql.reserve
      const inUse = ConnectionPool.catchReason(run("x"), "PoolExhausted", ({ stats }) => Effect.succeed(stats.inUse))
      assert.strictEqual(yield* inUse, 1)
      const other = run("x").pipe(ConnectionPool.catchReason("PoolClosed", () => Effect.succeed("closed")))
      assert.strictEqual(reasonOf(yield* Effect.flip(other))._tag, "PoolExhausted")
      const unrelated = ConnectionPool.catchReason(Effect.fail("other"), "PoolClosed", () => Effect.succeed("closed"))
      assert.strictEqual(yield* Effect.flip(unrelated), "other")
    })
  )
)

it.effect("rejects callers beyond maxWaiters immediately", () =>
  scoped(
    Effect.gen(function* () {
      const { run, sql } = yield* setup({ maxConnections: 1, maxWaiters: 2 })
      yield* sql.reserve
      yield* Effect.forEach([1, 2], () => Effect.forkChild(Effect.ignore(run("x"))))
      yield* settle
      assert.strictEqual(reasonOf(yield* Effect.flip(run("x")))._tag, "PoolExhausted")
    })
  )
)

it.effect("opens connections with maxWaiters 0", () =>
  scoped(
    Effect.gen(function* () {
      const { run } = yield* setup({ minConnections: 0, maxConnections: 2, maxWaiters: 0 })
      const served = yield* Effect.forEach([1, 2], () => Effect.forkChild(run("sleep 10")))
      yield* settle
      assert.strictEqual(reasonOf(yield* Effect.flip(run("x")))._tag, "PoolExhausted")
      yield* advance(10)
      yield* Effect.forEach(served, Fiber.join)
      yield* run("x")
    })
  )
)

it.effect("leases idle connections with maxWaiters 0", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run, stats } = yield* setup({ minConnections: 2, maxConnections: 2, maxWaiters: 0 })
      yield* settle
      yield* advance(1_000)
      database.silent = true
      const first = yield* Effect.forkChild(Effect.exit(run("a")))
      yield* settle
      assert.strictEqual(stats().idle, 1)
      const second = yield* Effect.forkChild(Effect.exit(run("b")))
      yield* settle
      assert.isUndefined(second.pollUnsafe())
      yield* Effect.forEach([first, second], Fiber.interrupt)
    })
  )
)

it.effect("does not count callers in validation as waiting", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run } = yield* setup({ minConnections: 1, maxConnections: 1, maxWaiters: 1 })
      yield* settle
      yield* advance(1_000)
      database.silent = true
      const callers = yield* Effect.forEach([1, 2], () => Effect.forkChild(Effect.exit(run("a"))))
      yield* settle
      assert.deepStrictEqual(
        callers.map((caller) => caller.pollUnsafe()),
        [undefined, undefined]
      )
      assert.strictEqual(reasonOf(yield* Effect.flip(run("b")))._tag, "PoolExhausted")
      yield* Effect.forEach(callers, Fiber.interrupt)
    })
  )
)

it.effect("rejects excess callers with DatabaseUnavailable while the database is unavailable", () =>
  scoped(
    Effect.gen(function* () {
      const database = FakeSessions.make()
      database.silent = true
      const { run, stats } = yield* setup({ minConnections: 0, maxConnections: 3, maxWaiters: 2 }, database)
      const silent = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(Effect.flip(run("x"))))
      yield* advance(5_000)
      for (const caller of silent) assert.strictEqual(reasonOf(yield* Fiber.join(caller))._tag, "DatabaseUnavailable")
      assert.strictEqual(stats().exhausted, 0)
    })
  )
)

it.effect("rejects callers with the cause of failing connects", () =>
  scoped(
    Effect.gen(function* () {
      const database = FakeSessions.make()
      database.refusing = FakeSessions.refused()
      const options: Options = { minConnections: 0, maxConnections: 1, maxWaiters: 0, connectBackoff: "1 second" }
      const { run } = yield* setup(options, database)
      yield* Effect.forkChild(Effect.ignore(run("x")))
      yield* settle
      const reason = reasonOf(yield* Effect.flip(run("x")))
      assert.strictEqual(reason._tag === "DatabaseUnavailable" && reason.problem, "refused")
    })
  )
)

it.effect("skips interrupted waiters", () =>
  scoped(
    Effect.gen(function* () {
      const { run, sql, stats } = yield* setup({ maxConnections: 1 })
      const scope = yield* Scope.make()
      yield* Scope.provide(sql.reserve, scope)
      const leaver = yield* Effect.forkChild(run("left"))
      const stayer = yield* Effect.forkChild(run("stayed"))
      yield* settle
      yield* Fiber.interrupt(leaver)
      assert.strictEqual(stats().waiting, 1)
      yield* Scope.close(scope, Exit.void)
      yield* Fiber.join(stayer)
      assert.strictEqual(stats().inUse, 0)
    })
  )
)

it.effect("closes connections past the idle timeout, down to the minimum", () =>
  scoped(
    Effect.gen(function* () {
      const { run, stats } = yield* setup({
        minConnections: 1,
        maxConnections: 4,
        idleTimeout: "1 minute",
        maxLifetime: "1 hour"
      })
      yield* Effect.forEach([1, 2, 3, 4], () => Effect.forkChild(run("sleep 10")))
      yield* settle
      yield* advance(10)
      assert.strictEqual(stats().idle, 4)
      yield* advance(59_000)
      assert.strictEqual(stats().idle, 4)
      yield* advance(2_000)
      assert.strictEqual(stats().idle, 1)
      assert.strictEqual(stats().closed.idle, 3)
    })
  )
)

it.effect("closes connections past their jittered lifetime and refills to the minimum", () =>
  scoped(
    Effect.gen(function* () {
      const { core, stats } = yield* setup({
        minConnections: 3,
        maxConnections: 3,
        maxLifetime: "10 minutes",
        lifetimeJitter: 0.1,
        keepaliveInterval: "9 minutes"
      })
      yield* settle
      const ends = [...core.sessions].map((connection) => connection.expiresAt)
      for (const end of ends) {
        assert.isAtLeast(end, 9 * 60_000)
        assert.isAtMost(end, 10 * 60_000)
      }
      assert.strictEqual(new Set(ends).size, 3)
      yield* advance(8 * 60_000)
      assert.strictEqual(stats().closed.lifetime, 0)
      yield* advance(2 * 60_000 + 10)
      assert.isAtLeast(stats().closed.lifetime, 3)
      assert.strictEqual(stats().idle, 3)
    })
  )
)

it.effect("validates a connection before a lease outside the validation window", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run } = yield* setup({ validationWindow: "500 millis" })
      yield* run("a")
      yield* advance(400)
      yield* run("b")
      assert.deepStrictEqual(database.sessions[0]!.statements, ["a", "b"])
      yield* advance(600)
      yield* run("c")
      assert.deepStrictEqual(database.sessions[0]!.statements, ["a", "b", "SELECT 1", "c"])
    })
  )
)

it.effect("replaces a connection that fails its validation", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run, stats } = yield* setup({ maxConnections: 1, validationTimeout: "1 second" })
      yield* run("a")
      yield* advance(1_000)
      database.silent = true
      const caller = yield* Effect.forkChild(run("b"))
      yield* settle
      database.silent = false
      yield* advance(1_000)
      yield* Fiber.join(caller)
      assert.strictEqual(stats().closed.validation, 1)
      assert.strictEqual(database.sessions.length, 2)
    })
  )
)

for (const maxConnections of [1, 3]) {
  it.effect(`reports a failed validation as DatabaseUnavailable, ${maxConnections} at most`, () =>
    scoped(
      Effect.gen(function* () {
        const { database, run, stats } = yield* setup({ minConnections: 1, maxConnections })
        yield* run("a")
        yield* advance(1_000)
        database.silent = true
        const ask = Effect.flip(run("b").pipe(ConnectionPool.withDeadline("200 millis")))
        const callers = yield* Effect.forEach([1, 2], () => Effect.forkChild(ask))
        yield* settle
        yield* advance(200)
        for (const caller of callers) {
          const reason = reasonOf(yield* Fiber.join(caller))
          assert.strictEqual(reason._tag, "DatabaseUnavailable")
          if (reason._tag === "DatabaseUnavailable") assert.strictEqual(reason.problem, "unreachable")
        }
        assert.deepStrictEqual([stats().exhausted, stats().unavailable], [0, 2])
      })
    )
  )
}

it.effect("validates idle connections periodically and replaces dead ones", () =>
  scoped(
    Effect.gen(function* () {
      const { database, stats } = yield* setup({ keepaliveInterval: "2 minutes" })
      yield* settle
      yield* advance(2 * 60_000 + 10)
      assert.deepStrictEqual(database.sessions[0]!.statements, ["SELECT 1"])
      database.silent = true
      yield* advance(2 * 60_000 + 10)
      database.silent = false
      yield* advance(1_000)
      assert.strictEqual(stats().closed.validation, 1)
      assert.strictEqual(stats().idle, 1)
    })
  )
)

it.effect("replaces a killed idle connection in the background", () =>
  scoped(
    Effect.gen(function* () {
      const { database, stats } = yield* setup({ minConnections: 2 })
      yield* settle
      database.sessions[0]!.kill()
      yield* settle
      assert.strictEqual(stats().idle, 2)
      assert.strictEqual(stats().closed.lost, 1)
    })
  )
)

it.effect("retries a refused connect twice with growing pauses, then fails with refused", () =>
  scoped(
    Effect.gen(function* () {
      const database = FakeSessions.make()
      database.refusing = FakeSessions.refused()
      const { run, stats } = yield* setup({ minConnections: 0 }, database)
      const caller = yield* Effect.forkChild(Effect.flip(run("a")))
      yield* settle
      assert.strictEqual(database.asked, 1)
      yield* advance(79)
      assert.strictEqual(database.asked, 1)
      yield* advance(1_000)
      const reason = reasonOf(yield* Fiber.join(caller))
      assert.isTrue(reason._tag === "DatabaseUnavailable" && reason.problem === "refused" && !reason.breakerOpen)
      assert.strictEqual(database.asked, 3)
      assert.strictEqual(stats().total, 0)
    })
  )
)

/** How often a pool with this password tries to connect to a server that does not take it. */
const tries = (password: NonNullable<Options["password"]>) =>
  Effect.gen(function* () {
    const database = FakeSessions.make()
    database.refusing = FakeSessions.wrongPassword()
    const { run } = yield* setup({ minConnections: 0, password }, database)
    const caller = yield* Effect.forkChild(Effect.flip(run("a")))
    yield* settle
    yield* advance(1_000)
    const reason = reasonOf(yield* Fiber.join(caller))
    assert.isTrue(reason._tag === "DatabaseUnavailable" && reason.problem === "authentication")
    return database.asked
  })

it.effect("retries a rejected password only if it is an Effect", () =>
  scoped(
    Effect.gen(function* () {
      assert.strictEqual(yield* tries(Redacted.make("fixed")), 1)
      assert.strictEqual(yield* tries(Effect.succeed(Redacted.make("rotated"))), 3)
    })
  )
)

it.effect("opens the breaker after five consecutive failures and closes it after the reset timeout", () =>
  scoped(
    Effect.gen(function* () {
      const database = FakeSessions.make()
      database.refusing = FakeSessions.refused()
      const { run } = yield* setup({ minConnections: 0, connectRetries: 0, breakerResetTimeout: "1 second" }, database)
      for (let index = 0; index < 5; index++) yield* Effect.flip(run("a"))
      assert.strictEqual(database.asked, 5)
      const reason = reasonOf(yield* Effect.flip(run("a")))
      assert.isTrue(reason._tag === "DatabaseUnavailable" && reason.breakerOpen)
      assert.strictEqual(database.asked, 5)
      database.refusing = undefined
      yield* advance(1_000)
      yield* run("b")
      assert.strictEqual(database.asked, 6)
    })
  )
)

it.effect("waits for the one open connection when no other can be opened", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run } = yield* setup({ minConnections: 1, maxConnections: 3 })
      yield* settle
      database.refusing = FakeSessions.refused()
      const fibers = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(run("sleep 1000")))
      yield* settle
      for (let index = 0; index < 4; index++) yield* advance(1_000)
      yield* Effect.forEach(fibers, Fiber.join)
      assert.strictEqual(database.sessions.length, 1)
    })
  )
)

it.effect("stops opening connections that are no longer needed", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run } = yield* setup({ minConnections: 1, maxConnections: 50 })
      yield* settle
      database.connectMs = 150
      const fibers = yield* Effect.forEach(Array.from({ length: 50 }), () => Effect.forkChild(run("sleep 2")))
      for (let index = 0; index < 200; index++) yield* advance(2)
      yield* Effect.forEach(fibers, Fiber.join)
      for (let index = 0; index < 40; index++) yield* advance(150)
      assert.isAtMost(database.sessions.length, 5)
    })
  )
)

it.effect("resets the session before the next caller", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run, sql } = yield* setup({ maxConnections: 1 })
      yield* run("SET search_path = elsewhere")
      yield* run("SELECT pg_advisory_lock(1)")
      yield* run("SELECT 1 AS plain")
      yield* Effect.scoped(
        Effect.flatMap(sql.reserve, (connection) =>
          Effect.andThen(connection.execute("BEGIN", [], undefined), connection.execute("LISTEN news", [], undefined))
        )
      )
      assert.deepStrictEqual(database.sessions[0]!.statements, [
        "SET search_path = elsewhere",
        "SET SESSION AUTHORIZATION DEFAULT",
        "RESET ALL",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_advisory_unlock_all()",
        "SELECT 1 AS plain",
        "BEGIN",
        "LISTEN news",
        "ROLLBACK",
        "UNLISTEN *"
      ])
    })
  )
)

it.effect("closes a connection that can't be reset", () =>
  scoped(
    Effect.gen(function* () {
      const { run, stats } = yield* setup({ maxConnections: 1 })
      yield* run("PREPARE mine AS SELECT 1")
      yield* settle
      assert.strictEqual(stats().closed.dirty, 1)
      yield* run("next")
    })
  )
)

it.effect("fails waiters at shutdown, drains connections in use, and destroys the rest", () =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const { database, run, sql } = yield* setup({ maxConnections: 2, drainTimeout: "5 seconds" }).pipe(
      Scope.provide(scope)
    )
    const quick = yield* Effect.forkChild(run("sleep 2000"))
    yield* settle
    const stuck = yield* Effect.forkChild(Effect.flip(sql.withTransaction(run("sleep 60000"))))
    yield* settle
    const waiting = yield* Effect.forkChild(Effect.flip(run("x")))
    yield* settle
    const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
    yield* settle
    assert.strictEqual(reasonOf(yield* Fiber.join(waiting))._tag, "PoolClosed")
    const refused = reasonOf(yield* Effect.flip(run("y")))
    assert.strictEqual(refused._tag, "PoolClosed")
    assert.isFalse(refused.isRetryable)
    yield* advance(2_000)
    yield* Fiber.join(quick)
    assert.isUndefined(closing.pollUnsafe())
    yield* advance(3_000)
    yield* Fiber.join(closing)
    assert.strictEqual(reasonOf(yield* Fiber.join(stuck))._tag, "PoolClosed")
    assert.deepStrictEqual(database.openSessions(), [])
  }).pipe(Effect.provide(Reactivity.layer))
)
