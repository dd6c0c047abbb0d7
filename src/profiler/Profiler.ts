/**
 * Measures what each operation of a program costs, also where many fibers share one thread.
 *
 * An operation is named by the program (`track`), by a span it has already (`layerTracer`), or by a query or mutation
 * (`layerQueries`). Of each the profiler keeps counts by outcome, the most calls at a time, and histograms whose
 * percentiles are off by 1.6 % at most. How much more it measures is the level:
 *
 * | level | measures | a call costs about |
 * |---|---|---|
 * | `wall` | wall time of every call | 0.3 us |
 * | `standard` | also CPU time and memory of the process, on sampled calls | 0.4 us; samples 1 % of the time at most |
 * | `deep` | also how long each operation's own fibers held the thread, and waited; peak memory on Linux | 3 us, and 25 ns a primitive |
 *
 * It never changes a result and never fails: whatever goes wrong in it is counted and leaves out a measurement. It keeps
 * no argument, no result and no parameter; of a statement it keeps the text without values.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"
import { QueryExecutor } from "../query/QueryExecutor.ts"
import type { ProfileReport } from "./ProfileReport.ts"
import { emptyReport } from "./internal/emptyReport.ts"
import type { Kind } from "./internal/operations.ts"
import { CurrentReadings } from "./internal/processReadings.ts"
import { Recorder } from "./internal/callRecorder.ts"
import * as Recorders from "./internal/callRecorders.ts"
import * as Settings from "./internal/settings.ts"
import { CurrentFrame } from "./internal/threadTime.ts"
import * as Snapshot from "./internal/snapshot.ts"

/**
 * Options of the profiler. One that is out of its bounds is a defect of the Layer that names it.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProfilerOptions {
  /** What is measured. `standard` when absent. */
  readonly level?: "wall" | "standard" | "deep" | undefined
  /**
   * The part of its own time that samples may cost an operation, and of the time that has passed that they may cost the
   * process, after a first millisecond. One call in 1,024 is sampled all the same while the process can pay for
   * it. From 0 to 1; 0.01 when absent.
   */
  readonly budget?: number | undefined
  /**
   * How many names are told apart, from 1 to 100,000; 500 when absent. Calls of others are counted as `(others)`. A name
   * takes some 2 KB, 16 KB for each histogram at the very most. Names are cut at 200 characters.
   */
  readonly maxNames?: number | undefined
  /** How many call paths are kept at the level `deep`, from 1 to 100,000; 2,000 when absent. */
  readonly maxStacks?: number | undefined
  /** How many statements are kept, from 1 to 100,000; 500 when absent. The one not seen for longest makes room. */
  readonly maxStatements?: number | undefined
  /** From when on an execution of a statement is slow. 100 milliseconds when absent. */
  readonly slow?: Duration.Input | undefined
  /** How many slow executions are kept, the newest; from 0 to 10,000; 100 when absent. */
  readonly maxSlow?: number | undefined
  /** How often the same statement or query runs under one span, within 10 s, to be reported; from 2; 10 when absent. */
  readonly repeats?: number | undefined
}

/**
 * Service that measures.
 *
 * @category services
 * @since 0.1.0
 */
export class Profiler extends Context.Service<
  Profiler,
  {
    /** The same effect, whose runs are measured under a name. */
    readonly track: (name: string) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** Counts a successful call that something else has timed. */
    readonly record: (name: string, wall: Duration.Input) => Effect.Effect<void>
    /** What has been measured since the profiler was made, or reset. */
    readonly report: Effect.Effect<ProfileReport>
    /** Forgets what has been measured. */
    readonly reset: Effect.Effect<void>
    /** The same tracer, whose spans are profiled as well. */
    readonly tracer: (tracer: Tracer.Tracer) => Tracer.Tracer
    /** The same executor, whose queries and mutations are measured under their names. */
    readonly executor: (executor: QueryExecutor["Service"]) => QueryExecutor["Service"]
  }
>()("athena-hooks/profiler/Profiler") {}

/**
 * Runs what has begun as a call, and ends the call with it.
 *
 * At the level `deep` the effect runs with the call in its context, where forked fibers find it, and with a tracer that has
 * the hook.
 */
const tracking = (recorder: Recorder) => {
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
        const hooked = recorder.slices.isHook(fiber.cache.tracerContext)
        const tracer = hooked ? undefined : recorder.slices.tracer(fiber.cache.tracer ?? Tracer.nativeTracer)
        const within = Effect.updateContext(effect, (context: Context.Context<R>) => {
          const framed = Context.add(context, CurrentFrame, call.frame)
          return tracer === undefined ? framed : Context.add(framed, Tracer.Tracer, tracer)
        })
        return Effect.onExit(within, (exit) => {
          recorder.exit(call, exit, fiber)
          return Effect.void
        })
      })

  return recorder.isDeep ? deep : shallow
}

