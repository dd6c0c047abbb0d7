/**
 * The file of the spool: its bounds, its lease, and the rescue of a damaged one.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as TestClock from "effect/testing/TestClock"
import * as EventRecorder from "../../src/events/EventRecorder.ts"
import type { EventRecorderError } from "../../src/events/EventRecorderError.ts"
import { Spool } from "../../src/events/internal/spool.ts"
import { checksum, type Row, SpoolFile, type SpoolSettings } from "../../src/events/internal/spoolFile.ts"
import * as Generator from "../utils/Generator.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Damage from "./Damage.ts"
import * as Kit from "./RecorderKit.ts"

const reasonOf = <A>(effect: Effect.Effect<A, EventRecorderError>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, index) => from + index)

const storedIn = (folder: string) => Kit.storedNumbers.pipe(Effect.provide(Kit.database(folder)))

const build = (folder: string, options: Partial<EventRecorder.SpoolOptions> = {}) =>
  Effect.map(
    Layer.build(Layer.fresh(Kit.recorder(folder, options)).pipe(Layer.provide(Layer.fresh(Kit.database(folder))))),
    (context) => Context.get(context, Kit.Ticks)
  )

const filled = (options: Partial<EventRecorder.SpoolOptions>) =>
  Effect.gen(function* () {
    yield* Kit.reset
    const folder = yield* TempFolder.make
    const recorder = yield* build(folder, { drain: false, maxRows: 10, ...options })
    yield* recorder.recordAll(numbers(0, 10).map((n) => Kit.tick(n)))
    return { folder, recorder }
  })

const settings = (folder: string, more: Partial<SpoolSettings> = {}): SpoolSettings => ({
  filename: Kit.spoolOf(folder),
  recorder: "ticks",
  busyTimeoutMs: 100,
  durability: "normal",
  maxBytes: 64 * 1024 * 1024,
  maxRows: 100_000,
  ...more
})

const row = (n: number, bytes = 0): Row => ({
  id: `s-${n}`,
  session: "s",
  recordedAt: n,
  payload: JSON.stringify({ id: `s-${n}`, session: "s", n, note: "x".repeat(bytes) })
})

const names = (folder: string, mark: string) => fs.readdirSync(folder).filter((name) => name.includes(mark))

/** A spool with rows in it, closed, so that all of it is in the file itself. */
const write = (folder: string, count: number, bytes = 300) => {
  const file = new SpoolFile(settings(folder), "e", () => {})
  for (let at = 0; at < count; at += 50) file.append(numbers(at, Math.min(count, at + 50)).map((n) => row(n, bytes)))
  file.close()
  return Kit.spoolOf(folder)
}

const open = (folder: string) =>
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

const idsOf = (spool: Spool): ReadonlyArray<string> => {
  spool.check()
  return Result.getOrThrow(spool.use((file) => file.read(0, 1e6, 1e9).filter(({ intact }) => intact))).map(
    ({ id }) => id
  )
}

const pair = Effect.gen(function* () {
  const folder = yield* TempFolder.make
  const one = new SpoolFile(settings(folder), "e", () => {})
  const two = new SpoolFile(settings(folder), "e", () => {})
  yield* Effect.addFinalizer(() => Effect.sync(() => [one, two].forEach((file) => file.close())))
  return { one, two }
})

