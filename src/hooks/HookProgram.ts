/**
 * What a hook does: one program for each event of a session.
 *
 * The programs record what happened and, where the agent takes it, answer with what is remembered. They fail with typed
 * errors; it is `HookRunner` that turns a failure into an empty answer.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import { fnv1a } from "../internal/fnv1a.ts"
import { preview } from "../internal/text.ts"
import type { FoundMemory } from "../memory/Memory.ts"
import { stamp } from "../memory/internal/stamp.ts"
import { MemoryBridge } from "../memory/MemoryBridge.ts"
import type { MemoryError } from "../memory/MemoryError.ts"
import type { MemoryEvent } from "../memory/MemoryEvent.ts"
import * as Relevance from "../memory/Relevance.ts"
import type { Session } from "../memory/Session.ts"
import * as ContextText from "./ContextText.ts"
import { EventSink } from "./EventSink.ts"
import type { Answer, Compaction, HookEvent, Prompt, SessionEnd, SessionStart, ToolCall, ToolUse } from "./HookEvent.ts"
import * as HookOutput from "./HookOutput.ts"
import * as Redaction from "./Redaction.ts"
import * as Repository from "./Repository.ts"

/**
 * What the programs can be told.
 *
 * @category models
 * @since 0.1.0
 */
export interface HookOptions {
  /** The budget of the context at session start, in tokens of four characters. 2,000 when absent; at most 2,500. */
  readonly startTokens?: number | undefined
  /** The budget of the reminder at a prompt, in tokens of four characters. 500 when absent; at most 2,500. */
  readonly promptTokens?: number | undefined
  /** How many memories a reminder has at most. 3 when absent. */
  readonly reminders?: number | undefined
  /**
   * The folder that the agent was started in, where the agent says so. It tells the project of a session whose first
   * event comes after the agent has wandered.
   */
  readonly projectFolder?: string | undefined
  /**
   * Names the delivery of the event, 1 to 64 characters: an event that the agent gave no id is the same event when it is
   * told again under the same name.
   */
  readonly deliveryId?: string | undefined
  /**
   * Finds where an event of a session belongs, from the folder that it tells of; `Repository.find` when absent. A process
   * that stays need not look at the disk at each event of a session.
   */
  readonly find?: typeof findPlace | undefined
  /**
   * Whether anybody still waits for the answer, asked when it is known: only what was told counts as told. They do when
   * absent.
   */
  readonly isAwaited?: (() => boolean) | undefined
}

const findPlace = (
  _sessionId: string,
  folder: string
): Effect.Effect<Repository.Repository, Repository.FolderNotFound, FileSystem.FileSystem | Path.Path> =>
  Repository.find(folder)

/**
 * Where an event belongs. Where events are kept, one from a folder that is gone, as worktrees go at the end of a job, is
 * kept too: it belongs to its session's project, which the memory knows, or else to one that has the folder's name.
 */
const placeOf = (event: HookEvent, { find = findPlace, projectFolder = event.cwd }: HookOptions) =>
  find(event.sessionId, projectFolder).pipe(
    Effect.catchTag("FolderNotFound", (error) =>
      projectFolder === event.cwd ? Effect.fail(error) : find(event.sessionId, event.cwd)
    ),
    Effect.catchTag("FolderNotFound", (error) =>
      Effect.flatMap(EventSink, (sink) => (sink === undefined ? Effect.fail(error) : Repository.unseen(projectFolder)))
    )
  )

/**
 * What a program needs.
 *
 * @category models
 * @since 0.1.0
 */
export type Requirements = MemoryBridge | FileSystem.FileSystem | Path.Path

/**
 * What a program can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type HookError = MemoryError | Repository.FolderNotFound

/** How much of a text is stored, and of what a tool was given and said, in UTF-16 units. */
const storedLength = 2_000
const subjectLength = 500
const errorLength = 1_000

/** How much of a text is looked at. */
const readLength = 8_000

/** The longest secret that is recognised only by how it ends. */
const margin = 512

/** The session of an event; its project is that of the first event. */
const session = (event: HookEvent, options: HookOptions): Effect.Effect<Session, HookError, Requirements> =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const known = yield* memory.getSession(event.sessionId)
    if (Option.isSome(known)) return known.value
    return yield* memory.openSession({ id: event.sessionId, ...(yield* placeOf(event, options)) })
  })

/**
 * Cleans first and cuts then: half a key would no longer look like one. A text that is longer than what is looked at may
 * end in such a half, so its end is left out.
 */
const storedText = (text: string, length: number = storedLength): string => {
  const read = Redaction.redact(text.slice(0, readLength).trim())
  const clean = text.length > readLength ? read.slice(0, -margin) : read
  return preview(clean, length)
}

/** What makes an event the same when it is told again; none where neither the agent nor the delivery has an id. */
const key = (
  event: HookEvent,
  { deliveryId }: HookOptions,
  kind: string,
  id: string | undefined,
  index: number = 0
): string | undefined => {
  const named = id ?? (deliveryId === undefined ? undefined : `delivery:${deliveryId}:${index}`)
  return named === undefined ? undefined : `${event.agent}:${kind}:${event.sessionId}:${named}`
}