type Tracking = ReturnType<typeof tracking>

/** How many calls are made to see what one costs: few, for a hook that makes a report is in a hurry. */
const trials = 50
const warmUp = 10

const timeOf = (recorder: Recorder, effect: Effect.Effect<void>, times: number): Effect.Effect<number> =>
  Effect.gen(function* () {
    const started = recorder.readings.now()
    for (let i = 0; i < times; i++) yield* effect
    return recorder.readings.now() - started
  })

/**
 * What the run loop does for a call can't be seen from inside of it: so some calls of nothing are timed from outside, with a
 * recorder of their own, when somebody wants to know. In milliseconds a call.
 */
const unseenCost = (recorder: Recorder): Effect.Effect<number> =>
  Effect.suspend(() => {
    // The mark of the highest memory is that of the process, and may be in use.
    const scratch = new Recorder(recorder.settings, { ...recorder.readings, peak: undefined }, 0)
    const tracked = tracking(scratch)("operation", "trial")(Effect.void)
    return Effect.gen(function* () {
      yield* timeOf(recorder, tracked, warmUp)
      scratch.reset()
      const bare = yield* timeOf(recorder, Effect.void, trials)
      const profiled = yield* timeOf(recorder, tracked, trials)
      return Math.max(0, (profiled - bare - scratch.seenCost) / trials)
    })
  })

/** Measures a query or a mutation, and counts it under the span that it runs in. */
const counting =
  (recorder: Recorder, track: Tracking) =>
  <A, E, R>(kind: Kind, name: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.withFiber((fiber) => {
      recorder.repeat(kind, name, fiber.cache.span)
      return track(kind, name)(effect)
    })

const executor =
  (counted: ReturnType<typeof counting>) =>
  (inner: QueryExecutor["Service"]): QueryExecutor["Service"] =>
    QueryExecutor.of({
      query: (query, input) => counted("query", query.name, inner.query(query, input)),
      mutate: (mutation, input) => counted("mutation", mutation.name, inner.mutate(mutation, input))
    })

/**
 * Constructs a profiler.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: ProfilerOptions = {}): Effect.Effect<Profiler["Service"]> =>
  Effect.withFiber((fiber) => {
    const settings = Settings.resolve(options)
    const recorder = new Recorder(
      settings,
      fiber.getRef(CurrentReadings),
      fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
    )
    const track = tracking(recorder)
    const profiler = Profiler.of({
      track: (name) => track("operation", name),
      record: (name, wall) => Effect.sync(() => recorder.record("operation", name, wall)),
      report: Effect.flatMap(unseenCost(recorder), (unseen) =>
        Effect.contextWith((context: Context.Context<never>) =>
          Effect.sync(() => Snapshot.make(recorder, context, unseen))
        )
      ),
      reset: Effect.sync(() => recorder.reset()),
      tracer: (tracer) => recorder.tracer(tracer),
      executor: executor(counting(recorder, track))
    })
    Recorders.set(profiler, recorder)
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
export const layer = (options: ProfilerOptions = {}): Layer.Layer<Profiler> => Layer.effect(Profiler, make(options))

/**
 * Provides a profiler with its options read from `Config`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (config: Config.Wrap<ProfilerOptions>): Layer.Layer<Profiler, Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(config), layer))

/**
 * Provides a profiler that measures nothing and costs nothing.
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
 * Middleware that measures each query and mutation under its name. What lies below it is measured with it: above a cache
 * it measures what the caller waits for, below a cache what the database is asked for.
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
 * Profiles every span of the program, whatever tracer there is: that one goes on as before. Spans of statements of
 * `effect/sql` are in the report as statements too, with their waits for a connection told apart: for that the Layer turns
 * `SpanPropagationEnabled` of `effect/sql` on, by which spans of the driver have the statement's as their parent.
 *
 * The profiler sees no span where tracing is turned off.
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
 * `SpanPropagationEnabled` of `effect/sql/Statement`, by its key: the module itself would cost a program that has no
 * database its start-up time.
 */
const SpanPropagationEnabled = Context.Reference<boolean>("effect/sql/SpanPropagationEnabled", {
  defaultValue: () => false
})

/**
 * Measures an effect under a name, by the profiler of the context.
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
 * The report of the profiler of the context.
 *
 * @category accessors
 * @since 0.1.0
 */
export const report: Effect.Effect<ProfileReport, never, Profiler> = Effect.flatMap(
  Profiler,
  (profiler) => profiler.report
)
