/**
 * What real files do to a store: a full disk, a lock that another process holds, files that are cut, overwritten, removed
 * or replaced while a cache works on them. Reads are answered all the same, and rightly.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import { QueryCache } from "../../src/cache/QueryCache.ts"
import { QueryExecutor } from "../../src/query/QueryExecutor.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Worker from "../utils/Worker.ts"
import * as Kit from "./QueryCacheKit.ts"
import type { Report, Work } from "./workingProcess.ts"

const shops = 200

const openCache = (filename: string) =>
  Kit.layer(
    { storeBreakerResetTimeout: "10 millis", announceTimeout: "50 millis" },
    CacheStore.layerSqlite({ filename, busyTimeout: "5 millis" })
  )

const entriesIn = (filename: string): number => {
  const db = new DatabaseSync(filename)
  const { n } = db.prepare("SELECT count(*) AS n FROM entry").get() as { n: number }
  db.close()
  return n
}

/** Reads and writes all shops, and compares each result with the written value. */
const working = Effect.gen(function* () {
  const { price, set } = Kit.queries(Kit.control())
  const executor = yield* QueryExecutor
  const cache = yield* QueryCache
  const written = Array.from({ length: shops }, (): number | null => null)
  let value = 0
  const write = (shop: number) =>
    Effect.suspend(() => {
      written[shop] = ++value
      return executor.mutate(set, { shop, price: value })
    })
  const readAll = Effect.gen(function* () {
    for (let shop = 0; shop < shops; shop++) {
      assert.strictEqual(yield* executor.query(price, { shop }), written[shop])
    }
  })
  return {
    cache,
    /** Reads everything several times, including the latest writes. */
    round: Effect.gen(function* () {
      for (let i = 0; i < 5; i++) {
        yield* write((value * 7) % shops)
        yield* readAll
      }
    }),
    /** Continues until the store is used again. */
    untilStored: Effect.repeat(
      Effect.andThen(Effect.sleep("20 millis"), Effect.andThen(write(0), cache.get(price, { shop: 0 }))).pipe(
        Effect.andThen(cache.get(price, { shop: 0 }))
      ),
      { until: ({ tier }) => tier === "memory" }
    )
  }
})

/** Checkpoints the log into the file. */
const checkpoint = (filename: string): void => {
  const db = new DatabaseSync(filename)
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)")
  db.close()
}

const damages: Readonly<Record<string, (filename: string) => void>> = {
  "is cut in half": (filename) => fs.truncateSync(filename, Math.floor(fs.statSync(filename).size / 2)),
  "is cut to nothing": (filename) => fs.truncateSync(filename, 0),
  "loses its log": (filename) => fs.truncateSync(`${filename}-wal`, 0),
  "is overwritten": (filename) => fs.writeFileSync(filename, Buffer.alloc(fs.statSync(filename).size, 7)),
  "is no database any more": (filename) => fs.writeFileSync(filename, "this is no database".repeat(500)),
  "is removed": (filename) => {
    for (const suffix of ["-wal", "-shm", ""]) fs.rmSync(filename + suffix, { force: true })
  },
  "is replaced by a folder": (filename) => {
    for (const suffix of ["-wal", "-shm", ""]) fs.renameSync(filename + suffix, `${filename}.old${suffix}`)
    fs.mkdirSync(filename)
  }
}

describe("a store file at work that", () => {
  for (const [what, damage] of Object.entries(damages)) {
    it.live(`${what}: every read is correct and the store recovers`, () =>
      Effect.gen(function* () {
        const filename = path.join(yield* TempFolder.make, "cache.db")
        yield* Effect.gen(function* () {
          const { round, untilStored } = yield* working
          yield* round
          if (what !== "loses its log") checkpoint(filename)
          damage(filename)
          yield* round
          if (fs.statSync(filename, { throwIfNoEntry: false })?.isDirectory() === true) fs.rmdirSync(filename)
          yield* untilStored
          // Without its log SQLite continues from its pages in memory, and the file is invalid for others.
          if (what !== "loses its log") assert.isAbove(entriesIn(filename), 0)
          yield* round
        }).pipe(Effect.provide(openCache(filename)))
      })
    )
  }

  it.live("is locked by another process: every read is correct and the store recovers after its kill", () =>
    Effect.gen(function* () {
      const filename = path.join(yield* TempFolder.make, "cache.db")
      yield* Effect.gen(function* () {
        const { cache, round, untilStored } = yield* working
        yield* round
        const locker = yield* Worker.start(path.join(import.meta.dirname, "lockingProcess.ts"), [filename])
        yield* round
        assert.isAbove((yield* cache.stats).storeFailures, 0)
        yield* locker.kill
        yield* untilStored
      }).pipe(Effect.provide(openCache(filename)))
    })
  )
})

describe("a full disk", () => {
  it.live("prevents growth of the store's file: every read is correct", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const database = path.join(folder, "shop.db")
      const cache = path.join(folder, "cache.db")
      const work: Work = { database, cache, shops, reads: 1_000, writeEvery: 100, seed: 1, patienceMs: 50 }
      const worker = yield* Worker.start(path.join(import.meta.dirname, "workingProcess.ts"), [JSON.stringify(work)], {
        shell: "ulimit -f 512"
      })
      yield* worker.begin
      const output = yield* worker.ended
      assert.match(output, /^\{/)
      const report = JSON.parse(output) as Report
      assert.deepStrictEqual([report.errors, report.late, report.reads], [[], [], 1_000])
      assert.isAbove(report.storeFailures, 0)
      const db = new DatabaseSync(database)
      assert.deepEqual(db.prepare("SELECT sum(price) AS sum FROM prices").get(), { sum: 10 })
      db.close()
    })
  )

  /** A small disk of its own, where this user may have one; the test above needs none. */
  const smallDisk = Effect.acquireRelease(
    Effect.map(TempFolder.make, (folder) => {
      const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]).status === 0
      return mounted ? folder : undefined
    }),
    (folder) => Effect.sync(() => folder !== undefined && spawnSync("umount", [folder]))
  )

  it.live("fails the write, and the store recovers once there is room", (context) =>
    Effect.gen(function* () {
      const folder = yield* smallDisk
      if (folder === undefined) return context.skip("no right to mount a small disk")
      const filler = path.join(folder, "filler")
      yield* Effect.gen(function* () {
        const { cache, round, untilStored } = yield* working
        yield* untilStored
        const space = fs.statfsSync(folder)
        fs.writeFileSync(filler, Buffer.alloc(space.bavail * space.bsize))
        yield* round
        assert.isAbove((yield* cache.stats).storeFailures, 0)
        fs.rmSync(filler)
        yield* untilStored
      }).pipe(Effect.provide(openCache(path.join(folder, "cache.db"))))
    })
  )
})
