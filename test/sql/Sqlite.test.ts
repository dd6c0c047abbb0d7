import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const inFile = (name = "a.db") => Effect.map(TempFolder.make, (folder) => path.join(folder, name))

const open = (options: Sqlite.SqliteOptions) =>
  Effect.map(Layer.build(Sqlite.layer(options)), (context) => Context.get(context, SqlClient.SqlClient))

const pragma = (sql: SqlClient.SqlClient, name: string) =>
  Effect.map(sql.unsafe<Record<string, unknown>>(`PRAGMA ${name}`), (rows) => Object.values(rows[0] ?? {})[0])

/** The reason and the message of a database that can't be opened. */
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
      const statement = sql
        .withTransaction(SqlClient.BeginTransaction)
        .pipe(Effect.provideService(SqlClient.BeginTransaction, "BEGIN EXCLUSIVE"))
      assert.strictEqual(yield* statement, "BEGIN EXCLUSIVE")
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

  it.live("reports why a file can't be opened", () =>
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

  it.live("rolls back a rejected commit, runs no callback, and continues", () =>
    Effect.gen(function* () {
      const sql = yield* open({ filename: yield* inFile() })
      yield* sql`CREATE TABLE parents (n INTEGER PRIMARY KEY)`
      yield* sql`CREATE TABLE children (n INTEGER REFERENCES parents (n) DEFERRABLE INITIALLY DEFERRED)`
      let committed = 0
      const write = (parent: number) =>
        sql.withTransaction(
          Effect.andThen(
            sql`INSERT INTO children VALUES (${parent})`,
            sql.afterCommit(Effect.sync(() => void committed++))
          )
        )
      const error = yield* Effect.flip(write(1))
      assert.strictEqual(error._tag === "SqlError" ? error.reason._tag : error, "ConstraintError")
      assert.strictEqual(committed, 0)
      yield* sql`INSERT INTO parents VALUES (1)`
      yield* write(1)
      assert.strictEqual(committed, 1)
      assert.deepStrictEqual(yield* sql`SELECT * FROM children`, [{ n: 1 }])
    })
  )

  it.live("writes rows whose numbers are beyond 2^53, and says them as bigint", () =>
    Effect.gen(function* () {
      const sql = yield* open({ filename: yield* inFile() })
      const large = 2n ** 53n + 1n
      yield* sql`CREATE TABLE numbers (n INTEGER PRIMARY KEY, twice INTEGER)`
      yield* sql`INSERT INTO numbers VALUES (${large}, 2)`
      const result = yield* sql`INSERT INTO numbers VALUES (${large + 2n}, 2)`.raw
      assert.deepStrictEqual({ ...(result as object) }, { changes: 1, lastInsertRowid: large + 2n })
      const returned = yield* sql`INSERT INTO numbers VALUES (${large + 4n}, 2) RETURNING n, twice`
      assert.deepStrictEqual({ ...returned[0] }, { n: large + 4n, twice: 2 })
      const values = yield* sql`/* so */ WITH x AS (SELECT 1) INSERT INTO numbers VALUES (${large + 6n}, 2) RETURNING *`
        .values
      assert.deepStrictEqual(values, [[large + 6n, 2]])
      yield* sql.withTransaction(sql`INSERT INTO numbers VALUES (1, ${large})`)
      const safe = Effect.provideService(sql`SELECT max(n) AS n FROM numbers`, SqlClient.SafeIntegers, true)
      assert.deepStrictEqual(
        (yield* safe).map((row) => ({ ...row })),
        [{ n: large + 6n }]
      )
      assert.include(String((yield* Effect.flip(sql`SELECT n FROM numbers`)).reason.cause), "too large")
      assert.deepStrictEqual(yield* sql`SELECT count(*) AS n FROM numbers`, [{ n: 5 }])
    })
  )

  it.live("fails with SqlError for invalid SQL, however it is run", () =>
    Effect.gen(function* () {
      const sql = yield* open({ filename: yield* inFile() })
      const wrong = sql`SELEC 1`
      for (const effect of [wrong, wrong.unprepared, wrong.raw, wrong.values, wrong.valuesUnprepared]) {
        assert.strictEqual((yield* Effect.flip(effect as typeof wrong)).reason.operation, "prepare")
      }
      assert.strictEqual((yield* Effect.flip(Stream.runCollect(wrong.stream)))._tag, "SqlError")
    })
  )

  it.live("does nothing more in a transaction that SQLite has ended", () =>
    Effect.gen(function* () {
      const sql = yield* open({ filename: yield* inFile() })
      yield* sql`CREATE TABLE numbers (n INTEGER PRIMARY KEY)`
      const insert = (n: number) => sql`INSERT OR ROLLBACK INTO numbers VALUES (${n})`
      yield* insert(1)
      for (const inner of [(effect: Effect.Effect<any, any>) => effect, sql.withTransaction]) {
        const outer = Effect.gen(function* () {
          yield* insert(2)
          const error = yield* Effect.flip(inner(insert(1)))
          assert.strictEqual(error.reason._tag, "ConstraintError")
          const later = yield* Effect.flip(inner(insert(3)))
          assert.include(later.message, "rolled the transaction back")
          assert.include((yield* Effect.flip(Stream.runCollect(sql`SELECT 1`.stream))).message, "rolled")
        })
        const error = yield* Effect.flip(sql.withTransaction(outer))
        assert.include(String(error), "rolled the transaction back")
        assert.deepStrictEqual(yield* sql`SELECT n FROM numbers`, [{ n: 1 }])
      }
    })
  )

  it.live("streams rows on demand, and releases the connection when the consumer stops", () =>
    Effect.gen(function* () {
      const sql = yield* open({ filename: yield* inFile() })
      yield* sql`CREATE TABLE numbers (n INTEGER)`
      yield* sql`WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
        INSERT INTO numbers SELECT n FROM n`
      const rows = sql<{ n: number }>`SELECT n FROM numbers ORDER BY n`.stream
      assert.strictEqual(
        yield* Stream.runFold(
          rows,
          () => 0,
          (sum, { n }) => sum + n
        ),
        500_500
      )
      assert.deepStrictEqual(
        (yield* Stream.runCollect(Stream.take(rows, 2))).map(({ n }) => n),
        [1, 2]
      )
      const running = yield* Stream.runForEach(rows, () => Effect.never).pipe(
        Effect.forkChild({ startImmediately: true })
      )
      yield* Fiber.interrupt(running)
      // In a transaction, beside the same statement.
      yield* sql.withTransaction(
        Stream.runForEach(Stream.take(rows, 300), ({ n }) =>
          Effect.andThen(sql`SELECT n FROM numbers ORDER BY n`, sql`UPDATE numbers SET n = -n WHERE n = ${n}`)
        )
      )
      assert.deepStrictEqual(yield* sql`SELECT count(*) AS n FROM numbers WHERE n < 0`, [{ n: 300 }])
      yield* sql`DROP TABLE numbers`
    })
  )

  it.live("is the SqliteClient too, with the options of Effect's driver", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const context = yield* Layer.build(
        Sqlite.layer({
          filename: path.join(folder, "a.db"),
          busyTimeout: "Infinity",
          prepareCacheSize: 1,
          prepareCacheTTL: 0,
          spanAttributes: { "db.namespace": "a" },
          transformQueryNames: (name) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
          transformResultNames: (name) => name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
        })
      )
      const sql = Context.get(context, Sqlite.SqliteClient)
      assert.strictEqual(sql, Context.get(context, SqlClient.SqlClient) as SqlClient.SqlClient)
      yield* sql`CREATE TABLE some_notes (first_note TEXT)`
      yield* sql`INSERT INTO ${sql("someNotes")} ${sql.insert({ firstNote: "x" })}`
      assert.deepStrictEqual(yield* sql`SELECT * FROM some_notes`, [{ firstNote: "x" }])
      const plain = sql.withoutTransforms()
      assert.deepStrictEqual(
        (yield* plain`SELECT * FROM some_notes`).map((row) => ({ ...row })),
        [{ first_note: "x" }]
      )
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          if (options.name === "sql.transaction") transaction = span
          return span
        }
      })
      let transaction: Tracer.Span | undefined
      yield* Effect.provideService(sql.withTransaction(sql`SELECT 1`), Tracer.Tracer, tracer)
      assert.strictEqual(transaction?.attributes.get("db.namespace"), "a")
      assert.strictEqual(transaction?.attributes.get("db.system.name"), "sqlite")

      yield* sql.backup(path.join(folder, "copy.db"))
      const database = new DatabaseSync(path.join(folder, "copy.db"))
      assert.strictEqual(database.prepare("SELECT first_note FROM some_notes").all().length, 1)
      database.close()
      assert.strictEqual((yield* Effect.flip(sql.loadExtension(path.join(folder, "none.so"))))._tag, "SqlError")
    })
  )

  it.live("notifies Reactivity of committed changes and of no others", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(
        Sqlite.layer({ filename: yield* inFile() }).pipe(Layer.provideMerge(Reactivity.layer))
      )
      const sql = Context.get(context, SqlClient.SqlClient)
      const reactivity = Context.get(context, Reactivity.Reactivity)
      let notified = 0
      reactivity.registerUnsafe(["numbers"], () => void notified++)
      const change = Effect.flatMap(Reactivity.Reactivity, (current) => current.invalidate(["numbers"]))
      yield* sql.withTransaction(Effect.andThen(change, Effect.fail("no"))).pipe(Effect.flip, Effect.provide(context))
      assert.strictEqual(notified, 0)
      yield* sql.withTransaction(change).pipe(Effect.provide(context))
      assert.strictEqual(notified, 1)
    })
  )
})
