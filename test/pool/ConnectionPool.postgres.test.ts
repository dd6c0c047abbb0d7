/**
 * The pool on a healthy server, compared with the driver's own pool.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Stream from "effect/Stream"
import { inject } from "vitest"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import { terminateStatement } from "../../src/pool/internal/cancellation.ts"
import * as Postgres from "../utils/Postgres.ts"

const layerPool = (options?: Partial<ConnectionPool.ConnectionPoolOptions>) =>
  Layer.unwrap(
    Effect.map(Postgres.createDatabase, (database) => {
      const server = inject("postgres")
      return ConnectionPool.layer({
        ...server,
        password: Redacted.make(server.password),
        database,
        // On a busy machine an expired statement must not become an expired validation.
        validationWindow: "1 minute",
        ...options
      })
    })
  )

for (const multiplex of [false, true]) {
  it.live(`runs queries, transactions, savepoints, streams and listeners, multiplex ${multiplex}`, () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const pg = yield* PgClient.PgClient
      yield* sql`CREATE TABLE notes (id int PRIMARY KEY, body jsonb)`
      yield* Effect.forEach(
        [1, 2, 3, 4, 5, 6, 7, 8],
        (id) => sql`INSERT INTO notes VALUES (${id}, ${pg.json({ id })})`,
        {
          concurrency: "unbounded"
        }
      )
      assert.strictEqual((yield* sql`SELECT * FROM notes`).length, 8)

      const failed = yield* sql`INSERT INTO notes VALUES (9, '{}')`.pipe(
        Effect.andThen(Effect.fail("no" as const)),
        sql.withTransaction,
        Effect.exit
      )
      assert.isTrue(Exit.isFailure(failed))
      yield* Effect.gen(function* () {
        yield* sql`INSERT INTO notes VALUES (10, '{}')`
        yield* sql`INSERT INTO notes VALUES (10, '{}')`.pipe(sql.withTransaction, Effect.ignore)
        yield* sql`INSERT INTO notes VALUES (11, '{}')`
      }).pipe(sql.withTransaction)
      const ids = yield* sql<{ id: number }>`SELECT id FROM notes WHERE id > 8 ORDER BY id`
      assert.deepStrictEqual(
        ids.map((row) => row.id),
        [10, 11]
      )

      const streamed = yield* sql`SELECT * FROM generate_series(1, 5000) AS n`.stream.pipe(Stream.runCollect)
      assert.strictEqual(streamed.length, 5000)

      yield* Effect.scoped(
        Effect.gen(function* () {
          const queue = yield* pg.listen("news")
          yield* pg.notify("news", "hello")
          assert.strictEqual((yield* Queue.take(queue)).payload, "hello")
        })
      )
      const stats = yield* ConnectionPool.stats
      assert.strictEqual(stats.inUse, 0)
      assert.strictEqual(stats.waiting, 0)
      assert.isAtMost(stats.total, 3)
    }).pipe(Effect.provide(layerPool({ multiplex })))
  )
}

it.live("cancels a statement in the server at its deadline", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`SELECT 1`
    const error = yield* sql`SELECT pg_sleep(60)`.pipe(ConnectionPool.withDeadline("100 millis"), Effect.flip)
    const reason = Option.getOrThrow(ConnectionPool.fromSqlError(error as never)).reason
    assert.strictEqual(reason._tag, "QueryTimeout")
    assert.strictEqual((yield* sql`SELECT 1 AS one`).length, 1)
  }).pipe(Effect.provide(layerPool()))
)

/** The running statements of the server with this mark in their text. */
const runningInServer = (mark: string) =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) =>
      sql`SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE ${`%${mark}%`} AND pid <> pg_backend_pid()`
  )

const eventuallyIn = (mark: string, count: number) =>
  Effect.flatMap(runningInServer(mark), (rows) =>
    rows.length === count ? Effect.void : Effect.fail(`${rows.length} running`)
  ).pipe(
    Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "15 seconds" }))),
    Effect.provide(Postgres.layerDatabase("postgres"), { local: true })
  )