describe("a spool that is full", () => {
  it.effect("fails a new event immediately with policy fail", () =>
    Effect.gen(function* () {
      const { recorder } = yield* filled({ whenFull: "fail" })
      assert.strictEqual((yield* reasonOf(recorder.record(Kit.tick(10))))._tag, "SpoolFull")
      const stats = yield* recorder.stats
      assert.deepStrictEqual([stats.spooled, stats.dropped], [10, 0])
    })
  )

  it.effect("drops a new event with policy dropNewest, and counts it across processes", () =>
    Effect.gen(function* () {
      const { folder, recorder } = yield* filled({ whenFull: "dropNewest" })
      for (const n of [10, 11]) assert.strictEqual((yield* reasonOf(recorder.record(Kit.tick(n))))._tag, "Dropped")
      const other = yield* build(folder, { drain: false })
      assert.strictEqual((yield* other.stats).dropped, 2)
      yield* other.flush()
      yield* recorder.record(Kit.tick(12), { ack: "committed" })
      assert.deepStrictEqual(yield* storedIn(folder), [...numbers(0, 10), 12])
    })
  )

  it.effect("blocks a new event until space is free, up to its deadline", () =>
    Effect.gen(function* () {
      const { folder, recorder } = yield* filled({ deadline: "3 seconds" })
      const late = yield* Effect.forkChild(reasonOf(recorder.record(Kit.tick(10))))
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual((yield* Fiber.join(late))._tag, "SpoolFull")
      const patient = yield* Effect.forkChild(recorder.record(Kit.tick(11)))
      yield* TestClock.adjust("1 second")
      const flushing = yield* Effect.forkChild(recorder.deadLetters.drop())
      yield* Fiber.join(flushing)
      // Freed space is signalled; the waiting event is in the spool before the flush ends.
      const other = yield* build(folder, { drain: false })
      yield* other.flush()
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(patient)
      assert.strictEqual((yield* recorder.stats).spooled, 1)
    })
  )

  it.effect("accepts events up to maxQueued, and applies the policy to the rest", () =>
    Effect.gen(function* () {
      const { folder, recorder } = yield* filled({ whenFull: "dropNewest", maxQueued: 5 })
      yield* recorder.recordAll(
        numbers(10, 15).map((n) => Kit.tick(n)),
        { ack: "accepted" }
      )
      assert.strictEqual((yield* reasonOf(recorder.record(Kit.tick(15), { ack: "accepted" })))._tag, "Dropped")
      assert.strictEqual((yield* recorder.stats).waiting, 5)
      const other = yield* build(folder, { drain: false })
      yield* other.flush()
      yield* TestClock.adjust("1 second")
      yield* recorder.flush()
      assert.deepStrictEqual(yield* storedIn(folder), numbers(0, 15))
    })
  )

  it.effect("enforces maxBytes exactly, and appends as much of a group as fits", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const maxBytes = 256 * 1024
      const file = new SpoolFile(settings(folder, { maxBytes }), "e", () => {})
      const taken = file.append(numbers(0, 500).map((n) => row(n, 1_000)))
      assert.isAbove(taken, 150)
      assert.isBelow(taken, 256)
      assert.strictEqual(file.append([row(500, 5_000)]), 0)
      assert.isAtMost(file.stats().bytes, maxBytes)
      // A full file can still be emptied: moving dead letters needs space first.
      assert.isTrue(file.acquire("t", 0, 1_000))
      const found = file.read(0, 1_000, 1e9)
      assert.strictEqual(found.length, taken)
      const dead = found.slice(0, 100).map(({ sequence }) => ({ sequence, kind: "rejected" as const, reason: "" }))
      const delivered = found.slice(100).map(({ sequence }) => sequence)
      assert.isTrue(file.acknowledge("t", { delivered, dead, failed: [] }, 0))
      assert.isAbove(file.append(numbers(0, 10).map((n) => row(n, 1_000))), 9)
      file.close()
    })
  )

  it.effect("counts dead letters toward its limits", () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const folder = yield* TempFolder.make
      const recorder = yield* build(folder, { drain: false, maxRows: 3, whenFull: "fail" })
      yield* recorder.recordAll([-1, -2, -3].map((n) => Kit.tick(n)))
      yield* recorder.flush()
      assert.strictEqual((yield* reasonOf(recorder.record(Kit.tick(1))))._tag, "SpoolFull")
      yield* recorder.deadLetters.drop()
      yield* recorder.record(Kit.tick(1), { ack: "committed" })
    })
  )

  it.effect("reports a file that can't be opened or belongs to another recorder, and leaves it unchanged", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const db = new DatabaseSync(path.join(folder, "foreign.db"))
      db.exec("CREATE TABLE notes (n INTEGER)")
      db.close()
      new SpoolFile(settings(folder, { recorder: "others" }), "e", () => {}).close()
      fs.mkdirSync(path.join(folder, "folder"))
      const wrong = {
        "foreign.db": "not a spool",
        "events.spool": "another recorder",
        folder: "opened",
        "no/such": "opened"
      }
      for (const [name, why] of Object.entries(wrong)) {
        const recorder = yield* build(folder, { filename: path.join(folder, name), deadline: 1 })
        const reason = yield* reasonOf(recorder.stats)
        assert.strictEqual(reason._tag, "SpoolUnavailable")
        assert.include(reason.message, why)
      }
      assert.deepStrictEqual(
        fs.readdirSync(folder).filter((name) => name.includes("damaged")),
        []
      )
    })
  )
})

