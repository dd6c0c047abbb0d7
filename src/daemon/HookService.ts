/**
 * Answers hooks in a process that stays: in time, whatever the database does, and without losing what it was told.
 *
 * An event is kept on this host's disk before it is answered, and brought into the database then. Each kind of event has a
 * deadline; where it passes, the agent gets an answer that adds nothing, and the work goes on behind it.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import * as Record from "effect/Record"
import { EventSink } from "../hooks/EventSink.ts"
import type { HookAdapter } from "../hooks/HookAdapter.ts"
import type { HookEvent } from "../hooks/HookEvent.ts"
import * as HookRunner from "../hooks/HookRunner.ts"
import type { MemoryBridge } from "../memory/MemoryBridge.ts"
import { MemoryRecorder } from "../memory/MemoryRecorder.ts"
import { Profiler } from "../profiler/Profiler.ts"
import * as Places from "./internal/repositoryCache.ts"
import * as Sink from "./internal/spoolSink.ts"

/**
 * What an agent tells.
 *
 * @category models
 * @since 0.1.0
 */
export interface HookRequest {
  /** The agent that tells it. */
  readonly adapter: HookAdapter
  /** The event, as the agent's JSON. */
  readonly body: string
  /** The folder that the agent was started in, where that is known. */
  readonly projectFolder?: string | undefined
  /** Names the delivery: what is told twice under one name is stored once. */
  readonly deliveryId?: string | undefined
}

/**
 * What an agent is answered.
 *
 * - `Kept`: what was told is safe on this host, or was nothing to keep.
 * - `Unsure`: it is not safe yet, and may never be: the deadline has passed, or it could not be kept.
 * - `Full`: it was not taken, for there is too much to do.
 *
 * @category models
 * @since 0.1.0
 */
export type HookResponse =
  | { readonly _tag: "Kept" | "Unsure"; readonly body: string | undefined }
  | { readonly _tag: "Full" }

/**
 * What was answered since the service was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly kept: number
  /** Answers that were given because the deadline had passed. */
  readonly late: number
  /** Answers to events of which something could not be done. */
  readonly failed: number
  /** Payloads that were no event. */
  readonly invalid: number
  readonly full: number
  /** Events that were put on this host's disk; one payload may tell of several. */
  readonly accepted: number
  /** Events that neither this host's disk nor the database took: they are lost. */
  readonly dropped: number
  /** Payloads whose work goes on at the moment. */
  readonly running: number
}

/**
 * Options of the service.
 *
 * @category models
 * @since 0.1.0
 */
export interface HookServiceOptions {
  /** How long an agent waits for each kind of event, at most. `defaultDeadlines` where absent. */
  readonly deadlines?: Partial<HookRunner.Deadlines> | undefined
  /** How many events may be at work at once; from 1. 256 when absent. */
  readonly maxRunning?: number | undefined
  /** How long the work of one event may go on behind its deadline. 30 seconds when absent. */
  readonly workLimit?: Duration.Input | undefined
  /** Gives what the user must know at a session's start; nothing when absent. */
  readonly message?: Effect.Effect<string | undefined> | undefined
  /** Is told of each event before it is answered. */
  readonly onEvent?: ((event: HookEvent) => Effect.Effect<void>) | undefined
}

/**
 * The deadlines of a process that stays: a person hardly notices them, and an agent does not wait for what it can do
 * without.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultDeadlines: HookRunner.Deadlines = {
  SessionStart: "300 millis",
  Prompt: "100 millis",
  ToolUse: "10 millis",
  Answer: "10 millis",
  Compaction: "10 millis",
  Interruption: "10 millis",
  SessionEnd: "500 millis"
}

/** How long a shutdown waits for the work that goes on. */
const shutdownLimit = Duration.seconds(2)

/** How long a session's start waits for what earlier ones have told. */
const flushLimit = Duration.millis(100)

/**
 * Service that answers hooks.
 *
 * @category services
 * @since 0.1.0
 */
export class HookService extends Context.Service<
  HookService,
  {
    readonly answer: (told: HookRequest) => Effect.Effect<HookResponse>
    readonly stats: Effect.Effect<Stats>
  }
>()("athena-hooks/daemon/HookService") {}

/** Whether the answer to an event is still waited for. */
interface Waiting {
  isOver: boolean
}

const durationOf = (name: string, input: Duration.Input): Duration.Duration =>
  Option.getOrThrowWith(
    Duration.fromInput(input),
    () => new RangeError(`HookService: ${name} must be a duration, such as "100 millis"`)
  )

const deadlinesOf = (
  given: Partial<HookRunner.Deadlines> = {}
): Readonly<Record<keyof HookRunner.Deadlines, Duration.Duration>> =>
  Record.map(defaultDeadlines, (absent, event) => durationOf(`deadlines.${event}`, given[event] ?? absent))

const countOf = (name: string, value: number): number => {
  if (Number.isInteger(value) && value >= 1) return value
  throw new RangeError(`HookService: ${name} must be a whole number from 1`)
}

type Counted = "kept" | "late" | "failed" | "invalid" | "full" | "dropped"

const bodyOf = (answer: string): string | undefined => (answer === "{}" ? undefined : answer)