for (const multiplex of [false, true]) {
  it.live(`ends a late or interrupted statement in the server, multiplex ${multiplex}`, () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`SELECT 1`
      const late = `late_${multiplex}`
      yield* sql`SELECT pg_sleep(60) /* ${sql.literal(late)} */`.pipe(
        ConnectionPool.withDeadline("100 millis"),
        Effect.flip
      )
      yield* eventuallyIn(late, 0)
      const left = `left_${multiplex}`
      const running = yield* Effect.forkChild(sql`SELECT pg_sleep(60) /* ${sql.literal(left)} */`)
      yield* eventuallyIn(left, 1)
      yield* Fiber.interrupt(running)
      yield* eventuallyIn(left, 0)
      assert.strictEqual((yield* sql`SELECT 1 AS one`).length, 1)
    }).pipe(Effect.provide(layerPool({ multiplex })))
  )
}

it.live("returns the results of other callers on a shared connection with an expired statement", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`SELECT 1`
    const slow = yield* sql`SELECT pg_sleep(0.5)`.pipe(
      ConnectionPool.withDeadline("150 millis"),
      Effect.flip,
      Effect.forkChild
    )
    yield* Effect.yieldNow
    const behind = yield* Effect.forEach([1, 2, 3, 4], (n) =>
      Effect.forkChild(sql<{ n: number }>`SELECT ${n}::int AS n, pg_sleep(0.05)`)
    )
    assert.isTrue(Option.isSome(ConnectionPool.fromSqlError((yield* Fiber.join(slow)) as SqlError)))
    const rows = yield* Effect.forEach(behind, Fiber.join)
    assert.deepStrictEqual(
      rows.map((row) => row[0]!.n),
      [1, 2, 3, 4]
    )
  }).pipe(Effect.provide(layerPool({ multiplex: true, maxConnections: 1 })))
)

it.live("bounds a transaction's wait for another caller's statement, and ends it on interruption", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`SELECT 1`
    const stranger = yield* Effect.forkChild(sql`SELECT pg_sleep(60) /* stranger_alone */`)
    yield* eventuallyIn("stranger_alone", 1)
    const transaction = sql.withTransaction(sql`SELECT 1`)
    const tooLate = yield* transaction.pipe(ConnectionPool.withDeadline("200 millis"), Effect.flip)
    assert.strictEqual(Option.getOrThrow(ConnectionPool.fromSqlError(tooLate as SqlError)).reason._tag, "PoolExhausted")
    assert.isTrue(Option.isNone(yield* Effect.timeoutOption(transaction, "200 millis")))
    const next = yield* Effect.forkChild(sql<{ n: number }>`SELECT 2 AS n`)
    assert.strictEqual((yield* ConnectionPool.stats).inUse, 1)
    // No other caller's statement was ended.
    yield* eventuallyIn("stranger_alone", 1)
    yield* Fiber.interruptAll([stranger, next])
    yield* eventuallyIn("stranger_alone", 0)
    yield* sql.withTransaction(sql`SELECT 1`)
  }).pipe(Effect.provide(layerPool({ multiplex: true, maxConnections: 1 })))
)

it.live("opens another connection for a transaction beside another caller's statement", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`SELECT 1`
    const stranger = yield* Effect.forkChild(sql`SELECT pg_sleep(60) /* stranger_beside */`)
    yield* eventuallyIn("stranger_beside", 1)
    yield* sql.withTransaction(sql`SELECT 1`)
    yield* eventuallyIn("stranger_beside", 1)
    yield* Fiber.interrupt(stranger)
  }).pipe(Effect.provide(layerPool({ multiplex: true, maxConnections: 2 })))
)

it.live("ends all expired statements of a shared connection in the server", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`SELECT 1`
    const mark = sql.literal("many_late")
    const late = sql`SELECT pg_sleep(60) /* ${mark} */`.pipe(ConnectionPool.withDeadline("100 millis"), Effect.flip)
    yield* Effect.forEach([1, 2, 3, 4, 5], () => late, { concurrency: 5 })
    // With one connection allowed, this runs once the last of them is gone.
    yield* sql`SELECT 1`.pipe(ConnectionPool.withDeadline("10 seconds"))
    yield* eventuallyIn("many_late", 0)
  }).pipe(Effect.provide(layerPool({ multiplex: true, maxConnections: 1, acquireTimeout: "10 seconds" })))
)

