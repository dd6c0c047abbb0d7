/**
 * The pool on a bad network: each fault ends in the stated answer within the stated bound, and once it is over the
 * pool works again by itself. Times here are only bounds; nothing is asserted to be fast.
 */
import * as net from "node:net"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { inject } from "vitest"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import * as FaultProxy from "../utils/FaultProxy.ts"

/** A pool whose only way to the test server is a proxy. */
const setup = (options?: Partial<ConnectionPool.ConnectionPoolOptions>) =>
  Effect.gen(function* () {
    const server = inject("postgres")
    const proxy = yield* FaultProxy.make(server)
    const pool = yield* ConnectionPool.make({
      host: proxy.host,
      port: proxy.port,
      username: server.username,
      password: Redacted.make(server.password),
      database: "postgres",
      acquireTimeout: "2 seconds",
      connectTimeout: "900 millis",
      // On a busy machine an expired statement must not become an expired validation.
      validationWindow: "1 minute",
      validationTimeout: "300 millis",
      breakerResetTimeout: "100 millis",
      connectBackoff: "10 millis",
      drainTimeout: "200 millis",
      ...options
    })
    return { proxy, pool, sql: pool.client }
  })

const run = <A, E>(effect: Effect.Effect<A, E, Scope.Scope | Reactivity.Reactivity>) =>
  // Everything must be over long before; a hang shows as a defect here and not as a stuck run.
  Effect.scoped(effect).pipe(
    Effect.provide(Reactivity.layer),
    Effect.timeoutOrElse({ duration: "20 seconds", orElse: () => Effect.die(new Error("hung")) })
  )

const reasonOf = (error: unknown): ConnectionPool.PoolError["reason"] =>
  Option.getOrThrow(ConnectionPool.fromSqlError(error as SqlError)).reason

const eventually = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.retry(effect, Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "8 seconds" })))

const both = [false, true]

for (const multiplex of both) {
  const mode = multiplex ? "multiplexed" : "exclusive"

  it.live(`fails with QueryTimeout at the deadline for a black hole during a query, ${mode}`, () =>
    run(
      Effect.gen(function* () {
        const { pool, proxy, sql } = yield* setup({ multiplex })
        yield* sql`SELECT 1`
        yield* proxy.set({ _tag: "blackHole" })
        const reason = reasonOf(yield* Effect.flip(sql`SELECT 2`.pipe(ConnectionPool.withDeadline("100 millis"))))
        assert.strictEqual(reason._tag, "QueryTimeout")
        yield* proxy.set({ _tag: "pass" })
        yield* eventually(sql`SELECT 3`.pipe(ConnectionPool.withDeadline("2 seconds")))
        assert.strictEqual((yield* pool.stats).timedOut >= 1, true)
      })
    )
  )

  it.live(
    `black hole before a borrow: the ping fails and no caller waits longer than the acquire timeout, ${mode}`,
    () =>
      run(
        Effect.gen(function* () {
          const { pool, proxy, sql } = yield* setup({ multiplex, validationWindow: 0 })
          yield* sql`SELECT 1`
          yield* proxy.set({ _tag: "blackHole" })
          const reason = reasonOf(yield* Effect.flip(sql`SELECT 2`))
          assert.strictEqual(reason._tag, "DatabaseUnavailable")
          yield* proxy.set({ _tag: "pass" })
          yield* eventually(sql`SELECT 3`)
          const stats = yield* pool.stats
          assert.isAtLeast(stats.closed.validation, 1)
          assert.isAtLeast(stats.unavailable, 1)
        })
      )
  )

  it.live(`fails with QueryTimeout for a half-open connection during a query, ${mode}`, () =>
    run(
      Effect.gen(function* () {
        const { proxy, sql } = yield* setup({ multiplex })
        yield* sql`SELECT 1`
        yield* proxy.set({ _tag: "halfOpen" })
        const late = sql`SELECT 2`.pipe(ConnectionPool.withDeadline("150 millis"), Effect.flip)
        assert.strictEqual(reasonOf(yield* late)._tag, "QueryTimeout")
        yield* proxy.set({ _tag: "pass" })
        yield* eventually(sql`SELECT 3`.pipe(ConnectionPool.withDeadline("2 seconds")))
      })
    )
  )

  it.live(`fails with DatabaseUnavailable for a reset during queries, then reconnects, ${mode}`, () =>
    run(
      Effect.gen(function* () {
        const { pool, proxy, sql } = yield* setup({ multiplex })
        const running = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(Effect.flip(sql`SELECT pg_sleep(30)`)))
        yield* eventually(
          Effect.flatMap(pool.stats, (stats) =>
            stats.inUse >= (multiplex ? 1 : 3) ? Effect.void : Effect.fail("not yet")
          )
        )
        yield* proxy.resetAll
        for (const fiber of running) {
          const reason = reasonOf(yield* Fiber.join(fiber))
          assert.strictEqual(reason._tag, "DatabaseUnavailable")
          if (reason._tag === "DatabaseUnavailable") assert.strictEqual(reason.problem, "lost")
        }
        yield* sql`SELECT 1`
        assert.isAtLeast((yield* pool.stats).closed.lost, 1)
      })
    )
  )
}