describe("the lease", () => {
  it.effect("has one holder, lapses, and excludes the former holder", () =>
    Effect.gen(function* () {
      const { one, two } = yield* pair
      one.append([row(1), row(2)])
      assert.isTrue(one.acquire("one", 1_000, 500))
      assert.isFalse(two.acquire("two", 1_400, 500))
      assert.isTrue(one.renew("one", 1_400, 500))
      assert.isFalse(two.acquire("two", 1_899, 500))
      assert.isTrue(two.acquire("two", 1_900, 500))
      assert.isFalse(one.renew("one", 1_900, 500))
      const dead = [{ sequence: 2, kind: "rejected" as const, reason: "" }]
      assert.isFalse(one.acknowledge("one", { delivered: [1], dead, failed: [] }, 1_900))
      assert.strictEqual(two.stats().rows, 2)
      assert.isTrue(two.acknowledge("two", { delivered: [1, 2], dead: [], failed: [] }, 1_900))
      two.release("two")
      assert.isTrue(one.acquire("one", 1_901, 500))
    })
  )

  it.effect("is void after the clock was set back", () =>
    Effect.gen(function* () {
      const { one, two } = yield* pair
      assert.isTrue(one.acquire("one", 1_000_000, 500))
      assert.isFalse(two.acquire("two", 1_000_000, 60_000))
      assert.isTrue(two.acquire("two", 400_000, 500))
    })
  )

  it.effect("makes two concurrent relays store each event once and in order", () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const folder = yield* TempFolder.make
      const one = yield* build(folder, { drain: false, maxBatchSize: 20, deadline: "1 minute" })
      const two = yield* build(folder, { drain: false, maxBatchSize: 20, deadline: "1 minute" })
      yield* Effect.all(
        [
          one.recordAll(numbers(0, 500).map((n) => Kit.tick(n, "a"))),
          two.recordAll(numbers(0, 500).map((n) => Kit.tick(n, "b")))
        ],
        { concurrency: 2 }
      )
      const flushing = yield* Effect.forkChild(Effect.all([one.flush(), two.flush()], { concurrency: 2 }))
      yield* TestClock.adjust("30 seconds")
      const [first, second] = yield* Fiber.join(flushing)
      assert.strictEqual(first.delivered + second.delivered, 1_000)
      const stored = yield* Kit.stored.pipe(Effect.provide(Kit.database(folder)))
      for (const session of ["a", "b"]) {
        assert.deepStrictEqual(
          stored.filter((tick) => tick.session === session).map(({ n }) => n),
          numbers(0, 500)
        )
      }
    })
  )

  it.effect("passes from a relay that stalled in a batch, whose later acknowledgement has no effect", () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const folder = yield* TempFolder.make
      const stopped = yield* build(folder, {
        drain: false,
        lease: "1 second",
        deadline: "1 hour",
        deliverTimeout: "1 hour"
      })
      const other = yield* build(folder, { drain: false, lease: "1 second", deadline: "1 hour" })
      const reached = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      yield* stopped.recordAll([Kit.tick(1), Kit.tick(2)])
      // The lease of a process that is stopped is not renewed; here it is taken away.
      const executor = Kit.control
      executor.before = () => Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(go))
      const first = yield* Effect.forkChild(stopped.flush())
      yield* Deferred.await(reached)
      const thief = new SpoolFile(settings(folder), "e", () => {})
      const db = new DatabaseSync(Kit.spoolOf(folder))
      db.exec("UPDATE spool SET lease_until = 0")
      db.close()
      assert.isTrue(thief.acquire("thief", 0, 60_000))
      yield* Deferred.succeed(go, undefined)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(thief.stats().rows, 2)
      thief.release("thief")
      thief.close()
      executor.before = () => Effect.void
      const second = yield* Effect.forkChild(other.flush())
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(second)
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(first)
      assert.deepStrictEqual(yield* storedIn(folder), [1, 2])
    })
  )

  it.effect("of a dead process lapses in time, even after the clock was set back", () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const folder = yield* TempFolder.make
      yield* TestClock.setTime(10_000_000)
      const recorder = yield* build(folder, { lease: "5 seconds", interval: "1 second" })
      const dying = new SpoolFile(settings(folder), "e", () => {})
      assert.isTrue(dying.acquire("dying", 10_000_000, 5_000))
      dying.close()
      yield* TestClock.setTime(1_000_000)
      const fiber = yield* Effect.forkChild(recorder.record(Kit.tick(1), { ack: "committed" }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(yield* storedIn(folder), [1])
    })
  )
})

