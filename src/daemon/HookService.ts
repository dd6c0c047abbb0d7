/**
 * Responds to hooks in a long-running process: within a deadline, whatever the state of the database, and without
 * losing an accepted event.
 *
 * An event is on this host's disk before the response, and in the database soon after. Each kind of event has a
 * deadline. When it passes, the agent receives an empty response and the work continues.
 *
 * **When to use**: to respond to hooks behind another server than `DaemonServer`.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import * as Record from "effect/Record"
import { EventSink } from "../hooks/EventSink.ts"
import type { HookAdapter } from "../hooks/HookAdapter.ts"
import type { HookEvent } from "../hooks/HookEvent.ts"
import * as HookDeadlines from "../hooks/HookDeadlines.ts"
import * as HookRunner from "../hooks/HookRunner.ts"
import * as Options from "../internal/options.ts"
import type { MemoryBridge } from "../memory/MemoryBridge.ts"
import { MemoryRecorder } from "../memory/MemoryRecorder.ts"
import { Profiler } from "../profiler/Profiler.ts"
import * as RepositoryCache from "./internal/repositoryCache.ts"
import * as SpoolSink from "./internal/spoolSink.ts"

/**
 * A payload of an agent.
 *
 * @category models
 * @since 0.1.0
 */
export interface HookRequest {
  /** The agent that sent it. */
  readonly adapter: HookAdapter
  /** The event, as the agent's JSON. */
  readonly body: string
  /** The folder in which the agent was started, if known. */
  readonly projectFolder?: string | undefined
  /** Identifies the delivery: a repeated one is stored once. */
  readonly deliveryId?: string | undefined
}

/**
 * The response to a payload.
 *
 * - `Stored`: its events are safe on this host, or there were none.
 * - `Uncertain`: the deadline passed, or storing failed; its events may be lost.
 * - `Overloaded`: it was not accepted.
 *
 * @category models
 * @since 0.1.0
 */
export type HookResponse =
  | { readonly _tag: "Stored" | "Uncertain"; readonly body: string | undefined }
  | { readonly _tag: "Overloaded" }

/**
 * Counts since the service was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly stored: number
  /** Responses at the deadline, before the work was complete. */
  readonly timedOut: number
  /** Responses to events whose work failed in part. */
  readonly failed: number
  /** Payloads that can't be decoded. */
  readonly invalid: number
  readonly overloaded: number
  /** Events stored in the spool; one payload may contain several. */
  readonly accepted: number
  /** Lost events: neither this host's disk nor the database stored them. */
  readonly dropped: number
  /** Payloads in progress. */
  readonly running: number
}

/**
 * Options of the service. One beyond its bounds is a `RangeError` that names it: a defect of `layer`, a `ConfigError` of
 * `layerConfig`.
 *
 * @category models
 * @since 0.1.0
 */
export interface HookServiceOptions {
  /** Deadline of the response to each kind of event. `HookDeadlines.daemon` when absent. */
  readonly deadlines?: Partial<HookDeadlines.HookDeadlines> | undefined
  /** Payloads in progress, from 1. 256 when absent. */
  readonly maxConcurrent?: number | undefined
  /** How long the work of one event may continue after its deadline. 30 seconds when absent. */
  readonly workTimeout?: Duration.Input | undefined
  /** Returns a message for the user at each session start. None when absent. */
  readonly message?: Effect.Effect<string | undefined> | undefined
  /** Called with each decoded event, before the response. */
  readonly onEvent?: ((event: HookEvent) => Effect.Effect<void>) | undefined
}

/** How long a shutdown waits for work in progress. */
const shutdownTimeout = Duration.seconds(2)

/** How long a session start waits for spooled events of earlier sessions. */
const flushTimeout = Duration.millis(100)

/**
 * Service that responds to hooks.
 *
 * @category services
 * @since 0.1.0
 */
export class HookService extends Context.Service<
  HookService,
  {
    readonly respond: (request: HookRequest) => Effect.Effect<HookResponse>
    readonly stats: Effect.Effect<Stats>
  }
>()("athena-hooks/daemon/HookService") {}

