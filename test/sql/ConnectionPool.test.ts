/**
 * The pool's logic on virtual time, with connections that only exist here.
 */
import { assert, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as Exit from "effect/Exit"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as ConnectionPool from "../../src/sql/ConnectionPool.ts"
import * as PgPoolClient from "../../src/sql/internal/pgClient.ts"
import * as PoolLifecycle from "../../src/sql/internal/poolLifecycle.ts"
import * as PoolSettings from "../../src/sql/internal/poolSettings.ts"
import * as FakeSessions from "../utils/FakeSessions.ts"

type Options = Partial<ConnectionPool.ConnectionPoolOptions>

const setup = (options: Options = {}, database = FakeSessions.make()) =>
  Effect.gen(function* () {
    const settings = yield* PoolSettings.resolve({ host: "fake", ...options })
    const core = yield* PoolLifecycle.make(settings, database.connector)
    const sql = yield* PgPoolClient.make(core, { username: "fake" })
    return { database, core, sql, stats: () => core.stats(), run: (text: string) => sql.unsafe(text) }
  })

const scoped = <A, E>(effect: Effect.Effect<A, E, Scope.Scope | Reactivity.Reactivity>) =>
  Effect.scoped(effect).pipe(Effect.provide(Reactivity.layer))

const reasonOf = (error: unknown) => Option.getOrThrow(ConnectionPool.fromSqlError(error as SqlError)).reason

/** Lets everything happen that can happen without time passing. */
const settle = TestClock.adjust(0).pipe(Effect.andThen(Effect.yieldNow), Effect.repeat({ times: 20 }))

const advance = (ms: number) => TestClock.adjust(ms).pipe(Effect.andThen(settle))

it.effect("keeps the minimum open and grows to the maximum", () =>
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

it.effect("serves waiters in the order they came", () =>
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

it.effect("a caller who gets no connection in time hears that the pool is exhausted, with its stats", () =>
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

it.effect("turns away whoever would be one waiter too many, at once", () =>
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

it.effect("where nobody may wait, callers still get the connections that can be opened", () =>
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

it.effect("callers too many for a database out of reach do not hear that the pool is exhausted", () =>
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

it.effect("who is turned away while connecting fails hears why it does", () =>
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

it.effect("a waiter who leaves is not served and blocks nobody", () =>
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

it.effect("closes what lies idle for too long, down to the minimum", () =>
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

it.effect("closes what is too old, each a little earlier by chance, and refills to the minimum", () =>
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

it.effect("pings before a borrow unless the connection has just answered", () =>
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

it.effect("replaces a connection that does not answer its ping, while the caller waits", () =>
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

it.effect("pings idle connections to keep them alive, and replaces the dead", () =>
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

it.effect("replaces a killed idle connection by itself", () =>
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

it.effect("tries to connect three times with growing pauses, then says that nothing listens", () =>
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

it.effect("tries a wrong password once, and one that is made anew for each try again", () =>
  scoped(
    Effect.gen(function* () {
      assert.strictEqual(yield* tries(Redacted.make("fixed")), 1)
      assert.strictEqual(yield* tries(Effect.succeed(Redacted.make("rotated"))), 3)
    })
  )
)

it.effect("stops trying after five failures in a row and starts again after a pause", () =>
  scoped(
    Effect.gen(function* () {
      const database = FakeSessions.make()
      database.refusing = FakeSessions.refused()
      const { run } = yield* setup({ minConnections: 0, connectRetries: 0, breakerPause: "1 second" }, database)
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

it.effect("a caller with one open connection waits for it though no other can be opened", () =>
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

it.effect("does not open what is not needed any more", () =>
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

it.effect("one deadline holds for the wait and the statement together", () =>
  scoped(
    Effect.gen(function* () {
      const { run, sql } = yield* setup({ maxConnections: 1 })
      const limited = (text: string) => Effect.flip(run(text)).pipe(ConnectionPool.withDeadline("100 millis"))

      const slow = yield* Effect.forkChild(limited("sleep 5000"))
      yield* advance(100)
      assert.strictEqual(reasonOf(yield* Fiber.join(slow))._tag, "QueryTimeout")
      yield* advance(300)

      const held = yield* Scope.make()
      yield* Scope.provide(sql.reserve, held)
      const queued = yield* Effect.forkChild(limited("x"))
      yield* advance(100)
      assert.strictEqual(reasonOf(yield* Fiber.join(queued))._tag, "PoolExhausted")

      const late = yield* Effect.forkChild(limited("sleep 5000"))
      yield* advance(60)
      yield* Scope.close(held, Exit.void)
      yield* settle
      yield* advance(40)
      assert.strictEqual(reasonOf(yield* Fiber.join(late))._tag, "QueryTimeout")
    })
  )
)

it.effect("a connection whose statement was cancelled is not used again", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run, stats } = yield* setup({ maxConnections: 1 })
      const caller = yield* Effect.forkChild(run("sleep 5000"))
      yield* settle
      yield* Fiber.interrupt(caller)
      yield* run("next")
      assert.deepStrictEqual(
        database.sessions.map((session) => session.statements),
        [["sleep 5000"], ["next"]]
      )
      assert.strictEqual(stats().closed.cancelled, 1)
    })
  )
)

it.effect("a connection whose statement can't be cancelled is ended, and its place taken only then", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run } = yield* setup({ maxConnections: 1 })
      database.cancelMs = 60_000
      const late = run("sleep 60000").pipe(ConnectionPool.withDeadline("100 millis"), Effect.flip)
      const caller = yield* Effect.forkChild(late)
      yield* advance(100)
      assert.strictEqual(reasonOf(yield* Fiber.join(caller))._tag, "QueryTimeout")
      const next = yield* Effect.forkChild(run("next"))
      yield* advance(200)
      assert.strictEqual(database.sessions.length, 1)
      yield* advance(50)
      yield* Fiber.join(next)
      assert.isFalse(database.sessions[0]!.isOpen)
    })
  )
)

it.effect("a server that is full hurts nobody who shares a connection with a late statement", () =>
  scoped(
    Effect.gen(function* () {
      const shared = FakeSessions.make({ multiplex: true })
      const { database, run, stats } = yield* setup({ multiplex: true, maxConnections: 1 }, shared)
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

it.effect("a transaction is not begun on a shared connection that ends for a late statement", () =>
  scoped(
    Effect.gen(function* () {
      const shared = FakeSessions.make({ multiplex: true })
      const { database, run, sql } = yield* setup({ multiplex: true, maxConnections: 1 }, shared)
      yield* settle
      const late = yield* Effect.forkChild(
        Effect.flip(run("sleep 500").pipe(ConnectionPool.withDeadline("100 millis")))
      )
      yield* settle
      const transaction = yield* Effect.forkChild(sql.withTransaction(run("inside")))
      yield* advance(100)
      yield* Fiber.join(late)
      yield* Fiber.join(transaction)
      assert.deepStrictEqual(database.openSessions()[0]!.statements, ["BEGIN", "inside", "COMMIT"])
    })
  )
)

it.effect("an interrupted caller does not wait for a server that is silent", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run } = yield* setup()
      database.cancelMs = 60_000
      const caller = yield* Effect.forkChild(run("sleep 60000"))
      yield* settle
      const leaving = yield* Effect.forkChild(Fiber.interrupt(caller))
      yield* advance(250)
      yield* Fiber.join(leaving)
    })
  )
)

it.effect("a deadline that has passed before is one that passed without a connection, whatever is asked for", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run, sql } = yield* setup({ minConnections: 1 })
      yield* settle
      const late = [run("x"), sql.withTransaction(run("x")), Stream.runDrain(sql.unsafe("x").stream)]
      for (const operation of late) {
        const reason = reasonOf(yield* Effect.flip(operation).pipe(ConnectionPool.withDeadline(0)))
        assert.strictEqual(reason._tag, "PoolExhausted")
      }
      assert.deepStrictEqual(database.sessions[0]!.statements, [])
    })
  )
)

it.effect("a rollback past the deadline has the time of a cancel", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run, sql } = yield* setup({ validationTimeout: "1 second" })
      yield* run("x")
      const goSilent = Effect.sync(() => {
        database.silent = true
      })
      const transaction = Effect.andThen(Effect.sleep(200), Effect.andThen(goSilent, Effect.fail("no" as const)))
      const limited = sql.withTransaction(transaction).pipe(ConnectionPool.withDeadline("200 millis"), Effect.flip)
      const caller = yield* Effect.forkChild(limited)
      yield* settle
      yield* advance(200)
      yield* advance(250)
      const ended = caller.pollUnsafe()
      yield* advance(60_000)
      assert.isDefined(ended)
    })
  )
)

it.effect("a stream that is interrupted does not wait for a server that is silent", () =>
  scoped(
    Effect.gen(function* () {
      const { database, sql, stats } = yield* setup()
      database.cancelMs = 60_000
      const caller = yield* Effect.forkChild(Stream.runDrain(sql.unsafe("rows").stream))
      yield* settle
      yield* Effect.forkChild(Fiber.interrupt(caller))
      yield* advance(250)
      const ended = caller.pollUnsafe()
      yield* advance(60_000)
      assert.isDefined(ended)
      assert.strictEqual(stats().closed.cancelled, 1)
    })
  )
)

it.effect("a stream that is interrupted and ends in time keeps its connection", () =>
  scoped(
    Effect.gen(function* () {
      const { database, sql, stats } = yield* setup()
      database.cancelMs = 100
      const caller = yield* Effect.forkChild(Stream.runDrain(sql.unsafe("rows").stream))
      yield* settle
      yield* Effect.forkChild(Fiber.interrupt(caller))
      yield* advance(1_000)
      assert.strictEqual(stats().idle, 1)
      assert.strictEqual(database.sessions.length, 1)
    })
  )
)

it.effect("the earlier of two deadlines holds, and the pool's own is for each statement", () =>
  scoped(
    Effect.gen(function* () {
      const { run } = yield* setup({ deadline: "1 second" })
      const inner = yield* run("sleep 5000").pipe(
        ConnectionPool.withDeadline("10 seconds"),
        ConnectionPool.withDeadline("50 millis"),
        Effect.flip,
        Effect.forkChild
      )
      yield* advance(50)
      assert.strictEqual(reasonOf(yield* Fiber.join(inner))._tag, "QueryTimeout")
      const two = yield* Effect.forkChild(Effect.andThen(run("sleep 800"), run("sleep 800")))
      yield* advance(800)
      yield* advance(800)
      yield* Fiber.join(two)
      const own = yield* Effect.forkChild(Effect.flip(run("sleep 5000")))
      yield* advance(1_000)
      assert.strictEqual(reasonOf(yield* Fiber.join(own))._tag, "QueryTimeout")
    })
  )
)

it.effect("what a caller leaves behind is put back before the next", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run, sql } = yield* setup({ maxConnections: 1 })
      yield* run("BEGIN")
      yield* run("SET search_path = elsewhere")
      yield* run("SELECT pg_advisory_lock(1)")
      yield* run("SELECT 1 AS plain")
      yield* Effect.scoped(
        Effect.flatMap(sql.reserve, (connection) =>
          Effect.andThen(connection.execute("BEGIN", [], undefined), connection.execute("LISTEN news", [], undefined))
        )
      )
      assert.deepStrictEqual(database.sessions[0]!.statements, [
        "BEGIN",
        "ROLLBACK",
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

it.effect("a connection that can't be put back is closed", () =>
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

const collectLogs = () => {
  const logs: Array<string> = []
  const logger = Logger.make(({ fiber, message }) => {
    logs.push(JSON.stringify([message, fiber.getRef(References.CurrentLogAnnotations)]))
  })
  return { logs, layer: Logger.layer([logger]) }
}

it.effect("reports who holds a connection for long, once, and who waited long for one", () => {
  const { layer, logs } = collectLogs()
  return scoped(
    Effect.gen(function* () {
      const { run, sql } = yield* setup({ maxConnections: 1 })
      const release = yield* Deferred.make<void>()
      const holder = yield* sql.reserve.pipe(
        Effect.andThen(Deferred.await(release)),
        Effect.scoped,
        Effect.withSpan("SlowReport.render"),
        Effect.forkChild
      )
      yield* settle
      yield* advance(29_000)
      assert.deepStrictEqual(logs, [])
      yield* advance(2_000)
      yield* advance(60_000)
      assert.strictEqual(logs.length, 1)
      assert.include(logs[0], "held for long")
      assert.include(logs[0], "SlowReport.render")

      const waiter = yield* Effect.forkChild(run("x"))
      yield* advance(1_500)
      yield* Deferred.succeed(release, undefined)
      yield* Fiber.join(holder)
      yield* Fiber.join(waiter)
      yield* settle
      assert.include(logs.at(-1), "slow acquire")
    })
  ).pipe(Effect.provide(layer))
})

it.effect("shutdown answers waiters, waits for those at work within its bound, and ends the rest", () =>
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

it.effect("publishes itself as metrics until it is closed", () =>
  Effect.gen(function* () {
    const values = Effect.map(Metric.snapshot, (all) =>
      Object.fromEntries(
        all
          .filter((metric) => metric.attributes?.["db.client.connection.pool.name"] === "shown")
          .map((metric) => {
            const state = metric.state as { readonly value?: number; readonly count?: number }
            const kind = metric.attributes?.["db.client.connection.state"]
            return [kind === undefined ? metric.id : `${metric.id}:${kind}`, state.value ?? state.count]
          })
      )
    )
    yield* scoped(
      Effect.gen(function* () {
        const { run, sql } = yield* setup({ name: "shown", maxConnections: 2 })
        yield* run("a")
        yield* sql.reserve
        const seen = yield* values
        assert.strictEqual(seen["db.client.connection.count:used"], 1)
        assert.strictEqual(seen["db.client.connection.count:idle"], 0)
        assert.strictEqual(seen["db.client.connection.max"], 2)
        assert.strictEqual(seen["db.client.connection.pending_requests"], 0)
        assert.strictEqual(seen["db.client.connection.timeouts"], 0)
        assert.strictEqual(seen["db.client.connection.wait_time"], 2)
        assert.strictEqual(seen["db.client.connection.use_time"], 1)
        assert.strictEqual(seen["db.client.connection.create_time"], 1)
      })
    )
    assert.deepStrictEqual(yield* values, {})
  }).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
)

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

/** One step of a generated sequence, and what it is called when it fails. */
type Step = "borrow" | "hold" | "limited" | "leave" | "kill" | "fail" | "mend" | "advance"

const steps: ReadonlyArray<Step> = [
  "borrow",
  "borrow",
  "borrow",
  "hold",
  "limited",
  "leave",
  "kill",
  "fail",
  "mend",
  "advance",
  "advance",
  "advance"
]

it.effect.each(Array.from({ length: 60 }, (_, index) => 1_000 + index))(
  "keeps its promises after every step of a generated sequence, seed %d",
  (seed) =>
    scoped(
      Effect.gen(function* () {
        const min = yield* Random.nextIntBetween(0, 2)
        const max = yield* Random.nextIntBetween(Math.max(1, min), 4)
        const acquireTimeout = 500
        const { core, database, run, sql, stats } = yield* setup({
          minConnections: min,
          maxConnections: max,
          acquireTimeout,
          maxWaiters: 6,
          idleTimeout: 700,
          maxLifetime: 2_000,
          keepaliveInterval: 300,
          validationWindow: 50,
          validationTimeout: 100,
          breakerPause: 100,
          connectRetries: 1
        })
        database.cancelMs = yield* Random.nextIntBetween(0, 300)
        const history: Array<string> = []
        const callers: Array<Fiber.Fiber<unknown, unknown>> = []
        let ended = 0

        const check = (step: string) => {
          history.push(step)
          const now = core.now()
          const seen = stats()
          const open = database.openSessions().length + database.opening
          const found = [
            ...database.violations,
            ...(open > max ? [`${open} sessions open or opening, ${max} allowed`] : []),
            ...(seen.total + seen.opening > max ? [`stats show ${seen.total} + ${seen.opening} of ${max}`] : []),
            ...(seen.waiting > 6 + max ? [`${seen.waiting} waiters`] : []),
            ...[...core.waiting]
              .filter((ticket) => now - ticket.startedAt > acquireTimeout + 5)
              .map((ticket) => `a waiter is ${now - ticket.startedAt} ms old`)
          ]
          assert.deepStrictEqual(found, [], `seed ${seed}: ${history.join(", ")}`)
        }

        const start = (program: Effect.Effect<unknown, SqlError>) =>
          Effect.gen(function* () {
            const caller = program.pipe(Effect.exit, Effect.ensuring(Effect.sync(() => ended++)))
            callers.push(yield* Effect.forkChild(caller))
          })

        for (let index = 0; index < 120; index++) {
          const step = steps[yield* Random.nextIntBetween(0, steps.length - 1)]!
          const ms = yield* Random.nextIntBetween(0, 200)
          switch (step) {
            case "borrow":
              yield* start(run(`sleep ${ms}`))
              break
            case "hold":
              yield* start(sql.withTransaction(Effect.andThen(run(`sleep ${ms}`), Effect.sleep(ms))))
              break
            case "limited":
              yield* start(run("sleep 400").pipe(ConnectionPool.withDeadline(ms + 1)))
              break
            case "leave":
              if (callers.length > 0) callers[ms % callers.length]!.interruptUnsafe()
              break
            case "kill": {
              const open = database.openSessions()
              if (open.length > 0) open[ms % open.length]!.kill()
              break
            }
            case "fail":
              database.refusing = FakeSessions.refused()
              break
            case "mend":
              database.refusing = undefined
              break
            case "advance":
              yield* TestClock.adjust(ms)
              break
          }
          yield* settle
          check(step === "advance" ? `advance ${ms}` : step)
        }
        database.refusing = undefined
        for (let index = 0; index < 40; index++) {
          yield* advance(50)
          check("advance 50")
        }
        assert.strictEqual(ended, callers.length, `seed ${seed}: somebody was never answered`)
        const seen = stats()
        assert.deepStrictEqual([seen.inUse, seen.waiting], [0, 0], `seed ${seed}`)
        assert.isAtLeast(seen.idle, min, `seed ${seed}`)
        assert.strictEqual(seen.total, database.openSessions().length, `seed ${seed}`)
      })
    ).pipe(Random.withSeed(seed))
)
