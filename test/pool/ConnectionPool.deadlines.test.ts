/**
 * The pool's bounds for callers and connections, on virtual time.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import { advance, make as setup, reasonOf, scoped, settle } from "../utils/FakePool.ts"

it.effect("applies one deadline to the wait and the statement together", () =>
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

it.effect("does not reuse a connection after a cancel", () =>
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

it.effect("destroys a connection without confirmation of its cancel before it opens another", () =>
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

it.effect("returns from an interruption without a response from the server", () =>
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

it.effect("fails with QueryTimeout immediately for an expired deadline", () =>
  scoped(
    Effect.gen(function* () {
      const { database, run, sql, stats } = yield* setup({ minConnections: 1 })
      yield* settle
      const late = [run("x"), sql.withTransaction(run("x")), Stream.runDrain(sql.unsafe("x").stream)]
      for (const operation of late) {
        const reason = reasonOf(yield* Effect.flip(operation).pipe(ConnectionPool.withDeadline(0)))
        assert.strictEqual(reason._tag, "QueryTimeout")
      }
      assert.deepStrictEqual([stats().exhausted, stats().timedOut], [0, 3])
      assert.deepStrictEqual(database.sessions[0]!.statements, [])
    })
  )
)

it.effect("bounds a rollback past the deadline by the cancel grace period", () =>
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

it.effect("interrupts a stream without a response from the server", () =>
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

it.effect("ends an interrupted stream in time and does not reuse its connection", () =>
  scoped(
    Effect.gen(function* () {
      const { database, sql, stats } = yield* setup()
      database.cancelMs = 100
      const caller = yield* Effect.forkChild(Stream.runDrain(sql.unsafe("rows").stream))
      yield* settle
      yield* Effect.forkChild(Fiber.interrupt(caller))
      yield* advance(100)
      assert.isDefined(caller.pollUnsafe())
      yield* advance(1_000)
      assert.strictEqual(database.sessions[0]!.isOpen, false)
      assert.strictEqual(stats().closed.cancelled, 1)
    })
  )
)

it.effect("applies the earlier of two deadlines, and the pool's own per statement", () =>
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

it.effect("shuts down without waiting for the cancel of a closed session", () =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const { database, run } = yield* Scope.provide(setup({ minConnections: 0, drainTimeout: "1 hour" }), scope)
    database.cancelMs = 30 * 60_000
    const late = yield* run("sleep 60000").pipe(
      ConnectionPool.withDeadline("100 millis"),
      Effect.flip,
      Effect.forkChild
    )
    yield* settle
    yield* advance(100)
    assert.strictEqual(reasonOf(yield* Fiber.join(late))._tag, "QueryTimeout")
    const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
    yield* settle
    assert.isUndefined(closing.pollUnsafe())
    yield* advance(250)
    assert.isDefined(closing.pollUnsafe())
    assert.deepStrictEqual(database.openSessions(), [])
  }).pipe(Effect.provide(Reactivity.layer))
)
