/**
 * Returning the free space of a SQLite file: incrementally, and by a rewrite.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Database from "../../src/sql/Database.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as SqliteSpace from "../../src/sql/SqliteSpace.ts"
import * as TempFolder from "../utils/TempFolder.ts"

/** Some megabytes, most of them free. */
const half = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)`
  yield* sql`WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 4000)
    INSERT INTO notes SELECT n, hex(zeroblob(500)) FROM n`
  yield* sql`DELETE FROM notes WHERE id % 100 > 0`
})

const notes = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT count(*) AS n FROM notes`)

const canMount = process.platform === "linux" && process.getuid?.() === 0

/** A disk of 7 MB in a scoped folder. */
const smallDisk = Effect.gen(function* () {
  const folder = path.join(yield* TempFolder.make, "disk")
  fs.mkdirSync(folder)
  yield* Effect.acquireRelease(
    Effect.sync(() => execFileSync("mount", ["-t", "tmpfs", "-o", "size=7m", "tmpfs", folder], { stdio: "ignore" })),
    () => Effect.sync(() => execFileSync("umount", [folder]))
  )
  return folder
})

describe("SqliteSpace", () => {
  it.live("creates the embedded database with incremental vacuum", () =>
    Effect.gen(function* () {
      const home = yield* TempFolder.make
      yield* Effect.gen(function* () {
        yield* half
        const before = yield* SqliteSpace.read
        assert.isTrue(before.isIncremental)
        assert.isAbove(before.free, 1_048_576)
        assert.strictEqual(yield* SqliteSpace.incrementalVacuum(10), 10 * before.pageSize)
        const after = yield* SqliteSpace.read
        assert.deepStrictEqual([after.file, after.live], [before.file - 10 * before.pageSize, before.live])
        // A pointer-map page is removed with its last page.
        assert.isAtLeast(yield* SqliteSpace.incrementalVacuum(1_000_000), after.free)
        assert.strictEqual(yield* SqliteSpace.incrementalVacuum(10), 0)
        assert.deepStrictEqual(yield* notes, [{ n: 40 }])
      }).pipe(Effect.provide(Database.layer({ _tag: "Embedded", home })))
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("enables incremental vacuum of an existing file by rewriting it", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const filename = path.join(folder, "old.db")
      yield* half.pipe(Effect.provide(Sqlite.layer({ filename })))
      yield* Effect.gen(function* () {
        const before = yield* SqliteSpace.read
        assert.isFalse(before.isIncremental)
        assert.strictEqual(yield* SqliteSpace.incrementalVacuum(10), 0)
        yield* SqliteSpace.rewrite(folder)
        const after = yield* SqliteSpace.read
        assert.isTrue(after.isIncremental)
        assert.strictEqual(after.free, 0)
        assert.isBelow(after.file, before.file / 10)
        assert.strictEqual(fs.statSync(filename).size, after.file)
        assert.deepStrictEqual(yield* notes, [{ n: 40 }])
      }).pipe(Effect.provide(Sqlite.layer({ filename, autoVacuum: "incremental" })))
    })
  )

  it.live.skipIf(!canMount)("reports the needed and the available space of a small disk, and changes nothing", () =>
    Effect.gen(function* () {
      const folder = yield* smallDisk
      const filename = path.join(folder, "old.db")
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)`
        yield* sql`WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2500)
          INSERT INTO notes SELECT n, hex(zeroblob(500)) FROM n`
        yield* sql`PRAGMA wal_checkpoint(TRUNCATE)`
        const error = yield* Effect.flip(SqliteSpace.rewrite(folder))
        assert.strictEqual(error._tag, "InsufficientSpace")
        assert.match(error.message, /needs \d\.\d MB of free disk space; \d\.\d MB are available$/)
        assert.isFalse((yield* SqliteSpace.read).isIncremental)
      }).pipe(Effect.provide(Layer.fresh(Sqlite.layer({ filename }))))
    })
  )
})
