/**
 * Results that caches lose come back as they were: from memory, from the file, and in another process.
 */
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import { QueryCache } from "../../src/cache/QueryCache.ts"
import * as QC from "../../src/cache/QueryCache.ts"
import * as Dependency from "../../src/query/Dependency.ts"
import * as Query from "../../src/query/Query.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const nested = Schema.Struct({ rows: Schema.Array(Schema.Struct({ n: Schema.Number })) })

const values: ReadonlyArray<readonly [name: string, schema: Schema.Codec<any, any>, value: unknown, stored: boolean]> =
  [
    ["null", Schema.NullOr(Schema.String), null, true],
    ["undefined", Schema.UndefinedOr(Schema.String), undefined, true],
    ["zero", Schema.Number, 0, true],
    ["negative zero", Schema.Number, -0, false],
    ["negative zero within", nested, { rows: [{ n: 1 }, { n: -0 }] }, false],
    ["negative zero in a list", Schema.Array(Schema.Number), [0, -0, 10], false],
    ["zeros", nested, { rows: [{ n: 0 }, { n: 100 }, { n: 0.5 }] }, true],
    ["a text with a zero", Schema.String, "[0,-0]", true],
    ["a number that is none", Schema.Number, Number.NaN, true],
    ["infinity", Schema.Number, Number.POSITIVE_INFINITY, true],
    ["an empty list", Schema.Array(Schema.String), [], true],
    ["a date", Schema.Date, new Date("2026-03-29T01:30:00.123Z"), true],
    ["an invalid date", Schema.Date, new Date(Number.NaN), false],
    ["a large integer", Schema.BigInt, 2n ** 70n, true],
    ["a map", Schema.ReadonlyMap(Schema.String, Schema.Number), new Map([["a", 1]]), true],
    ["a map with negative zero", Schema.ReadonlyMap(Schema.String, Schema.Number), new Map([["a", -0]]), false],
    ["bytes", Schema.Uint8Array, new Uint8Array([0, 255, 7]), true],
    ["a lone surrogate", Schema.String, "a\ud83d", true],
    ["a zero byte", Schema.String, "a\u0000b", true]
  ]

/** A read in a cache of its own over the file, and whether it had to be loaded. */
const readIn = (filename: string, query: Query.Query<any, any>, value: unknown) =>
  Effect.gen(function* () {
    const cache = yield* QueryCache
    const first = yield* cache.get(query, {})
    const second = yield* cache.get(query, {})
    return { first, second }
  }).pipe(
    Effect.provide(
      Layer.fresh(QC.layer({})).pipe(
        Layer.provide(CacheStore.layerSqlite({ filename })),
        Layer.provide(QueryExecutor.layerTest({ [query.name]: () => value }))
      )
    )
  )

describe("a cached result is as it was loaded", () => {
  it.live.each(values)("%s", ([name, result, value, stored]) =>
    Effect.gen(function* () {
      const filename = path.join(yield* TempFolder.make, "cache.db")
      const query = Query.make({
        name: `value: ${name}`,
        input: Schema.Struct({}),
        result,
        dependencies: () => [Dependency.make("values")],
        run: () => Effect.die("the test answers")
      })
      for (const level of ["source", stored ? "store" : "source"]) {
        const { first, second } = yield* readIn(filename, query, value)
        assert.deepStrictEqual([first.tier, second.tier], [level, "memory"])
        for (const traced of [first, second]) {
          assert.deepStrictEqual(traced.value, value)
          assert.isTrue(Object.is(traced.value, value) || typeof value !== "number")
        }
      }
    })
  )
})
