import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as Scope from "effect/Scope"
import { ConnectionError, ConstraintError, SqlError, UnknownError } from "effect/sql/SqlError"
import * as TestClock from "effect/testing/TestClock"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as QueryCache from "../../src/cache/QueryCache.ts"
import * as EventRecorder from "../../src/events/EventRecorder.ts"
import type { EventRecorderError } from "../../src/events/EventRecorderError.ts"
import { Failpoints } from "../../src/events/internal/failpoints.ts"
import * as Dependency from "../../src/query/Dependency.ts"
import * as Query from "../../src/query/Query.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Kit from "./RecorderKit.ts"

const away = Effect.fail(
  new SqlError({ reason: new ConnectionError({ cause: new Error("down"), message: "down", operation: "query" }) })
)

const reasonOf = <A>(effect: Effect.Effect<A, EventRecorderError>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

/** Runs a program over a recorder with a spool, on SQLite. */
const withRecorder = <A, E>(
  options: Partial<EventRecorder.SpoolOptions>,
  run: (recorder: EventRecorder.EventRecorder<Kit.Tick>, folder: string) => Effect.Effect<A, E, never>
) =>
  Effect.gen(function* () {
    const { context, folder } = yield* Kit.scratch(options)
    return yield* run(Context.get(context, Kit.Ticks), folder)
  })

const storedIn = (folder: string) => Kit.storedNumbers.pipe(Effect.provide(Kit.database(folder)))

const fifty = (from: number) => Array.from({ length: 50 }, (_, n) => from + n)

setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void

/** The used heap in bytes, after a garbage collection. */
const heap = (): number => {
  collect()
  return process.memoryUsage().heapUsed
}

/** Runs with a target that is let go by hand. */
const gate = Effect.gen(function* () {
  const open = yield* Deferred.make<void>()
  const reached = yield* Deferred.make<void>()
  Kit.control.before = () => Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(open))
  return { open: Deferred.succeed(open, undefined), reached: Deferred.await(reached) }
})