it.live("fails with refused without a server, and opens the breaker", () =>
  run(
    Effect.gen(function* () {
      const { proxy, sql } = yield* setup({ minConnections: 0, breakerResetTimeout: "5 seconds" })
      yield* proxy.set({ _tag: "refuse" })
      const first = reasonOf(yield* Effect.flip(sql`SELECT 1`))
      assert.strictEqual(first._tag === "DatabaseUnavailable" && first.problem, "refused")
      const second = reasonOf(yield* Effect.flip(sql`SELECT 1`))
      assert.isTrue(second._tag === "DatabaseUnavailable" && second.problem === "refused")
      const third = reasonOf(yield* Effect.flip(sql`SELECT 1`))
      assert.isTrue(third._tag === "DatabaseUnavailable" && third.breakerOpen && third.isRetryable)
    })
  )
)

it.live("fails with unreachable for a server without responses", () =>
  run(
    Effect.gen(function* () {
      const { proxy, sql } = yield* setup({ minConnections: 0 })
      yield* proxy.set({ _tag: "blackHole" })
      const reason = reasonOf(yield* Effect.flip(sql`SELECT 1`))
      assert.strictEqual(reason._tag === "DatabaseUnavailable" && reason.problem, "unreachable")
      yield* proxy.set({ _tag: "pass" })
      yield* eventually(sql`SELECT 1`)
    })
  )
)

it.live("refills to the minimum without a caller once the server is back", () =>
  run(
    Effect.gen(function* () {
      const { pool, proxy, sql } = yield* setup({ minConnections: 2 })
      yield* sql`SELECT 1`
      yield* proxy.set({ _tag: "refuse" })
      yield* proxy.resetAll
      yield* eventually(Effect.flatMap(pool.stats, (stats) => (stats.total === 0 ? Effect.void : Effect.fail("open"))))
      yield* proxy.set({ _tag: "pass" })
      yield* eventually(Effect.flatMap(pool.stats, (stats) => (stats.idle === 2 ? Effect.void : Effect.fail("few"))))
    })
  )
)

it.live("returns other callers' results beside an expired statement on a slow network", () =>
  run(
    Effect.gen(function* () {
      const { proxy, sql } = yield* setup({ multiplex: true, maxConnections: 4, acquireTimeout: "5 seconds" })
      yield* proxy.set({ _tag: "latency", ms: 40 })
      for (const ms of [230, 240, 250, 260, 275]) {
        yield* sql`SELECT 1`
        // At the deadline the server may already run the next statement.
        const late = Effect.exit(sql`SELECT pg_sleep(0.2)`.pipe(ConnectionPool.withDeadline(ms)))
        const first = yield* Effect.forkChild(late)
        yield* Effect.yieldNow
        assert.strictEqual((yield* sql`SELECT 1, pg_sleep(1)`).length, 1)
        yield* Fiber.await(first)
      }
    })
  )
)

/** A socket that delays its output and discards the rest when it ends. */
const slowSocket = (address: { readonly host: string; readonly port: number }, ms: number): net.Socket => {
  const socket = net.connect(address.port, address.host)
  const write = socket._write.bind(socket)
  return Object.assign(socket, {
    _writev: null,
    _write: (chunk: Buffer, encoding: BufferEncoding, sent: (error?: Error | null) => void) => {
      setTimeout(() => (socket.destroyed ? sent() : write(chunk, encoding, sent)), ms)
    }
  })
}

