import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Dependency from "../../src/query/Dependency.ts"
import * as Mutation from "../../src/query/Mutation.ts"
import * as Query from "../../src/query/Query.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"

const Input = Schema.Struct({ below: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100 })) })

const count = Query.make({
  name: "numbers.count",
  input: Input,
  result: Schema.Finite,
  dependencies: () => [Dependency.make("numbers")],
  run: Effect.fnUntraced(function* ({ below }) {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ n: number }>`SELECT count(*) AS n FROM numbers WHERE n < ${below}`
    return rows[0]!.n
  })
})

const addTwice = Mutation.make({
  name: "numbers.addTwice",
  input: Input,
  changes: () => [Dependency.make("numbers")],
  run: Effect.fnUntraced(function* ({ below }) {
    const sql = yield* SqlClient.SqlClient
    yield* sql`INSERT INTO numbers VALUES (${below})`
    yield* sql`INSERT INTO numbers VALUES (${below === 13 ? null : below})`
  })
})

const database = Layer.effectDiscard(
  SqlClient.SqlClient.use((sql) => sql`CREATE TABLE numbers (n INTEGER NOT NULL)`)
).pipe(Layer.provideMerge(Sqlite.layer({ filename: ":memory:" })))

/** A middleware that records its calls. */
const noted = (label: string, notes: Array<string>) =>
  Layer.effect(
    QueryExecutor.QueryExecutor,
    QueryExecutor.QueryExecutor.use((inner) =>
      Effect.succeed(
        QueryExecutor.QueryExecutor.of({
          ...inner,
          query: (query, input) =>
            Effect.suspend(() => {
              notes.push(`${label} ${query.name}`)
              return inner.query(query, input)
            })
        })
      )
    )
  )

describe("QueryExecutor", () => {
  it.layer(QueryExecutor.layer.pipe(Layer.provideMerge(database)))("layer", (it) => {
    it.effect("runs queries and mutations on the client of the Layer", () =>
      Effect.gen(function* () {
        const executor = yield* QueryExecutor.QueryExecutor
        const before = yield* executor.query(count, { below: 100 })
        yield* executor.mutate(addTwice, { below: 5 })
        assert.strictEqual(yield* executor.query(count, { below: 100 }), before + 2)
        assert.strictEqual(yield* executor.query(count, { below: 5 }), 0)
      })
    )

    it.effect("rolls a failed mutation back", () =>
      Effect.gen(function* () {
        const executor = yield* QueryExecutor.QueryExecutor
        const before = yield* executor.query(count, { below: 100 })
        const error = yield* Effect.flip(executor.mutate(addTwice, { below: 13 }))
        assert.strictEqual(error._tag, "SqlError")
        assert.strictEqual(yield* executor.query(count, { below: 100 }), before)
      })
    )

    it.effect("joins an open transaction", () =>
      Effect.gen(function* () {
        const executor = yield* QueryExecutor.QueryExecutor
        const sql = yield* SqlClient.SqlClient
        const before = yield* executor.query(count, { below: 100 })
        yield* executor
          .mutate(addTwice, { below: 5 })
          .pipe(Effect.andThen(Effect.fail("outer")), sql.withTransaction, Effect.flip)
        assert.strictEqual(yield* executor.query(count, { below: 100 }), before)
      })
    )

    it.effect("runs a program lazily, once per execution", () =>
      Effect.gen(function* () {
        const executor = yield* QueryExecutor.QueryExecutor
        let runs = 0
        const eager = Query.make({
          ...count,
          name: "numbers.eager",
          run: ({ below }) => {
            runs += 1
            return Effect.succeed(below.valueOf())
          }
        })
        const effect = executor.query(eager, { below: 1 })
        assert.strictEqual(runs, 0)
        yield* effect
        yield* effect
        assert.strictEqual(runs, 2)
        const error = yield* Effect.flip(executor.query(eager, { below: undefined } as never))
        assert.strictEqual(error._tag, "SchemaError")
      })
    )

    it.effect("rejects invalid input before running anything", () =>
      Effect.gen(function* () {
        const executor = yield* QueryExecutor.QueryExecutor
        for (const effect of [
          executor.query(count, { below: 101 }),
          executor.query(count, { below: 1.5 }),
          executor.mutate(addTwice, { below: -1 })
        ]) {
          const error = yield* Effect.flip(Effect.asVoid(effect))
          assert.strictEqual(error._tag, "SchemaError")
          assert.include(error.message, "below")
        }
      })
    )
  })

  it.effect("applies middleware in the order of the Layers", () => {
    const notes: Array<string> = []
    const layer = noted("outer", notes).pipe(
      Layer.provide(noted("inner", notes)),
      Layer.provide(QueryExecutor.layer),
      Layer.provide(database)
    )
    return Effect.gen(function* () {
      const executor = yield* QueryExecutor.QueryExecutor
      yield* executor.query(count, { below: 1 })
      assert.deepStrictEqual(notes, ["outer numbers.count", "inner numbers.count"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("layerTest returns values or effects by name and dies on a missing name", () =>
    Effect.gen(function* () {
      const executor = yield* QueryExecutor.QueryExecutor
      assert.strictEqual(yield* executor.query(count, { below: 7 }), 7)
      yield* executor.mutate(addTwice, { below: 7 })
      const other = Query.make({ ...count, name: "numbers.other" })
      const exit = yield* Effect.exit(executor.query(other, { below: 1 }))
      assert.include(String(exit), 'no result for "numbers.other"')
    }).pipe(
      Effect.provide(
        QueryExecutor.layerTest({ "numbers.count": ({ below }) => below, "numbers.addTwice": () => Effect.void })
      )
    )
  )
})
