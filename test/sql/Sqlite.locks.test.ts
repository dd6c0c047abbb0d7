/**
 * Locks are waited for without the thread: in line among the clients of a process, in pauses behind other processes.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const open = (options: Sqlite.SqliteOptions) =>
  Effect.map(Layer.build(Layer.fresh(Sqlite.layer(options))), (context) => Context.get(context, SqlClient.SqlClient))

const inFile = Effect.map(TempFolder.make, (folder) => path.join(folder, "a.db"))

/** The lock as another process has it: by a connection that knows nothing of ours. */
const holding = (filename: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const database = new DatabaseSync(filename)
      database.exec("BEGIN IMMEDIATE")
      return database
    }),
    (database) => Effect.sync(() => database.isOpen && database.close())
  )

/** Runs all fibers as far as possible without time. */
const settle = Effect.forEach(Array.from({ length: 50 }), () => Effect.yieldNow, { discard: true })

const numbers = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ n: number }>`SELECT n FROM numbers ORDER BY rowid`, (rows) => rows.map(({ n }) => n))

const reasonOf = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.map(Effect.flip(effect), (error) => (error as { reason?: { _tag: string } }).reason?._tag)

describe("Sqlite locks", () => {
  it.live("serves writers of two clients on one file in FIFO order, also under two names", () =>
    Effect.gen(function* () {
      const filename = yield* inFile
      const one = yield* open({ filename, busyTimeout: "Infinity" })
      fs.symlinkSync(filename, `${filename}.link`)
      const two = yield* open({ filename: `${filename}.link`, busyTimeout: "Infinity" })
      yield* one`CREATE TABLE numbers (n INTEGER)`
      const begun = yield* Deferred.make<void>()
      const done = yield* Deferred.make<void>()
      const holder = yield* Deferred.succeed(begun, undefined).pipe(
        Effect.andThen(Deferred.await(done)),
        Effect.andThen(one`INSERT INTO numbers VALUES (0)`),
        one.withTransaction,
        Effect.forkChild
      )
      yield* Deferred.await(begun)
      const waiting = yield* Effect.forEach([1, 2, 3, 4, 5, 6], (n) => {
        const sql = n % 3 === 0 ? one : two
        const insert = sql`INSERT INTO numbers VALUES (${n})`
        return Effect.forkChild(n % 2 === 0 ? insert : sql.withTransaction(insert), { startImmediately: true })
      })
      yield* settle
      assert.deepStrictEqual(yield* numbers(two), [])
      yield* Deferred.succeed(done, undefined)
      yield* Fiber.join(holder)
      yield* Effect.forEach(waiting, Fiber.join)
      const found = yield* numbers(two)
      assert.strictEqual(found[0], 0)
      assert.deepStrictEqual(found.toSorted(), [0, 1, 2, 3, 4, 5, 6])
      // The waiters for a client, and for the file, are served in FIFO order.
      assert.deepStrictEqual(
        found.filter((n) => n % 3 !== 0),
        [1, 2, 4, 5]
      )
    })
  )

  it.live("blocks neither the thread nor readers while another process holds the lock", () =>
    Effect.gen(function* () {
      const filename = yield* inFile
      const sql = yield* open({ filename, busyTimeout: "Infinity" })
      yield* sql`CREATE TABLE numbers (n INTEGER)`
      const other = yield* holding(filename)
      const writing = yield* Effect.forkChild(sql`INSERT INTO numbers VALUES (1)`, { startImmediately: true })
      const inTransaction = yield* Effect.forkChild(sql.withTransaction(sql`INSERT INTO numbers VALUES (2)`), {
        startImmediately: true
      })
      // Were the thread held, this program would not come to end the lock.
      for (let i = 0; i < 20; i++) {
        assert.deepStrictEqual(yield* numbers(sql), [])
        yield* Effect.sleep("2 millis")
      }
      other.exec("COMMIT")
      yield* Fiber.join(writing)
      yield* Fiber.join(inTransaction)
      assert.deepStrictEqual((yield* numbers(sql)).toSorted(), [1, 2])
    })
  )

  it.live("fails with LockTimeoutError after the busy timeout, and continues", () =>
    Effect.gen(function* () {
      const filename = yield* inFile
      const sql = yield* open({ filename, busyTimeout: "30 millis" })
      const impatient = yield* open({ filename, busyTimeout: 0 })
      yield* sql`CREATE TABLE numbers (n INTEGER)`
      const other = yield* holding(filename)
      for (const client of [sql, impatient]) {
        assert.strictEqual(yield* reasonOf(client`INSERT INTO numbers VALUES (1)`), "LockTimeoutError")
        assert.strictEqual(
          yield* reasonOf(client.withTransaction(client`INSERT INTO numbers VALUES (1)`)),
          "LockTimeoutError"
        )
      }
      other.exec("COMMIT")
      // The same for a lock that another client of this process has.
      yield* sql.withTransaction(
        Effect.gen(function* () {
          const again = yield* open({ filename, busyTimeout: "30 millis" })
          for (const client of [again, impatient]) {
            assert.strictEqual(yield* reasonOf(client`INSERT INTO numbers VALUES (1)`), "LockTimeoutError")
            assert.strictEqual(
              yield* reasonOf(client.withTransaction(client`INSERT INTO numbers VALUES (1)`)),
              "LockTimeoutError"
            )
          }
        })
      )
      yield* sql`INSERT INTO numbers VALUES (1)`
      yield* impatient.withTransaction(impatient`INSERT INTO numbers VALUES (2)`)
      assert.deepStrictEqual(yield* numbers(sql), [1, 2])
    }).pipe(Effect.scoped)
  )

  it.live("leaves the queue when it is interrupted", () =>
    Effect.gen(function* () {
      const filename = yield* inFile
      const one = yield* open({ filename, busyTimeout: "Infinity" })
      const two = yield* open({ filename, busyTimeout: "Infinity" })
      yield* one`CREATE TABLE numbers (n INTEGER)`
      const other = yield* holding(filename)
      const waiting = yield* Effect.forEach([one, two, one, two], (sql, n) =>
        Effect.forkChild(
          n < 2 ? sql`INSERT INTO numbers VALUES (1)` : sql.withTransaction(sql`INSERT INTO numbers VALUES (1)`),
          { startImmediately: true }
        )
      )
      yield* settle
      yield* Effect.forEach(waiting, Fiber.interrupt)
      other.exec("COMMIT")
      yield* one.withTransaction(one`INSERT INTO numbers VALUES (2)`)
      yield* two.withTransaction(two`INSERT INTO numbers VALUES (3)`)
      assert.deepStrictEqual(yield* numbers(one), [2, 3])
    })
  )

  it.live("fails immediately on a snapshot conflict", () =>
    Effect.gen(function* () {
      const filename = yield* inFile
      const one = yield* open({ filename, busyTimeout: "Infinity" })
      const two = yield* open({ filename })
      yield* one`CREATE TABLE numbers (n INTEGER)`
      const outdated = one.withTransaction(
        Effect.gen(function* () {
          yield* numbers(one)
          yield* two`INSERT INTO numbers VALUES (1)`
          yield* one`INSERT INTO numbers VALUES (2)`
        })
      )
      const reason = yield* reasonOf(Effect.provideService(outdated, SqlClient.BeginTransaction, "BEGIN"))
      assert.strictEqual(reason, "LockTimeoutError")
      assert.deepStrictEqual(yield* numbers(one), [1])
    })
  )

  it.live("runs transactions of two clients without blocking a timer", () =>
    Effect.gen(function* () {
      const filename = yield* inFile
      const clients = [yield* open({ filename }), yield* open({ filename })]
      yield* clients[0]!`CREATE TABLE numbers (n INTEGER)`
      let ticks = 0
      const timer = yield* Effect.forkChild(
        Effect.forever(
          Effect.andThen(
            Effect.sleep("1 millis"),
            Effect.sync(() => ticks++)
          )
        )
      )
      yield* Effect.forEach(
        Array.from({ length: 60 }, (_, n) => n),
        (n) => {
          const sql = clients[n % 2]!
          return sql.withTransaction(
            Effect.andThen(sql`INSERT INTO numbers VALUES (${n})`, Effect.sleep(Duration.millis(1)))
          )
        },
        { concurrency: "unbounded", discard: true }
      )
      yield* Fiber.interrupt(timer)
      assert.strictEqual((yield* numbers(clients[1]!)).length, 60)
      assert.isAbove(ticks, 20)
    })
  )
})
