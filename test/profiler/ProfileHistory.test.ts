import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import type { ProfileReport } from "../../src/profiler/ProfileReport.ts"
import * as ProfileHistory from "../../src/profiler/ProfileHistory.ts"
import * as Profiler from "../../src/profiler/Profiler.ts"
import * as Spool from "../../src/profiler/internal/spool.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Virtual from "./VirtualReadings.ts"

const hour = 3_600_000
const start = Date.UTC(2026, 0, 1)

/** What a process measures in which an operation takes these times. */
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

const counts = (history: ProfileHistory.History) =>
  Object.fromEntries(history.report.operations.map(({ name, wall }) => [name, wall.count]))

describe("ProfileHistory", () => {
  it.effect("adds up what processes measured, exactly, and tells sessions and times apart", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      yield* TestClock.setTime(start)
      const history = yield* open(folder)
      yield* history.record(yield* measure({ a: [1, 2, 3], b: [5] }), "s1")
      yield* history.record(yield* measure({ a: [10] }, "deep"), "s2")
      yield* TestClock.adjust(2 * hour)
      yield* history.record(yield* measure({ a: [20], c: [1] }), "s1")

      const all = yield* history.read()
      assert.deepInclude(all, { processes: 3, sessions: 2, broken: 0 })
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

  it.effect("counts no line twice and loses none, whatever instruction a reader is killed at", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder)
      const files = () => fs.readdirSync(folder).filter((file) => file.endsWith(".jsonl"))
      yield* TestClock.setTime(start)
      yield* history.record(yield* measure({ a: [1] }))
      // Killed after it took the lines away, and before it merged them.
      yield* Spool.takeAll(folder, start)
      const [left] = files()
      fs.utimesSync(path.join(folder, left!), start / 1_000, start / 1_000)
      assert.deepStrictEqual(counts(yield* history.read()), {}, "it may still be at work")
      const content = fs.readFileSync(path.join(folder, left!))
      fs.utimesSync(path.join(folder, left!), 0, 0)
      assert.deepStrictEqual(counts(yield* history.read()), { a: 1, db: 1 })
      assert.deepStrictEqual(files(), [])
      // Killed after it merged them, and before it removed the file.
      fs.writeFileSync(path.join(folder, left!), content)
      fs.utimesSync(path.join(folder, left!), 0, 0)
      assert.deepStrictEqual(counts(yield* history.read()), { a: 1, db: 1 })
      assert.deepStrictEqual(files(), [])
    })
  )

  it.effect("reads at the same time from several sides", () =>
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

  it.effect("leaves out lines that it can't read, and counts them", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const history = yield* open(folder)
      yield* history.record(yield* measure({ a: [1] }))
      const file = path.join(folder, "profile.jsonl")
      const line = fs.readFileSync(file, "utf8")
      fs.appendFileSync(file, `${line.slice(0, 50)}\nnull\n${line.replace('"version":1', '"version":99')}`)
      const read = yield* history.read()
      assert.deepInclude(read, { processes: 1, broken: 3 })
      assert.deepStrictEqual(counts(read), { a: 1, db: 1 })
    })
  )

  it.effect("drops what is old, and the oldest of what is too much", () =>
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
      // Lines that nobody reads have a bound of their own.
      for (let i = 0; i < 40; i++) Spool.append(folder, "x".repeat(100_000))
      const bytes = fs
        .readdirSync(folder)
        .filter((file) => file.endsWith(".jsonl"))
        .reduce((sum, file) => sum + fs.statSync(path.join(folder, file)).size, 0)
      assert.isAtMost(bytes, 2 * Spool.maxBytes + 200_002)
      assert.isAbove(bytes, Spool.maxBytes)
    })
  )

  it.effect("never fails where it can't write, and says so where it can't read", () =>
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

  it.effect("records what a program measured when it ends", () =>
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

  it.effect("compares sessions by the machine's speed at their time", () =>
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
        ({ ratio, verdict, what }) => [what, verdict, ratio] as const
      )
      assert.deepStrictEqual(
        compared.map(([what, verdict]) => `${what} ${verdict}`),
        ["operation slower slower", "operation faster faster", "operation same same"]
      )
      for (const [at, expected] of [3, 0.5, 1].entries()) assert.closeTo(compared[at]![2] / expected, 1, 0.065)
    })
  )
})
