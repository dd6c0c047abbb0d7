/**
 * Runs a hook so that it can do no harm: whatever goes wrong, the agent gets a valid answer in time.
 *
 * A failure, a defect, a deadline that passes, a payload that makes no sense: each ends in the empty answer and in one
 * line for a person to read. Nothing here ever blocks the agent or ends in an error.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import * as Sanitize from "../internal/sanitize.ts"
import { maxPayloadBytes as payloadLimit } from "../internal/maxPayloadBytes.ts"
import type { MemoryBridge } from "../memory/MemoryBridge.ts"
import * as MemoryError from "../memory/MemoryError.ts"
import * as ClaudeCode from "./adapters/ClaudeCode.ts"
import { EventSink } from "./EventSink.ts"
import type { HookAdapter } from "./HookAdapter.ts"
import type { HookEvent } from "./HookEvent.ts"
import type { HookOutput } from "./HookOutput.ts"
import * as HookProgram from "./HookProgram.ts"

/**
 * The largest payload that is read, in bytes (in UTF-16 units where it comes as text): 16 MiB. Claude Code sends up to
 * about 4 MB.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxPayloadBytes: number = payloadLimit

/**
 * How long each event may take, database included, before it is answered with nothing.
 *
 * @category models
 * @since 0.1.0
 */
export type Deadlines = Readonly<Record<Exclude<HookEvent["_tag"], "Ignored">, Duration.Input>>

/**
 * The deadlines of a hook that is a process of its own. They are not how long a hook takes, but how long an agent waits
 * when something is wrong; the end of a session has 1.5 seconds for all hooks together.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaultDeadlines: Deadlines = {
  SessionStart: "2 seconds",
  Prompt: "1 second",
  ToolUse: "3 seconds",
  Answer: "3 seconds",
  Compaction: "3 seconds",
  Interruption: "1 second",
  SessionEnd: "1 second"
}

/**
 * What a run needs to know.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions<E, R> extends HookProgram.HookOptions {
  /**
   * Gives the memory for an event that must be answered within a time. It is not asked for where memory has no use for
   * the event.
   */
  readonly memory: (deadline: Duration.Duration) => Layer.Layer<MemoryBridge, E, R>
  /** The agent that calls; Claude Code where absent. */
  readonly adapter?: HookAdapter | undefined
  /** `defaultDeadlines` where absent. */
  readonly deadlines?: Partial<Deadlines> | undefined
}

/**
 * What a run gives: what to print for the agent, and what to tell a person, a line each.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunResult {
  /** What kind of event it was; `undefined` where it could not be read. */
  readonly event: HookEvent["_tag"] | undefined
  /** A JSON object; `{}` adds nothing. */
  readonly response: string
  readonly notices: ReadonlyArray<string>
}

const emptyResult = (event: RunResult["event"], notice: string): RunResult => ({
  event,
  response: "{}",
  notices: [notice]
})

const invalidPayload = (detail: string) => Effect.fail(new ClaudeCode.InvalidPayload({ detail }))

const parse = (body: string): Effect.Effect<unknown, ClaudeCode.InvalidPayload> => {
  if (body.trim() === "") return invalidPayload("nothing was sent")
  if (body.length > maxPayloadBytes) return invalidPayload(`it is larger than ${maxPayloadBytes} bytes`)
  return Effect.try({
    try: () => JSON.parse(body) as unknown,
    catch: () => new ClaudeCode.InvalidPayload({ detail: "it is not JSON" })
  })
}

const failOpen = (event: RunResult["event"]) => (cause: Cause.Cause<unknown>) =>
  Effect.succeed(emptyResult(event, MemoryError.describe(Cause.squash(cause))))

/** The answer is known; what is left of the time is for the events that wait. */
const flushSink = (output: HookOutput): Effect.Effect<HookOutput> =>
  Effect.flatMap(EventSink, (sink) =>
    sink === undefined
      ? Effect.succeed(output)
      : Effect.map(sink.flush, (notice) => ({ ...output, notice: output.notice ?? notice }))
  )

/** What an event that memory has no use for is answered with. */
const ignored: RunResult = { event: "Ignored", response: "{}", notices: [] }

/** What a program has to say, as the agent takes it. */
const resultOf = (event: HookEvent, adapter: HookAdapter, output: HookOutput): RunResult => ({
  event: event._tag,
  response: adapter.encode(event, {
    ...output,
    message: output.message === undefined ? undefined : Sanitize.forModel(output.message)
  }),
  notices: output.notice === undefined ? [] : [output.notice]
})

/**
 * Reads the event that a payload tells of. Fails with `InvalidPayload` where it tells of none.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decode = (
  body: string,
  adapter: HookAdapter = ClaudeCode
): Effect.Effect<HookEvent, ClaudeCode.InvalidPayload> => Effect.flatMap(parse(body), adapter.decode)

/**
 * Answers an event with the memory of the context, however long it takes, in a span `hook NAME` with the name of the
 * event. It never fails.
 *
 * @category combinators
 * @since 0.1.0
 */
export const respond = (
  event: HookEvent,
  options: HookProgram.HookOptions & {
    /** The agent that calls; Claude Code where absent. */
    readonly adapter?: HookAdapter | undefined
    /** What the user must know, see `HookOutput.message`. */
    readonly message?: string | undefined
  } = {}
): Effect.Effect<RunResult, never, HookProgram.Requirements> =>
  event._tag === "Ignored"
    ? Effect.succeed(ignored)
    : HookProgram.handle(event, options).pipe(
        Effect.flatMap(flushSink),
        Effect.map((output) =>
          resultOf(event, options.adapter ?? ClaudeCode, { ...output, message: output.message ?? options.message })
        ),
        Effect.catchCause(failOpen(event._tag)),
        // Where it was made says nothing, and costs more than the rest of the span.
        Effect.withSpan(`hook ${event._tag}`, {}, { captureStackTrace: false })
      )

const runProgram = <E, R>(event: HookEvent, options: RunOptions<E, R>) =>
  Effect.gen(function* () {
    if (event._tag === "Ignored") return ignored
    const deadline = Duration.fromInputUnsafe(options.deadlines?.[event._tag] ?? defaultDeadlines[event._tag])
    const output = yield* HookProgram.handle(event, options).pipe(
      Effect.flatMap(flushSink),
      Effect.provide(options.memory(deadline)),
      Effect.timeoutOption(deadline)
    )
    return output._tag === "None"
      ? emptyResult(event._tag, `${event._tag}: no answer within ${Duration.format(deadline)}`)
      : resultOf(event, options.adapter ?? ClaudeCode, output.value)
  }).pipe(Effect.catchCause(failOpen(event._tag)), Effect.withSpan(`hook ${event._tag}`))

/**
 * Runs the hook that a payload asks for, in a span `hook NAME` with the name of the event. It never fails.
 *
 * **Example**
 *
 * ```ts
 * import * as HookRunner from "athena-hooks/hooks/HookRunner"
 * import * as MemoryBridge from "athena-hooks/memory/MemoryBridge"
 * import * as Effect from "effect/Effect"
 *
 * const response = (body: string) =>
 *   Effect.map(HookRunner.run(body, { memory: () => MemoryBridge.layerTest({}) }), (result) => result.response)
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const run = <E, R>(
  body: string,
  options: RunOptions<E, R>
): Effect.Effect<RunResult, never, FileSystem.FileSystem | Path.Path | R> =>
  decode(body, options.adapter).pipe(
    Effect.flatMap((event) => runProgram(event, options)),
    Effect.catchCause(failOpen(undefined))
  )
