/**
 * The pool on a healthy server: what runs on the driver's own pool runs here.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import { inject } from "vitest"
import * as ConnectionPool from "../../src/sql/ConnectionPool.ts"
import * as Postgres from "../utils/Postgres.ts"

const layerPool = (options?: Partial<ConnectionPool.ConnectionPoolOptions>) =>
  Layer.unwrap(
    Effect.map(Postgres.createDatabase, (database) => {
      const server = inject("postgres")
      return ConnectionPool.layer({ ...server, password: Redacted.make(server.password), database, ...options })
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

it.live("a statement past its deadline fails and is cancelled in the server", () =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const error = yield* sql`SELECT pg_sleep(60)`.pipe(ConnectionPool.withDeadline("50 millis"), Effect.flip)
    const reason = Option.getOrThrow(ConnectionPool.fromSqlError(error as never)).reason
    assert.strictEqual(reason._tag, "QueryTimeout")
    assert.strictEqual((yield* sql`SELECT 1 AS one`).length, 1)
  }).pipe(Effect.provide(layerPool()))
)