/** Whether the deadline of a response has passed. */
interface Pending {
  hasTimedOut: boolean
}

const read = Options.reader("HookService")

const settingsOf = ({ deadlines = {}, maxConcurrent, message, onEvent, workTimeout }: HookServiceOptions) => ({
  deadlines: Record.map(HookDeadlines.daemon, (absent, event) =>
    Duration.millis(read.duration(`deadlines.${event}`, deadlines[event] ?? absent, 0, Infinity))
  ),
  maxConcurrent: read.whole("maxConcurrent", maxConcurrent ?? 256, 1, Infinity),
  workTimeout: Duration.millis(read.duration("workTimeout", workTimeout ?? "30 seconds", 0, Infinity)),
  message: message ?? Effect.undefined,
  onEvent: onEvent ?? (() => Effect.void)
})

type Settings = ReturnType<typeof settingsOf>

type Count = "stored" | "timedOut" | "failed" | "invalid" | "overloaded" | "dropped"

const bodyOf = (body: string): string | undefined => (body === "{}" ? undefined : body)

/** Makes the work of an event: its program with its own sink, and the count of the events that are lost. */
const makeWork = Effect.fnUntraced(function* ({ message }: Settings, counts: Record<Count, number>) {
  const recorder = yield* MemoryRecorder
  const context = yield* Effect.context<MemoryBridge | FileSystem.FileSystem | Path.Path>()
  const sinks = SpoolSink.make(recorder)
  const repositories = RepositoryCache.make(context)

  const respond = (
    event: HookEvent,
    { adapter, deliveryId, projectFolder }: HookRequest,
    pending: Pending,
    message?: string
  ) =>
    HookRunner.respond(event, {
      adapter,
      projectFolder,
      deliveryId,
      message,
      findRepository: repositories.find,
      isAwaited: () => !pending.hasTimedOut
    })

  /** The new session needs the events of sessions that have just ended. */
  const start = (event: HookEvent, request: HookRequest, pending: Pending) =>
    Effect.ignore(recorder.flush({ timeout: flushTimeout })).pipe(
      Effect.andThen(message),
      Effect.flatMap((message) => respond(event, request, pending, message))
    )

  const work = (event: HookEvent, request: HookRequest, pending: Pending) =>
    Effect.suspend(() => {
      const { rejected, sink } = sinks.next()
      const own = Context.add(context, EventSink, sink)
      return (event._tag === "SessionStart" ? start(event, request, pending) : respond(event, request, pending)).pipe(
        Effect.tap(({ notices }) =>
          notices.length === 0 ? Effect.void : Effect.forEach(notices, (notice) => Effect.logWarning(notice))
        ),
        // The database may have stored what the spool rejected: then nothing is lost.
        Effect.onExit((exit) => {
          if (Exit.isFailure(exit) || exit.value.notices.length > 0) counts.dropped += rejected()
          return Effect.void
        }),
        // Replaces the context of the request, which is not needed: merging both would cost time at each event.
        Effect.updateContext((_: Context.Context<never>) => own)
      )
    })
  return { work, accepted: sinks.stored }
})