describe("the file of a spool", () => {
  it.effect("is readable only by its owner, with the files beside it", () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const folder = yield* TempFolder.make
      const recorder = yield* build(folder, { drain: false })
      yield* recorder.record(Kit.tick(1))
      for (const name of fs.readdirSync(folder).filter((name) => /spool(-wal|-shm)?$/.test(name))) {
        assert.strictEqual(fs.statSync(path.join(folder, name)).mode & 0o777, 0o600, name)
      }
    })
  )

  it.effect("is recreated with its folder for events recorded after their deletion", () =>
    Effect.gen(function* () {
      const folder = path.join(yield* TempFolder.make, "home")
      fs.mkdirSync(folder)
      const context = yield* Layer.build(EventRecorder.layerSpool(Kit.Ticks, { filename: Kit.spoolOf(folder) }))
      const recorder = Context.get(context, Kit.Ticks)
      yield* recorder.record(Kit.tick(1))
      fs.rmSync(folder, { recursive: true })
      // To look is no reason to make it.
      yield* Effect.flip(recorder.stats)
      assert.isFalse(fs.existsSync(folder))
      yield* recorder.record(Kit.tick(2))
      assert.strictEqual((yield* recorder.stats).spooled, 1)
      assert.strictEqual(fs.statSync(folder).mode & 0o777, 0o700)
    }).pipe(Effect.scoped)
  )

  it.effect("that replaced another does not report absent events as delivered", () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const folder = yield* TempFolder.make
      // It has no database and observes only the file.
      const context = yield* Layer.build(EventRecorder.layerSpool(Kit.Ticks, { filename: Kit.spoolOf(folder) }))
      const recorder = Context.get(context, Kit.Ticks)
      const waiting = yield* Effect.forkChild(reasonOf(recorder.record(Kit.tick(1), { ack: "committed" })))
      yield* TestClock.adjust("1 second")
      for (const suffix of ["-wal", "-shm", ""]) fs.rmSync(Kit.spoolOf(folder) + suffix)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(waiting))._tag, "DeadlineExceeded")
    })
  )
})

