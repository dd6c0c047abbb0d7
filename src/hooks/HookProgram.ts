/**
 * One program per event of a session: it records the event and, where the agent accepts context, returns memories.
 *
 * **When to use**
 *
 * To handle decoded events with your own error handling. The programs fail with typed errors; `HookRunner` adds the
 * deadline and turns a failure into the empty response.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as CompactionSummary from "../memory/CompactionSummary.ts"
import { MemoryBridge } from "../memory/MemoryBridge.ts"
import * as MemoryEvent from "../memory/MemoryEvent.ts"
import * as Redaction from "../redaction/Redaction.ts"
import type {
  Answer,
  Compaction,
  HookEvent,
  Interruption,
  Prompt,
  SessionEnd,
  SessionStart,
  ToolCall,
  ToolUse
} from "./HookEvent.ts"
import * as HookOutput from "./HookOutput.ts"
import { agentContext } from "./internal/agentContext.ts"
import * as EventKey from "./internal/eventKey.ts"
import * as OpenBatch from "./internal/openBatch.ts"
import { injectAtPrompt, injectAtStart, markInjected, retainContext } from "./internal/injection.ts"
import {
  type EventDraft,
  type HookError,
  type HookOptions,
  located,
  record,
  type Requirements,
  sessionOf,
  storeInMemory,
  storeInSink
} from "./internal/recording.ts"

export type { HookError, HookOptions, Requirements } from "./internal/recording.ts"

/** Stored lengths of a text, of a tool call's subject and of its error, in UTF-16 units. */
const contentLength = 2_000
const subjectLength = 500
const errorLength = 1_000

const sessionStart = (event: SessionStart, options: HookOptions) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const isNew = event.source === "fork" && Option.isNone(yield* memory.getSession(event.sessionId))
    const session = yield* sessionOf(event, options)
    const retained = yield* retainContext(event, isNew)
    if (agentContext(event.agent).startContext === "firstPrompt") return HookOutput.empty
    return yield* injectAtStart(event, session, retained, options)
  })

/** A prompt that can't be recorded still gets its reminders. */
const prompt = (event: Prompt, options: HookOptions) =>
  Effect.gen(function* () {
    const content = Redaction.excerpt(event.text, contentLength)
    const draft = yield* MemoryEvent.stamp<EventDraft>({
      ...EventKey.ofPrompt(event, options.deliveryId, content),
      type: event.isFromUser ? "user_question" : "notification",
      content,
      importance: !event.isFromUser ? 0.1 : content.length < 20 ? 0.3 : 0.75
    })
    const isStored = yield* storeInSink(event, options, [draft])
    if (isStored && !event.isFromUser) return HookOutput.empty
    const session = yield* sessionOf(event, options)
    const notice = isStored
      ? undefined
      : yield* storeInMemory(event, session, draft).pipe(
          Effect.as(undefined),
          Effect.catch((error) => Effect.succeed(`the prompt was not recorded: ${error.message}`))
        )
    if (!event.isFromUser) return { ...HookOutput.empty, notice }
    const { injected, output } = yield* injectAtPrompt(event, session, options)
    // After a failed write, such as a lock timeout, no second write delays the response.
    return { ...output, notice: notice ?? (yield* markInjected(event.sessionId, injected, options)) }
  })

const toolContent = (call: ToolCall): string => {
  const subject = Redaction.excerpt(call.subject, subjectLength)
  const summary = subject === "" ? call.tool : `${call.tool}: ${subject}`
  return call.error === undefined ? summary : `${summary}\nfailed: ${Redaction.excerpt(call.error, errorLength)}`
}

/** An unknown outcome is stored as none: it gets neither the importance of a failure nor the activation of a success. */
const toolDraft = (event: ToolUse, options: HookOptions, call: ToolCall, index: number): EventDraft => {
  const content = toolContent(call)
  return {
    ...EventKey.ofToolCall(event, call, options.deliveryId, index, content),
    type: "tool_execution",
    content,
    outcome: call.outcome === "unknown" ? undefined : call.outcome,
    durationMs: call.durationMs,
    timestamp: call.endedAtMs === undefined ? undefined : DateTime.make(call.endedAtMs).pipe(Option.getOrUndefined),
    files: call.files.slice(0, 100),
    filesChanged: call.changesFiles && call.outcome !== "failure" ? call.files.length : 0,
    importance: call.outcome === "failure" ? 0.6 : call.changesFiles ? 0.5 : 0.3
  }
}

