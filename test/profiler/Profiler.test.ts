import { assert, describe, it } from "@effect/vitest"
import * as Cache from "effect/Cache"
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"
import type { Operation, ProfileReport } from "../../src/profiler/ProfileReport.ts"
import * as Profiler from "../../src/profiler/Profiler.ts"
import { CurrentFrame } from "../../src/profiler/internal/threadTime.ts"
import { maxDepth } from "../../src/profiler/internal/callTree.ts"
import * as Virtual from "./VirtualReadings.ts"

const find = (report: ProfileReport, name: string): Operation => {
  const found = report.operations.find((operation) => operation.name === name)
  assert.isDefined(found, `${name} among ${report.operations.map((operation) => operation.name).join(", ")}`)
  return found
}

/** Runs a program on clocks that it moves itself. */
const profiled = <A, E, R>(
  options: Profiler.ProfilerOptions,
  program: (virtual: Virtual.Virtual) => Effect.Effect<A, E, R>
) =>
  Effect.suspend(() => {
    const virtual = Virtual.make()
    return program(virtual).pipe(Effect.provide(Profiler.layer(options).pipe(Layer.provide(Virtual.layer(virtual)))))
  })

/** Works for this time in slices, and yields between them. */
const slices = (virtual: Virtual.Virtual, ms: number, count: number) =>
  Effect.gen(function* () {
    for (let i = 0; i < count; i++) {
      yield* virtual.busy(ms / count)
      yield* Effect.yieldNow
    }
  })

const busyIn = (virtual: Virtual.Virtual, context: Context.Context<never>) =>
  Effect.provideContext(virtual.busy(10), context)