/** An agent answers a prompt more than once: what it says tells the answers apart. */
const withText = (id: string | undefined, text: string): string | undefined =>
  id === undefined ? undefined : `${id}:${fnv1a(text)}`

const common = (event: HookEvent, current: Session) => ({
  projectId: current.project.id,
  sessionId: event.sessionId,
  cwd: event.cwd,
  worktreePath: current.worktreePath
})

const record = (event: MemoryEvent): Effect.Effect<void, MemoryError, MemoryBridge> =>
  event.content === "" ? Effect.void : MemoryBridge.use((memory) => Effect.asVoid(memory.recordEvent(event)))

/** What an event is about; where it happened is known from the hook's own. */
type Draft = Omit<MemoryEvent, "projectId" | "sessionId" | "cwd" | "worktreePath">

/** Whether the events are kept on this host, where there is something that keeps them. */
const isKept = (
  event: HookEvent,
  options: HookOptions,
  drafts: ReadonlyArray<Draft>
): Effect.Effect<boolean, Repository.FolderNotFound, Requirements> =>
  Effect.gen(function* () {
    const sink = yield* EventSink
    if (sink === undefined) return false
    const place = yield* placeOf(event, options)
    return yield* sink.keep(
      drafts
        .filter(({ content }) => content !== "")
        .map((draft) => ({ ...draft, sessionId: event.sessionId, cwd: event.cwd, place }))
    )
  })

/** Records an event that nothing is answered to. */
const recordOne = (event: HookEvent, options: HookOptions, unstamped: Draft) =>
  Effect.gen(function* () {
    // Before the first attempt: what was kept in part is the same event when the memory itself takes it.
    const draft = yield* stamp(unstamped)
    if (yield* isKept(event, options, [draft])) return HookOutput.empty
    const current = yield* session(event, options)
    yield* record({ ...common(event, current), ...draft })
    return HookOutput.empty
  })

/** Remembers what a session was told. Where that can't be done, it is told all the same, and may be told again. */
const remember = (sessionId: string, memoryIds: ReadonlyArray<number>, { isAwaited }: HookOptions) =>
  memoryIds.length === 0 || isAwaited?.() === false
    ? Effect.succeed(undefined)
    : MemoryBridge.use((memory) => memory.markShown(sessionId, memoryIds)).pipe(
        Effect.as(undefined),
        Effect.catch((error) => Effect.succeed(`what was told is not remembered: ${error.message}`))
      )

/** Tells the agent what matters, and remembers what it was told. */
const sessionStart = (event: SessionStart, options: HookOptions) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const current = yield* session(event, options)
    // A compacted session has lost what it was told; one that is taken up again still has it.
    if (event.source === "compact") yield* memory.forgetShown(event.sessionId)
    const shown = new Set(event.source === "resume" ? yield* memory.getShown(event.sessionId) : [])
    const goals = yield* memory.getActiveGoals(current.project.id)
    const active = yield* memory.getActiveMemories(current.project.id, {
      limit: 7 + Math.min(shown.size, 93),
      worktreePath: current.worktreePath,
      // A session that is taken up again still has what it said itself.
      exceptSession: event.source === "resume" ? event.sessionId : undefined
    })
    const memories = active.items.filter((item) => !shown.has(item.id)).slice(0, 7)
    const knowsGoals = event.source === "resume" && shown.size > 0
    const { text, used } = ContextText.fit(
      [
        {
          title: `Active goals of the project ${current.project.name}:`,
          lines: knowsGoals ? [] : goals.goals.map(ContextText.goalLine)
        },
        {
          title: `What is remembered of the project ${current.project.name} (times in UTC):`,
          lines: memories.map(ContextText.memoryLine)
        }
      ],
      options.startTokens ?? 2_000
    )
    const notice = yield* remember(
      event.sessionId,
      memories.slice(0, used[1]).map((item) => item.id),
      options
    )
    return { ...HookOutput.context(text), notice }
  })

/** A reminder must be plainly about the prompt: it has two of its words, or all where there is only one. */
const isRelevant = (memory: FoundMemory, terms: number): boolean =>
  memory.matchedTerms >= Math.min(2, terms) && memory.matchedTerms / terms >= 0.25

/** That a tool once worked is worth recalling by search, but not by itself. */
const isTelling = (memory: FoundMemory): boolean => memory.type !== "tool_execution" || memory.outcome !== "success"