it.live("returns the results of earlier statements when one can't be sent", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`SELECT 1`
    const late = yield* sql`SELECT pg_sleep(60) /* late_before_unsent */`.pipe(
      ConnectionPool.withDeadline("300 millis"),
      Effect.flip,
      Effect.forkChild
    )
    yield* eventuallyIn("late_before_unsent", 1)
    const unsent = yield* Effect.flip(sql`SELECT ${{ toJSON: () => assert.fail("unsendable") } as never}`)
    assert.include(String(unsent.reason.message), "encode")
    yield* Fiber.join(late)
    yield* sql`SELECT 1`.pipe(ConnectionPool.withDeadline("10 seconds"))
    yield* eventuallyIn("late_before_unsent", 0)
  }).pipe(Effect.provide(layerPool({ multiplex: true, maxConnections: 1, acquireTimeout: "10 seconds" })))
)

it.live("fails the transaction when the deadline passes at any of its steps", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE never_kept (id int)`
    const insert = sql`INSERT INTO never_kept VALUES (1)`
    const limited = <A, E>(program: Effect.Effect<A, E>) =>
      insert.pipe(
        Effect.andThen(program),
        sql.withTransaction,
        ConnectionPool.withDeadline("800 millis"),
        Effect.flip,
        Effect.map((error) => Option.getOrThrow(ConnectionPool.fromSqlError(error as SqlError)).reason._tag)
      )
    const idle = Effect.sleep("1 second")
    assert.strictEqual(yield* limited(Effect.andThen(idle, insert)), "QueryTimeout")
    assert.strictEqual(yield* limited(idle), "QueryTimeout")
    assert.strictEqual(yield* limited(sql.withTransaction(Effect.andThen(insert, idle))), "QueryTimeout")
    assert.strictEqual(yield* limited(sql.withTransaction(Effect.andThen(idle, insert))), "QueryTimeout")
    const mark = "late_in_transaction"
    const late = sql`SELECT pg_sleep(60) /* ${sql.literal(mark)} */`
    assert.strictEqual(yield* limited(late), "QueryTimeout")
    assert.strictEqual(yield* limited(sql.withTransaction(late)), "QueryTimeout")
    yield* eventuallyIn(mark, 0)
    assert.deepStrictEqual(yield* sql`SELECT * FROM never_kept`, [])
  }).pipe(Effect.provide(layerPool()))
)

/** Kills a session and waits until it is gone. */
const kill = (pid: number) =>
  Effect.gen(function* () {
    const admin = yield* SqlClient.SqlClient
    yield* admin`SELECT pg_terminate_backend(${pid}::int)`
    const rows = yield* admin`SELECT 1 FROM pg_stat_activity WHERE pid = ${pid}::int`
    if (rows.length > 0) return yield* Effect.fail("still there")
  }).pipe(
    Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "15 seconds" }))),
    Effect.provide(Postgres.layerDatabase("postgres"), { local: true })
  )

it.live("reports a session killed in an idle transaction as lost", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const error = yield* Effect.gen(function* () {
      const rows = yield* sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`
      yield* kill(rows[0]!.pid)
      yield* sql`SELECT 1`
    }).pipe(sql.withTransaction, Effect.flip)
    const reason = Option.getOrThrow(ConnectionPool.fromSqlError(error as SqlError)).reason
    assert.isTrue(reason._tag === "DatabaseUnavailable" && reason.problem === "lost")
  }).pipe(Effect.provide(layerPool()))
)

it.live("terminates only sessions of the same program", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const mark = "ended_from_beside"
    const running = yield* Effect.forkChild(Effect.flip(sql`SELECT pg_sleep(60) /* ${sql.literal(mark)} */`))
    yield* eventuallyIn(mark, 1)
    const found = yield* sql<{ pid: number }>`SELECT pid FROM pg_stat_activity
      WHERE state = 'active' AND query LIKE ${`%${mark}%`} AND pid <> pg_backend_pid()`
    const end = sql.unsafe(terminateStatement, [found[0]!.pid])
    const other = Effect.andThen(sql`SET LOCAL application_name = 'other'`, end)
    assert.deepStrictEqual(yield* sql.withTransaction(other), [])
    assert.strictEqual((yield* end).length, 1)
    const reason = Option.getOrThrow(ConnectionPool.fromSqlError((yield* Fiber.join(running)) as SqlError)).reason
    assert.strictEqual(reason._tag === "DatabaseUnavailable" && reason.problem, "lost")
  }).pipe(Effect.provide(layerPool()))
)

