/**
 * `athena prune`, on databases with a past.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as MemorySchema from "../../src/memory/MemorySchema.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as Kit from "../memory/RetentionKit.ts"
import * as Cli from "../utils/Cli.ts"

const past: Kit.Past = { events: 600, projects: 3, from: 600.1, to: 0.1 }

describe("athena prune", () => {
  it.live("previews, deletes, and reports the remaining events", () =>
    Effect.gen(function* () {
      const { env, home } = yield* Cli.scratch
      const prune = (args: ReadonlyArray<string>, more: Record<string, string> = {}) =>
        Cli.run(["prune", ...args], { env: { ...env, ...more } })
      assert.strictEqual((yield* prune([])).stdout, "no database yet\n")
      assert.isFalse(fs.existsSync(path.join(home, "athena.db")))

      fs.mkdirSync(home, { recursive: true })
      const database = Kit.sqlite(path.join(home, "athena.db"))
      yield* Kit.remember(past).pipe(Effect.provide(database))
      const dry = yield* prune(["--dry-run"])
      assert.match(dry.stdout, /^retained {3}for 365 days, up to 1024\.0 MB\n/)
      assert.match(dry.stdout, /would go {3}235 events: 235 too old, 0 too many, about \d+\.\d MB\n$/)
      const json = JSON.parse((yield* prune(["--dry-run", "--json"])).stdout)
      assert.deepStrictEqual([json.dryRun, json.events, json.expired, json.surplus], [true, 600, 235, 0])
      assert.strictEqual(
        JSON.parse((yield* prune(["--json"], { ATHENA_KEEP_DAYS: "forever" })).stdout).left.events,
        600
      )

      const wet = yield* prune([])
      assert.match(wet.stdout, /deleted {4}235 events, 23 sessions without an event, 0\.\d MB given back\n/)
      assert.match(
        wet.stdout,
        /left {7}365 events, the oldest of \d{4}-[^,]+, 0\.\d MB in use, 0\.\d MB free in the file\n$/
      )
      assert.deepStrictEqual((yield* Kit.counts.pipe(Effect.provide(database))).events, 365)

      const wrong = yield* prune([], { ATHENA_KEEP_DAYS: "some" })
      assert.deepStrictEqual(
        [wrong.code, wrong.stderr],
        [1, "athena: ATHENA_KEEP_DAYS must be a whole number of days from 1 to 36500, or forever\n"]
      )
    })
  )

  it.live("rewrites a file without incremental vacuum once", () =>
    Effect.gen(function* () {
      const { env, home } = yield* Cli.scratch
      fs.mkdirSync(home, { recursive: true })
      const filename = path.join(home, "athena.db")
      yield* Effect.gen(function* () {
        yield* MemorySchema.migrate
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE other (text)`
        yield* sql`WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 72)
          INSERT INTO other SELECT zeroblob(1048576) FROM n`
        yield* sql`DROP TABLE other`
      }).pipe(Effect.provide(Layer.fresh(Sqlite.layer({ filename }))))
      const before = fs.statSync(filename).size
      const first = yield* Cli.run(["prune"], { env })
      assert.match(first.stdout, /^7\d\.\d MB of the file are free: rewriting it, hooks wait meanwhile\n/)
      assert.match(first.stdout, /, 7\d\.\d MB given back\n/)
      assert.isBelow(fs.statSync(filename).size, before / 100)
      assert.notInclude((yield* Cli.run(["prune"], { env })).stdout, "anew")
    })
  )
})
