/**
 * The pool against a server that kills, freezes, restarts, runs full and changes its password. The server is the
 * test's own, so that suites beside it are not hurt.
 */
import { inspect } from "node:util"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import * as PrivatePostgres from "../utils/PrivatePostgres.ts"
import * as SelfSigned from "../utils/SelfSigned.ts"

const poolOn = (server: PrivatePostgres.PrivatePostgres, options?: Partial<ConnectionPool.ConnectionPoolOptions>) =>
  ConnectionPool.make({
    host: server.host,
    port: server.port,
    username: server.username,
    password: Redacted.make(server.password),
    database: "postgres",
    acquireTimeout: "3 seconds",
    connectTimeout: "1500 millis",
    // On a busy machine an expired statement must not become an expired validation.
    validationWindow: "1 minute",
    validationTimeout: "500 millis",
    breakerResetTimeout: "100 millis",
    connectBackoff: "10 millis",
    drainTimeout: "500 millis",
    ...options
  })

const run = <A, E>(effect: Effect.Effect<A, E, Scope.Scope | Reactivity.Reactivity>) =>
  Effect.scoped(effect).pipe(
    Effect.provide(Reactivity.layer),
    Effect.timeoutOrElse({ duration: "50 seconds", orElse: () => Effect.die(new Error("hung")) })
  )

const poolError = (error: unknown) => ConnectionPool.fromSqlError(error as SqlError)
const reasonOf = (error: unknown) => Option.getOrThrow(poolError(error)).reason
const problemOf = (error: unknown) => {
  const reason = reasonOf(error)
  return reason._tag === "DatabaseUnavailable" ? reason.problem : reason._tag
}

const eventually = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.retry(effect, Schedule.spaced("50 millis").pipe(Schedule.upTo({ duration: "15 seconds" })))

it.live("replaces sessions killed while idle without an error", () =>
  run(
    Effect.gen(function* () {
      const server = yield* PrivatePostgres.make()
      yield* server.start
      // An expired validation on a busy machine would count as another killed session.
      const { client: sql, stats } = yield* poolOn(server, {
        validationWindow: 0,
        validationTimeout: "3 seconds",
        minConnections: 3
      })
      const { client: admin } = yield* poolOn(server, { applicationName: "admin", maxConnections: 1 })
      // One that is killed while it is being opened was never one of the pool's.
      const idle = Effect.flatMap(stats, (seen) => (seen.idle === 3 ? Effect.void : Effect.fail("not yet")))
      yield* eventually(idle)
      yield* admin`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND application_name <> 'admin'`
      const rows = yield* Effect.forEach(Array.from({ length: 20 }), () => sql`SELECT 1`, { concurrency: 20 })
      assert.strictEqual(rows.length, 20)
      assert.strictEqual((yield* stats).closed.lost + (yield* stats).closed.validation, 3)
    })
  )
)

for (const multiplex of [false, true]) {
  it.live(
    `returns a result or DatabaseUnavailable for sessions killed at random under load, multiplex ${multiplex}`,
    () =>
      run(
        Effect.gen(function* () {
          const server = yield* PrivatePostgres.make()
          yield* server.start
          const { client: sql, stats } = yield* poolOn(server, { multiplex })
          const { client: admin } = yield* poolOn(server, { applicationName: "admin", maxConnections: 1 })
          // By calls and not by time: a busy machine would open sessions more slowly than they are killed.
          const ended = yield* Semaphore.make(0)
          const killOne = admin`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE backend_type = 'client backend' AND application_name <> 'admin' ORDER BY random() LIMIT 1`.pipe(
            Effect.andThen(Effect.flatMap(Random.nextIntBetween(1, 15), (calls) => ended.take(calls)))
          )
          const killer = yield* Effect.forkChild(Effect.forever(killOne))
          const counted = Effect.ensuring(ended.release(1))
          const call = Effect.exit(sql<{ n: number }>`SELECT 42 AS n, pg_sleep(0.001)`).pipe(counted)
          const transaction = Effect.exit(sql.withTransaction(sql<{ n: number }>`SELECT 42 AS n`)).pipe(counted)
          const exits = yield* Effect.forEach(
            Array.from({ length: 400 }),
            (_, index) => (index % 4 === 0 ? transaction : call),
            { concurrency: 12 }
          )
          yield* Effect.sync(() => killer.interruptUnsafe())
          let answered = 0
          for (const exit of exits) {
            if (Exit.isSuccess(exit)) {
              answered++
              assert.strictEqual(exit.value[0]!.n, 42)
              continue
            }
            const error = Option.getOrThrow(Exit.findErrorOption(exit))
            // The session was killed under the call, or before it was even open.
            assert.include(["lost", "unreachable", "notReady"], problemOf(error))
          }
          assert.isAtLeast(answered, 1)
          yield* eventually(sql`SELECT 1`)
          const after = yield* stats
          assert.strictEqual(after.inUse, 0)
          assert.strictEqual(after.waiting, 0)
          assert.isAtMost(after.total + after.opening, after.max)
          assert.isAtLeast(after.closed.lost, 1)
        })
      )
  )
}

