/**
 * Measures the cost of each operation of a program, also when many fibers share one thread.
 *
 * An operation is named by the program (`track`), by an existing span (`layerTracer`), or by a query or mutation
 * (`layerQueries`). For each operation the profiler stores counts by outcome, the maximum concurrency, and histograms
 * whose percentiles have an error of at most 1.6 %. The level selects further measurements:
 *
 * | level | measures | cost of a call |
 * |---|---|---|
 * | `wall` | wall time of every call | 0.3 us |
 * | `standard` | also CPU time and memory of the process, on sampled calls | 0.4 us; samples take at most 1 % of the time |
 * | `deep` | also the thread time and waiting time of each operation's own fibers; peak memory on Linux | 3 us, and 25 ns per primitive |
 *
 * **When to use**
 *
 * Use it to find the expensive operations of a program in development and in production. It needs no exporter and no
 * collector; `ProfileText` prints the report, and `ProfileExport` feeds other tools.
 *
 * **Gotchas**
 *
 * - The profiler never changes a result and never fails: an internal failure is counted and its measurement omitted.
 * - It stores no argument, result or parameter. Of a statement it stores the text without values.
 * - A fiber that runs with a captured context is charged to the operation of that context.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"
import * as Options from "../internal/options.ts"
import { QueryExecutor } from "../query/QueryExecutor.ts"
import type { ProfileReport } from "./ProfileReport.ts"
import { emptyReport } from "./internal/emptyReport.ts"
import type { Kind } from "./internal/operations.ts"
import { CurrentReadings } from "./internal/processReadings.ts"
import { CallRecorder, setRecorder } from "./internal/callRecorder.ts"
import * as Settings from "./internal/settings.ts"
import { CurrentFrame } from "./internal/threadTime.ts"
import * as Snapshot from "./internal/snapshot.ts"

export type { ProfilerOptions } from "./internal/settings.ts"

/**
 * Service that measures operations.
 *
 * @category services
 * @since 0.1.0
 */