describe("EventRecorder", () => {
  it.effect("acknowledges accepted, spooled and committed events in memory, spool and database", () =>
    withRecorder({ drain: false }, (recorder, folder) =>
      Effect.gen(function* () {
        yield* recorder.record(Kit.tick(1), { ack: "accepted" })
        yield* recorder.record(Kit.tick(2))
        assert.strictEqual((yield* recorder.stats).spooled, 2)
        assert.deepStrictEqual(yield* storedIn(folder), [])
        yield* recorder.record(Kit.tick(3), { ack: "committed" })
        assert.deepStrictEqual(yield* storedIn(folder), [1, 2, 3])
        const stats = yield* recorder.stats
        assert.deepStrictEqual([stats.spooled, stats.delivered, stats.dropped, stats.deadLetters], [0, 3, 0, 0])
      })
    )
  )

  it.effect("stores an event once when it is recorded repeatedly", () =>
    withRecorder({ drain: false }, (recorder, folder) =>
      Effect.gen(function* () {
        yield* recorder.recordAll([Kit.tick(1), Kit.tick(2), Kit.tick(1)])
        yield* recorder.flush()
        yield* recorder.recordAll([Kit.tick(1), Kit.tick(2)], { ack: "committed" })
        assert.deepStrictEqual(yield* storedIn(folder), [1, 2])
        assert.strictEqual((yield* recorder.stats).spooled, 0)
      })
    )
  )

  it.effect("writes concurrent events in one group, and delivers them in one batch", () =>
    Effect.suspend(() => {
      let groups = 0
      return withRecorder({ drain: false }, (recorder, folder) =>
        Effect.gen(function* () {
          yield* Effect.forEach(fifty(0), (n) => recorder.record(Kit.tick(n)), { concurrency: 50 })
          assert.strictEqual(groups, 1)
          assert.deepStrictEqual(yield* recorder.flush(), { delivered: 50, deadLetters: 0, left: 0 })
          yield* recorder.recordAll(fifty(50).map((n) => Kit.tick(n)))
          assert.strictEqual(groups, 2)
          yield* recorder.flush()
          assert.strictEqual(Kit.control.batches.length, 2)
          assert.strictEqual((yield* storedIn(folder)).length, 100)
        })
      ).pipe(Effect.provideService(Failpoints, (failpoint) => void (failpoint === "before append" && groups++)))
    })
  )

  it.effect("delivers a full batch immediately, and a partial one after the interval", () =>
    withRecorder({ batchSize: 3, interval: "5 seconds" }, (recorder) =>
      Effect.gen(function* () {
        const first = yield* gate
        yield* recorder.recordAll([Kit.tick(1), Kit.tick(2)])
        yield* Effect.yieldNow
        assert.strictEqual(Kit.control.batches.length, 0)
        yield* recorder.record(Kit.tick(3))
        yield* first.reached
        yield* first.open
        assert.strictEqual(Kit.control.batches[0]?.length, 3)
        const second = yield* gate
        yield* recorder.record(Kit.tick(4))
        yield* TestClock.adjust("5 seconds")
        yield* second.reached
        yield* second.open
        assert.deepStrictEqual(Kit.control.batches[1], [Kit.tick(4)])
      })
    )
  )

  it.effect("delivers after maxBatchBytes, and bounds a batch by them", () =>
    withRecorder({ batchSize: 1_000, maxBatchBytes: 1_024 }, (recorder) =>
      Effect.gen(function* () {
        const { open, reached } = yield* gate
        yield* recorder.recordAll([1, 2, 3].map((n) => ({ ...Kit.tick(n), note: "x".repeat(600) })))
        yield* reached
        yield* open
        yield* recorder.flush()
        assert.deepStrictEqual(
          Kit.control.batches.map((batch) => batch.map(({ n }) => n)),
          [[1], [2], [3]]
        )
      })
    )
  )

  it.effect("delivers the remaining events at shutdown", () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const folder = yield* TempFolder.make
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(
        Kit.recorder(folder).pipe(Layer.provideMerge(Kit.database(folder))),
        scope
      )
      const recorder = Context.get(context, Kit.Ticks)
      yield* recorder.record(Kit.tick(1), { ack: "accepted" })
      yield* recorder.record(Kit.tick(2))
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* storedIn(folder), [1, 2])
      assert.strictEqual((yield* reasonOf(recorder.record(Kit.tick(3))))._tag, "Closed")
    })
  )

  it.effect("leaves events in the spool after a shutdown timeout, and another process delivers them", () =>
    Effect.gen(function* () {
      yield* Kit.reset
      Kit.control.before = () => away
      const folder = yield* TempFolder.make
      yield* Effect.scoped(
        Effect.gen(function* () {
          const context = yield* Layer.build(Kit.recorder(folder).pipe(Layer.provideMerge(Kit.database(folder))))
          yield* Context.get(context, Kit.Ticks).recordAll([Kit.tick(1), Kit.tick(2)], { ack: "accepted" })
        })
      )
      assert.deepStrictEqual(yield* storedIn(folder), [])
      yield* Kit.reset
      const context = yield* Layer.build(Kit.recorder(folder).pipe(Layer.provideMerge(Kit.database(folder))))
      assert.strictEqual((yield* Context.get(context, Kit.Ticks).flush()).delivered, 2)
      assert.deepStrictEqual(yield* storedIn(folder), [1, 2])
    })
  )

  it.effect("retains events while the database is unavailable, backs off, and rejects none", () =>
    withRecorder({ batchSize: 1 }, (recorder, folder) =>
      Effect.gen(function* () {
        Kit.control.before = () => away
        yield* recorder.recordAll([Kit.tick(1), Kit.tick(2)])
        const reason = yield* reasonOf(recorder.flush())
        assert.strictEqual(reason._tag, "TargetUnavailable")
        assert.strictEqual((yield* recorder.stats).lastFailure, "ConnectionError")
        yield* TestClock.adjust("10 minutes")
        const attempts = Kit.control.batches.length
        // 100 ms, doubled up to 30 s: without that growth ten minutes had room for thousands.
        assert.isAtLeast(attempts, 10)
        assert.isAtMost(attempts, 80)
        assert.strictEqual((yield* recorder.stats).deadLetters, 0)
        Kit.control.before = () => Effect.void
        yield* TestClock.adjust("1 minute")
        yield* recorder.flush()
        assert.deepStrictEqual(yield* storedIn(folder), [1, 2])
      })
    )
  )

  it.effect("reports an event as spooled if the database misses the deadline", () =>
    withRecorder({ deadline: "2 seconds" }, (recorder, folder) =>
      Effect.gen(function* () {
        Kit.control.before = () => away
        const fiber = yield* Effect.forkChild(reasonOf(recorder.record(Kit.tick(1), { ack: "committed" })))
        yield* TestClock.adjust("2 seconds")
        const reason = yield* Fiber.join(fiber)
        assert.strictEqual(reason._tag, "DeadlineExceeded")
        assert.strictEqual(reason._tag === "DeadlineExceeded" && reason.reached, "spooled")
        Kit.control.before = () => Effect.void
        yield* recorder.flush()
        assert.deepStrictEqual(yield* storedIn(folder), [1])
      })
    )
  )

  it.effect("times out on an unresponsive database", () =>
    withRecorder({ deliverTimeout: "10 seconds", deadline: "1 minute" }, (recorder) =>
      Effect.gen(function* () {
        const { open, reached } = yield* gate
        yield* recorder.record(Kit.tick(1))
        const fiber = yield* Effect.forkChild(reasonOf(recorder.flush()))
        yield* reached
        yield* TestClock.adjust("10 seconds")
        const reason = yield* Fiber.join(fiber)
        yield* open
        assert.strictEqual(reason._tag === "TargetUnavailable" && reason.code, "timeout")
      })
    )
  )

  it.effect("moves only rejected events to the dead letters, and delivers the rest in order", () =>
    withRecorder({ drain: false }, (recorder, folder) =>
      Effect.gen(function* () {
        const numbers = Array.from({ length: 64 }, (_, index) => (index % 13 === 5 ? -1 - index : index))
        yield* recorder.recordAll(numbers.map((n) => Kit.tick(n)))
        const flushed = yield* recorder.flush()
        const good = numbers.filter((n) => n >= 0)
        assert.deepStrictEqual(flushed, { delivered: good.length, deadLetters: 64 - good.length, left: 0 })
        assert.deepStrictEqual(yield* storedIn(folder), good)
        const dead = yield* recorder.deadLetters.list()
        assert.deepStrictEqual(
          dead.map(({ id }) => id),
          numbers.filter((n) => n < 0).map((n) => Kit.tick(n).id)
        )
        assert.deepStrictEqual([dead[0]!.kind, dead[0]!.order], ["rejected", "s"])
        assert.match(dead[0]!.reason, /^ConstraintError \d+$/)
        assert.deepStrictEqual(JSON.parse(dead[0]!.payload), Kit.tick(-6))
      })
    )
  )

  it.effect("retries and drops dead letters", () =>
    withRecorder({ drain: false }, (recorder, folder) =>
      Effect.gen(function* () {
        let strict = true
        const refuse = Effect.fail(
          new SqlError({ reason: new ConstraintError({ cause: new Error(), message: "no", operation: "query" }) })
        )
        Kit.control.before = (ticks) => (strict && ticks.some(({ n }) => n < 3) ? refuse : Effect.void)
        yield* recorder.recordAll([Kit.tick(1), Kit.tick(2), Kit.tick(3)])
        yield* recorder.flush()
        assert.strictEqual((yield* recorder.stats).deadLetters, 2)
        assert.strictEqual(yield* recorder.deadLetters.drop([Kit.tick(2).id]), 1)
        strict = false
        assert.strictEqual(yield* recorder.deadLetters.retry(), 1)
        yield* recorder.flush()
        assert.deepStrictEqual(yield* storedIn(folder), [3, 1])
        const stats = yield* recorder.stats
        assert.deepStrictEqual([stats.deadLetters, stats.rejected], [0, 2])
      })
    )
  )

  it.effect("fails a caller with the reason of its own event", () =>
    withRecorder({}, (recorder) =>
      Effect.gen(function* () {
        const [good, bad] = yield* Effect.all(
          [
            Effect.exit(recorder.record(Kit.tick(1), { ack: "committed" })),
            reasonOf(recorder.record(Kit.tick(-1), { ack: "committed" }))
          ],
          { concurrency: 2 }
        )
        assert.isTrue(Exit.isSuccess(good))
        assert.strictEqual(bad._tag, "EventRejected")
      })
    )
  )

  it.effect("holds the session of an event that fails for unknown reasons, until the event becomes a dead letter", () =>
    withRecorder({ drain: false }, (recorder, folder) =>
      Effect.gen(function* () {
        const unknown = Effect.fail(
          new SqlError({ reason: new UnknownError({ cause: new Error(), message: "?", operation: "query" }) })
        )
        Kit.control.before = (ticks) => (ticks.some(({ id }) => id === "a-2") ? unknown : Effect.void)
        yield* recorder.recordAll([Kit.tick(1, "a"), Kit.tick(2, "a"), Kit.tick(3, "a"), Kit.tick(4, "b")])
        assert.deepStrictEqual(yield* recorder.flush(), { delivered: 2, deadLetters: 0, left: 2 })
        assert.deepStrictEqual(yield* storedIn(folder), [1, 4])
        // Alone it may be the database's own failure: that counts, and more is needed of it.
        assert.strictEqual((yield* reasonOf(recorder.flush()))._tag, "TargetUnavailable")
        for (const n of [5, 6, 7]) {
          yield* recorder.record(Kit.tick(n, "b"))
          yield* recorder.flush()
        }
        assert.deepStrictEqual(
          (yield* recorder.deadLetters.list()).map(({ id }) => id),
          ["a-2"]
        )
        yield* recorder.flush()
        assert.deepStrictEqual(yield* storedIn(folder), [1, 4, 5, 6, 7, 3])
      })
    )
  )

  it.effect("moves it to the dead letters when only its own session remains", () =>
    withRecorder({ drain: false }, (recorder, folder) =>
      Effect.gen(function* () {
        Kit.control.before = (ticks) => (ticks.some(({ n }) => n === 3) ? Effect.die("a defect") : Effect.void)
        yield* recorder.recordAll([1, 2, 3, 4, 5].map((n) => Kit.tick(n)))
        for (let round = 0; round < 25; round++) yield* Effect.exit(recorder.flush())
        assert.deepStrictEqual(yield* storedIn(folder), [1, 2, 4, 5])
        assert.strictEqual((yield* recorder.deadLetters.list())[0]!.id, "s-3")
      })
    )
  )

  it.effect("rejects an event beyond a limit of the database", () =>
    withRecorder({ drain: false }, (recorder, folder) =>
      Effect.gen(function* () {
        const cause = Object.assign(new Error("index row size exceeds"), { code: "54000" })
        const tooLarge = Effect.fail(
          new SqlError({ reason: new UnknownError({ cause, message: "?", operation: "query" }) })
        )
        Kit.control.before = (ticks) => (ticks.some(({ n }) => n === 2) ? tooLarge : Effect.void)
        yield* recorder.recordAll([1, 2, 3].map((n) => Kit.tick(n)))
        assert.deepStrictEqual(yield* recorder.flush(), { delivered: 2, deadLetters: 1, left: 0 })
        assert.deepStrictEqual(yield* storedIn(folder), [1, 3])
      })
    )
  )

  it.effect("blames the database when every event fails for an unknown reason", () =>
    withRecorder({ drain: false }, (recorder) =>
      Effect.gen(function* () {
        Kit.control.before = () => Effect.die("a defect")
        yield* recorder.recordAll(Array.from({ length: 200 }, (_, n) => Kit.tick(n, `s${n}`)))
        assert.strictEqual((yield* reasonOf(recorder.flush()))._tag, "TargetUnavailable")
        const stats = yield* recorder.stats
        assert.deepStrictEqual([stats.spooled, stats.deadLetters], [200, 0])
        assert.isBelow(Kit.control.batches.length, 40)
      })
    )
  )

  it.effect("rejects an event that does not fit into an empty spool", () =>
    withRecorder({ drain: false, maxBytes: 65_536 }, (recorder) =>
      Effect.gen(function* () {
        const large = recorder.record({ ...Kit.tick(1), note: "x".repeat(200_000) }, { ack: "accepted" })
        assert.strictEqual((yield* reasonOf(large))._tag, "InvalidEvent")
        yield* recorder.record(Kit.tick(2))
        assert.strictEqual((yield* recorder.stats).spooled, 1)
      })
    )
  )

  it.effect("dies with a RangeError on an invalid limit of dead letters", () =>
    withRecorder({ drain: false }, (recorder) =>
      Effect.gen(function* () {
        for (const limit of [1.5, -1, Number.NaN]) {
          const exit = yield* Effect.exit(recorder.deadLetters.list(limit))
          assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof RangeError)
        }
      })
    )
  )

  it.effect("moves an event to the dead letters if its schema throws, and reveals no part of it", () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const folder = yield* TempFolder.make
      const Number = Schema.String.pipe(
        Schema.decodeTo(Schema.Int, {
          decode: SchemaGetter.transform((text: string) => {
            if (text === "hunter2") throw new Error(text)
            return parseInt(text, 10)
          }),
          encode: SchemaGetter.transform((n: number) => (n === 2 ? "hunter2" : String(n)))
        })
      )
      class Odd extends EventRecorder.Service<Odd, Kit.Tick>()("test/Odd", {
        ...Kit.Ticks.definition,
        event: Schema.Struct({ id: Schema.String, session: Schema.String, n: Number })
      }) {}
      const context = yield* Layer.build(
        EventRecorder.layer(Odd, { filename: Kit.spoolOf(folder), drain: false }).pipe(
          Layer.provide(QueryExecutor.layer),
          Layer.provide(Kit.database(folder))
        )
      )
      const recorder = Context.get(context, Odd)
      yield* recorder.recordAll([1, 2, 3].map((n) => Kit.tick(n)))
      assert.deepStrictEqual(yield* recorder.flush(), { delivered: 2, deadLetters: 1, left: 0 })
      const [dead] = yield* recorder.deadLetters.list()
      assert.deepStrictEqual([dead!.id, dead!.kind], ["s-2", "unreadable"])
      assert.notInclude(dead!.reason, "hunter2")
    })
  )

  it.effect("rejects an event that does not fit its schema, and quotes no part of it", () =>
    withRecorder({ maxEventBytes: 200 }, (recorder) =>
      Effect.gen(function* () {
        const secret = "hunter2"
        for (const event of [
          { ...Kit.tick(1), n: secret as never },
          { ...Kit.tick(1), id: "" },
          { ...Kit.tick(1), id: `${secret}\ud800` },
          { ...Kit.tick(1), session: `${secret}\ud801` },
          { ...Kit.tick(1), note: secret.repeat(100) }
        ]) {
          const error = yield* Effect.flip(recorder.recordAll([Kit.tick(0), event]))
          assert.strictEqual(error.reason._tag, "InvalidEvent")
          assert.notInclude(`${error.message} ${JSON.stringify(error)}`, secret)
        }
        assert.strictEqual((yield* recorder.stats).spooled, 0)
      })
    )
  )

  it.effect("names every invalid option: as a defect in code, as a ConfigError from Config", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const wrong = {
        maxRows: 0,
        maxBytes: 1,
        batchSize: 0.5,
        dutyCycle: 2,
        lease: "1 milli",
        deadline: 0,
        maxQueued: -1,
        shutdownTimeout: "5 parsecs" as never
      } as const
      const built = Layer.build(Kit.recorder(folder, wrong).pipe(Layer.provide(Kit.database(folder))))
      const defect = Cause.squash(yield* Effect.flip(Effect.sandbox(built)))
      assert.instanceOf(defect, RangeError)
      for (const name of Object.keys(wrong)) assert.include((defect as RangeError).message, name)
      const fromConfig = Layer.build(
        EventRecorder.layerConfig(Kit.Ticks, { filename: Config.succeed(""), maxRows: Config.succeed(0) }).pipe(
          Layer.provide(QueryExecutor.layer),
          Layer.provide(Kit.database(folder))
        )
      )
      const error = yield* Effect.flip(fromConfig)
      assert.strictEqual(error._tag, "ConfigError")
      for (const name of ["filename", "maxRows"]) assert.include(error.message, name)
    })
  )

  it.effect("delivers 100,000 events in constant memory", () =>
    withRecorder({ drain: false, maxRows: 200_000, maxBytes: 256 * 1024 * 1024 }, (recorder, folder) =>
      Effect.gen(function* () {
        const total = 100_000
        yield* recorder.recordAll(Array.from({ length: 1_000 }, (_, n) => Kit.tick(n)))
        const before = heap()
        let most = 0
        for (let n = 1_000; n < total; n += 1_000) {
          yield* recorder.recordAll(Array.from({ length: 1_000 }, (_, index) => Kit.tick(n + index)))
          Kit.control.batches.length = 0
          if (n % 10_000 === 0) most = Math.max(most, heap() - before)
        }
        Kit.control.before = () => Effect.sync(() => void (Kit.control.batches.length = 0))
        yield* recorder.flush({ timeout: "1 minute" })
        most = Math.max(most, heap() - before)
        assert.isBelow(most, 16 * 1024 * 1024)
        const numbers = yield* storedIn(folder)
        assert.strictEqual(numbers.length, total)
        assert.isTrue(numbers.every((n, index) => n === index))
      })
    )
  )

  it.effect("invalidates the affected results of a cache when a batch is committed", () =>
    Effect.gen(function* () {
      yield* Kit.reset
      const folder = yield* TempFolder.make
      const count = Query.make({
        name: "ticks.count",
        input: Schema.Struct({}),
        result: Schema.Int,
        dependencies: () => [Dependency.make("ticks")],
        run: () => Effect.map(Kit.stored, (rows) => rows.length)
      })
      const layer = EventRecorder.layer(Kit.Ticks, { filename: Kit.spoolOf(folder), drain: false }).pipe(
        Layer.provideMerge(QueryCache.layer()),
        Layer.provide(CacheStore.layerMemory()),
        Layer.provide(QueryExecutor.layer),
        Layer.provideMerge(Kit.database(folder))
      )
      yield* Effect.gen(function* () {
        const executor = yield* QueryExecutor.QueryExecutor
        const recorder = yield* Kit.Ticks
        assert.strictEqual(yield* executor.query(count, {}), 0)
        yield* recorder.recordAll([Kit.tick(1), Kit.tick(2)])
        assert.strictEqual(yield* executor.query(count, {}), 0)
        yield* recorder.flush()
        assert.strictEqual(yield* executor.query(count, {}), 2)
      }).pipe(Effect.provide(layer))
    })
  )

  it.effect("exports metrics per recorder", () =>
    withRecorder({ drain: false }, (recorder) =>
      Effect.gen(function* () {
        yield* recorder.recordAll([Kit.tick(1), Kit.tick(-1), Kit.tick(2)])
        yield* recorder.flush()
        const found = new Map(
          (yield* Metric.snapshot).flatMap((metric) =>
            metric.id.startsWith("athena_events_") && "count" in metric.state ? [[metric.id, metric.state.count]] : []
          ) as Array<[string, number]>
        )
        assert.strictEqual(found.get("athena_events_spooled_total"), 3)
        assert.strictEqual(found.get("athena_events_delivered_total"), 2)
        assert.strictEqual(found.get("athena_events_rejected_total"), 1)
        assert.isAtLeast(found.get("athena_events_batches_total")!, 1)
      })
    ).pipe(Effect.provideService(Metric.MetricRegistry, new Map()))
  )
})

