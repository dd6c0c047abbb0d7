import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as TestClock from "effect/testing/TestClock"
import type { History, ProfileReport } from "../../src/profiler/ProfileReport.ts"
import * as ProfileHistory from "../../src/profiler/ProfileHistory.ts"
import * as Profiler from "../../src/profiler/Profiler.ts"
import * as ProfileLog from "../../src/profiler/internal/profileLog.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Virtual from "./VirtualReadings.ts"

const hour = 3_600_000
const start = Date.UTC(2026, 0, 1)

/** The measurements of a process whose operation takes these times. */
const measure = (
  times: Readonly<Record<string, ReadonlyArray<number>>>,
  level: "wall" | "deep" = "wall"
): Effect.Effect<ProfileReport> =>
  Effect.suspend(() => {
    const virtual = Virtual.make()
    return Effect.gen(function* () {
      for (const [name, all] of Object.entries(times)) {
        for (const ms of all) yield* Profiler.track(virtual.busy(ms), name)
      }
      yield* Effect.useSpan("db", (span) =>
        Effect.sync(() => {
          span.attribute("db.query.text", "SELECT 'a secret'")
          virtual.work(2)
        })
      )
      return yield* Profiler.report
    }).pipe(
      Effect.provide(
        Profiler.layerTracer.pipe(Layer.provideMerge(Profiler.layer({ level })), Layer.provide(Virtual.layer(virtual)))
      )
    )
  })

/** A history whose calibration kernel takes so long each time. */
const open = (folder: string, kernelMs = 1, options: Partial<ProfileHistory.ProfileHistoryOptions> = {}) => {
  let now = 0
  const readings = { ...Virtual.make(), now: () => (now += kernelMs) }
  return ProfileHistory.make({ folder, ...options }).pipe(Effect.provide(Virtual.layer(readings)))
}

