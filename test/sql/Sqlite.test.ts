import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as TempFolder from "../utils/TempFolder.ts"

describe("Sqlite", () => {
  it.live("opens", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const rows = yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        return yield* sql`PRAGMA journal_mode`
      }).pipe(Effect.provide(Sqlite.layer({ filename: path.join(folder, "a.db") })))
      assert.deepStrictEqual(
        rows.map((row) => row["journal_mode"]),
        ["wal"]
      )
    })
  )
  it.live("postgres", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const rows = yield* sql`SELECT 1 AS one`
      assert.strictEqual(rows.length, 1)
    }).pipe(Effect.provide(Postgres.layerFresh))
  )
})