const makeWith = Effect.fnUntraced(function* (settings: Settings) {
  const { deadlines, maxConcurrent, onEvent, workTimeout } = settings
  const profiler = yield* Profiler
  const scope = yield* Effect.scope
  const running = yield* FiberSet.make<HookRunner.RunResult>()
  yield* Effect.addFinalizer(() => Effect.timeoutOption(FiberSet.awaitEmpty(running), shutdownTimeout))
  const counts: Record<Count, number> = { stored: 0, timedOut: 0, failed: 0, invalid: 0, overloaded: 0, dropped: 0 }
  const { accepted, work } = yield* makeWork(settings, counts)

  const completed = ({ notices, response }: HookRunner.RunResult): HookResponse => {
    const isStored = notices.length === 0
    counts[isStored ? "stored" : "failed"]++
    return { _tag: isStored ? "Stored" : "Uncertain", body: bodyOf(response) }
  }

  /** The work continues, up to its timeout. */
  const timedOut = (
    event: HookEvent,
    deadline: Duration.Duration,
    fiber: Fiber.Fiber<HookRunner.RunResult>,
    pending: Pending
  ): Effect.Effect<HookResponse> =>
    Effect.gen(function* () {
      pending.hasTimedOut = true
      counts.timedOut++
      yield* Effect.forkIn(
        Effect.andThen(Effect.timeoutOption(Fiber.await(fiber), workTimeout), Fiber.interrupt(fiber)),
        scope
      )
      yield* Effect.logWarning(`${event._tag}: no response within ${Duration.format(deadline)}; the work continues`)
      return { _tag: "Uncertain", body: undefined }
    })

  const respondTo = (
    event: Exclude<HookEvent, { _tag: "Ignored" }>,
    request: HookRequest
  ): Effect.Effect<HookResponse> =>
    Effect.gen(function* () {
      if ((yield* FiberSet.size(running)) >= maxConcurrent) {
        counts.overloaded++
        return { _tag: "Overloaded" }
      }
      const deadline = deadlines[event._tag]
      const pending: Pending = { hasTimedOut: false }
      const fiber = yield* FiberSet.run(running, work(event, request, pending))
      // Usually the work completes in this tick or with the next group commit of the spool, and needs no timer.
      yield* Effect.yieldNow
      const done = fiber.pollUnsafe()
      if (done !== undefined && Exit.isSuccess(done)) return completed(done.value)
      return yield* Fiber.join(fiber).pipe(
        Effect.map(completed),
        Effect.timeoutOrElse({ duration: deadline, orElse: () => timedOut(event, deadline, fiber, pending) })
      )
    })

  const measured = (name: string, effect: Effect.Effect<HookResponse>): Effect.Effect<HookResponse> =>
    Effect.gen(function* () {
      const started = yield* Clock.monotonicTimeNanos
      const response = yield* effect
      yield* profiler.record(name, Duration.nanos((yield* Clock.monotonicTimeNanos) - started))
      return response
    })

  const ignored: Effect.Effect<HookResponse> = Effect.sync(() => {
    counts.stored++
    return { _tag: "Stored", body: undefined }
  })

  return HookService.of({
    respond: (request) =>
      HookRunner.decode(request.body, request.adapter).pipe(
        Effect.tap(onEvent),
        Effect.flatMap((event) =>
          event._tag === "Ignored" ? ignored : measured(`respond ${event._tag}`, respondTo(event, request))
        ),
        // A newer agent may send events unknown to this version; an error response would be shown to the user.
        Effect.catchTag("InvalidPayload", (error) =>
          Effect.suspend(() => {
            counts.invalid++
            return Effect.as(Effect.logWarning(error.message), { _tag: "Stored", body: undefined } as const)
          })
        )
      ),
    stats: Effect.map(FiberSet.size(running), (size) => ({ ...counts, accepted: accepted(), running: size }))
  })
})

/**
 * Constructs the service. Closing its scope waits up to 2 seconds for work in progress.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: HookServiceOptions = {}) => Effect.suspend(() => makeWith(settingsOf(options)))

/**
 * Provides the service. The profiler measures how long agents wait, as `respond NAME`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: HookServiceOptions = {}
): Layer.Layer<HookService, never, MemoryBridge | MemoryRecorder | Profiler | FileSystem.FileSystem | Path.Path> =>
  Layer.effect(HookService, make(options))

/**
 * Provides the service, with its options read from `Config`.
 *
 * **Example**
 *
 * ```ts
 * import * as HookService from "athena-hooks/daemon/HookService"
 * import * as Config from "effect/Config"
 *
 * const Hooks = HookService.layerConfig({
 *   deadlines: { SessionStart: Config.Duration("SESSION_START_DEADLINE") },
 *   maxConcurrent: Config.Int("MAX_CONCURRENT")
 * })
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Wrap<HookServiceOptions>
): Layer.Layer<
  HookService,
  Config.ConfigError,
  MemoryBridge | MemoryRecorder | Profiler | FileSystem.FileSystem | Path.Path
> => Layer.effect(HookService, Effect.flatMap(Options.fromConfig(config, settingsOf), makeWith))
