/**
 * Renaming a damaged spool and rescuing its rows.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { Spool } from "../../src/events/internal/spool.ts"
import { type Row, SpoolFile, type SpoolSettings } from "../../src/events/internal/spoolFile.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Damage from "./Damage.ts"
import * as Kit from "./RecorderKit.ts"

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index)

const settings = (folder: string): SpoolSettings => ({
  filename: Kit.spoolOf(folder),
  recorder: "ticks",
  busyTimeoutMs: 0,
  durability: "normal",
  maxBytes: 64 * 1024 * 1024,
  maxRows: 100_000
})

const row = (n: number, recordedAt = n): Row => ({
  id: `s-${n}`,
  session: "s",
  recordedAt,
  payload: JSON.stringify({ ...Kit.tick(n), note: "x".repeat(300) })
})

const rows = (from: number, to: number) => numbers(from, to).map((n) => row(n))

const names = (folder: string, mark: string) =>
  fs.readdirSync(folder).filter((name) => name.includes(mark) && !/-(?:wal|shm)$/.test(name))

/** A spool that was filled and closed, so that all of it is in the file itself. */
const write = (folder: string, fill: (file: SpoolFile) => void) => {
  const file = new SpoolFile(settings(folder), "e", () => {})
  fill(file)
  file.close()
  return Kit.spoolOf(folder)
}

/** Damages a table without events, so that the file is set aside and all of its events can be rescued. */
const damage = (filename: string) => Damage.tableOf(filename, "spool")

const open = (
  folder: string,
  { failpoint = () => {}, now = () => 1 }: { failpoint?: (failpoint: string) => void; now?: () => number } = {}
) =>
  Effect.acquireRelease(
    Effect.sync(() => new Spool(settings(folder), now, failpoint)),
    (spool) => Effect.sync(() => spool.close())
  )

const idsOf = (spool: Spool): ReadonlyArray<string> => {
  spool.check()
  return Result.getOrThrow(spool.use((file) => file.read(0, 1e6, 1e9))).map(({ id }) => id)
}

const idsFrom = (from: number, to: number) => numbers(from, to).map((n) => `s-${n}`)

const acknowledge = (file: SpoolFile, delivered: ReadonlyArray<number>, dead: ReadonlyArray<number> = []) => {
  assert.isTrue(file.acquire("t", 1, 1_000))
  const rejected = dead.map((sequence) => ({ sequence, kind: "rejected" as const, reason: "x" }))
  assert.isTrue(file.acknowledge("t", { delivered, dead: rejected, failed: [] }, 1))
}

const malformed = () => Object.assign(new Error("malformed"), { errcode: 11 })

describe("rows rescued from a damaged spool", () => {
  it.effect("retain the order of recording, even after the clock was set back", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const filename = write(folder, (file) => {
        file.append(rows(0, 100))
        acknowledge(file, numbers(1, 101))
        file.append(numbers(200, 400).map((n) => row(n, n % 2 === 0 ? 7 : 1_000 - n)))
      })
      damage(filename)
      assert.deepStrictEqual(idsOf(yield* open(folder)), idsFrom(200, 400))
    })
  )

  it.effect("exclude delivered events and dropped dead letters", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const filename = write(folder, (file) => {
        for (let n = 0; n < 1_000; n += 100) file.append(rows(n, n + 100))
        acknowledge(file, numbers(1, 901), numbers(901, 1_001))
        file.dropDead(undefined)
      })
      damage(filename)
      const spool = yield* open(folder)
      assert.deepStrictEqual(idsOf(spool), [])
      const { damaged, dead } = Result.getOrThrow(spool.use((file) => file.stats()))
      assert.deepStrictEqual([dead, damaged], [0, 0])
    })
  )

  it.effect("include retried dead letters as events", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const filename = write(folder, (file) => {
        file.append(rows(0, 60))
        acknowledge(file, [], numbers(1, 61))
        file.dropDead(idsFrom(0, 30))
        assert.strictEqual(file.retryDead(undefined), 30)
      })
      damage(filename)
      const spool = yield* open(folder)
      assert.deepStrictEqual(idsOf(spool), idsFrom(30, 60))
      assert.strictEqual(Result.getOrThrow(spool.use((file) => file.listDead(100))).length, 0)
    })
  )

  it.effect("are rescued by a later retry if the first rescue fails", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      damage(write(folder, (file) => file.append(rows(0, 20))))
      let calls = 0
      const now = () => {
        // The second call is that of the first salvage.
        if (++calls === 2) throw new Error("input and output")
        return 1
      }
      const spool = yield* open(folder, { now })
      assert.deepStrictEqual([idsOf(spool), spool.unrescued], [[], 1])
      spool.retryRescue()
      assert.deepStrictEqual([idsOf(spool), spool.unrescued], [idsFrom(0, 20), 0])
    })
  )

  it.effect("are added once if the process is killed after it added them", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      damage(
        write(folder, (file) => {
          file.append(rows(0, 20))
          acknowledge(file, [], [1, 2])
        })
      )
      let kills = 1
      const failpoint = (failpoint: string) => {
        if (failpoint === "inside rescue" && kills-- > 0) throw new Error("killed")
      }
      const spool = yield* open(folder, { failpoint })
      assert.deepStrictEqual([idsOf(spool), spool.unrescued], [idsFrom(2, 20), 1])
      // Another process rejects an event before the rescue is repeated.
      Result.getOrThrow(spool.use((file) => acknowledge(file, [], [1])))
      spool.retryRescue()
      assert.deepStrictEqual([idsOf(spool), spool.unrescued], [idsFrom(3, 20), 0])
      const dead = Result.getOrThrow(spool.use((file) => file.listDead(100)))
      assert.deepStrictEqual(dead.map(({ id }) => id).toSorted(), idsFrom(0, 3))
    })
  )

  it.effect("come from a file of more than 2 GiB", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const filename = write(folder, (file) => file.append(rows(0, 50)))
      // A hole: it takes no room on the disk.
      fs.truncateSync(filename, 2 ** 31 + 4_096)
      damage(filename)
      assert.deepStrictEqual(idsOf(yield* open(folder)), idsFrom(0, 50))
    })
  )

  it.effect("leave the newest three damaged files on disk", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      let time = 0
      const spool = yield* open(folder, { now: () => ++time })
      for (let round = 0; round < 6; round++) {
        let thrown = false
        spool.use(() => {
          if (!thrown) {
            thrown = true
            throw malformed()
          }
        })
      }
      const kept = names(folder, ".rescued-").map((name) => Number(/rescued-(\d+)/.exec(name)![1]))
      assert.strictEqual(kept.length, 3)
      assert.isAbove(Math.min(...kept), time / 3)
    })
  )
})

