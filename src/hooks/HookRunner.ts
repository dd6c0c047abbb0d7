/**
 * Runs a hook so that it never harms the agent: the response is always valid and in time.
 *
 * A failure, a defect, a passed deadline or an invalid payload returns the empty response and a one-line notice. A run
 * never fails and never blocks the agent.
 *
 * **When to use**
 *
 * `run` for a payload in a process of its own, with a deadline; `respond` in a daemon, which applies its own deadline.
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
import * as HookDeadlines from "./HookDeadlines.ts"
import type { HookEvent } from "./HookEvent.ts"
import type { HookOutput } from "./HookOutput.ts"
import * as HookProgram from "./HookProgram.ts"

/**
 * The largest payload, in bytes (in UTF-16 units for text): 16 MiB. Claude Code sends up to about 4 MB.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxPayloadBytes: number = payloadLimit

/**
 * Options of a run.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions<E, R> extends HookProgram.HookOptions {
  /** Builds the memory for an event with a deadline. Not called for an ignored event. */
  readonly memory: (deadline: Duration.Duration) => Layer.Layer<MemoryBridge, E, R>
  /** The agent; Claude Code when absent. */
  readonly adapter?: HookAdapter | undefined
  /** `HookDeadlines.oneShot` when absent. */
  readonly deadlines?: Partial<HookDeadlines.HookDeadlines> | undefined
}

/**
 * The result of a run: the response for the agent, and notices for a person, one line each.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunResult {
  /** The kind of event; `undefined` for an invalid payload. */
  readonly event: HookEvent["_tag"] | undefined
  /** A JSON object; `{}` is the empty response. */
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

/** Delivers the sink's events in the remaining time, after the output is complete. */
const flushSink = (output: HookOutput): Effect.Effect<HookOutput> =>
  Effect.flatMap(EventSink, (sink) =>
    sink === undefined
      ? Effect.succeed(output)
      : Effect.map(sink.flush, (notice) => ({ ...output, notice: output.notice ?? notice }))
  )

/** The result of an event without use for the memory. */
const ignored: RunResult = { event: "Ignored", response: "{}", notices: [] }

/** The output of a program, encoded for the agent. */
const resultOf = (event: HookEvent, adapter: HookAdapter, output: HookOutput): RunResult => ({
  event: event._tag,
  response: adapter.encode(event, {
    ...output,
    message: output.message === undefined ? undefined : Sanitize.forModel(output.message)
  }),
  notices: output.notice === undefined ? [] : [output.notice]
})

/**
 * Decodes a payload. Fails with `InvalidPayload` if it is not an event of the agent.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decode = (
  body: string,
  adapter: HookAdapter = ClaudeCode
): Effect.Effect<HookEvent, ClaudeCode.InvalidPayload> => Effect.flatMap(parse(body), adapter.decode)

/**
 * Handles a decoded event with the memory of the context and without a deadline, in a span `hook NAME` with the event's
 * name. It never fails.
 *
 * @category combinators
 * @since 0.1.0
 */
export const respond = (
  event: HookEvent,
  options: HookProgram.HookOptions & {
    /** The agent; Claude Code when absent. */
    readonly adapter?: HookAdapter | undefined
    /** A message for the user, see `HookOutput.message`. */
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
        // The stack trace of a span costs more than the rest of it and adds no information here.
        Effect.withSpan(`hook ${event._tag}`, {}, { captureStackTrace: false })
      )

const runProgram = <E, R>(event: HookEvent, options: RunOptions<E, R>) =>
  Effect.gen(function* () {
    if (event._tag === "Ignored") return ignored
    const deadline = Duration.fromInputUnsafe(options.deadlines?.[event._tag] ?? HookDeadlines.oneShot[event._tag])
    const output = yield* HookProgram.handle(event, options).pipe(
      Effect.flatMap(flushSink),
      Effect.provide(options.memory(deadline)),
      Effect.timeoutOption(deadline)
    )
    return output._tag === "None"
      ? emptyResult(event._tag, `${event._tag}: no response within ${Duration.format(deadline)}`)
      : resultOf(event, options.adapter ?? ClaudeCode, output.value)
  }).pipe(Effect.catchCause(failOpen(event._tag)), Effect.withSpan(`hook ${event._tag}`))

/**
 * Decodes a payload and handles its event within the deadline, in a span `hook NAME` with the event's name. It never
 * fails.
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