describe("a damaged spool", () => {
  it.effect("rescues every event if only another table is damaged, and retains the file unchanged", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const filename = write(folder, 400, 300)
      Damage.tableOf(filename, "spool")
      const bytes = fs.readFileSync(filename)
      const spool = yield* open(folder)
      assert.deepStrictEqual(
        idsOf(spool),
        numbers(0, 400).map((n) => `s-${n}`)
      )
      const [aside] = names(folder, ".rescued-")
      assert.deepStrictEqual(fs.readFileSync(path.join(folder, aside!)), bytes)
      assert.deepStrictEqual(names(folder, ".damaged-"), [])
      assert.strictEqual(Result.getOrThrow(spool.use((file) => file.stats())).damaged, 0)
    })
  )

  it.effect("counts a loss if the file is not a database", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const filename = write(folder, 400, 300)
      const bytes = fs.readFileSync(filename)
      bytes.write("no database at all", 0)
      fs.writeFileSync(filename, bytes)
      const spool = yield* open(folder)
      assert.deepStrictEqual(idsOf(spool), [])
      assert.isAbove(Result.getOrThrow(spool.use((file) => file.stats())).damaged, 0)
      const [aside] = names(folder, ".rescued-")
      assert.deepStrictEqual(fs.readFileSync(path.join(folder, aside!)), bytes)
    })
  )

  it.effect("rescues rows that span pages and rows that exist only in the log", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const filename = Kit.spoolOf(folder)
      const file = new SpoolFile(settings(folder), "e", () => {})
      file.append(numbers(0, 20).map((n) => row(n, n * 1_500)))
      // The process is killed: nothing is written back. Then the file is lost.
      fs.copyFileSync(`${filename}-wal`, path.join(folder, "log"))
      file.close()
      fs.writeFileSync(filename, "")
      fs.renameSync(path.join(folder, "log"), `${filename}-wal`)
      const spool = yield* open(folder)
      assert.deepStrictEqual(
        idsOf(spool),
        numbers(0, 20).map((n) => `s-${n}`)
      )
    })
  )

  it.effect("retains its dead letters", () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const folder = yield* TempFolder.make
      yield* Effect.scoped(
        Effect.gen(function* () {
          const recorder = yield* build(folder, { drain: false })
          yield* recorder.recordAll([Kit.tick(1), Kit.tick(-2), Kit.tick(3)])
          yield* recorder.flush()
          yield* recorder.record(Kit.tick(4))
        })
      )
      Damage.tableOf(Kit.spoolOf(folder), "spool")
      const recorder = yield* build(folder, { drain: false })
      yield* recorder.flush()
      assert.deepStrictEqual(
        (yield* recorder.deadLetters.list()).map(({ id, kind }) => [id, kind]),
        [["s--2", "rejected"]]
      )
      assert.deepStrictEqual(yield* storedIn(folder), [1, 3, 4])
    })
  )

  it.effect("loses only the rows of the damaged pages, and counts them", () =>
    Effect.gen(function* () {
      const seed = Number(process.env["ATHENA_TEST_SEED"] ?? Date.now() % 1_000_000)
      yield* Effect.log(`seed ${seed}`)
      const random = Generator.make(seed)
      for (let round = 0; round < 20; round++) {
        const folder = yield* TempFolder.make
        const count = 300
        const filename = write(folder, count, 250)
        const bytes = fs.readFileSync(filename)
        const leaves = numbers(1, bytes.length / 4_096).filter((page) => bytes[page * 4_096] === 0x0d)
        // Beside event rows, the tables `dead` and `spool` have one leaf each.
        const damaged = new Set([0, 1].map(() => leaves[2 + random.int(leaves.length - 2)]!))
        for (const page of damaged) bytes.fill(0xee, page * 4_096, (page + 1) * 4_096)
        fs.writeFileSync(filename, bytes)
        const where = `round ${round} of seed ${seed}: pages ${[...damaged].join(", ")}`
        const spool = yield* open(folder)
        const ids = new Set(idsOf(spool))
        assert.strictEqual([...ids].filter((id) => !/^s-\d+$/.test(id)).length, 0, where)
        // About ten rows share a page.
        assert.isAtLeast(ids.size, count - damaged.size * 16, where)
        assert.isAbove(Result.getOrThrow(spool.use((file) => file.stats())).damaged, 0, where)
      }
    })
  )

  it.effect("moves a row that differs from its checksum to the dead letters, and counts it", () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const folder = yield* TempFolder.make
      const recorder = yield* build(folder, { drain: false })
      yield* recorder.recordAll([1, 2, 3].map((n) => Kit.tick(n)))
      const db = new DatabaseSync(Kit.spoolOf(folder))
      db.exec("UPDATE event SET payload = replace(payload, '2', '7') WHERE id = 's-2'")
      db.close()
      const flushed = yield* recorder.flush()
      assert.deepStrictEqual([flushed.delivered, flushed.deadLetters], [2, 1])
      assert.deepStrictEqual(yield* storedIn(folder), [1, 3])
      assert.strictEqual((yield* recorder.stats).damaged, 1)
      assert.strictEqual(yield* recorder.deadLetters.retry(), 0)
    })
  )

  it.effect("moves an event that no longer fits its schema to the dead letters", () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const folder = yield* TempFolder.make
      const recorder = yield* build(folder, { drain: false })
      yield* recorder.record(Kit.tick(1))
      const old = { id: "old", session: "s", recordedAt: 1, payload: JSON.stringify({ id: "old", n: "one" }) }
      const db = new DatabaseSync(Kit.spoolOf(folder))
      db.prepare("INSERT INTO event (id, session, recorded_at, payload, checksum) VALUES (?, ?, ?, ?, ?)").run(
        old.id,
        old.session,
        old.recordedAt,
        old.payload,
        checksum(old)
      )
      db.close()
      assert.strictEqual((yield* recorder.flush()).deadLetters, 1)
      assert.strictEqual((yield* recorder.deadLetters.list())[0]!.kind, "unreadable")
    })
  )

  it.effect("is replaced for processes that had it open, without loss of acknowledged events", () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const folder = yield* TempFolder.make
      const one = yield* build(folder, { drain: false })
      yield* one.record(Kit.tick(1))
      // Another process finds damage and sets the file aside.
      const spool = yield* open(folder)
      let thrown = false
      spool.use((file) => {
        if (!thrown) {
          thrown = true
          throw Object.assign(new Error("malformed"), { errcode: 11 })
        }
        return file.last()
      })
      assert.strictEqual(names(folder, ".rescued-").filter((name) => !/-(wal|shm)$/.test(name)).length, 1)
      yield* one.record(Kit.tick(2))
      assert.deepStrictEqual(idsOf(spool), ["s-1", "s-2"])
    })
  )

  it.effect("rescues a file that a killed process renamed but did not rescue", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const filename = write(folder, 10)
      fs.renameSync(filename, `${filename}.damaged-1-x`)
      const spool = yield* open(folder)
      assert.strictEqual(idsOf(spool).length, 10)
      assert.strictEqual(names(folder, ".damaged-").length, 0)
    })
  )
})
