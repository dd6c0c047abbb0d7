import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const inFile = (name = "a.db") => Effect.map(TempFolder.make, (folder) => path.join(folder, name))

const open = (options: Sqlite.SqliteOptions) =>
  Effect.map(Layer.build(Sqlite.layer(options)), (context) => Context.get(context, SqlClient.SqlClient))

const pragma = (sql: SqlClient.SqlClient, name: string) =>
  Effect.map(sql.unsafe<Record<string, unknown>>(`PRAGMA ${name}`), (rows) => Object.values(rows[0] ?? {})[0])

/** The reason that a database can't be opened for, and what was said of it. */
const reasonOf = (options: Sqlite.SqliteOptions) =>
  Effect.map(Effect.flip(Effect.asVoid(open(options))), (error) => [error.reason._tag, String(error.reason.cause)])

/** A program that opens a database with the library, as another process would. */
const openerSource = `
  import * as Effect from "effect/Effect"
  import * as SqlClient from "effect/sql/SqlClient"
  import * as Sqlite from ${JSON.stringify(path.join(import.meta.dirname, "..", "..", "src", "sql", "Sqlite.ts"))}
  const program = Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql.withTransaction(Effect.gen(function* () {
      yield* sql\`CREATE TABLE IF NOT EXISTS numbers (n INTEGER)\`
      const rows = yield* sql\`SELECT count(*) AS n FROM numbers\`
      yield* sql\`INSERT INTO numbers VALUES (\${rows[0].n})\`
    }))
  }).pipe(Effect.provide(Sqlite.layer({ filename: process.argv[1], busyTimeout: "30 seconds" })))
  Effect.runPromise(program).catch((error) => { console.error(error); process.exit(1) })
`

const opener = (filename: string): Effect.Effect<string> =>
  Effect.callback((resume) => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", openerSource, filename], {
      cwd: path.join(import.meta.dirname, "..", "..")
    })
    let output = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text))
    child.on("close", (code) => resume(Effect.succeed(code === 0 ? "" : `exit ${code}: ${output}`)))
  })