const direct = (options: EventRecorder.DirectOptions = {}) =>
  Effect.gen(function* () {
    yield* Kit.reset
    const folder = yield* TempFolder.make
    const context = yield* Layer.build(
      EventRecorder.layerDirect(Kit.Ticks, options).pipe(
        Layer.provide(QueryExecutor.layer),
        Layer.provideMerge(Kit.database(folder))
      )
    )
    return { folder, recorder: Context.get(context, Kit.Ticks) }
  })

describe("EventRecorder.layerDirect", () => {
  it.effect("stores concurrent events in one transaction, and acknowledges at its commit", () =>
    Effect.gen(function* () {
      const { folder, recorder } = yield* direct()
      yield* Effect.forEach([1, 2, 3, 4], (n) => recorder.record(Kit.tick(n)), { concurrency: 4 })
      assert.deepStrictEqual(yield* storedIn(folder), [1, 2, 3, 4])
      assert.strictEqual(Kit.control.batches.length, 1)
      yield* recorder.record(Kit.tick(5), { ack: "accepted" })
      yield* recorder.flush()
      assert.deepStrictEqual(yield* storedIn(folder), [1, 2, 3, 4, 5])
    })
  )

  it.effect("fails only the caller of a rejected event", () =>
    Effect.gen(function* () {
      const { folder, recorder } = yield* direct()
      const exits = yield* Effect.forEach([1, -2, 3], (n) => Effect.exit(recorder.record(Kit.tick(n))), {
        concurrency: 3
      })
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, false, true])
      assert.deepStrictEqual(yield* storedIn(folder), [1, 3])
      const invalid = yield* reasonOf(recorder.record({ ...Kit.tick(1), n: 0.5 }))
      assert.strictEqual(invalid._tag, "InvalidEvent")
    })
  )

  it.effect("reports an unknown outcome at the deadline if the database does not respond", () =>
    Effect.gen(function* () {
      const { recorder } = yield* direct({ deadline: "1 second", deliverTimeout: "10 seconds" })
      const { open, reached } = yield* gate
      const asked = yield* Effect.forkChild(reasonOf(recorder.record(Kit.tick(1))))
      yield* reached
      const behind = yield* Effect.forkChild(reasonOf(recorder.record(Kit.tick(2))))
      yield* Effect.yieldNow
      assert.strictEqual((yield* recorder.stats).waiting, 2)
      yield* TestClock.adjust("1 second")
      const reasons = [yield* Fiber.join(asked), yield* Fiber.join(behind)]
      assert.deepStrictEqual(
        reasons.map((reason) => reason._tag === "DeadlineExceeded" && reason.reached),
        ["unknown", "none"]
      )
      yield* open
    })
  )

  it.effect("fails its callers and counts accepted events as dropped when it is shut down during a delivery", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const { recorder } = yield* direct({ shutdownTimeout: 0, deadline: "1 hour" }).pipe(
        Effect.provideService(Scope.Scope, scope)
      )
      const { open, reached } = yield* gate
      // All of them are in line before the first group is taken.
      const caller = yield* Effect.forkChild(reasonOf(recorder.record(Kit.tick(1))), { startImmediately: true })
      yield* recorder.recordAll([Kit.tick(2), Kit.tick(3)], { ack: "accepted" })
      yield* reached
      yield* Scope.close(scope, Exit.void)
      const reason = yield* Fiber.join(caller)
      assert.strictEqual(reason._tag === "DeadlineExceeded" && reason.reached, "unknown")
      assert.strictEqual((yield* recorder.stats).dropped, 2)
      yield* open
    })
  )

  it.effect("waits for an unavailable database, up to the deadline", () =>
    Effect.gen(function* () {
      const { folder, recorder } = yield* direct({ deadline: "1 second" })
      Kit.control.before = () => away
      const fiber = yield* Effect.forkChild(reasonOf(recorder.record(Kit.tick(1))))
      yield* recorder.record(Kit.tick(2), { ack: "accepted" })
      yield* TestClock.adjust("2 seconds")
      const reason = yield* Fiber.join(fiber)
      assert.strictEqual(reason._tag === "DeadlineExceeded" && reason.reached, "none")
      Kit.control.before = () => Effect.void
      yield* TestClock.adjust("1 second")
      yield* recorder.flush()
      assert.deepStrictEqual(yield* storedIn(folder), [2])
    })
  )
})

describe("EventRecorder.layerTest", () => {
  it.effect("passes each event to the function", () =>
    Effect.gen(function* () {
      const seen: Array<number> = []
      yield* Kit.Ticks.use((ticks) => ticks.recordAll([Kit.tick(1), Kit.tick(2)])).pipe(
        Effect.provide(EventRecorder.layerTest(Kit.Ticks, ({ n }) => seen.push(n)))
      )
      assert.deepStrictEqual(seen, [1, 2])
    })
  )
})
