/**
 * The pool behind a real PgBouncer in transaction mode, where each transaction may run on another session of the server.
 */
import { assert, describe, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { inject } from "vitest"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import * as PgBouncer from "../utils/PgBouncer.ts"
import * as Postgres from "../utils/Postgres.ts"

const urlOf = ({ host, password, port, username }: PgBouncer.Server, database: string, query = "") =>
  Redacted.make(`postgres://${username}:${password}@${host}:${port}/${database}${query}`)

/** A pool on a fresh database behind a pooler; `query` is that of its URL. */
const layerPooled = (
  options: Partial<ConnectionPool.ConnectionPoolOptions> & { readonly query?: string; readonly direct?: boolean } = {}
) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const server = inject("postgres")
      const database = yield* Postgres.createDatabase
      const { direct, query, ...rest } = options
      const url = urlOf(yield* PgBouncer.make(server), database, query)
      return ConnectionPool.layer({
        url,
        directUrl: direct === true ? urlOf(server, database) : undefined,
        maxConnections: 4,
        ...rest
      })
    })
  )

const repeated = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE kept (id int)`
  const insert = (id: number) => sql`INSERT INTO kept VALUES (${id})`
  const move = (id: number) => sql.withTransaction(Effect.andThen(insert(id), sql.withTransaction(insert(-id))))
  const ids = Array.from({ length: 60 }, (_, index) => index + 1)
  const exits = yield* Effect.forEach(ids, (id) => Effect.exit(id % 3 === 0 ? insert(id) : move(id)), {
    concurrency: 12
  })
  const rows = yield* sql<{ n: number }>`SELECT count(*)::int AS n FROM kept`
  return { failed: exits.filter(Exit.isFailure), n: rows[0]!.n }
})

const hung = Effect.timeoutOrElse({ duration: "50 seconds", orElse: () => Effect.die(new Error("hung")) })

describe.skipIf(PgBouncer.absent !== undefined)(`behind PgBouncer ${PgBouncer.absent ?? ""}`, () => {
  for (const multiplex of [false, true]) {
    it.live(`runs statements and transactions behind a pooler, multiplex ${multiplex}`, () =>
      Effect.gen(function* () {
        const { failed, n } = yield* repeated
        assert.deepStrictEqual(failed, [])
        assert.strictEqual(n, 100)
      }).pipe(Effect.provide(layerPooled({ multiplex })), hung)
    )
  }

  it.live("loses prepared statements behind a pooler with prepare: true", () =>
    Effect.gen(function* () {
      const { failed } = yield* repeated
      assert.isAbove(failed.length, 0)
    }).pipe(Effect.provide(layerPooled({ prepare: true })), hung)
  )

  it.live("skips the detection with pgbouncer=true or prepare: false", () =>
    Effect.gen(function* () {
      for (const options of [{ query: "?pgbouncer=true" }, { prepare: false }]) {
        const { failed } = yield* repeated.pipe(Effect.provide(layerPooled(options)))
        assert.deepStrictEqual(failed, [])
      }
    }).pipe(hung)
  )

  it.live("cancels an expired statement in the server", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const late = yield* sql`SELECT pg_sleep(60)`.pipe(ConnectionPool.withDeadline("300 millis"), Effect.flip)
      const reason = Option.getOrThrow(ConnectionPool.fromSqlError(late as SqlError)).reason
      assert.strictEqual(reason._tag, "QueryTimeout")
      const gone = sql`SELECT 1 FROM pg_stat_activity
        WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active' AND datname = current_database()`.pipe(
        Effect.filterOrFail((rows) => rows.length === 0)
      )
      yield* Effect.retry(gone, Schedule.spaced("50 millis").pipe(Schedule.upTo({ duration: "15 seconds" })))
    }).pipe(Effect.provide(layerPooled()), hung)
  )

  it.live("connects listeners by directUrl", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const heard = yield* sql.listen("news")
      yield* sql.notify("news", "one")
      yield* sql.withTransaction(sql`SELECT pg_notify('news', 'two')`)
      assert.deepStrictEqual([(yield* Queue.take(heard)).payload, (yield* Queue.take(heard)).payload], ["one", "two"])
      const { inUse } = yield* ConnectionPool.stats
      assert.strictEqual(inUse, 0)
    }).pipe(Effect.scoped, Effect.provide(layerPooled({ direct: true })), hung)
  )

  it.live("warns of a listener without notifications", () => {
    const logged: Array<string> = []
    const logger = Logger.make(({ message }) => {
      logged.push(String(message))
    })
    return Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      yield* sql`SELECT 1`
      yield* Effect.scoped(sql.listen("news"))
      assert.isTrue(logged.some((message) => message.includes("directUrl")))
    }).pipe(Effect.provide(Layer.provideMerge(layerPooled(), Logger.layer([logger]))), hung)
  })
})

const preparedBy = (prepare: boolean | undefined) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ n: number }>`SELECT count(*)::int AS n FROM pg_prepared_statements`
    return rows[0]!.n
  }).pipe(Effect.provide(ConnectionPool.layer({ url: urlOf(inject("postgres"), "postgres"), prepare })))

it.live("prepares statements without a pooler, unless disabled", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual([yield* preparedBy(undefined), yield* preparedBy(true), yield* preparedBy(false)], [1, 1, 0])
  })
)