it.live("reports a frozen server as timeout or unavailable, and recovers", () =>
  run(
    Effect.gen(function* () {
      const server = yield* PrivatePostgres.make()
      yield* server.start
      const { client: sql } = yield* poolOn(server)
      yield* sql`SELECT 1`
      yield* Effect.acquireRelease(server.freeze, () => server.thaw)
      const slow = yield* sql`SELECT 2`.pipe(ConnectionPool.withDeadline("200 millis"), Effect.flip)
      assert.strictEqual(problemOf(slow), "QueryTimeout")
      const { client: fresh } = yield* poolOn(server)
      assert.strictEqual(problemOf(yield* Effect.flip(fresh`SELECT 3`)), "unreachable")
      yield* server.thaw
      yield* eventually(sql`SELECT 4`)
      yield* eventually(fresh`SELECT 5`)
    })
  )
)

it.live("reports a restarting server as unavailable, and recovers", () =>
  run(
    Effect.gen(function* () {
      const server = yield* PrivatePostgres.make()
      yield* server.start
      const { client: sql } = yield* poolOn(server)
      yield* sql`SELECT 1`
      yield* server.stop
      const problem = problemOf(yield* Effect.flip(sql`SELECT 2`))
      assert.include(["refused", "lost", "notReady"], problem)
      assert.strictEqual(problemOf(yield* Effect.flip(sql`SELECT 2`)), "refused")
      yield* server.start
      yield* eventually(sql`SELECT 3`)
    })
  )
)

it.live("reports a server without free slots, and serves all callers on one open connection", () =>
  run(
    Effect.gen(function* () {
      const server = yield* PrivatePostgres.make({ maxConnections: 4 })
      yield* server.start
      const { client: serving } = yield* poolOn(server, { minConnections: 1, maxConnections: 3 })
      yield* serving`SELECT 1`
      const { client: hog } = yield* poolOn(server, { minConnections: 3, maxConnections: 3 })
      yield* Effect.forEach([1, 2, 3], () => hog.reserve, { concurrency: 3 })
      const { client: late } = yield* poolOn(server)
      assert.strictEqual(problemOf(yield* Effect.flip(late`SELECT 1`)), "noSlots")
      const rows = yield* Effect.forEach(Array.from({ length: 30 }), () => serving`SELECT pg_sleep(0.002)`, {
        concurrency: 10
      })
      assert.strictEqual(rows.length, 30)
    })
  )
)

it.live("reports a wrong password, and evaluates a password Effect again after a change", () =>
  run(
    Effect.gen(function* () {
      const server = yield* PrivatePostgres.make()
      yield* server.start
      const { client: wrong } = yield* poolOn(server, { password: Redacted.make("not-this-one") })
      const error = yield* Effect.flip(wrong`SELECT 1`)
      assert.strictEqual(problemOf(error), "authentication")
      assert.isFalse(reasonOf(error).isRetryable)
      assert.isFalse((error as SqlError).isRetryable)
      assert.notInclude(JSON.stringify([error, String(error), Option.getOrThrow(poolError(error))]), "not-this-one")

      let current = server.password
      const password = Effect.sync(() => Redacted.make(current))
      const { client: sql } = yield* poolOn(server, { password, maxConnections: 1 })
      yield* sql`ALTER USER postgres PASSWORD 'second-password'`
      current = "second-password"
      yield* sql`SELECT pg_terminate_backend(pg_backend_pid())`.pipe(Effect.ignore)
      yield* eventually(sql`SELECT 1`)
    })
  )
)