const toolUse = (event: ToolUse, options: HookOptions) =>
  Effect.gen(function* () {
    const drafts = yield* Effect.forEach(event.calls.slice(0, 1_000), (call, index) =>
      MemoryEvent.stamp(toolDraft(event, options, call, index))
    )
    if (yield* storeInSink(event, options, drafts)) return
    const memory = yield* MemoryBridge
    const session = yield* sessionOf(event, options)
    yield* memory.recordEvents(drafts.map((draft) => located(event, session, draft)))
  })

const answer = (event: Answer, options: HookOptions) => {
  const content = Redaction.excerpt(event.text, contentLength)
  const isSubagent = event.subagentId !== undefined
  return record(event, options, {
    ...EventKey.ofAnswer(event, options.deliveryId),
    type: isSubagent ? "subagent_message" : "assistant_message",
    content,
    importance: isSubagent ? 0.5 : content.length < 40 ? 0.4 : 0.8
  })
}

const compaction = (event: Compaction, options: HookOptions) => {
  const summary = event.summary === undefined ? undefined : CompactionSummary.parse(event.summary)
  return record(event, options, {
    ...EventKey.ofCompaction(event, summary?.text, options.deliveryId),
    type: "compaction",
    content:
      summary === undefined
        ? `context is compacted (${Redaction.excerpt(event.trigger, 100)})`
        : Redaction.excerpt(summary.text, MemoryEvent.maxContentLength),
    importance: summary === undefined ? 0.2 : 0.8
  })
}

const interruption = (event: Interruption, options: HookOptions) =>
  record(event, options, {
    ...EventKey.ofInterruption(event, options.deliveryId),
    type: "notification",
    content: "the user interrupted the agent",
    importance: 0.1
  })

const sessionEnd = (event: SessionEnd, options: HookOptions) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    record(event, options, {
      ...EventKey.ofSessionEnd(event, options.deliveryId, now),
      type: "session_end",
      content: `session ended (${Redaction.excerpt(event.reason, 100)})`,
      importance: 0.2
    })
  )

/** Records the calls of an interrupted batch; a failure is a notice, because the event itself is recorded. */
const recordOpenBatches = (event: Prompt | SessionEnd, options: HookOptions) =>
  OpenBatch.read(event).pipe(
    Effect.flatMap(Effect.forEach((batch) => toolUse(batch, { ...options, deliveryId: undefined }), { discard: true })),
    Effect.as(undefined),
    Effect.catch((error) => Effect.succeed(`tool calls were not recorded: ${error.message}`))
  )

const withOpenBatches = <E, R>(
  event: Prompt | SessionEnd,
  options: HookOptions,
  output: Effect.Effect<HookOutput.HookOutput | void, E, R>
) =>
  Effect.zipWith(output, recordOpenBatches(event, options), (output, notice) => {
    const given = output ?? HookOutput.empty
    return { ...given, notice: given.notice ?? notice }
  })

const program = (
  event: HookEvent,
  options: HookOptions
): Effect.Effect<HookOutput.HookOutput | void, HookError, Requirements> => {
  switch (event._tag) {
    case "SessionStart":
      return sessionStart(event, options)
    case "Prompt":
      return withOpenBatches(event, options, prompt(event, options))
    case "ToolUse":
      return toolUse(event, options)
    case "Answer":
      return answer(event, options)
    case "Compaction":
      return compaction(event, options)
    case "Interruption":
      return interruption(event, options)
    case "SessionEnd":
      return withOpenBatches(event, options, sessionEnd(event, options))
    case "Ignored":
      return Effect.void
  }
}

/**
 * Runs the program of an event.
 *
 * **Gotchas**
 *
 * - A project is resolved at the session's first event; later events belong to it whatever their working directory.
 * - Without an `EventSink` an event is in the database before the output is returned.
 *
 * @category combinators
 * @since 0.1.0
 */
export const handle = (
  event: HookEvent,
  options: HookOptions = {}
): Effect.Effect<HookOutput.HookOutput, HookError, Requirements> =>
  Effect.map(program(event, options), (output) => output ?? HookOutput.empty)
