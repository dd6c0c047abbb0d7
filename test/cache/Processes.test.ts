/**
 * Many concurrent processes on one store file.
 */
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Worker from "../utils/Worker.ts"
import type { Report, Work } from "./workingProcess.ts"

const module = path.join(import.meta.dirname, "workingProcess.ts")

/** The report of a process, with whatever else it said as an error. */
const reportOf = (output: string): Report | Pick<Report, "errors"> =>
  output.startsWith("{") ? (JSON.parse(output) as Report) : { errors: [output] }

describe("thirty processes on one store file", () => {
  const seed = Math.floor(performance.timeOrigin) % 1_000_000

  it.live(
    `read no replaced result and fail with no lock error: seed ${seed}`,
    () =>
      Effect.gen(function* () {
        const folder = yield* TempFolder.make
        const database = path.join(folder, "shop.db")
        const cache = path.join(folder, "cache.db")
        // A writer with a long announceTimeout never commits unannounced.
        const work = { database, cache, shops: 8, reads: 200, writeEvery: 25, patienceMs: 60_000 }
        const processes = yield* Effect.forEach(
          Array.from({ length: 30 }, (_, i) => i),
          (i) => Worker.start(module, [JSON.stringify({ ...work, seed: seed * 100 + i } satisfies Work)]),
          { concurrency: 4 }
        )
        yield* Effect.forEach(processes, ({ begin }) => begin, { discard: true })
        const outputs = yield* Effect.forEach(processes, ({ ended }) => ended)
        const reports = outputs.map(reportOf)
        assert.deepStrictEqual(
          reports.flatMap(({ errors }) => errors),
          []
        )
        const done = reports.filter((report) => "reads" in report)
        assert.deepStrictEqual(
          done.flatMap(({ late }) => late),
          []
        )
        const total = (count: (report: Report) => number) => done.reduce((sum, report) => sum + count(report), 0)
        const db = new DatabaseSync(database)
        const { sum } = db.prepare("SELECT sum(price) AS sum FROM prices").get() as { sum: number }
        db.close()
        assert.strictEqual(
          sum,
          total(({ writes }) => writes)
        )
        // It is a cache all the same.
        assert.isBelow(
          total(({ loads }) => loads),
          total(({ reads }) => reads)
        )
      }),
    { timeout: 180_000 }
  )
})

describe("processes beside one that locks the store file for longer than a mutation waits", () => {
  const seed = Math.floor(performance.timeOrigin) % 1_000_000

  it.live(
    `read no replaced result if unannounced mutations fail: seed ${seed}`,
    () =>
      Effect.gen(function* () {
        const folder = yield* TempFolder.make
        const database = path.join(folder, "shop.db")
        const cache = path.join(folder, "cache.db")
        const work = { database, cache, shops: 3, reads: 600, writeEvery: 10, patienceMs: 60, unannounced: "fail" }
        const processes = yield* Effect.forEach(
          Array.from({ length: 5 }, (_, i) => i),
          (i) => Worker.start(module, [JSON.stringify({ ...work, seed: seed * 100 + i } as Work)]),
          { concurrency: 2 }
        )
        // This process only acquires the lock repeatedly.
        const locking = Effect.acquireUseRelease(
          Effect.sync(() => new DatabaseSync(cache, { timeout: 10_000 })),
          (db) =>
            Effect.sync(() => db.exec("BEGIN IMMEDIATE")).pipe(
              Effect.andThen(Effect.sleep("150 millis")),
              Effect.andThen(Effect.sync(() => db.exec("COMMIT"))),
              Effect.andThen(Effect.sleep("60 millis")),
              Effect.forever
            ),
          (db) => Effect.sync(() => db.close())
        )
        yield* Effect.forEach(processes, ({ begin }) => begin, { discard: true })
        const outputs = yield* Effect.forEach(processes, ({ ended }) => ended).pipe(Effect.raceFirst(locking))
        const reports = outputs.map(reportOf)
        assert.deepStrictEqual(
          reports.flatMap(({ errors }) => errors),
          []
        )
        const done = reports.filter((report) => "reads" in report)
        const total = (count: (report: Report) => number) => done.reduce((sum, report) => sum + count(report), 0)
        assert.deepStrictEqual(
          done.flatMap(({ late }) => late),
          []
        )
        assert.isAbove(
          total(({ refused }) => refused),
          0
        )
        const db = new DatabaseSync(database)
        const { sum } = db.prepare("SELECT sum(price) AS sum FROM prices").get() as { sum: number }
        db.close()
        assert.strictEqual(
          sum,
          total(({ refused, writes }) => writes - refused)
        )
      }),
    { timeout: 180_000 }
  )
})
