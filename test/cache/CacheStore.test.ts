import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import { bounds, suite } from "../../src/testing/CacheStoreSuite.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const inFolder = Layer.unwrap(
  Effect.map(TempFolder.make, (folder) =>
    CacheStore.layerSqlite({ ...bounds, filename: path.join(folder, "cache.db") })
  )
)

suite("SQLite", inFolder)
suite("memory", CacheStore.layerMemory(bounds))

const open = (filename: string) =>
  Effect.map(Layer.build(CacheStore.layerSqlite({ filename })), (context) =>
    Context.get(context, CacheStore.CacheStore)
  )

const item = (stamp: string): CacheStore.NewEntry => ({
  key: "k",
  query: "test",
  value: "v",
  watched: ["a"],
  stamp,
  storedAt: 0,
  freshUntil: 100,
  expiresAt: 100
})

describe("CacheStore.layerSqlite", () => {
  it.effect("shows each user of a file the writes of the others", () =>
    Effect.gen(function* () {
      const filename = path.join(yield* TempFolder.make, "cache.db")
      const one = yield* open(filename)
      const two = yield* open(filename)
      yield* two.stamp(["a"], 0)
      const before = two.generation()
      assert.strictEqual(two.generation(), before)
      yield* one.set(item((yield* one.stamp(["a"], 0))!))
      assert.notStrictEqual(two.generation(), before)
      assert.strictEqual((yield* two.get("k", ["a"], 0)).entry?.value, "v")
      const own = one.generation()
      yield* one.announce("w", ["a"], 50)
      assert.notStrictEqual(one.generation(), own)
      assert.strictEqual(yield* two.stamp(["a"], 0), undefined)
    })
  )

  it.effect("sets a damaged file aside and creates it anew, at open and later", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const filename = path.join(folder, "cache.db")
      fs.writeFileSync(filename, "this is no database, and longer than a header of a hundred bytes".repeat(9))
      const store = yield* open(filename)
      assert.isTrue(yield* store.set(item((yield* store.stamp(["a"], 0))!)))
      const aside = fs.readdirSync(folder).filter((name) => name.includes(".damaged-"))
      assert.strictEqual(aside.length, 1)
      assert.include(fs.readFileSync(path.join(folder, aside[0]!), "utf8"), "this is no database")
    })
  )

  it.effect("reopens the file after another process sets it aside", () =>
    Effect.gen(function* () {
      const filename = path.join(yield* TempFolder.make, "cache.db")
      const one = yield* open(filename)
      const stamp = (yield* one.stamp(["a"], 0))!
      const before = one.generation()
      for (const suffix of ["", "-wal", "-shm"]) fs.renameSync(filename + suffix, `${filename}.aside${suffix}`)
      const two = yield* open(filename)
      assert.isTrue(yield* two.set(item((yield* two.stamp(["a"], 0))!)))
      assert.notStrictEqual(one.generation(), before)
      const found = yield* one.get("k", ["a"], 0)
      assert.strictEqual(found.entry?.value, "v")
      assert.notStrictEqual(found.stamp, stamp)
    })
  )

  it.effect("leaves a file of a newer version unchanged", () =>
    Effect.gen(function* () {
      const filename = path.join(yield* TempFolder.make, "cache.db")
      const newer = new DatabaseSync(filename)
      newer.exec("PRAGMA user_version = 99")
      newer.close()
      const store = yield* open(filename)
      const error = yield* Effect.flip(store.stats)
      assert.include(String(error.cause), "version 99")
      assert.deepStrictEqual(
        fs.readdirSync(path.dirname(filename)).filter((name) => name.includes("damaged")),
        []
      )
    }).pipe(Effect.scoped)
  )

  it.effect("reopens the file after its log was removed", () =>
    Effect.gen(function* () {
      const filename = path.join(yield* TempFolder.make, "cache.db")
      const open = Effect.map(Layer.build(Layer.fresh(CacheStore.layerSqlite({ filename }))), (context) =>
        Context.get(context, CacheStore.CacheStore)
      )
      const one = yield* open
      const before = yield* one.stamp(["a"], 1_000)
      fs.rmSync(`${filename}-wal`)
      const other = yield* open
      yield* other.resolve("change", ["a"], "changed", 2_000)
      assert.strictEqual(yield* one.stamp(["a"], 1_000), yield* other.stamp(["a"], 1_000))
      assert.notStrictEqual(yield* one.stamp(["a"], 1_000), before)
    })
  )

  it.effect("fails and changes nothing for a folder, a missing folder or foreign tables", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      fs.mkdirSync(path.join(folder, "folder.db"))
      const foreign = new DatabaseSync(path.join(folder, "foreign.db"))
      foreign.exec("CREATE TABLE entry (n INTEGER)")
      foreign.close()
      for (const name of ["folder.db", "no/such.db", "foreign.db"]) {
        const store = yield* open(path.join(folder, name))
        const error = yield* Effect.flip(store.stamp(["a"], 0))
        assert.strictEqual(error._tag, "CacheStoreError")
      }
      assert.isTrue(fs.statSync(path.join(folder, "folder.db")).isDirectory())
    })
  )

  it.effect("invalidates entries from before the machine's last start", () =>
    Effect.gen(function* () {
      const filename = path.join(yield* TempFolder.make, "cache.db")
      const one = yield* open(filename)
      yield* one.set(item((yield* one.stamp(["a"], 0))!))
      const db = new DatabaseSync(filename)
      db.exec("UPDATE store SET boot = boot - 3600000")
      db.close()
      const two = yield* open(filename)
      const { entry, stamp } = yield* two.get("k", ["a"], 0)
      assert.notStrictEqual(entry?.stamp, stamp)
    })
  )
})