describe("Sqlite", () => {
  it.live("sets the file up: WAL, no wait on the thread, durability, foreign keys, bounded log", () =>
    Effect.gen(function* () {
      const sql = yield* open({ filename: yield* inFile(), busyTimeout: "250 millis" })
      assert.strictEqual(yield* pragma(sql, "journal_mode"), "wal")
      assert.strictEqual(yield* pragma(sql, "busy_timeout"), 0)
      assert.strictEqual(yield* pragma(sql, "synchronous"), 1)
      assert.strictEqual(yield* pragma(sql, "foreign_keys"), 1)
      assert.strictEqual(yield* pragma(sql, "journal_size_limit"), 16 * 1024 * 1024)
    })
  )

  it.live("syncs every commit where power loss matters", () =>
    Effect.gen(function* () {
      const sql = yield* open({ filename: yield* inFile(), durability: "full" })
      assert.strictEqual(yield* pragma(sql, "synchronous"), 2)
    })
  )

  it.live("takes the write lock when a transaction begins", () =>
    Effect.gen(function* () {
      const filename = yield* inFile()
      const one = yield* open({ filename })
      const two = yield* open({ filename, busyTimeout: 0 })
      yield* one`CREATE TABLE numbers (n INTEGER)`
      yield* one.withTransaction(
        Effect.gen(function* () {
          // Nothing was written yet, and still the other one must wait.
          const error = yield* Effect.flip(two.withTransaction(two`SELECT 1`))
          assert.strictEqual(error._tag === "SqlError" ? error.reason._tag : error, "LockTimeoutError")
          assert.deepStrictEqual(yield* two`SELECT * FROM numbers`, [])
        })
      )
      yield* two.withTransaction(two`SELECT 1`)
    })
  )

  it.live("leaves the transactions of another client alone, and takes another beginning from the caller", () =>
    Effect.gen(function* () {
      const sql = yield* open({ filename: yield* inFile() })
      const begun = yield* sql.withTransaction(SqlClient.BeginTransaction)
      assert.isUndefined(begun)
      const asked = sql
        .withTransaction(SqlClient.BeginTransaction)
        .pipe(Effect.provideService(SqlClient.BeginTransaction, "BEGIN EXCLUSIVE"))
      assert.strictEqual(yield* asked, "BEGIN EXCLUSIVE")
    })
  )

  it.live("rolls back on failure and on interruption, inner savepoints by themselves", () =>
    Effect.gen(function* () {
      const sql = yield* open({ filename: yield* inFile() })
      yield* sql`CREATE TABLE numbers (n INTEGER)`
      yield* sql`INSERT INTO numbers VALUES (1)`.pipe(
        Effect.andThen(Effect.fail("no")),
        sql.withTransaction,
        Effect.flip
      )
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`INSERT INTO numbers VALUES (2)`
          yield* sql`INSERT INTO numbers VALUES (3)`.pipe(
            Effect.andThen(Effect.fail("no")),
            sql.withTransaction,
            Effect.flip
          )
        })
      )
      yield* sql`INSERT INTO numbers VALUES (4)`.pipe(
        Effect.andThen(Effect.interrupt),
        sql.withTransaction,
        Effect.exit
      )
      assert.deepStrictEqual(
        (yield* sql<{ n: number }>`SELECT n FROM numbers`).map((row) => row.n),
        [2]
      )
    })
  )

  it.live(
    "is opened by thirty processes in the same instant, and each has its turn",
    () =>
      Effect.gen(function* () {
        const filename = yield* inFile()
        const failures = yield* Effect.all(
          Array.from({ length: 30 }, () => opener(filename)),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          failures.filter((failure) => failure !== ""),
          []
        )
        const sql = yield* open({ filename })
        const rows = yield* sql<{ n: number }>`SELECT n FROM numbers ORDER BY n`
        assert.deepStrictEqual(
          rows.map((row) => row.n),
          Array.from({ length: 30 }, (_, index) => index)
        )
      }),
    { timeout: 120_000 }
  )

  it.live("says what is wrong with what it can't open", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const damaged = path.join(folder, "damaged.db")
      fs.writeFileSync(damaged, "this is no database, and it is longer than a header of one hundred bytes".repeat(9))
      fs.mkdirSync(path.join(folder, "folder.db"))
      assert.deepStrictEqual(yield* reasonOf({ filename: path.join(folder, "folder.db") }), [
        "ConnectionError",
        "Error: unable to open database file"
      ])
      assert.deepStrictEqual(yield* reasonOf({ filename: path.join(folder, "no", "such.db") }), [
        "ConnectionError",
        "Error: unable to open database file"
      ])
      assert.deepStrictEqual(yield* reasonOf({ filename: damaged }), ["UnknownError", "Error: file is not a database"])
      assert.strictEqual(fs.readFileSync(damaged, "utf8").slice(0, 19), "this is no database")
      assert.strictEqual((yield* reasonOf({ filename: ":memory:", busyTimeout: -1 }))[0], "ConnectionError")
      const error = yield* Effect.flip(open({ filename: path.join(folder, "folder.db") }))
      assert.include(error.message, "unable to open database file")
    })
  )

  it.live("opens a file without the right to change it", () =>
    Effect.gen(function* () {
      const filename = yield* inFile()
      const db = new DatabaseSync(filename)
      db.exec("CREATE TABLE numbers (n INTEGER); INSERT INTO numbers VALUES (1)")
      db.close()
      const sql = yield* open({ filename, readonly: true })
      assert.strictEqual((yield* sql`SELECT n FROM numbers`).length, 1)
      const error = yield* Effect.flip(sql`INSERT INTO numbers VALUES (2)`)
      assert.include(String(error.reason.cause), "readonly")
    })
  )
})
