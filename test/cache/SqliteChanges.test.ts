import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as QueryCache from "../../src/cache/QueryCache.ts"
import * as SqliteChanges from "../../src/cache/SqliteChanges.ts"
import * as Dependency from "../../src/query/Dependency.ts"
import * as Mutation from "../../src/query/Mutation.ts"
import * as Query from "../../src/query/Query.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as TempFolder from "../utils/TempFolder.ts"

let loads = 0

const total = Query.make({
  name: "numbers.total",
  input: Schema.Struct({ at: Schema.String }),
  result: Schema.Number,
  dependencies: ({ at }) => [Dependency.make("numbers", at)],
  run: ({ at }) =>
    Effect.gen(function* () {
      loads++
      const sql = yield* SqlClient.SqlClient
      const rows = yield* sql<{ total: number }>`SELECT coalesce(sum(n), 0) AS total FROM numbers WHERE place = ${at}`
      return rows[0]!.total
    })
})

const add = Mutation.make({
  name: "numbers.add",
  input: Schema.Struct({ at: Schema.String, n: Schema.Number }),
  changes: ({ at }) => [Dependency.make("numbers", at)],
  run: ({ at, n }) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql`INSERT INTO numbers (place, n) VALUES (${at}, ${n})`)
})

const cached = SqliteChanges.layer.pipe(
  Layer.provideMerge(QueryCache.layer()),
  Layer.provide(CacheStore.layerNoop),
  Layer.provide(QueryExecutor.layer)
)

const setUp = Effect.gen(function* () {
  const filename = `${yield* TempFolder.make}/numbers.db`
  const database = Sqlite.layer({ filename })
  yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE TABLE numbers (place TEXT, n INTEGER)`).pipe(
    Effect.provide(database)
  )
  loads = 0
  return { database, other: Sqlite.layer({ filename }) }
})

/** Another process's executor: with a connection of its own, and no cache. */
const elsewhere = (database: Layer.Layer<SqlClient.SqlClient, SqlError>) =>
  Layer.fresh(QueryExecutor.layer).pipe(Layer.provide(database))

const read = (at: string) => QueryExecutor.QueryExecutor.use((executor) => executor.query(total, { at }))
const write = (at: string, n: number) => QueryExecutor.QueryExecutor.use((executor) => executor.mutate(add, { at, n }))

describe("SqliteChanges", () => {
  it.effect("invalidates after another connection commits", () =>
    Effect.gen(function* () {
      const { database, other } = yield* setUp
      yield* Effect.gen(function* () {
        assert.strictEqual(yield* read("a"), 0)
        assert.strictEqual(yield* read("a"), 0)
        assert.strictEqual(loads, 1)
        yield* write("a", 5).pipe(Effect.provide(elsewhere(other)))
        assert.strictEqual(yield* read("a"), 5)
        assert.strictEqual(yield* read("a"), 5)
        assert.strictEqual(loads, 2)
      }).pipe(Effect.provide(cached.pipe(Layer.provide(database))))
    })
  )

  it.effect("retains results that its own connection has not changed", () =>
    Effect.gen(function* () {
      const { database } = yield* setUp
      yield* Effect.gen(function* () {
        yield* read("a")
        yield* read("b")
        yield* write("a", 1)
        assert.strictEqual(yield* read("a"), 1)
        assert.strictEqual(yield* read("b"), 0)
        assert.strictEqual(loads, 3)
      }).pipe(Effect.provide(cached.pipe(Layer.provide(database))))
    })
  )

  it.effect("stores no load during which another connection has committed", () =>
    Effect.gen(function* () {
      const { database, other } = yield* setUp
      const meanwhile = Query.make({
        ...total,
        name: "numbers.meanwhile",
        run: ({ at }) =>
          Effect.tap(total.run({ at }), () =>
            loads === 1 ? Effect.provide(write(at, 7), elsewhere(other)).pipe(Effect.orDie) : Effect.void
          )
      })
      yield* Effect.gen(function* () {
        const executor = yield* QueryExecutor.QueryExecutor
        yield* executor.query(meanwhile, { at: "a" })
        assert.strictEqual(yield* executor.query(meanwhile, { at: "a" }), 7)
      }).pipe(Effect.provide(cached.pipe(Layer.provide(database))))
    })
  )
})