it.live("completes the outer transaction after an expired savepoint", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE kept (id int)`
    yield* Effect.gen(function* () {
      yield* sql`INSERT INTO kept VALUES (1)`
      yield* sql`INSERT INTO kept SELECT 2 FROM pg_sleep(60)`.pipe(
        sql.withTransaction,
        Effect.timeoutOption("100 millis")
      )
      yield* sql`INSERT INTO kept VALUES (3)`
    }).pipe(sql.withTransaction)
    assert.deepStrictEqual(yield* sql`SELECT id FROM kept ORDER BY id`, [{ id: 1 }, { id: 3 }])
  }).pipe(Effect.provide(layerPool()))
)

for (const multiplex of [false, true]) {
  it.live(`resets all changes of a caller before the next, multiplex ${multiplex}`, () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const setting = sql<{ search_path: string }>`SHOW search_path`
      const before = yield* setting
      yield* sql`SET search_path = 'elsewhere'`
      assert.deepStrictEqual(yield* setting, before)
      yield* sql`SELECT set_config('search_path', 'elsewhere', false)`
      assert.deepStrictEqual(yield* setting, before)
      yield* Effect.scoped(
        Effect.flatMap(sql.reserve, (connection) =>
          Effect.gen(function* () {
            yield* connection.execute("BEGIN", [], undefined)
            yield* connection.execute("CREATE TABLE forgotten (id int)", [], undefined)
            yield* connection.execute("SELECT pg_advisory_lock(7)", [], undefined)
          })
        )
      )
      const tables = yield* sql`SELECT relname FROM pg_class WHERE relname = 'forgotten'`
      assert.deepStrictEqual(tables, [])
      const locks = yield* sql`SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND database = (
        SELECT oid FROM pg_database WHERE datname = current_database())`
      assert.deepStrictEqual(locks, [])
    }).pipe(Effect.provide(layerPool({ multiplex, maxConnections: 1 })))
  )
}

it.live("retains the connection of a completed stream, and closes that of an abandoned one", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = sql`SELECT * FROM generate_series(1, 100000) AS n`.stream
    const cancelled = Effect.map(ConnectionPool.stats, ({ closed }) => closed.cancelled)
    assert.strictEqual(yield* Stream.runCount(rows), 100_000)
    yield* Effect.ignore(Stream.runDrain(sql`SELECT 1 / 0`.stream))
    yield* sql`SELECT 1`
    assert.strictEqual(yield* cancelled, 0)
    yield* Stream.runDrain(Stream.take(rows, 1))
    yield* sql`SELECT 1`
    assert.strictEqual(yield* cancelled, 1)
  }).pipe(Effect.provide(layerPool({ maxConnections: 1 })))
)

it.live("resets the session whatever the spelling of the statement", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const name = Effect.map(
      sql<{ application_name: string }>`SHOW application_name`,
      (rows) => rows[0]!.application_name
    )
    const table = Effect.map(
      sql<{ name: string | null }>`SELECT to_regclass('pg_temp.mine')::text AS name`,
      (rows) => rows[0]!.name
    )
    const before = yield* name
    const statements = [
      "(SELECT set_config('application_name', 'left-behind', false))",
      "/* a /* b */ c */ SET application_name = 'left-behind'",
      "CREATE TABLE pg_temp.mine AS SELECT 1 AS one",
      "CREATE /* x */ TEMP TABLE mine AS SELECT 1 AS one",
      "SELECT 1 AS one INTO pg_temp.mine"
    ]
    for (const statement of statements) {
      yield* sql.unsafe(statement)
      assert.deepStrictEqual([yield* name, yield* table], [before, null], statement)
    }
  }).pipe(Effect.provide(layerPool({ maxConnections: 1 })))
)

it.live("passes errors of the database through", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE once (id int PRIMARY KEY)`
    yield* sql`INSERT INTO once VALUES (1)`
    const error = (yield* Effect.flip(sql`INSERT INTO once VALUES (1)`)) as SqlError
    assert.strictEqual(error.reason._tag, "UniqueViolation")
    assert.isTrue(Option.isNone(ConnectionPool.fromSqlError(error)))
  }).pipe(Effect.provide(layerPool()))
)