export class Profiler extends Context.Service<
  Profiler,
  {
    /** Returns the effect with its runs measured under a name. */
    readonly track: (name: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** Records a successful call that the caller has timed itself. */
    readonly record: (name: string, wall: Duration.Input) => Effect.Effect<void>
    /** The measurements since the profiler was made or reset. */
    readonly report: Effect.Effect<ProfileReport>
    /** Discards all measurements. */
    readonly reset: Effect.Effect<void>
    /** Returns a tracer whose spans are also profiled. */
    readonly tracer: (tracer: Tracer.Tracer) => Tracer.Tracer
    /** Returns an executor whose queries and mutations are measured under their names. */
    readonly executor: (executor: QueryExecutor["Service"]) => QueryExecutor["Service"]
  }
>()("athena-hooks/profiler/Profiler") {}

/**
 * Starts a call when the effect starts and ends it with the effect.
 *
 * At level `deep` the call is part of the effect's context, from which forked fibers inherit it, and the tracer has the
 * hook.
 */
const tracking = (recorder: CallRecorder) => {
  const shallow =
    (kind: Kind, name: string) =>
    <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.suspend(() => {
        const call = recorder.enter(kind, name, undefined)
        if (call === undefined) return effect
        return Effect.onExit(effect, (exit) => {
          recorder.exit(call, exit, undefined)
          return Effect.void
        })
      })

  const deep =
    (kind: Kind, name: string) =>
    <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
      Effect.withFiber((fiber) => {
        const call = recorder.enter(kind, name, fiber)
        if (call === undefined) return effect
        const hooked = recorder.threadTime.isHook(fiber.cache.tracerContext)
        const tracer = hooked ? undefined : recorder.threadTime.tracer(fiber.cache.tracer ?? Tracer.nativeTracer)
        const framed = Effect.updateContext(effect, (context: Context.Context<R>) => {
          const withFrame = Context.add(context, CurrentFrame, call.frame)
          return tracer === undefined ? withFrame : Context.add(withFrame, Tracer.Tracer, tracer)
        })
        return Effect.onExit(framed, (exit) => {
          recorder.exit(call, exit, fiber)
          return Effect.void
        })
      })

  return recorder.isDeep ? deep : shallow
}

type Tracking = ReturnType<typeof tracking>

/** The number of trial calls; small, because a hook that makes a report has little time. */
const trials = 50
const warmUp = 10

const timeOf = (recorder: CallRecorder, effect: Effect.Effect<void>, times: number): Effect.Effect<number> =>
  Effect.gen(function* () {
    const started = recorder.readings.now()
    for (let i = 0; i < times; i++) yield* effect
    return recorder.readings.now() - started
  })

/**
 * The run loop's cost per call in milliseconds. It is invisible from inside a call, so a separate recorder times empty
 * calls from outside when a report is made.
 */
const runLoopCost = (recorder: CallRecorder): Effect.Effect<number> =>
  Effect.suspend(() => {
    // The peak-memory mark belongs to the process and may be in use.
    const scratch = new CallRecorder(recorder.settings, { ...recorder.readings, peak: undefined }, 0)
    const tracked = tracking(scratch)("operation", "trial")(Effect.void)
    return Effect.gen(function* () {
      yield* timeOf(recorder, tracked, warmUp)
      scratch.reset()
      const bare = yield* timeOf(recorder, Effect.void, trials)
      const profiled = yield* timeOf(recorder, tracked, trials)
      return Math.max(0, (profiled - bare - scratch.internalCost) / trials)
    })
  })

/** Measures a query or a mutation and counts it under its parent span. */
const countedTracking =
  (recorder: CallRecorder, track: Tracking) =>
  <A, E, R>(kind: Kind, name: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.withFiber((fiber) => {
      recorder.countUnderParent(kind, name, fiber.cache.span)
      return track(kind, name)(effect)
    })

const executor =
  (counted: ReturnType<typeof countedTracking>) =>
  (inner: QueryExecutor["Service"]): QueryExecutor["Service"] =>
    QueryExecutor.of({
      ...inner,
      query: (query, input) => counted("query", query.name, inner.query(query, input)),
      mutate: (mutation, input) => counted("mutation", mutation.name, inner.mutate(mutation, input))
    })

/**
 * Constructs a profiler.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Settings.ProfilerOptions = {}): Effect.Effect<Profiler["Service"]> =>
  Effect.suspend(() => fromSettings(Settings.resolve(options)))

const fromSettings = (settings: ReturnType<typeof Settings.resolve>): Effect.Effect<Profiler["Service"]> =>
  Effect.withFiber((fiber) => {
    const recorder = new CallRecorder(
      settings,
      fiber.getRef(CurrentReadings),
      fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
    )
    const track = tracking(recorder)
    const profiler = Profiler.of({
      track: (name) => track("operation", name),
      record: (name, wall) => Effect.sync(() => recorder.record("operation", name, wall)),
      report: Effect.flatMap(runLoopCost(recorder), (unseen) =>
        Effect.contextWith((context: Context.Context<never>) =>
          Effect.sync(() => Snapshot.make(recorder, context, unseen))
        )
      ),
      reset: Effect.sync(() => recorder.reset()),
      tracer: (tracer) => recorder.tracer(tracer),
      executor: executor(countedTracking(recorder, track))
    })
    setRecorder(profiler, recorder)
    return Effect.succeed(profiler)
  })

/**
 * Provides a profiler.
 *
 * **Example**
 *
 * ```ts
 * import * as ProfileText from "athena-hooks/profiler/ProfileText"
 * import * as Profiler from "athena-hooks/profiler/Profiler"
 * import * as Console from "effect/Console"
 * import * as Effect from "effect/Effect"
 *
 * const program = Effect.gen(function* () {
 *   yield* Effect.sleep("10 millis").pipe(Profiler.track("nap"))
 *   yield* Console.log(ProfileText.format(yield* Profiler.report))
 * }).pipe(Effect.provide(Profiler.layer({ level: "deep" })))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Settings.ProfilerOptions = {}): Layer.Layer<Profiler> =>
  Layer.effect(Profiler, make(options))

/**
 * As `layer`, with its options read from `Config`. An invalid option is a `ConfigError`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (config: Config.Wrap<Settings.ProfilerOptions>): Layer.Layer<Profiler, Config.ConfigError> =>
  Layer.effect(Profiler, Effect.flatMap(Options.fromConfig(config, Settings.resolve), fromSettings))

/**
 * Provides a profiler that does nothing.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerNoop: Layer.Layer<Profiler> = Layer.succeed(Profiler, {
  track: () => (effect) => effect,
  record: () => Effect.void,
  report: Effect.map(Clock.currentTimeMillis, (now) => ({ ...emptyReport, from: now, to: now })),
  reset: Effect.void,
  tracer: (tracer) => tracer,
  executor: (executor) => executor
})

/**
 * Middleware that measures each query and mutation under its name, including the Layers below it: above a cache it measures
 * the caller's wait, below a cache the database's work.
 *
 * **Example**
 *
 * ```ts
 * import * as Profiler from "athena-hooks/profiler/Profiler"
 * import * as QueryExecutor from "athena-hooks/query/QueryExecutor"
 * import * as Sqlite from "athena-hooks/sql/Sqlite"
 * import * as Layer from "effect/Layer"
 *
 * const Profiled = Profiler.layerQueries.pipe(
 *   Layer.provide(QueryExecutor.layer),
 *   Layer.provide(Sqlite.layer({ filename: "memory.db" })),
 *   Layer.provideMerge(Profiler.layer())
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerQueries: Layer.Layer<QueryExecutor, never, QueryExecutor | Profiler> = Layer.effect(
  QueryExecutor,
  Effect.gen(function* () {
    const profiler = yield* Profiler
    return profiler.executor(yield* QueryExecutor)
  })
)

/**
 * Profiles every span of the program; the existing tracer continues to receive them. Statement spans of `effect/sql` also
 * appear as statements, with the wait for a connection as a separate figure. For that the Layer enables
 * `SpanPropagationEnabled` of `effect/sql`, which makes driver spans children of the statement's span.
 *
 * Gotcha: where tracing is disabled there are no spans to profile.
 *
 * **Example**
 *
 * ```ts
 * import * as Profiler from "athena-hooks/profiler/Profiler"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const Profiled = Layer.provideMerge(Profiler.layerTracer, Profiler.layer())
 *
 * const program = Effect.gen(function* () {
 *   yield* Effect.withSpan(Effect.sleep("10 millis"), "nap")
 *   return yield* Profiler.report
 * }).pipe(Effect.provide(Profiled))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTracer: Layer.Layer<never, never, Profiler> = Layer.effectContext(
  Effect.gen(function* () {
    const profiler = yield* Profiler
    const tracer = profiler.tracer(yield* Effect.tracer)
    return Context.make(Tracer.Tracer, tracer).pipe(Context.add(SpanPropagationEnabled, true))
  })
)

/**
 * `SpanPropagationEnabled` of `effect/sql/Statement`, by its key. Importing the module would cost programs without a
 * database start-up time.
 */
const SpanPropagationEnabled = Context.Reference<boolean>("effect/sql/SpanPropagationEnabled", {
  defaultValue: () => false
})

/**
 * Measures an effect under a name with the profiler of the context.
 *
 * @category combinators
 * @since 0.1.0
 */
export const track: {
  (name: string): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R | Profiler>
  <A, E, R>(self: Effect.Effect<A, E, R>, name: string): Effect.Effect<A, E, R | Profiler>
} = dual(2, <A, E, R>(self: Effect.Effect<A, E, R>, name: string): Effect.Effect<A, E, R | Profiler> =>
  Effect.flatMap(Profiler, (profiler) => profiler.track(name)(self))
)

/**
 * The report of the profiler in the context.
 *
 * @category accessors
 * @since 0.1.0
 */
export const report: Effect.Effect<ProfileReport, never, Profiler> = Effect.flatMap(
  Profiler,
  (profiler) => profiler.report
)
