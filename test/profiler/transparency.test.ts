/**
 * A program with the profiler and without it: whatever can be observed of it must be the same.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Ref from "effect/Ref"
import * as Schedule from "effect/Schedule"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Tracer from "effect/Tracer"
import * as Dependency from "../../src/query/Dependency.ts"
import * as Mutation from "../../src/query/Mutation.ts"
import * as Query from "../../src/query/Query.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as Schema from "effect/Schema"
import * as Profiler from "../../src/profiler/Profiler.ts"
import { CurrentReadings, ofProcess, type Readings } from "../../src/profiler/internal/processReadings.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"

class Greeting extends Context.Service<Greeting, string>()("test/Greeting") {}

interface Seen {
  readonly name: string
  readonly parent: string | undefined
  readonly kind: Tracer.SpanKind
  readonly attributes: Record<string, unknown>
  readonly events: ReadonlyArray<string>
  readonly exit: string | undefined
}

/** A tracer of the program's own, that counts the primitives it is shown as well. */
const makeTracer = () => {
  const spans: Array<Tracer.NativeSpan> = []
  let primitives = 0
  const tracer: Tracer.Tracer = {
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    },
    context: (primitive, fiber) => {
      primitives++
      return primitive["~effect/Effect/evaluate"](fiber)
    }
  }
  const seen = (): ReadonlyArray<Seen> =>
    spans.map((span) => ({
      name: span.name,
      parent: Option.getOrUndefined(Option.map(span.parent, (parent) => (parent as Tracer.Span).name)),
      kind: span.kind,
      attributes: Object.fromEntries(
        [...span.attributes].filter(([name]) => name !== "db.client.connection.wait_time_ms")
      ),
      events: span.events.map(([name]) => name),
      exit: span.status._tag === "Ended" ? describeExit(span.status.exit) : undefined
    }))
  return { tracer, seen, shown: () => primitives }
}

const describeExit = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.match(exit, {
    onSuccess: (value) => `success ${JSON.stringify(value)}`,
    onFailure: (cause) =>
      cause.reasons
        .map((reason) => `${reason._tag} ${reason._tag === "Interrupt" ? "" : String(Cause.squash(cause))}`)
        .join()
  })