it.live("reads its options from the configuration", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    assert.strictEqual((yield* sql`SELECT 1 AS one`).length, 1)
    assert.strictEqual((yield* ConnectionPool.stats).max, 2)
  }).pipe(
    Effect.provide(
      Layer.suspend(() => {
        const { host, password, port, username } = inject("postgres")
        const url = `postgres://${username}:${password}@${host}:${port}/postgres`
        return ConnectionPool.layerConfig({ url: Config.Redacted("URL"), maxConnections: Config.Int("MAX") }).pipe(
          Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ URL: url, MAX: "2" })))
        )
      })
    )
  )
)

for (const chain of ["COMMIT AND CHAIN", "END AND CHAIN", "ROLLBACK AND CHAIN", "ABORT AND CHAIN"]) {
  it.live(`rolls back the transaction that ${chain} begins`, () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE chained (id int)`
      yield* Effect.scoped(
        Effect.flatMap(sql.reserve, (connection) =>
          Effect.andThen(connection.execute("BEGIN", [], undefined), connection.execute(chain, [], undefined))
        )
      )
      const [before] = yield* sql<{
        id: string
      }>`INSERT INTO chained VALUES (1) RETURNING pg_current_xact_id()::text AS id`
      const [after] = yield* sql<{ id: string }>`SELECT pg_current_xact_id()::text AS id`
      assert.notStrictEqual(after!.id, before!.id)
    }).pipe(Effect.provide(layerPool({ maxConnections: 1 })))
  )
}

it.live("leaves no transaction open after a rejected COMMIT", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* Effect.scoped(
      Effect.flatMap(sql.reserve, (connection) =>
        Effect.andThen(
          connection.execute("BEGIN", [], undefined),
          Effect.ignore(connection.execute("COMMIT PLEASE", [], undefined))
        )
      )
    )
    const [before] = yield* sql<{ id: string }>`SELECT pg_current_xact_id()::text AS id`
    const [after] = yield* sql<{ id: string }>`SELECT pg_current_xact_id()::text AS id`
    assert.notStrictEqual(after!.id, before!.id)
  }).pipe(Effect.provide(layerPool({ maxConnections: 1 })))
)

it.live("resets the session after a DO block", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql.unsafe(
      "DO $$ BEGIN PERFORM pg_advisory_lock(1); CREATE TEMP TABLE mine (id int); EXECUTE 'LISTEN news'; END $$"
    )
    const [left] = yield* sql<{ locks: number; tables: number; channels: number }>`SELECT
      (SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks,
      (SELECT count(*)::int FROM pg_class WHERE relname = 'mine') AS tables,
      (SELECT count(*)::int FROM pg_listening_channels()) AS channels`
    assert.deepStrictEqual(left, { locks: 0, tables: 0, channels: 0 })
  }).pipe(Effect.provide(layerPool({ maxConnections: 1 })))
)

/** The behaviour of a client for an invalid channel and for a rolled-back notification. */
const notified = Effect.gen(function* () {
  const pg = yield* PgClient.PgClient
  const queue = yield* pg.listen("news")
  const rolledBack = Effect.andThen(pg.notify("news", "told"), Effect.fail("no" as const))
  yield* Effect.flip(pg.withTransaction(rolledBack))
  yield* pg.notify("news", "last")
  const first = yield* Queue.take(queue)
  const error = yield* Effect.flip(pg.notify("n".repeat(64), "x"))
  return [first.payload, error.message, error.reason._tag]
}).pipe(Effect.scoped)

it.live("notifies as the driver's client does, within a transaction and with an oversized name", () =>
  Effect.gen(function* () {
    const expected = yield* Effect.provide(notified, Postgres.layerFresh)
    assert.deepStrictEqual(yield* Effect.provide(notified, layerPool()), expected)
    assert.strictEqual(expected[0], "told")
  })
)