/**
 * Constructs the service. The work of events ends with the scope, which waits for it for 2 seconds. An option out of its
 * bounds is a defect that names it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (options: HookServiceOptions = {}) {
  const recorder = yield* MemoryRecorder
  const profiler = yield* Profiler
  const context = yield* Effect.context<MemoryBridge | FileSystem.FileSystem | Path.Path>()
  const scope = yield* Effect.scope
  const running = yield* FiberSet.make<HookRunner.RunResult>()
  yield* Effect.addFinalizer(() => Effect.timeoutOption(FiberSet.awaitEmpty(running), shutdownLimit))
  const sinks = Sink.make(recorder)
  const places = Places.make(context)
  const counts: Record<Counted, number> = { kept: 0, late: 0, failed: 0, invalid: 0, full: 0, dropped: 0 }
  const maxRunning = countOf("maxRunning", options.maxRunning ?? 256)
  const workLimit = durationOf("workLimit", options.workLimit ?? "30 seconds")
  const deadlines = deadlinesOf(options.deadlines)
  const { message = Effect.undefined, onEvent = () => Effect.void } = options

  const respond = (
    event: HookEvent,
    { adapter, deliveryId, projectFolder }: HookRequest,
    waiting: Waiting,
    message?: string
  ) =>
    HookRunner.respond(event, {
      adapter,
      projectFolder,
      deliveryId,
      message,
      findRepository: places.find,
      isAwaited: () => !waiting.isOver
    })

  /** What sessions told that have just ended is what the next one wants to know. */
  const start = (event: HookEvent, told: HookRequest, waiting: Waiting) =>
    Effect.ignore(recorder.flush({ timeout: flushLimit })).pipe(
      Effect.andThen(message),
      Effect.flatMap((message) => respond(event, told, waiting, message))
    )

  const work = (event: HookEvent, told: HookRequest, waiting: Waiting) =>
    Effect.suspend(() => {
      const { refused, sink } = sinks.next()
      const own = Context.add(context, EventSink, sink)
      return (event._tag === "SessionStart" ? start(event, told, waiting) : respond(event, told, waiting)).pipe(
        Effect.tap(({ notices }) =>
          notices.length === 0 ? Effect.void : Effect.forEach(notices, (notice) => Effect.logWarning(notice))
        ),
        // What the spool refuses the database may have taken: then there is nothing to say.
        Effect.onExit((exit) => {
          if (Exit.isFailure(exit) || exit.value.notices.length > 0) counts.dropped += refused()
          return Effect.void
        }),
        // In the place of the request's own, which it has no use for: to merge the two costs time at each event.
        Effect.updateContext((_: Context.Context<never>) => own)
      )
    })

  const ended = ({ response: answer, notices }: HookRunner.RunResult): HookResponse => {
    const isKept = notices.length === 0
    counts[isKept ? "kept" : "failed"]++
    return { _tag: isKept ? "Kept" : "Unsure", body: bodyOf(answer) }
  }

  /** The work goes on, but not for ever. */
  const late = (
    event: HookEvent,
    deadline: Duration.Duration,
    fiber: Fiber.Fiber<HookRunner.RunResult>,
    waiting: Waiting
  ): Effect.Effect<HookResponse> =>
    Effect.gen(function* () {
      waiting.isOver = true
      counts.late++
      yield* Effect.forkIn(
        Effect.andThen(Effect.timeoutOption(Fiber.await(fiber), workLimit), Fiber.interrupt(fiber)),
        scope
      )
      yield* Effect.logWarning(`${event._tag}: no answer within ${Duration.format(deadline)}; the work goes on`)
      return { _tag: "Unsure", body: undefined }
    })

  const answerIn = (event: Exclude<HookEvent, { _tag: "Ignored" }>, told: HookRequest): Effect.Effect<HookResponse> =>
    Effect.gen(function* () {
      if ((yield* FiberSet.size(running)) >= maxRunning) {
        counts.full++
        return { _tag: "Full" }
      }
      const deadline = deadlines[event._tag]
      const waiting: Waiting = { isOver: false }
      const fiber = yield* FiberSet.run(running, work(event, told, waiting))
      // Mostly it is done in this turn of the loop or with the next group that the spool takes: that needs no timer.
      yield* Effect.yieldNow
      const done = fiber.pollUnsafe()
      if (done !== undefined && Exit.isSuccess(done)) return ended(done.value)
      return yield* Fiber.join(fiber).pipe(
        Effect.map(ended),
        Effect.timeoutOrElse({ duration: deadline, orElse: () => late(event, deadline, fiber, waiting) })
      )
    })

  const measured = (name: string, effect: Effect.Effect<HookResponse>): Effect.Effect<HookResponse> =>
    Effect.gen(function* () {
      const started = yield* Clock.monotonicTimeNanos
      const answer = yield* effect
      yield* profiler.record(name, Duration.nanos((yield* Clock.monotonicTimeNanos) - started))
      return answer
    })

  const nothing: Effect.Effect<HookResponse> = Effect.sync(() => {
    counts.kept++
    return { _tag: "Kept", body: undefined }
  })

  return HookService.of({
    answer: (told) =>
      HookRunner.decode(told.body, told.adapter).pipe(
        Effect.tap(onEvent),
        Effect.flatMap((event) =>
          event._tag === "Ignored" ? nothing : measured(`answer ${event._tag}`, answerIn(event, told))
        ),
        // A newer agent may tell what this version does not know, and an error would be shown to the person.
        Effect.catchTag("InvalidPayload", (error) =>
          Effect.suspend(() => {
            counts.invalid++
            return Effect.as(Effect.logWarning(error.message), { _tag: "Kept", body: undefined } as const)
          })
        )
      ),
    stats: Effect.map(FiberSet.size(running), (size) => ({ ...counts, accepted: sinks.kept(), running: size }))
  })
})

/**
 * Provides the service over a memory, the recorder of its events and a profiler, which measures under `answer NAME` how
 * long agents wait.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: HookServiceOptions = {}
): Layer.Layer<HookService, never, MemoryBridge | MemoryRecorder | Profiler | FileSystem.FileSystem | Path.Path> =>
  Layer.effect(HookService, make(options))