it.live("cancels an expired statement in the server on a network slower than the grace period", () =>
  run(
    Effect.gen(function* () {
      const { sql: direct } = yield* setup()
      const { pool, sql } = yield* setup({
        stream: () => slowSocket(inject("postgres"), 300),
        connectTimeout: "5 seconds",
        acquireTimeout: "10 seconds"
      })
      const running = direct`SELECT 1 FROM pg_stat_activity
        WHERE state = 'active' AND query LIKE '%slow_line%' AND pid <> pg_backend_pid()`
      const expect = (count: number) =>
        Effect.flatMap(running, (rows) => (rows.length === count ? Effect.void : Effect.fail("not yet")))
      yield* sql`SELECT 1`
      const late = yield* sql`SELECT pg_sleep(60) /* slow_line */`.pipe(
        ConnectionPool.withDeadline("1 second"),
        Effect.flip,
        Effect.forkChild
      )
      yield* eventually(expect(1))
      assert.strictEqual(reasonOf(yield* Fiber.join(late))._tag, "QueryTimeout")
      yield* eventually(expect(0))
      assert.strictEqual((yield* pool.stats).closed.cancelled, 1)
    })
  )
)

it.live("completes on networks with latency and low bandwidth", () =>
  run(
    Effect.gen(function* () {
      const { proxy, sql } = yield* setup()
      yield* proxy.set({ _tag: "latency", ms: 40 })
      assert.strictEqual((yield* sql`SELECT 1 AS one`).length, 1)
      yield* proxy.set({ _tag: "bandwidth", bytesPerSecond: 200_000 })
      const rows = yield* sql<{ text: string }>`SELECT repeat('x', 40000) AS text`
      assert.strictEqual(rows[0]!.text.length, 40_000)
    })
  )
)

for (const fault of [
  { _tag: "latency", ms: 10_000 },
  { _tag: "bandwidth", bytesPerSecond: 10 }
] as const) {
  it.live(`fails with QueryTimeout for ${fault._tag} beyond the deadline`, () =>
    run(
      Effect.gen(function* () {
        const { proxy, sql } = yield* setup()
        yield* sql`SELECT 1`
        yield* proxy.set(fault)
        const late = sql`SELECT 2`.pipe(ConnectionPool.withDeadline("150 millis"), Effect.flip)
        assert.strictEqual(reasonOf(yield* late)._tag, "QueryTimeout")
      })
    )
  )
}

it.live("fails with DatabaseUnavailable while all connections are reset, and recovers", () =>
  run(
    Effect.gen(function* () {
      const { proxy, sql } = yield* setup({ minConnections: 0 })
      yield* sql`SELECT 1`
      yield* proxy.set({ _tag: "reset" })
      for (const call of [sql`SELECT 2`, sql.withTransaction(sql`SELECT 3`)]) {
        assert.strictEqual(reasonOf(yield* Effect.flip(call))._tag, "DatabaseUnavailable")
      }
      yield* proxy.set({ _tag: "pass" })
      yield* eventually(sql`SELECT 4`)
    })
  )
)

it.live("fails a stream over a black hole with QueryTimeout", () =>
  run(
    Effect.gen(function* () {
      const { proxy, sql } = yield* setup()
      yield* sql`SELECT 1`
      yield* proxy.set({ _tag: "bandwidth", bytesPerSecond: 50_000 })
      const rows = sql`SELECT n, repeat('x', 1000) FROM generate_series(1, 100000) AS n`.stream
      const error = yield* Stream.runDrain(rows).pipe(ConnectionPool.withDeadline("300 millis"), Effect.flip)
      assert.strictEqual(reasonOf(error)._tag, "QueryTimeout")
      yield* proxy.set({ _tag: "pass" })
      yield* eventually(sql`SELECT 1`)
    })
  )
)

it.live("fails a transaction over a black hole at its deadline, and the server rolls it back", () =>
  run(
    Effect.gen(function* () {
      const { proxy, sql } = yield* setup({ maxConnections: 1 })
      yield* sql`CREATE TABLE IF NOT EXISTS black_hole (id int)`
      const error = yield* sql`INSERT INTO black_hole VALUES (1)`.pipe(
        Effect.andThen(proxy.set({ _tag: "blackHole" })),
        Effect.andThen(sql`INSERT INTO black_hole VALUES (2)`),
        sql.withTransaction,
        ConnectionPool.withDeadline("1 second"),
        Effect.flip
      )
      assert.strictEqual(reasonOf(error)._tag, "QueryTimeout")
      yield* proxy.set({ _tag: "pass" })
      assert.deepStrictEqual(yield* eventually(sql`SELECT * FROM black_hole`), [])
      yield* sql`DROP TABLE black_hole`
    })
  )
)