describe("a spool that is renamed", () => {
  for (const step of [1, 2, 3]) {
    it.effect(
      `by a process that is killed after ${step} of its renames loses no event that other processes acknowledge`,
      () =>
        Effect.gen(function* () {
          const folder = yield* TempFolder.make
          const staying = yield* open(folder)
          staying.append(rows(1, 2))
          let renames = 0
          const killed = yield* open(folder, {
            failpoint: (at) => {
              if (at === "inside quarantine" && ++renames === step) throw new Error("killed")
            }
          })
          killed.use(() => {
            throw malformed()
          })
          assert.strictEqual(renames, step)
          const next = yield* open(folder)
          for (const [n, spool] of [staying, next, staying, next].entries()) {
            assert.deepStrictEqual(spool.append(rows(n + 2, n + 3)), Result.succeed(1))
          }
          // As it is found when all have been killed.
          const copy = yield* TempFolder.make
          for (const name of fs.readdirSync(folder)) {
            if (!name.endsWith("-shm")) fs.copyFileSync(path.join(folder, name), path.join(copy, name))
          }
          assert.deepStrictEqual([...new Set(idsOf(yield* open(copy)))].toSorted(), idsFrom(1, 6))
        })
    )
  }

  it.effect("is never the replacement that another process has created meanwhile", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      damage(write(folder, (file) => file.append(rows(0, 20))))
      const first = yield* open(folder)
      let overtaken = false
      // Called when the name of the damaged file is made: the other one was faster.
      const second = yield* open(folder)
      const opening = second as unknown as { open: () => SpoolFile }
      const plain = opening.open.bind(second)
      opening.open = () => {
        try {
          return plain()
        } catch (error) {
          if (!overtaken) {
            overtaken = true
            assert.deepStrictEqual(first.append(rows(30, 31)), Result.succeed(1))
          }
          throw error
        }
      }
      assert.deepStrictEqual(second.append(rows(31, 32)), Result.succeed(1))
      assert.isTrue(overtaken)
      assert.strictEqual(names(folder, ".rescued-").length, 1)
    })
  )

  it.effect("is never an intact one whose lock is held when it is reopened", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const spool = yield* open(folder)
      const other = yield* open(folder)
      spool.append(rows(1, 2))
      for (const suffix of ["", "-wal", "-shm"]) {
        fs.renameSync(`${Kit.spoolOf(folder)}${suffix}`, path.join(folder, `old${suffix}`))
      }
      other.append(rows(2, 3))
      const lock = new DatabaseSync(`${Kit.spoolOf(folder)}.lock`)
      lock.exec("BEGIN EXCLUSIVE")
      const refused = spool.append(rows(3, 4))
      lock.close()
      assert.strictEqual(Result.isFailure(refused) && refused.failure.kind, "locked")
      assert.deepStrictEqual(names(folder, "ed-"), [])
      assert.deepStrictEqual(spool.append(rows(3, 4)), Result.succeed(1))
      assert.deepStrictEqual(idsOf(other), ["s-2", "s-3"])
    })
  )
})

describe("a spool", () => {
  it.effect("opens when its lock file is damaged", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      fs.writeFileSync(`${Kit.spoolOf(folder)}.lock`, "x".repeat(5_000))
      assert.deepStrictEqual((yield* open(folder)).append(rows(1, 2)), Result.succeed(1))
    })
  )

  it.effect("locates an event by its sequence number, even after the number was reused", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      write(folder, (file) => {
        file.append(rows(1, 3))
        assert.deepStrictEqual(file.sequences, [1, 2])
        assert.deepStrictEqual(
          [file.locate("s-1", 1), file.locate("s-2", 2), file.locate("s-1", 2)],
          ["waiting", "waiting", "gone"]
        )
        acknowledge(file, [1], [2])
        assert.deepStrictEqual([file.locate("s-1", 1), file.locate("s-2", 2)], ["gone", "dead"])
        file.append(rows(3, 4))
        assert.deepStrictEqual([file.sequences, file.locate("s-1", 1), file.locate("s-3", 1)], [[1], "gone", "waiting"])
        const other = new DatabaseSync(Kit.spoolOf(folder))
        other.exec("UPDATE event SET id = 's-4'")
        other.close()
        // Until it is renamed, its owner is unknown.
        assert.strictEqual(file.locate("s-3", 1), "waiting")
      })
    })
  )

  it.effect("does not reopen after close", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const spool = yield* open(folder)
      spool.append(rows(1, 2))
      spool.close()
      const refused = spool.append(rows(2, 3))
      assert.strictEqual(Result.isFailure(refused) && refused.failure.detail, "the recorder is shut down")
    })
  )
})