it.live("does not retry an unknown database", () =>
  run(
    Effect.gen(function* () {
      const server = yield* PrivatePostgres.make()
      yield* server.start
      const { client: sql } = yield* poolOn(server, { database: "nowhere" })
      const error = yield* Effect.flip(sql`SELECT 1`)
      assert.strictEqual(problemOf(error), "rejected")
      assert.isFalse(reasonOf(error).isRetryable)
    })
  )
)

it.live("connects to the server of the requested role, or to another where acceptable", () =>
  run(
    Effect.gen(function* () {
      const primary = yield* PrivatePostgres.make()
      yield* primary.start
      yield* primary.stop
      const standby = yield* primary.makeStandby
      yield* primary.start
      yield* standby.start
      const inRecovery = (target: ConnectionPool.Target, hosts = [primary, standby]) =>
        Effect.gen(function* () {
          const { client: sql } = yield* poolOn(primary, {
            host: undefined,
            port: undefined,
            hosts,
            target,
            connectTimeout: "2 seconds",
            acquireTimeout: "5 seconds"
          })
          const rows = yield* sql<{ recovering: boolean }>`SELECT pg_is_in_recovery() AS recovering`
          return rows[0]!.recovering
        })
      assert.isFalse(yield* inRecovery("primary", [standby, primary]))
      assert.isTrue(yield* inRecovery("standby"))
      assert.isTrue(yield* inRecovery("preferStandby"))
      assert.isFalse(yield* inRecovery("preferPrimary", [standby, primary]))
      assert.strictEqual(problemOf(yield* Effect.flip(inRecovery("standby", [primary]))), "noMatch")
      yield* standby.stop
      assert.isFalse(yield* inRecovery("preferStandby"))
    })
  )
)

it.live("accepts a trusted TLS certificate and reports an untrusted one", () =>
  run(
    Effect.gen(function* () {
      const tls = SelfSigned.make()
      const server = yield* PrivatePostgres.make({ tls })
      yield* server.start
      const refusedFor = (options: Partial<ConnectionPool.ConnectionPoolOptions>) =>
        Effect.gen(function* () {
          const { client: sql, stats } = yield* poolOn(server, { minConnections: 0, ...options })
          const error = yield* Effect.flip(sql`SELECT 1`)
          const reason = reasonOf(error)
          assert.strictEqual(reason._tag === "DatabaseUnavailable" && reason.problem, "tls")
          assert.isFalse(reason.isRetryable)
          assert.notInclude(inspect([error, String(error), reason], { depth: Infinity }), server.password)
          assert.strictEqual((yield* stats).created, 0)
        })
      const byUrl = (mode: string) => ({
        url: Redacted.make(
          `postgres://${server.username}:${server.password}@${server.host}:${server.port}/postgres?sslmode=${mode}`
        )
      })
      yield* refusedFor(byUrl("require"))
      yield* refusedFor(byUrl("verify-full"))
      yield* refusedFor({ ssl: true })
      // Trusted, but issued for another host.
      yield* refusedFor({ ssl: { ca: tls.certificate, servername: "elsewhere.test" } })

      for (const ssl of [{ ca: tls.certificate }, { rejectUnauthorized: false }]) {
        const { client: sql } = yield* poolOn(server, { ...byUrl("require"), ssl })
        const rows = yield* sql`SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`
        assert.deepStrictEqual(rows, [{ ssl: true }])
        const late = yield* sql`SELECT pg_sleep(60)`.pipe(ConnectionPool.withDeadline("200 millis"), Effect.flip)
        assert.strictEqual(problemOf(late), "QueryTimeout")
        yield* eventually(
          Effect.flatMap(sql`SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'`, (left) =>
            left.length === 0 ? Effect.void : Effect.fail("still running")
          )
        )
      }
    })
  )
)

it.live("reports a server without TLS", () =>
  run(
    Effect.gen(function* () {
      const server = yield* PrivatePostgres.make()
      yield* server.start
      const { client: sql } = yield* poolOn(server, { ssl: true })
      assert.strictEqual(problemOf(yield* Effect.flip(sql`SELECT 1`)), "tls")
    })
  )
)
