/**
 * A log that was damaged while no process had it open: SQLite silently reads it up to the damage.
 */
import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { Spool } from "../../src/events/internal/spool.ts"
import { SpoolFile, type SpoolSettings } from "../../src/events/internal/spoolFile.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Kit from "./RecorderKit.ts"

const settings = (folder: string): SpoolSettings => ({
  filename: Kit.spoolOf(folder),
  recorder: "ticks",
  busyTimeoutMs: 0,
  durability: "normal",
  maxBytes: 64 * 1024 * 1024,
  maxRows: 100_000
})

const row = (n: number) => ({
  id: `s-${n}`,
  session: "s",
  recordedAt: n,
  payload: JSON.stringify({ ...Kit.tick(n), note: "x".repeat(100) })
})

const frameBytes = 24 + 4_096
const groups = 200
const groupSize = 3

const ids = (groups: number) => Array.from({ length: groups * groupSize }, (_, n) => `s-${n}`)

/** The files that a killed process leaves: the log is not written back. */
const leftBehind = (folder: string, source: string, fill: (file: SpoolFile) => void) => {
  const file = new SpoolFile(settings(source), "e", () => {})
  fill(file)
  for (const suffix of ["", "-wal"])
    fs.copyFileSync(`${Kit.spoolOf(source)}${suffix}`, `${Kit.spoolOf(folder)}${suffix}`)
  file.close()
}

const fill = (groups: number) => (file: SpoolFile) => {
  for (let n = 0; n < groups * groupSize; n += groupSize) {
    file.append(Array.from({ length: groupSize }, (_, index) => row(n + index)))
  }
}

const overwrite = (filename: string, at: number, bytes: Uint8Array) => {
  const file = fs.openSync(filename, "r+")
  fs.writeSync(file, bytes, 0, bytes.length, at)
  fs.closeSync(file)
}

const opened = (folder: string) =>
  Effect.acquireRelease(
    Effect.sync(
      () =>
        new Spool(
          settings(folder),
          () => 1,
          () => {}
        )
    ),
    (spool) => Effect.sync(() => spool.close())
  )

const found = (spool: Spool) => {
  const { damaged, rows } = Result.getOrThrow(spool.use((file) => file.stats()))
  return {
    damaged,
    rows,
    ids: new Set(Result.getOrThrow(spool.use((file) => file.read(0, 1e6, 1e9))).map(({ id }) => id))
  }
}

const isSetAside = (folder: string) => fs.readdirSync(folder).some((name) => name.includes(".rescued-"))

const twoFolders = Effect.all([TempFolder.make, TempFolder.make])

describe("a log that is damaged", () => {
  for (const [what, at, bytes] of [
    ["in the page of a frame", 32 + 100 * frameBytes + 24 + 2_000, Buffer.alloc(16, 1)],
    ["in the header of a frame", 32 + 100 * frameBytes, Buffer.alloc(24, 1)],
    ["over many frames", 32 + 100 * frameBytes, Buffer.alloc(20 * frameBytes)],
    ["in its own header", 8, Buffer.alloc(8, 1)],
    ["in its first frame", 32 + 100, Buffer.alloc(8, 1)]
  ] as const) {
    it.effect(`${what} is detected, the events before it are rescued, and the lost transactions are counted`, () =>
      Effect.gen(function* () {
        const [folder, source] = yield* twoFolders
        leftBehind(folder, source, fill(groups))
        overwrite(`${Kit.spoolOf(folder)}-wal`, at, bytes)
        const spool = yield* opened(folder)
        const { damaged, ids: left } = found(spool)
        assert.isTrue(isSetAside(folder))
        const lost = ids(groups).filter((id) => !left.has(id))
        assert.isAbove(lost.length, 0)
        // Up to 20 transactions are overwritten, and so not visible in the log any more.
        assert.isAtLeast(damaged, lost.length / groupSize - 20)
        assert.strictEqual(left.has("s-0"), at > frameBytes)
      })
    )
  }

  it.effect("is distinguished from a torn last transaction and from frames of an earlier run", () =>
    Effect.gen(function* () {
      const [folder, source] = yield* twoFolders
      leftBehind(folder, source, fill(20))
      const log = `${Kit.spoolOf(folder)}-wal`
      // The last transaction, without its end.
      const size = fs.statSync(log).size
      const tail = fs.readFileSync(log).subarray(size - frameBytes)
      tail.writeUInt32BE(0, 4)
      fs.appendFileSync(log, Buffer.concat([tail, tail, tail.subarray(0, 500)]))
      const spool = yield* opened(folder)
      assert.deepStrictEqual(found(spool).ids, new Set(ids(20)))
      assert.isFalse(isSetAside(folder))

      const [next, other] = yield* twoFolders
      leftBehind(next, other, (file) => {
        fill(100)(file)
        const inner = file as unknown as { db: { exec: (sql: string) => void } }
        inner.db.exec("PRAGMA wal_checkpoint(RESTART)")
        file.append([row(100_000)])
      })
      const again = yield* opened(next)
      assert.strictEqual(found(again).rows, 301)
      assert.isFalse(isSetAside(next))
    })
  )

  it.effect("is intact when other processes write while it is opened", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const writer = yield* opened(folder)
      for (let n = 0; n < 50; n++) {
        writer.append([row(n)])
        const reader = yield* opened(folder)
        assert.strictEqual(found(reader).rows, n + 1)
      }
      assert.isFalse(isSetAside(folder))
    })
  )
})