describe("Profiler", () => {
  it.effect("counts calls by outcome and measures all of them", () =>
    profiled({ level: "wall" }, (virtual) =>
      Effect.gen(function* () {
        const { busy } = virtual
        yield* Profiler.track(busy(10), "work")
        yield* Profiler.track(Effect.andThen(busy(20), Effect.fail("no")), "work").pipe(Effect.ignore)
        yield* Profiler.track(Effect.andThen(busy(30), Effect.die("no")), "work").pipe(Effect.exit)
        const fiber = yield* Profiler.track(Effect.never, "work").pipe(Effect.forkChild({ startImmediately: true }))
        yield* virtual.pass(40)
        yield* Fiber.interrupt(fiber)
        const { outcomes, wall } = find(yield* Profiler.report, "work")
        assert.deepStrictEqual(outcomes, { success: 1, failure: 1, defect: 1, interrupted: 1 })
        assert.strictEqual(wall.count, 4)
        assert.strictEqual(wall.sum, 100)
        assert.strictEqual(wall.min, 10)
        assert.strictEqual(wall.max, 40)
        assert.isNull(wall.p50)
      })
    )
  )

  it.effect("records the maximum concurrency", () =>
    profiled({ level: "wall" }, () =>
      Effect.gen(function* () {
        const gate = yield* Latch.make()
        const fibers = yield* Effect.forEach([1, 2, 3], () =>
          Effect.forkChild(Profiler.track(gate.await, "wait"), { startImmediately: true })
        )
        yield* gate.open
        yield* Fiber.joinAll(fibers)
        yield* Profiler.track(Effect.void, "wait")
        assert.strictEqual(find(yield* Profiler.report, "wait").maxConcurrency, 3)
      })
    )
  )

  it.effect("bounds the number of names", () =>
    profiled({ maxNames: 2 }, () =>
      Effect.gen(function* () {
        for (let i = 0; i < 10; i++) yield* Profiler.track(Effect.void, `name ${i}`)
        yield* Profiler.track(Effect.void, "name 0")
        const report = yield* Profiler.report
        const counts = Object.fromEntries(report.operations.map(({ name, wall }) => [name, wall.count]))
        assert.deepStrictEqual(counts, { "name 0": 2, "name 1": 1, "(others)": 8 })
        assert.strictEqual(report.overflowed, 8)
      })
    )
  )

  it.effect("truncates long names", () =>
    profiled({}, () =>
      Effect.gen(function* () {
        for (const end of ["a", "b"]) yield* Profiler.track(Effect.void, "x".repeat(5_000) + end)
        const { operations } = yield* Profiler.report
        assert.strictEqual(operations.length, 1)
        assert.strictEqual(operations[0]!.name.length, 200)
        assert.strictEqual(operations[0]!.wall.count, 2)
      })
    )
  )

  it.effect("discards measurements on reset and does not count open calls", () =>
    profiled({ level: "deep" }, (virtual) =>
      Effect.gen(function* () {
        const profiler = yield* Profiler.Profiler
        const tracked = profiler.track("before")
        yield* tracked(virtual.busy(5))
        yield* tracked(profiler.reset)
        assert.deepStrictEqual((yield* Profiler.report).operations, [])
        yield* tracked(virtual.busy(7))
        const report = yield* Profiler.report
        assert.strictEqual(find(report, "before").wall.sum, 7)
        assert.strictEqual(find(report, "before").thread!.self, 7)
        assert.strictEqual(report.cost.failures, 0)
      })
    )
  )

  it.effect("records externally timed calls", () =>
    profiled({}, () =>
      Effect.gen(function* () {
        const profiler = yield* Profiler.Profiler
        yield* profiler.record("elsewhere", "3 seconds")
        yield* profiler.record("elsewhere", 500)
        const { outcomes, wall } = find(yield* Profiler.report, "elsewhere")
        assert.deepInclude(wall, { count: 2, sum: 3_500, max: 3_000 })
        assert.strictEqual(outcomes.success, 2)
      })
    )
  )

  it.effect("reads its options from Config", () =>
    Effect.gen(function* () {
      const options = { level: Config.Literals(["wall", "standard", "deep"], "LEVEL"), maxNames: Config.Int("NAMES") }
      const layer = Profiler.layerConfig(options).pipe(
        Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ LEVEL: "deep", NAMES: 1 })))
      )
      const report = yield* Profiler.track(Effect.void, "a").pipe(
        Effect.andThen(Profiler.track(Effect.void, "b")),
        Effect.andThen(Profiler.report),
        Effect.provide(layer)
      )
      assert.strictEqual(report.level, "deep")
      assert.strictEqual(report.overflowed, 1)
    })
  )

  it.effect("names the invalid option", () =>
    Effect.gen(function* () {
      for (const [options, message] of [
        [{ maxNames: 0 }, "maxNames is 0; specify a whole number from 1"],
        [{ maxNames: 1.5 }, "maxNames is 1.5; specify a whole number"],
        [{ budget: 2 }, "budget is 2"],
        [{ level: "loud" as "wall" }, "level is loud; specify one of wall, standard, deep"],
        [{ slowThreshold: "soon" as never }, "slowThreshold is not a duration"],
        [{ repeatThreshold: 1 }, "repeatThreshold is 1"]
      ] as const) {
        const exit = yield* Effect.exit(Profiler.make(options))
        assert.include(String(exit), message)
      }
    })
  )

  describe("standard", () => {
    it.effect("samples CPU time and memory and marks samples without concurrency", () =>
      profiled({ level: "standard" }, (virtual) =>
        Effect.gen(function* () {
          const gate = yield* Latch.make()
          const allocating = Effect.sync(() => {
            virtual.work(8)
            virtual.allocate(1_000)
          })
          yield* Profiler.track(allocating, "alone")
          const waiting = yield* Effect.forkChild(Profiler.track(gate.await, "beside"), { startImmediately: true })
          yield* Profiler.track(allocating, "overlapped")
          yield* gate.open
          yield* Fiber.join(waiting)
          const report = yield* Profiler.report
          const alone = find(report, "alone")
          assert.deepStrictEqual(alone.cpu, { samples: 1, user: 6, system: 2, alone: 1, aloneTotal: 8 })
          assert.deepInclude(alone.memory, { samples: 1, total: 1_000, max: 1_000, peak: null })
          assert.deepInclude(find(report, "overlapped").cpu, { samples: 1, alone: 0, aloneTotal: 0 })
          assert.deepInclude(find(report, "beside").cpu, { samples: 1, alone: 0 })
          assert.isNull(alone.thread)
        })
      )
    )

    it.effect("recognises a lone call after a reset", () =>
      profiled({ level: "standard", budget: 1 }, (virtual) =>
        Effect.gen(function* () {
          const profiler = yield* Profiler.Profiler
          const open = yield* Effect.forkChild(profiler.track("endless")(Effect.never), { startImmediately: true })
          yield* profiler.reset
          yield* profiler.track("work")(virtual.busy(100))
          yield* Fiber.interrupt(open)
          yield* profiler.track("work")(virtual.busy(100))
          assert.strictEqual(find(yield* Profiler.report, "work").cpu!.alone, 2)
        })
      )
    )

    it.effect("takes no more samples than the budget allows", () =>
      Effect.gen(function* () {
        const virtual = Virtual.make()
        /** A reading of the CPU takes 10 us of its own. */
        const dear = { ...virtual, cpu: () => (virtual.work(0.01), virtual.cpu()) }
        yield* Effect.gen(function* () {
          for (let i = 0; i < 2_000; i++) yield* Profiler.track(virtual.busy(1), "work")
          const report = yield* Profiler.report
          const { cpu, wall } = find(report, "work")
          assert.strictEqual(wall.count, 2_000)
          // A sample has two readings, so 1 % of 1 ms affords a sample for every second call.
          assert.isAtLeast(cpu!.samples, 900)
          assert.isAtMost(cpu!.samples, 1_060)
          assert.isAtMost(report.cost.samples, 0.01 * (report.to - report.from) + 1 + 0.04)
          assert.closeTo(report.cost.samples, cpu!.samples * 0.02 + 0.02, 1e-6)
        }).pipe(Effect.provide(Profiler.layer().pipe(Layer.provide(Virtual.layer(dear)))))
      })
    )

    it.effect("bounds the process's budget under concurrency", () =>
      Effect.gen(function* () {
        const virtual = Virtual.make()
        const dear = { ...virtual, cpu: () => (virtual.work(0.05), virtual.cpu()) }
        yield* Effect.gen(function* () {
          for (let round = 0; round < 10; round++) {
            const gate = yield* Latch.make()
            const fibers = yield* Effect.forEach(Array.from({ length: 200 }), (_, i) =>
              Effect.forkChild(Profiler.track(gate.await, `work ${i}`), { startImmediately: true })
            )
            yield* virtual.pass(100)
            yield* gate.open
            yield* Fiber.joinAll(fibers)
          }
          const report = yield* Profiler.report
          assert.isAbove(report.cost.sampleCount, 10)
          assert.isAtMost(report.cost.samples, 0.01 * (report.to - report.from) + 1 + 0.2)
        }).pipe(Effect.provide(Profiler.layer().pipe(Layer.provide(Virtual.layer(dear)))))
      })
    )

    it.effect("continues sampling after one delayed sample", () =>
      Effect.gen(function* () {
        const virtual = Virtual.make()
        let readings = 0
        /** The system takes the thread away in the middle of one of them. */
        const heldUp = { ...virtual, cpu: () => (virtual.work(++readings === 7 ? 500 : 0.01), virtual.cpu()) }
        yield* Effect.gen(function* () {
          for (let i = 0; i < 100; i++) yield* Profiler.track(virtual.busy(10), "work")
          const report = yield* Profiler.report
          assert.isAtLeast(find(report, "work").cpu!.samples, 90)
          assert.isAtLeast(report.cost.samples, 500)
        }).pipe(Effect.provide(Profiler.layer().pipe(Layer.provide(Virtual.layer(heldUp)))))
      })
    )

    it.effect("excludes memory samples with a garbage collection", () =>
      profiled({ budget: 1 }, (virtual) =>
        Effect.gen(function* () {
          for (const bytes of [100, -500, 300]) {
            yield* Profiler.track(
              Effect.sync(() => {
                virtual.work(1)
                virtual.allocate(bytes)
              }),
              "work"
            )
          }
          const { memory } = find(yield* Profiler.report, "work")
          assert.deepInclude(memory, { samples: 2, invalid: 1, total: 400, max: 300 })
        })
      )
    )
  })

  describe("deep", () => {
    it.effect("charges overlapping busy and sleeping fibers separately", () =>
      profiled({ level: "deep" }, (virtual) =>
        Effect.gen(function* () {
          const sleeping = yield* virtual
            .busy(4)
            .pipe(
              Effect.andThen(Effect.sleep("30 millis")),
              Profiler.track("sleeping"),
              Effect.forkChild({ startImmediately: true })
            )
          yield* Profiler.track(slices(virtual, 20, 10), "busy")
          yield* virtual.pass(30)
          yield* Fiber.join(sleeping)
          const report = yield* Profiler.report
          const busy = find(report, "busy")
          const slept = find(report, "sleeping")
          assert.strictEqual(busy.thread!.active.sum, 20)
          assert.strictEqual(busy.thread!.waiting.sum, 0)
          assert.strictEqual(busy.thread!.selfCpu, 20)
          assert.strictEqual(slept.thread!.active.sum, 4)
          assert.strictEqual(slept.thread!.waiting.sum, 50)
          assert.strictEqual(slept.wall.sum, 54)
        })
      )
    )

    it.effect("separates active and waiting time of alternating operations", () =>
      profiled({ level: "deep" }, (virtual) =>
        Effect.gen(function* () {
          const work = { one: 10, two: 20, three: 5 }
          yield* Effect.forEach(Object.entries(work), ([name, ms]) => Profiler.track(slices(virtual, ms, 5), name), {
            concurrency: "unbounded"
          })
          const report = yield* Profiler.report
          for (const [name, ms] of Object.entries(work)) {
            const { thread, wall } = find(report, name)
            assert.closeTo(thread!.active.sum, ms, 1e-9, name)
            assert.closeTo(thread!.selfCpu, ms, 1e-9, name)
            assert.closeTo(thread!.waiting.sum, wall.sum - ms, 1e-9, name)
          }
          assert.isAbove(find(report, "one").wall.sum, 20)
        })
      )
    )

    it.effect("includes callees and forks in active and excludes them from self", () =>
      profiled({ level: "deep" }, (virtual) =>
        Effect.gen(function* () {
          const { busy } = virtual
          yield* Effect.gen(function* () {
            yield* busy(1)
            const forked = yield* Effect.forkChild(slices(virtual, 8, 4))
            yield* busy(2)
            yield* Profiler.track(Effect.andThen(busy(16), Effect.yieldNow), "inner")
            yield* busy(4)
            yield* Fiber.join(forked)
          }).pipe(Profiler.track("outer"))
          const report = yield* Profiler.report
          const outer = find(report, "outer").thread!
          const inner = find(report, "inner").thread!
          assert.strictEqual(outer.self, 1 + 8 + 2 + 4)
          assert.strictEqual(outer.active.sum, 1 + 8 + 2 + 16 + 4)
          assert.strictEqual(outer.activeCpu, outer.active.sum)
          assert.strictEqual(inner.self, 16)
          assert.strictEqual(inner.active.sum, 16)
          const stacks = report.callPaths.map(({ path, self }) => [path.join(";"), self])
          assert.deepStrictEqual(stacks, [
            ["outer", 15],
            ["outer;inner", 16]
          ])
        })
      )
    )

    it.effect("attributes nested operations and spans separately", () =>
      Effect.suspend(() => {
        const virtual = Virtual.make()
        const { busy } = virtual
        const turn = (ms: number) => Effect.andThen(busy(ms), Effect.yieldNow)
        return Effect.gen(function* () {
          const within = turn(4).pipe(Effect.andThen(busy(4)), Profiler.track("track in span"))
          yield* turn(2).pipe(
            Effect.andThen(within),
            Effect.andThen(turn(2)),
            Effect.withSpan("span in track"),
            (span) => Effect.andThen(turn(1), Effect.andThen(span, turn(1))).pipe(Profiler.track("track"))
          )
          const report = yield* Profiler.report
          const self = ["track", "span in track", "track in span"].map((name) => find(report, name).thread!.self)
          assert.deepStrictEqual(self, [2, 4, 8])
          const active = ["track", "span in track"].map((name) => find(report, name).thread!.active.sum)
          assert.deepStrictEqual(active, [14, 12])
        }).pipe(
          Effect.provide(
            Layer.provideMerge(
              Profiler.layerTracer,
              Profiler.layer({ level: "deep" }).pipe(Layer.provide(Virtual.layer(virtual)))
            )
          )
        )
      })
    )

    it.effect("does not attribute work after a call in the same run-loop iteration", () =>
      profiled({ level: "deep" }, (virtual) =>
        Effect.gen(function* () {
          yield* Profiler.track(virtual.busy(3), "call").pipe(
            Effect.map(() => virtual.work(50)),
            Effect.flatMap(() => virtual.busy(50)),
            Profiler.track("around")
          )
          virtual.work(1_000)
          const report = yield* Profiler.report
          assert.strictEqual(find(report, "call").thread!.self, 3)
          assert.strictEqual(find(report, "around").thread!.self, 100)
          assert.strictEqual(find(report, "around").thread!.active.sum, 103)
        })
      )
    )

    it.effect("does not attribute work that outlives an operation or runs outside fibers", () =>
      profiled({ level: "deep" }, (virtual) =>
        Effect.gen(function* () {
          const gate = yield* Latch.make()
          const daemon = yield* gate.await.pipe(
            Effect.andThen(virtual.busy(70)),
            Effect.forkDetach({ startImmediately: true }),
            Profiler.track("starter")
          )
          yield* gate.open
          yield* Fiber.join(daemon)
          yield* Profiler.track(
            Effect.promise(() => Promise.resolve().then(() => virtual.work(9))),
            "promise"
          )
          const report = yield* Profiler.report
          assert.strictEqual(find(report, "starter").thread!.active.sum, 0)
          assert.strictEqual(find(report, "starter").thread!.self, 0)
          assert.strictEqual(find(report, "promise").thread!.active.sum, 0)
          assert.strictEqual(find(report, "promise").thread!.waiting.sum, 9)
          assert.deepStrictEqual(report.unattributed, { fibers: 70, elsewhere: 9 })
        })
      )
    )

    it.effect("retains no ended call in a chain of overlapping calls", () =>
      profiled({ level: "deep" }, (virtual) =>
        Effect.gen(function* () {
          const profiler = yield* Profiler.Profiler
          const done = yield* Deferred.make<number>()
          /** Each call ends when the one that it has started has started the next. */
          const relay = (left: number, started: Deferred.Deferred<void>): Effect.Effect<void> =>
            profiler.track("relay")(
              Effect.gen(function* () {
                yield* Deferred.succeed(started, undefined)
                yield* virtual.busy(1)
                if (left > 0) {
                  const next = yield* Deferred.make<void>()
                  yield* Effect.forkDetach(relay(left - 1, next))
                  return yield* Deferred.await(next)
                }
                let length = 0
                for (let frame = yield* CurrentFrame; frame !== undefined; frame = frame.parent) length++
                yield* Deferred.succeed(done, length)
              })
            )
          yield* relay(500, yield* Deferred.make<void>())
          assert.isAtMost(yield* Deferred.await(done), 4)
          assert.strictEqual(find(yield* Profiler.report, "relay").thread!.self, 501)
        })
      )
    )

    it.effect("continues to charge a fiber that runs another synchronously", () =>
      profiled({ level: "deep" }, (virtual) =>
        Effect.gen(function* () {
          const profiler = yield* Profiler.Profiler
          const within = (name: string, ms: number) => Effect.runSync(profiler.track(name)(virtual.busy(ms)))
          const never = Effect.andThen(virtual.busy(3), Effect.never)
          yield* Effect.gen(function* () {
            virtual.work(1)
            within("sync", 10)
            virtual.work(1)
            const fiber = yield* Effect.forkChild(Profiler.track(never, "never"), { startImmediately: true })
            virtual.work(1)
            yield* Fiber.interrupt(fiber)
            virtual.work(1)
          }).pipe(Profiler.track("outer"))
          const report = yield* Profiler.report
          assert.strictEqual(find(report, "outer").thread!.self, 4)
          assert.strictEqual(find(report, "sync").thread!.self, 10)
          assert.strictEqual(find(report, "never").thread!.self, 3)
          assert.strictEqual(find(report, "never").outcomes.interrupted, 1)
        })
      )
    )

    it.effect("attributes time before a defect and continues", () =>
      profiled({ level: "deep" }, (virtual) =>
        Effect.gen(function* () {
          const broken = Effect.sync(() => {
            virtual.work(5)
            throw new Error("broken")
          })
          yield* Profiler.track(broken, "broken").pipe(Effect.exit, Profiler.track("outer"))
          yield* Profiler.track(virtual.busy(7), "after")
          const report = yield* Profiler.report
          assert.strictEqual(find(report, "broken").thread!.self, 5)
          assert.strictEqual(find(report, "broken").outcomes.defect, 1)
          assert.strictEqual(find(report, "outer").thread!.self, 0)
          assert.strictEqual(find(report, "after").thread!.self, 7)
        })
      )
    )

    it.effect("charges the innermost call under a captured context", () =>
      profiled({ level: "deep" }, (virtual) =>
        Effect.gen(function* () {
          const outside = yield* Effect.context<never>()
          yield* Profiler.track(
            Effect.gen(function* () {
              yield* busyIn(virtual, yield* Effect.context<never>()).pipe(Profiler.track("request"))
              yield* busyIn(virtual, outside).pipe(Profiler.track("other"))
              const cache = yield* Cache.make({ capacity: 10, lookup: (_: string) => virtual.busy(10) })
              yield* Profiler.track(Cache.get(cache, "a"), "lookup")
              yield* virtual.busy(1)
            }),
            "server"
          )
          const report = yield* Profiler.report
          assert.strictEqual(find(report, "request").thread!.self, 10)
          assert.strictEqual(find(report, "other").thread!.self, 10)
          assert.strictEqual(find(report, "lookup").thread!.self, 10)
          assert.strictEqual(find(report, "server").thread!.self, 1)
        })
      )
    )

    it.effect("does not count a wait under another tracer as thread time", () =>
      profiled({ level: "deep" }, (virtual) =>
        Effect.gen(function* () {
          const other: Tracer.Tracer = { span: (options) => new Tracer.NativeSpan(options) }
          const sleeping = Effect.provideService(Effect.sleep(100), Tracer.Tracer, other)
          const fiber = yield* Profiler.track(Effect.andThen(sleeping, virtual.busy(5)), "waits").pipe(
            Effect.forkChild({ startImmediately: true })
          )
          yield* virtual.pass(100)
          yield* Fiber.join(fiber)
          const { thread, wall } = find(yield* Profiler.report, "waits")
          assert.strictEqual(wall.sum, 105)
          assert.strictEqual(thread!.self, 5)
          assert.strictEqual(thread!.waiting.sum, 100)
        })
      )
    )

    it.effect("discards the current interval on reset", () =>
      profiled({ level: "deep" }, (virtual) =>
        Effect.gen(function* () {
          yield* virtual.busy(50)
          yield* (yield* Profiler.Profiler).reset
          const { unattributed: unowned } = yield* Profiler.report
          assert.deepStrictEqual(unowned, { fibers: 0, elsewhere: 0 })
        }).pipe(Effect.provide(Profiler.layerTracer))
      )
    )

    it.effect("bounds the number of call paths at any depth", () =>
      profiled({ level: "deep", maxCallPaths: 5 }, (virtual) =>
        Effect.gen(function* () {
          const profiler = yield* Profiler.Profiler
          const nested = (depth: number): Effect.Effect<void> =>
            profiler.track(`depth ${depth}`)(
              Effect.andThen(
                virtual.busy(1),
                Effect.suspend(() => (depth === 0 ? Effect.void : nested(depth - 1)))
              )
            )
          yield* nested(100)
          yield* nested(200)
          const { callPaths: stacks } = yield* Profiler.report
          assert.isAtMost(stacks.length, 5 + 6)
          assert.strictEqual(
            stacks.reduce((sum, stack) => sum + stack.self, 0),
            302
          )
        })
      )
    )

    it.effect("bounds the report of a deep recursion", () =>
      profiled({ level: "deep", maxCallPaths: 100_000 }, (virtual) =>
        Effect.gen(function* () {
          const profiler = yield* Profiler.Profiler
          const nested = (depth: number): Effect.Effect<void> =>
            profiler.track("nested")(
              Effect.andThen(
                virtual.busy(1),
                Effect.suspend(() => (depth === 0 ? Effect.void : nested(depth - 1)))
              )
            )
          yield* nested(12_000)
          const { callPaths: stacks } = yield* Profiler.report
          assert.strictEqual(stacks.length, maxDepth + 1)
          assert.deepStrictEqual(stacks.at(-1)!.path, [...Array.from({ length: maxDepth }, () => "nested"), "(others)"])
          assert.strictEqual(
            stacks.reduce((sum, stack) => sum + stack.self, 0),
            12_001
          )
        })
      )
    )

    it.effect("reports peak memory of calls without concurrency", () =>
      profiled({ level: "deep", budget: 1 }, (virtual) =>
        Effect.gen(function* () {
          const growing = (bytes: number) => Effect.sync(() => virtual.grow(bytes))
          virtual.grow(900)
          yield* Profiler.track(Profiler.track(growing(300), "inner"), "alone")
          const gate = yield* Latch.make()
          const other = yield* Effect.forkChild(Profiler.track(gate.await, "other"), { startImmediately: true })
          yield* Profiler.track(growing(500), "overlapped")
          yield* gate.open
          yield* Fiber.join(other)
          const report = yield* Profiler.report
          assert.strictEqual(find(report, "alone").memory!.peak, 300)
          assert.isNull(find(report, "inner").memory!.peak)
          assert.isNull(find(report, "overlapped").memory!.peak)
          assert.isNull(find(report, "other").memory!.peak)
        })
      )
    )
  })
})