/** Has something happen right before or after the first call of a function of the file system. */
const meddled = <A, E>(
  name: "openSync" | "readFileSync" | "readdirSync" | "renameSync",
  meddling: { readonly before?: () => void; readonly after?: () => void },
  effect: Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.suspend(() => {
    const real = process.getBuiltinModule("node:fs") as unknown as Record<string, (...args: Array<unknown>) => unknown>
    const original = real[name]!
    const restore = () => {
      real[name] = original
    }
    real[name] = (...args) => {
      restore()
      meddling.before?.()
      const result = original(...args)
      meddling.after?.()
      return result
    }
    return Effect.ensuring(effect, Effect.sync(restore))
  })

const bytesOf = (folder: string): number =>
  fs
    .readdirSync(folder)
    .filter((file) => file.endsWith(".jsonl"))
    .reduce((sum, file) => sum + fs.statSync(path.join(folder, file)).size, 0)

const counts = (history: History) =>
  Object.fromEntries(history.report.operations.map(({ name, wall }) => [name, wall.count]))

describe("ProfileHistory", () => {
  it.effect("merges the records of processes exactly, separated by session and hour", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      yield* TestClock.setTime(start)
      const history = yield* open(folder)
      yield* history.record(yield* measure({ a: [1, 2, 3], b: [5] }), "s1")
      yield* history.record(yield* measure({ a: [10] }, "deep"), "s2")
      yield* TestClock.adjust(2 * hour)
      yield* history.record(yield* measure({ a: [20], c: [1] }), "s1")

      const all = yield* history.read()
      assert.deepInclude(all, { processes: 3, sessions: 2, unreadable: 0 })
      assert.deepStrictEqual(counts(all), { a: 5, b: 1, c: 1, db: 3 })
      const a = all.report.operations.find(({ name }) => name === "a")!
      assert.deepInclude(a.wall, { sum: 36, min: 1, max: 20 })
      assert.deepInclude(a.thread!.active, { count: 1, sum: 10 })
      assert.strictEqual(all.report.statements[0]!.fingerprint, "SELECT ?")
      assert.strictEqual(all.kernel.count, 3)
      assert.deepStrictEqual(counts(yield* history.read({ session: "s1" })), { a: 4, b: 1, c: 1, db: 2 })
      assert.deepStrictEqual(counts(yield* history.read({ session: "none" })), {})
      assert.deepStrictEqual(counts(yield* history.read({ since: start + hour })), { a: 1, c: 1, db: 1 })
      assert.deepStrictEqual(counts(yield* history.read({ before: start + hour })), { a: 4, b: 1, db: 2 })
      assert.deepStrictEqual(counts(yield* (yield* open(folder)).read()), counts(all), "another process reads the same")
      for (const file of fs.readdirSync(folder)) {
        assert.notInclude(fs.readFileSync(path.join(folder, file), "latin1"), "a secret")
      }
    })
  )

  it.effect("merges each record exactly once when a reader is killed at any instruction", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder)
      const files = () => fs.readdirSync(folder).filter((file) => file.endsWith(".jsonl"))
      yield* TestClock.setTime(start)
      yield* history.record(yield* measure({ a: [1] }))
      // Killed after it set the lines aside, and before it merged them.
      yield* ProfileLog.rotate(folder)
      const [left] = files()
      const content = fs.readFileSync(path.join(folder, left!))
      assert.deepStrictEqual(counts(yield* history.read()), { a: 1, db: 1 })
      assert.deepStrictEqual(files(), [])
      // Killed after it merged them, and before it removed the file.
      fs.writeFileSync(path.join(folder, left!), content)
      assert.deepStrictEqual(counts(yield* history.read()), { a: 1, db: 1 })
      assert.deepStrictEqual(files(), [])
    })
  )

  it.effect("serves concurrent readers", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const report = yield* measure({ a: [1] })
      const histories = yield* Effect.forEach([1, 2, 3], () => open(folder))
      yield* Effect.forEach(
        histories,
        (history) =>
          Effect.gen(function* () {
            for (let i = 0; i < 10; i++) {
              yield* history.record(report)
              yield* Effect.yieldNow
              yield* history.read()
            }
          }),
        { concurrency: "unbounded" }
      )
      assert.deepStrictEqual(counts(yield* histories[0]!.read()), { a: 30, db: 30 })
    })
  )

  it.effect("skips and counts unreadable records", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder)
      yield* history.record(yield* measure({ a: [1] }))
      const file = path.join(folder, "profile.jsonl")
      const line = fs.readFileSync(file, "utf8")
      fs.appendFileSync(file, `${line.slice(0, 50)}\nnull\n${line.replace('"version":1', '"version":99')}`)
      const read = yield* history.read()
      assert.deepInclude(read, { processes: 1, unreadable: 3 })
      assert.deepStrictEqual(counts(read), { a: 1, db: 1 })
    })
  )

  it.effect("deletes rows beyond the maximum age and the maximum count", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      yield* TestClock.setTime(start)
      const history = yield* open(folder, 1, { maxAge: "10 hours", maxRows: 5 })
      yield* history.record(yield* measure({ old: [1] }))
      assert.deepStrictEqual(Object.keys(counts(yield* history.read())), ["db", "old"])
      yield* TestClock.adjust(11 * hour)
      assert.deepStrictEqual(counts(yield* history.read()), {})
      for (const name of ["a", "b", "c"]) {
        yield* TestClock.adjust(hour)
        yield* history.record(yield* measure({ [name]: [1] }))
      }
      assert.deepStrictEqual(Object.keys(counts(yield* history.read())).includes("a"), false)
      assert.strictEqual(counts(yield* history.read())["c"], 1)
    })
  )

  it.effect("bounds unread records, retains the newest and counts the dropped ones", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder)
      const line = "x".repeat(500_000)
      const bound = (ProfileLog.maxRotatedFiles + 1) * (ProfileLog.maxBytes + 2 * line.length)
      for (let i = 0; i < 100; i++) assert.isTrue(ProfileLog.append(folder, `${i} ${line}`))
      assert.isAtMost(bytesOf(folder), bound)
      assert.isAbove(bytesOf(folder), ProfileLog.maxRotatedFiles * ProfileLog.maxBytes)
      yield* history.record(yield* measure({ a: [1] }))
      const { unreadable: broken, dropped, processes } = yield* history.read()
      assert.strictEqual(processes, 1)
      assert.isAbove(dropped, 0)
      assert.strictEqual(broken + dropped, 100)
    })
  )

  it.effect("retains all hooks of a busy session", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder)
      const names = Array.from({ length: 50 }, (_, i) => [`operation ${i}`, [1, 2, 3]] as const)
      const report = yield* measure(Object.fromEntries(names))
      for (let i = 0; i < 300; i++) yield* history.record(report, "s")
      assert.deepInclude(yield* history.read(), { processes: 300, dropped: 0, unreadable: 0 })
      assert.strictEqual(yield* history.lost, 0)
    })
  )

  it.effect("omits derived members and restores them on read", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder)
      const report = yield* measure({ a: Array.from({ length: 40 }, (_, i) => i) }, "deep")
      yield* history.record(report)
      const line = fs.readFileSync(path.join(folder, "profile.jsonl"), "utf8")
      assert.notInclude(line, "p50")
      const found = yield* history.read()
      assert.deepStrictEqual(found.report.operations, report.operations)
      assert.deepStrictEqual(found.report.statements, report.statements)
    })
  )

  it.effect("loses no record of a slow writer during a merge", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder)
      const reader = yield* open(folder)
      const report = yield* measure({ a: [1] })
      yield* history.record(report)
      const context = yield* Effect.context<never>()
      // A whole read falls between the opening of the file and the writing.
      const readAll = () => void Effect.runSyncWith(context)(reader.read())
      yield* meddled("openSync", { after: readAll }, history.record(report))
      // The writing falls between the reading and the removal.
      yield* history.record(report)
      const [line] = fs.readFileSync(path.join(folder, "profile.jsonl"), "utf8").trim().split("\n")
      const append = () => {
        const aside = fs.readdirSync(folder).find((file) => /^profile\..+\.jsonl$/.test(file))
        fs.appendFileSync(path.join(folder, aside!), `\n${line}\n`)
      }
      yield* meddled("readFileSync", { after: append }, reader.read())
      assert.deepStrictEqual(counts(yield* history.read()), { a: 4, db: 4 })
    })
  )

  it.effect("rotates once when several writers reach the size limit", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder)
      const report = yield* measure({ a: [1] })
      let written = 0
      while (bytesOf(folder) < ProfileLog.maxBytes) {
        yield* history.record(report)
        written++
      }
      // Between its look at the size and its setting aside another one does all of it.
      const other = () => Effect.runSync(history.record(report))
      yield* meddled("renameSync", { before: other }, history.record(report))
      assert.deepInclude(yield* history.read(), { processes: written + 2, dropped: 0, unreadable: 0 })
    })
  )

  it.effect("merges readable files beside unreadable ones", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder)
      const report = yield* measure({ a: [1] })
      fs.mkdirSync(path.join(folder, "profile.odd.jsonl"))
      const gone = path.join(folder, "profile.gone.jsonl")
      fs.writeFileSync(gone, "")
      yield* history.record(report)
      // Another reader is done with its file after this one has listed the folder.
      yield* meddled("readdirSync", { after: () => fs.rmSync(gone) }, history.read())
      yield* history.record(report)
      assert.deepInclude(yield* history.read(), { processes: 2, unreadable: 1 })
      assert.deepStrictEqual(
        fs.readdirSync(folder).filter((file) => file.endsWith(".jsonl")),
        ["profile.odd.jsonl"]
      )
    })
  )

  it.effect("retains records that it can't merge", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder)
      yield* history.read()
      const sql = yield* Sqlite.make({ filename: path.join(folder, "profile.db") })
      yield* sql`BEGIN IMMEDIATE`
      yield* history.record(yield* measure({ a: [1] }))
      const error = yield* Effect.flip(history.read())
      assert.strictEqual(error._tag, "ProfileHistoryError")
      yield* sql`ROLLBACK`
      assert.deepStrictEqual(
        fs.readdirSync(folder).filter((file) => file.endsWith(".jsonl")),
        ["profile.jsonl"]
      )
      assert.deepStrictEqual(counts(yield* history.read()), { a: 1, db: 1 })
    }).pipe(Effect.provide(Reactivity.layer))
  )

  it.effect("does not evict new rows for rows of a clock that was ahead", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder, 1, { maxRows: 6 })
      const ahead = start + 10 * 365 * 24 * hour
      yield* TestClock.setTime(ahead)
      yield* history.record(yield* measure({ x: [1], y: [1], z: [1] }), "ahead")
      yield* history.read()
      yield* history.record(yield* measure({ late: [1] }), "late")
      yield* TestClock.setTime(start)
      yield* history.record(yield* measure({ now: [1] }), "now")
      const found = yield* history.read()
      assert.deepStrictEqual(counts(found), { late: 1, now: 1, db: 2 })
      assert.strictEqual(found.report.to, start)
    })
  )

  it.effect("leaves a file of a newer version unchanged", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder)
      const sql = yield* Sqlite.make({ filename: path.join(folder, "profile.db") })
      yield* sql`CREATE TABLE of_then (a INTEGER)`
      yield* sql`PRAGMA user_version = 2`
      yield* history.record(yield* measure({ a: [1] }))
      const error = yield* Effect.flip(history.read())
      assert.deepInclude(error.cause, { _tag: "NewerHistory", version: 2 })
      assert.deepStrictEqual(yield* sql`SELECT name FROM sqlite_schema`, [{ name: "of_then" }])
      assert.deepStrictEqual(yield* sql`PRAGMA user_version`, [{ user_version: 2 }])
    }).pipe(Effect.provide(Reactivity.layer))
  )

  it.effect("merges slow executions, evictions and levels", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      yield* TestClock.setTime(start)
      const history = yield* open(folder)
      const report = yield* measure({ a: [1] }, "deep")
      const slow = { fingerprint: "SELECT ?", ms: 200, waitMs: null, rows: 1, parent: null, why: "limit" } as const
      const evicted = { statements: 7, calls: 70 }
      const all = Array.from({ length: 12 }, (_, at) => ({ ...slow, at: start + at }))
      yield* history.record(
        { ...report, evicted, slow: all, slowDropped: 3, unattributed: { fibers: 1, elsewhere: 2 } },
        "a"
      )
      assert.strictEqual((yield* history.read()).report.level, "deep")
      const other = yield* measure({ a: [1] })
      yield* history.record({ ...other, evicted, slow: [{ ...slow, at: start - 1 }] }, "b")
      const found = (yield* history.read()).report
      assert.deepInclude(found, {
        level: "mixed",
        evicted: { statements: 14, calls: 140 },
        slowDropped: 5,
        unattributed: { fibers: 1, elsewhere: 2 }
      })
      assert.deepStrictEqual(
        found.slow.map(({ at }) => at - start),
        [-1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
      )
    })
  )

  it.effect("counts no session and no time for unreadable records", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      yield* TestClock.setTime(start)
      const history = yield* open(folder)
      yield* history.record(yield* measure({ a: [1] }), "s")
      fs.appendFileSync(path.join(folder, "profile.jsonl"), "{broken\n")
      yield* TestClock.adjust(50 * hour)
      const found = yield* history.read()
      assert.deepInclude(found, { processes: 1, sessions: 1, unreadable: 1 })
      assert.isBelow(found.report.to, start + hour)
    })
  )

  it.effect("creates files readable only by their owner", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder)
      yield* history.record(yield* measure({ a: [1] }))
      const modes = () => fs.readdirSync(folder).map((file) => fs.statSync(path.join(folder, file)).mode & 0o077)
      assert.deepStrictEqual(modes(), [0])
      yield* history.read()
      assert.deepStrictEqual(modes(), [0])
    })
  )

  it.effect("compares calls without measurable time", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder)
      yield* history.record(yield* measure({ a: [0, 0, 0, 0, 0, 0, 10] }))
      assert.strictEqual((yield* history.read()).normalised["operation a"]!.count, 7)
    })
  )

  it.effect("loses one record at most to a process killed mid-write", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder)
      fs.writeFileSync(path.join(folder, "profile.jsonl"), '{"session":"x","ker')
      yield* history.record(yield* measure({ a: [1] }))
      assert.deepInclude(yield* history.read(), { processes: 1, unreadable: 1 })
    })
  )

  it.effect("ignores write failures and reports read failures", () =>
    Effect.gen(function* () {
      const folder = path.join(yield* TempFolder.make, "nowhere")
      const history = yield* open(folder)
      yield* history.record(yield* measure({ a: [1] }))
      assert.strictEqual(yield* history.lost, 1)
      assert.deepStrictEqual(counts(yield* history.read()), {})
      fs.mkdirSync(path.join(folder, "profile.db"), { recursive: true })
      const error = yield* Effect.flip(history.read())
      assert.strictEqual(error._tag, "ProfileHistoryError")
      assert.include(error.message, "move profile.db")
    })
  )

  it.effect("records the measurements when the program ends", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = ProfileHistory.layer({ folder })
      const profiled = ProfileHistory.layerRecord({ session: "nightly" }).pipe(
        Layer.provide(history),
        Layer.provideMerge(Profiler.layer())
      )
      yield* Profiler.track(Effect.void, "a").pipe(Effect.provide(profiled))
      const read = yield* ProfileHistory.ProfileHistory.use((self) => self.read({ session: "nightly" })).pipe(
        Effect.provide(history)
      )
      assert.deepStrictEqual(counts(read), { a: 1 })
    })
  )

  it.effect("compares sessions after correction for machine speed", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const of = (session: string, kernelMs: number, times: Readonly<Record<string, number>>) =>
        Effect.gen(function* () {
          const history = yield* open(folder, kernelMs)
          const all = Object.entries(times).map(([name, ms]) => [name, Array.from({ length: 20 }, () => ms)])
          yield* history.record(yield* measure(Object.fromEntries(all)), session)
          return yield* history.read({ session })
        })
      const fast = yield* of("fast", 1, { same: 10, slower: 10, faster: 10, gone: 1 })
      const slow = yield* of("slow", 3, { same: 30, slower: 90, faster: 15, come: 1 })
      const compared = ProfileHistory.compare(fast, slow).map(
        ({ ratio, verdict, operation: what }) => [what, verdict, ratio] as const
      )
      assert.deepStrictEqual(
        compared.map(([what, verdict]) => `${what} ${verdict}`),
        ["operation slower slower", "operation faster faster", "operation same same"]
      )
      for (const [at, expected] of [3, 0.5, 1].entries()) assert.closeTo(compared[at]![2] / expected, 1, 0.065)
    })
  )
})