const remind = (event: Prompt, current: Session, options: HookOptions) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const terms = Relevance.terms(event.text)
    if (terms.length === 0) return { output: HookOutput.empty, told: [] }
    const { results } = yield* memory.searchMemories(current.project.id, event.text, {
      limit: 30,
      fragments: false,
      exceptSession: event.sessionId
    })
    const shown = new Set(yield* memory.getShown(event.sessionId))
    const fresh = results
      .filter((result) => !shown.has(result.id) && isRelevant(result, terms.length) && isTelling(result))
      .slice(0, options.reminders ?? 3)
    const { text, used } = ContextText.fit(
      [{ title: `Remembered of earlier sessions (times in UTC):`, lines: fresh.map(ContextText.memoryLine) }],
      options.promptTokens ?? 500
    )
    return { output: HookOutput.context(text), told: fresh.slice(0, used[0]).map((result) => result.id) }
  })

/** Notifications share the id of the prompt before them, so they are told apart by what they say. */
const promptKey = (event: Prompt, options: HookOptions): string | undefined =>
  event.fromPerson
    ? key(event, options, "prompt", event.promptId)
    : key(event, options, "notification", fnv1a(event.text))

/** Records the prompt, then reminds of what it is about. A prompt that can't be recorded is answered all the same. */
const prompt = (event: Prompt, options: HookOptions) =>
  Effect.gen(function* () {
    const content = storedText(event.text)
    const draft = yield* stamp<Draft>({
      key: promptKey(event, options),
      type: event.fromPerson ? "user_question" : "notification",
      content,
      importance: !event.fromPerson ? 0.1 : content.length < 20 ? 0.3 : 0.75
    })
    const kept = yield* isKept(event, options, [draft])
    if (kept && !event.fromPerson) return HookOutput.empty
    const current = yield* session(event, options)
    const notice = kept
      ? undefined
      : yield* record({ ...common(event, current), ...draft }).pipe(
          Effect.as(undefined),
          Effect.catch((error) => Effect.succeed(`the prompt was not recorded: ${error.message}`))
        )
    if (!event.fromPerson) return { ...HookOutput.empty, notice }
    const { output, told } = yield* remind(event, current, options)
    // What kept the prompt from being recorded, such as a lock, is not waited for a second time.
    return { ...output, notice: notice ?? (yield* remember(event.sessionId, told, options)) }
  })

const toolContent = (call: ToolCall): string => {
  const subject = storedText(call.subject, subjectLength)
  const what = subject === "" ? call.tool : `${call.tool}: ${subject}`
  return call.error === undefined ? what : `${what}\nfailed: ${storedText(call.error, errorLength)}`
}

const toolUse = (event: ToolUse, options: HookOptions) =>
  Effect.gen(function* () {
    const unstamped = event.calls.slice(0, 1_000).map((call, index): Draft => ({
      key: key(event, options, "tool", call.id, index),
      type: "tool_execution",
      content: toolContent(call),
      outcome: call.outcome,
      durationMs: call.durationMs,
      files: call.files.slice(0, 100),
      filesChanged: call.changes && call.outcome === "success" ? call.files.length : 0,
      importance: call.outcome === "failure" ? 0.6 : call.changes ? 0.5 : 0.3
    }))
    const drafts = yield* Effect.forEach(unstamped, stamp)
    if (yield* isKept(event, options, drafts)) return HookOutput.empty
    const memory = yield* MemoryBridge
    const current = yield* session(event, options)
    yield* memory.recordEvents(drafts.map((draft) => ({ ...common(event, current), ...draft })))
    return HookOutput.empty
  })

const answer = (event: Answer, options: HookOptions) => {
  const content = storedText(event.text)
  const helper = event.helperId !== undefined
  return recordOne(event, options, {
    key: key(event, options, helper ? "helper" : "answer", withText(event.helperId ?? event.promptId, event.text)),
    type: helper ? "subagent_message" : "assistant_message",
    content,
    importance: helper ? 0.5 : content.length < 40 ? 0.4 : 0.8
  })
}

const compaction = (event: Compaction, options: HookOptions) => {
  const done = event.summary !== undefined
  return recordOne(event, options, {
    key: key(event, options, done ? "compacted" : "compacting", withText(event.promptId, event.summary ?? "")),
    type: "compaction",
    content: done ? storedText(event.summary) : `context is compacted (${event.trigger.slice(0, 100)})`,
    importance: done ? 0.8 : 0.2
  })
}

const sessionEnd = (event: SessionEnd, options: HookOptions) =>
  recordOne(event, options, {
    key: key(event, options, "end", event.promptId),
    type: "session_end",
    content: `session ended (${event.reason.slice(0, 100)})`,
    importance: 0.2
  })

/**
 * Does what an event asks for and gives the answer.
 *
 * @category combinators
 * @since 0.1.0
 */
export const handle = (
  event: HookEvent,
  options: HookOptions = {}
): Effect.Effect<HookOutput.HookOutput, HookError, Requirements> => {
  switch (event._tag) {
    case "SessionStart":
      return sessionStart(event, options)
    case "Prompt":
      return prompt(event, options)
    case "ToolUse":
      return toolUse(event, options)
    case "Answer":
      return answer(event, options)
    case "Compaction":
      return compaction(event, options)
    case "SessionEnd":
      return sessionEnd(event, options)
    case "Ignored":
      return Effect.succeed(HookOutput.empty)
  }
}