it.live("bounds BEGIN, SAVEPOINT and COMMIT over a black hole without a deadline", () =>
  run(
    Effect.gen(function* () {
      const { proxy, sql } = yield* setup({ acquireTimeout: "300 millis" })
      const blackHole = proxy.set({ _tag: "blackHole" })
      const dead = [
        Effect.andThen(blackHole, sql.withTransaction(sql`SELECT 2`)),
        sql.withTransaction(Effect.andThen(blackHole, sql.withTransaction(sql`SELECT 2`))),
        sql.withTransaction(Effect.andThen(sql`SELECT 2`, blackHole))
      ]
      for (const transaction of dead) {
        yield* eventually(sql`SELECT 1`)
        const error = yield* Effect.flip(transaction)
        assert.strictEqual(reasonOf(error)._tag, "QueryTimeout")
        yield* proxy.set({ _tag: "pass" })
      }
    })
  )
)

it.live(
  "fails with DatabaseUnavailable for a black hole before a query, also with a deadline shorter than the validation",
  () =>
    run(
      Effect.gen(function* () {
        const { pool, proxy, sql } = yield* setup({ validationWindow: 0, validationTimeout: "1 second" })
        yield* sql`SELECT 1`
        yield* proxy.set({ _tag: "blackHole" })
        const error = yield* Effect.flip(sql`SELECT 2`.pipe(ConnectionPool.withDeadline("200 millis")))
        const reason = reasonOf(error)
        assert.strictEqual(reason._tag, "DatabaseUnavailable")
        if (reason._tag === "DatabaseUnavailable") assert.strictEqual(reason.problem, "unreachable")
        assert.strictEqual((yield* pool.stats).exhausted, 0)
      })
    )
)

it.live("bounds the interruption of a caller during BEGIN by the acquire timeout", () =>
  run(
    Effect.gen(function* () {
      const { proxy, sql } = yield* setup({ acquireTimeout: "300 millis" })
      yield* sql`SELECT 1`
      yield* proxy.set({ _tag: "blackHole" })
      const late = yield* Effect.timeoutOption(Effect.ignore(sql.withTransaction(sql`SELECT 2`)), "50 millis")
      assert.isTrue(Option.isNone(late))
    })
  )
)

for (const busy of both) {
  it.live(`bounds shutdown over a black hole and leaves no socket, busy ${busy}`, () =>
    run(
      Effect.gen(function* () {
        const server = inject("postgres")
        const proxy = yield* FaultProxy.make(server)
        const sockets: Array<net.Socket> = []
        yield* Effect.gen(function* () {
          const { client: sql } = yield* ConnectionPool.make({
            stream: () => {
              const socket = net.connect({ host: proxy.host, port: proxy.port })
              sockets.push(socket)
              return socket
            },
            username: server.username,
            password: Redacted.make(server.password),
            database: "postgres",
            drainTimeout: "100 millis"
          })
          yield* Effect.forEach([1, 2, 3], () => sql`SELECT pg_sleep(0.1)`, { concurrency: 3 })
          if (busy) yield* Effect.forkDetach(Effect.ignore(sql`SELECT pg_sleep(30)`))
          yield* Effect.yieldNow
          yield* proxy.set({ _tag: "blackHole" })
        }).pipe(Effect.scoped)
        assert.isAtLeast(sockets.length, 3)
        yield* eventually(
          Effect.suspend(() => (sockets.every((socket) => socket.closed) ? Effect.void : Effect.fail("open")))
        )
      })
    )
  )
}

it.live("shuts down without waiting for a server that closes slowly", () =>
  run(
    Effect.gen(function* () {
      const server = inject("postgres")
      const proxy = yield* FaultProxy.make(server)
      yield* proxy.set({ _tag: "slowClose", ms: 15_000 })
      yield* Effect.gen(function* () {
        const { client: sql } = yield* ConnectionPool.make({
          host: proxy.host,
          port: proxy.port,
          username: server.username,
          password: Redacted.make(server.password),
          database: "postgres"
        })
        yield* sql`SELECT 1`
      }).pipe(Effect.scoped)
    })
  )
)

it.live("fails over to the second host and back", () =>
  run(
    Effect.gen(function* () {
      const server = inject("postgres")
      const first = yield* FaultProxy.make(server)
      const second = yield* FaultProxy.make(server)
      yield* first.set({ _tag: "refuse" })
      const { client: sql } = yield* ConnectionPool.make({
        hosts: [first, second],
        username: server.username,
        password: Redacted.make(server.password),
        database: "postgres",
        connectTimeout: "2 seconds",
        target: "primary"
      })
      yield* sql`SELECT 1`
      assert.isAtLeast(yield* second.accepted, 1)
      yield* first.set({ _tag: "pass" })
      yield* second.set({ _tag: "refuse" })
      yield* second.resetAll
      yield* eventually(sql`SELECT 1`)
      assert.isAtLeast(yield* first.accepted, 1)
    })
  )
)