type Track = (name: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

const Rows = Schema.Array(Schema.Struct({ n: Schema.Finite }))

const numbers = Query.make({
  name: "numbers.all",
  input: Schema.Struct({ above: Schema.Finite }),
  result: Rows,
  dependencies: () => [Dependency.make("numbers")],
  run: Effect.fnUntraced(function* ({ above }) {
    const sql = yield* SqlClient.SqlClient
    return yield* Schema.decodeUnknownEffect(Rows)(yield* sql`SELECT n FROM numbers WHERE n > ${above} ORDER BY n`)
  })
})

const add = Mutation.make({
  name: "numbers.add",
  input: Schema.Struct({ n: Schema.Finite }),
  changes: () => [Dependency.make("numbers")],
  run: Effect.fnUntraced(function* ({ n }) {
    const sql = yield* SqlClient.SqlClient
    yield* sql`INSERT INTO numbers VALUES (${n})`
    if (n === 13) yield* sql`INSERT INTO nowhere VALUES (1)`
  })
})

/** Exercises every kind of operation and returns the observations. */
const program = (track: Track) =>
  Effect.gen(function* () {
    const notes: Array<string> = []
    const note = (line: string) => Effect.sync(() => void notes.push(line))
    const outcome =
      (name: string) =>
      <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        track(name)(effect).pipe(
          Effect.onExit((exit) => note(`${name} finalizer ${describeExit(exit)}`)),
          Effect.exit,
          Effect.tap((exit) => note(`${name} ${describeExit(exit)}`)),
          Effect.asVoid
        )

    yield* outcome("success")(Effect.succeed({ a: [1, 2] }))
    yield* outcome("failure")(Effect.fail("typed"))
    yield* outcome("defect")(Effect.die(new TypeError("defect")))
    yield* outcome("thrown")(
      Effect.sync(() => {
        throw new RangeError("thrown")
      })
    )
    yield* outcome("both")(Effect.failCause(Cause.combine(Cause.fail("one"), Cause.die("two"))))
    yield* outcome("interrupted by itself")(Effect.interrupt)

    const started = yield* Deferred.make<void>()
    const interrupted = yield* track("interrupted")(
      Effect.andThen(Deferred.succeed(started, undefined), Effect.never).pipe(
        Effect.onInterrupt(() => note("interrupted: finalizer ran"))
      )
    ).pipe(Effect.forkChild({ startImmediately: true }))
    yield* Deferred.await(started)
    yield* Fiber.interrupt(interrupted)
    yield* note(describeExit(yield* Fiber.await(interrupted)))

    yield* track("uninterruptible")(Effect.uninterruptible(Effect.yieldNow)).pipe(Effect.timeoutOption("1 second"))
    const timeout = yield* Effect.forkChild(track("timeout")(Effect.timeoutOption(Effect.never, "1 second")), {
      startImmediately: true
    })
    yield* TestClock.adjust("1 second")
    yield* note(`timeout ${(yield* Fiber.join(timeout))._tag}`)

    const order = yield* Ref.make<ReadonlyArray<string>>([])
    const step = (name: string) => Ref.update(order, (all) => [...all, name])
    yield* Effect.forEach(
      ["a", "b", "c"],
      (name) =>
        track(name)(
          Effect.gen(function* () {
            for (let i = 0; i < 3; i++) {
              yield* step(`${name}${i}`)
              yield* Effect.yieldNow
            }
          })
        ),
      { concurrency: 3, discard: true }
    )
    yield* note(`order ${(yield* Ref.get(order)).join()}`)

    const daemon = yield* track("forks")(Effect.forkDetach(Effect.yieldNow.pipe(Effect.as("daemon"))))
    const child = yield* track("forks")(Effect.forkScoped(Effect.sleep("2 seconds").pipe(Effect.as("child"))))
    yield* TestClock.adjust("2 seconds")
    yield* note(`${yield* Fiber.join(daemon)} ${yield* Fiber.join(child)}`)

    yield* track("context")(Greeting).pipe(Effect.flatMap(note))
    yield* track("provided")(Greeting).pipe(Effect.provideService(Greeting, "inner"), Effect.flatMap(note))
    yield* track("provides")(Effect.provideService(Greeting, Greeting, "within")).pipe(Effect.flatMap(note))
    const span = track("span")(
      Effect.currentSpan.pipe(
        Effect.map(({ name }) => name),
        Effect.orElseSucceed(() => "none")
      )
    )
    yield* span.pipe(Effect.flatMap(note))
    yield* span.pipe(Effect.withSpan("current", { attributes: { a: 1 } }), Effect.flatMap(note))
    yield* Effect.annotateCurrentSpan("b", 2).pipe(track("annotated"), Effect.withSpan("annotated"))
    yield* Effect.withSpan(Effect.fail("in a span"), "failing", { kind: "server" }).pipe(Effect.ignore)
    yield* Effect.withSpan(Effect.withSpan(Effect.void, "child", { root: true }), "parent")
    yield* Effect.withSpan(Effect.void, "disabled").pipe(Effect.withTracerEnabled(false))

    const attempts = yield* Ref.make(0)
    const flaky = Effect.flatMap(
      Ref.updateAndGet(attempts, (n) => n + 1),
      (n) => (n < 3 ? Effect.fail(n) : Effect.succeed(n))
    )
    yield* track("retried")(flaky).pipe(
      Effect.retry(Schedule.recurs(5)),
      Effect.flatMap((n) => note(`attempt ${n}`))
    )
    const streamed = yield* Stream.fromIterable([1, 2, 3]).pipe(
      Stream.mapEffect((n) => track("stream")(Effect.succeed(n * 2))),
      Stream.runCollect
    )
    yield* note(streamed.join())

    const executor = yield* QueryExecutor.QueryExecutor
    yield* executor.mutate(add, { n: 1 })
    yield* outcome("mutation that fails")(executor.mutate(add, { n: 13 }))
    yield* outcome("wrong input")(executor.query(numbers, { above: "x" as never }))
    yield* note(JSON.stringify(yield* executor.query(numbers, { above: 0 })))
    const sql = yield* SqlClient.SqlClient
    yield* outcome("stream that SQLite has not")(Stream.runCollect(sql`SELECT n FROM numbers`.stream))
    yield* note(JSON.stringify(yield* sql`SELECT n FROM numbers`.values))
    yield* sql
      .withTransaction(Effect.andThen(sql`INSERT INTO numbers VALUES (5)`, Effect.fail("rolled back")))
      .pipe(Effect.ignore)
    yield* note(JSON.stringify(yield* sql`SELECT count(*) AS n FROM numbers`))
    return notes
  }).pipe(Effect.scoped, Effect.withSpan("program"))

const database = Layer.effectDiscard(SqlClient.SqlClient.use((sql) => sql`CREATE TABLE numbers (n INTEGER)`)).pipe(
  Layer.provideMerge(Sqlite.layer({ filename: ":memory:" }))
)

const services = QueryExecutor.layer.pipe(
  Layer.provideMerge(database),
  Layer.provideMerge(Layer.succeed(Greeting, "hello"))
)

const observe = (profiler: Layer.Layer<Profiler.Profiler> | undefined, readings: Readings = ofProcess()) =>
  Effect.gen(function* () {
    const { seen, shown, tracer } = makeTracer()
    if (profiler === undefined) {
      const notes = yield* program(() => (effect) => effect).pipe(
        Effect.provide(services),
        Effect.provideService(Tracer.Tracer, tracer)
      )
      return { notes, spans: seen(), shown: shown(), report: undefined }
    }
    const layers = Layer.mergeAll(Profiler.layerTracer, Profiler.layerQueries).pipe(
      Layer.provideMerge(services),
      Layer.provideMerge(profiler),
      Layer.provide(Layer.succeed(CurrentReadings, readings))
    )
    const [notes, report] = yield* Profiler.Profiler.use((profiler) =>
      Effect.zip(program(profiler.track), profiler.report)
    ).pipe(Effect.provide(layers), Effect.provideService(Tracer.Tracer, tracer))
    return { notes, spans: seen(), shown: shown(), report }
  })

const broken: Readings = {
  now: () => performance.now(),
  cpu: () => {
    throw new Error("no CPU time")
  },
  memory: () => {
    throw new Error("no memory")
  },
  peak: undefined
}

describe("profiled programs", () => {
  for (const level of ["wall", "standard", "deep"] as const) {
    it.effect(`behaves identically in everything observable: ${level}`, () =>
      Effect.gen(function* () {
        const bare = yield* observe(undefined)
        const profiled = yield* observe(Profiler.layer({ level, budget: 1 }))
        assert.strictEqual(bare.notes.length, 33)
        assert.deepStrictEqual(profiled.notes, bare.notes)
        assert.deepStrictEqual(profiled.spans, bare.spans)
        assert.isAtLeast(profiled.shown, bare.shown)
        assert.strictEqual(profiled.report!.cost.failures, 0)
        assert.isAbove(profiled.report!.operations.length, 30)
        assert.strictEqual(profiled.report!.operations.find(({ name }) => name === "defect")!.outcomes.defect, 1)
      })
    )
  }

  for (const level of ["standard", "deep"] as const) {
    it.effect(`behaves identically when the profiler fails: ${level}`, () =>
      Effect.gen(function* () {
        const bare = yield* observe(undefined)
        const profiled = yield* observe(Profiler.layer({ level, budget: 1 }), broken)
        assert.deepStrictEqual(profiled.notes, bare.notes)
        assert.deepStrictEqual(profiled.spans, bare.spans)
        const { cost, operations } = profiled.report!
        assert.isAbove(cost.failures, 10)
        assert.isAbove(operations.length, 30)
        assert.isTrue(operations.every(({ cpu }) => cpu === null))
      })
    )
  }

  it.effect("behaves identically under layerNoop", () =>
    Effect.gen(function* () {
      const bare = yield* observe(undefined)
      const profiled = yield* observe(Profiler.layerNoop)
      assert.deepStrictEqual(profiled.notes, bare.notes)
      assert.deepStrictEqual(profiled.report!.operations, [])
    })
  )

  for (const level of ["wall", "deep"] as const) {
    it.effect(`continues when a tracer returns one object for all spans: ${level}`, () =>
      Effect.gen(function* () {
        const span = new Tracer.NativeSpan({
          name: "noop",
          parent: Option.none(),
          annotations: Context.empty(),
          links: [],
          startTime: 0n,
          kind: "internal",
          sampled: false
        })
        span.end = () => undefined
        const shared: Tracer.Tracer = { span: () => span }
        const nested = Effect.withSpan(Effect.withSpan(Effect.void, "inner"), "outer")
        const report = yield* Effect.forEach(Array.from({ length: 10_000 }), () => nested, { discard: true }).pipe(
          Effect.andThen(Profiler.report),
          Effect.provide(Layer.provideMerge(Profiler.layerTracer, Profiler.layer({ level }))),
          Effect.provideService(Tracer.Tracer, shared)
        )
        assert.strictEqual(report.operations[0]!.wall.count, 20_000)
        assert.strictEqual(report.cost.failures, 0)
      })
    )
  }

  it.effect("continues with spans that can't be modified", () =>
    Effect.gen(function* () {
      const frozen: Tracer.Tracer = {
        span: (options) => Object.freeze(Object.assign(new Tracer.NativeSpan(options), { end: () => undefined }))
      }
      const profiled = Layer.provideMerge(Profiler.layerTracer, Profiler.layer({ level: "deep" }))
      const report = yield* Effect.withSpan(Effect.succeed(1), "frozen").pipe(
        Effect.andThen(Profiler.report),
        Effect.provide(profiled),
        Effect.provideService(Tracer.Tracer, frozen)
      )
      assert.deepStrictEqual(report.operations, [])
      assert.strictEqual(report.cost.failures, 1)
    })
  )
})
