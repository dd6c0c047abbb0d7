/**
 * What a hook does: one program for each event of a session.
 *
 * The programs record what happened and, where the agent takes it, answer with what is remembered. They fail with typed
 * errors; it is `HookRunner` that turns a failure into an empty answer.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import { preview } from "../internal/text.ts"
import * as CompactionSummary from "../memory/CompactionSummary.ts"
import type { FoundMemory } from "../memory/Memory.ts"
import { MemoryBridge } from "../memory/MemoryBridge.ts"
import type { MemoryError } from "../memory/MemoryError.ts"
import * as MemoryEvent from "../memory/MemoryEvent.ts"
import * as MemoryRecorder from "../memory/MemoryRecorder.ts"
import * as Relevance from "../memory/Relevance.ts"
import * as Redaction from "../redaction/Redaction.ts"
import { make as makeSession, type Session } from "../memory/Session.ts"
import * as ContextText from "./ContextText.ts"
import { EventSink } from "./EventSink.ts"
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
import * as PromptOrigin from "./PromptOrigin.ts"
import * as Relocation from "./Relocation.ts"
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
  readonly maxReminders?: number | undefined
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
  readonly findRepository?: typeof findPlace | undefined
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
const placeOf = (event: HookEvent, { findRepository: find = findPlace, projectFolder = event.cwd }: HookOptions) =>
  find(event.sessionId, projectFolder).pipe(
    Effect.catchTag("FolderNotFound", (error) =>
      projectFolder === event.cwd ? Effect.fail(error) : find(event.sessionId, event.cwd)
    ),
    Effect.catchTag("FolderNotFound", (error) =>
      Effect.flatMap(EventSink, (sink) => (sink === undefined ? Effect.fail(error) : Repository.fromPath(projectFolder)))
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

/** The session of an event; its project is that of the first event. */
const session = (event: HookEvent, options: HookOptions): Effect.Effect<Session, HookError, Requirements> =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const known = yield* memory.getSession(event.sessionId)
    if (Option.isSome(known)) return known.value
    const session = makeSession({ id: event.sessionId, ...(yield* placeOf(event, options)) })
    yield* Relocation.reconcile(session.project)
    return yield* memory.openSession(session)
  })

const storedText = (text: string, length: number = storedLength): string => Redaction.excerpt(text, length)

const common = (event: HookEvent, current: Session) => ({
  projectId: current.project.id,
  sessionId: event.sessionId,
  cwd: event.cwd,
  worktreePath: current.worktreePath
})

const record = (event: MemoryEvent.Input): Effect.Effect<void, MemoryError, MemoryBridge> =>
  event.content === ""
    ? Effect.void
    : MemoryBridge.use((memory) => Effect.asVoid(memory.recordEvent(MemoryEvent.make(event))))

/** What an event is about; where it happened is known from the hook's own. */
type Draft = Omit<MemoryEvent.Input, "projectId" | "sessionId" | "cwd" | "worktreePath">

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
    return yield* sink.store(
      drafts
        .filter(({ content }) => content !== "")
        .map((draft) => MemoryRecorder.placed({ ...draft, sessionId: event.sessionId, cwd: event.cwd, place }))
    )
  })

/** Records an event that nothing is answered to. */
const recordOne = (event: HookEvent, options: HookOptions, unstamped: Draft) =>
  Effect.gen(function* () {
    // Before the first attempt: what was kept in part is the same event when the memory itself takes it.
    const draft = yield* MemoryEvent.stamp(unstamped)
    if (yield* isKept(event, options, [draft])) return HookOutput.empty
    const current = yield* session(event, options)
    yield* record({ ...common(event, current), ...draft })
    return HookOutput.empty
  })

/** Remembers what a session was told. Where that can't be done, it is told all the same, and may be told again. */
const remember = (sessionId: string, memoryIds: ReadonlyArray<number>, { isAwaited }: HookOptions) =>
  memoryIds.length === 0 || isAwaited?.() === false
    ? Effect.succeed(undefined)
    : MemoryBridge.use((memory) => memory.markInjected(sessionId, memoryIds)).pipe(
        Effect.as(undefined),
        Effect.catch((error) => Effect.succeed(`what was told is not remembered: ${error.message}`))
      )

/**
 * Stands among the memories that a session was shown for the context of its start as a whole: no memory has this id. It
 * goes where they go, when the session's context is lost.
 */
const startContext = Number.MAX_SAFE_INTEGER

/** How many memories the context of a start has at most. */
const maxStart = 7

/** How many more are read because some are of no use to a model or repeat others; the query ranks as many anyway. */
const spare = 57

/**
 * Whether a memory is of use to a model: not what an agent's program wrote, also where an earlier release stored it
 * as a prompt, and not that a session ended or that a compaction began.
 */
const isOfUse = ({ content, type }: { readonly type: string; readonly content: string }): boolean => {
  switch (type) {
    case "notification":
    case "session_end":
      return false
    case "compaction":
      return !content.startsWith("context is compacted (")
    case "user_question":
      return !PromptOrigin.isGenerated(content)
    default:
      return true
  }
}

/**
 * Those that were not shown, without repeats of them and of what was shown: what is said in every session crowds out what
 * was said once.
 */
const unseen = <Memory extends { readonly id: number; readonly content: string }>(
  memories: ReadonlyArray<Memory>,
  shown: ReadonlySet<number>
): ReadonlyArray<Memory> => {
  const words = ({ content }: Memory) => content.replace(/\s+/g, " ").trim().toLowerCase()
  const seen = new Set(memories.filter(({ id }) => shown.has(id)).map(words))
  return memories.filter((memory) => {
    const before = seen.size
    return !shown.has(memory.id) && seen.add(words(memory)).size > before
  })
}

/** The context of a session's start. `continues` where it still has what was said and shown before. */
const startSections = (
  sessionId: string,
  current: Session,
  continues: { readonly said: boolean; readonly shown: boolean }
) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const shown = new Set(continues.shown ? yield* memory.getInjected(sessionId) : [])
    const goals = yield* memory.getActiveGoals(current.project.id)
    const active = yield* memory.getActiveMemories(current.project.id, {
      limit: Math.min(maxStart + spare + shown.size, 100),
      worktreePath: current.worktreePath,
      exceptSession: continues.said ? sessionId : undefined
    })
    const memories = unseen(active.items.filter(isOfUse), shown).slice(0, maxStart)
    const sections: ReadonlyArray<ContextText.Section> = [
      {
        title: `Active goals of the project ${ContextText.name(current.project.name)}:`,
        lines: shown.size > 0 ? [] : goals.goals.map(ContextText.goalLine)
      },
      {
        title: `What is remembered of the project ${ContextText.name(current.project.name)} (times in UTC):`,
        lines: memories.map(ContextText.memoryLine)
      }
    ]
    return { memories: memories.map(({ id }) => id), sections }
  })

/**
 * Brings what the session was shown up to date with what its context still holds. A fork has its parent's context, but
 * names no parent: it is taken to be the session that was last active in the worktree.
 */
const carryOver = (event: SessionStart, isNew: boolean) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    switch (event.source) {
      case "startup":
        return { said: false, shown: false }
      case "fork":
        if (isNew) yield* memory.inheritInjected(event.sessionId)
        return { said: true, shown: true }
      case "resume": {
        const { survivesResume } = agentContext(event.agent)
        if (!survivesResume) yield* memory.clearInjected(event.sessionId)
        return { said: true, shown: survivesResume }
      }
      case "compact":
      case "clear":
        yield* memory.clearInjected(event.sessionId)
        return { said: false, shown: false }
    }
  })

/** Tells the agent what matters, and remembers what it was told. */
const sessionStart = (event: SessionStart, options: HookOptions) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const isNew = event.source === "fork" && Option.isNone(yield* memory.getSession(event.sessionId))
    const current = yield* session(event, options)
    const continues = yield* carryOver(event, isNew)
    if (agentContext(event.agent).startContext === "firstPrompt") return HookOutput.empty
    const { memories, sections } = yield* startSections(event.sessionId, current, continues)
    const { text, used } = ContextText.framed(sections, options.startTokens ?? 2_000)
    const notice = yield* remember(event.sessionId, memories.slice(0, used[1]), options)
    return { ...HookOutput.context(text), notice }
  })

/** A reminder must be plainly about the prompt: it has two of its words, or all where there is only one. */
const isRelevant = (memory: FoundMemory, terms: number): boolean =>
  memory.matchedTerms >= Math.min(2, terms) && memory.matchedTerms / terms >= 0.25

/** That a tool once worked, or may have, is worth recalling by search, but not by itself. */
const isTelling = (memory: FoundMemory): boolean =>
  isOfUse(memory) && (memory.type !== "tool_execution" || memory.outcome === "failure")

/** What is remembered of what a prompt is about, and was not shown yet. */
const reminders = (event: Prompt, current: Session, shown: ReadonlySet<number>, options: HookOptions) =>
  Effect.gen(function* () {
    const terms = Relevance.terms(event.text)
    if (terms.length === 0) return []
    const memory = yield* MemoryBridge
    const { results } = yield* memory.searchMemories(current.project.id, event.text, {
      limit: 30,
      fragments: false,
      exceptSession: event.sessionId
    })
    const relevant = results.filter((result) => isRelevant(result, terms.length) && isTelling(result))
    return unseen(relevant, shown).slice(0, options.maxReminders ?? 3)
  })

const remind = (event: Prompt, current: Session, options: HookOptions) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const shown = new Set(yield* memory.getInjected(event.sessionId))
    const isFirst = agentContext(event.agent).startContext === "firstPrompt" && !shown.has(startContext)
    const start = isFirst
      ? yield* startSections(event.sessionId, current, { said: true, shown: false })
      : { memories: [], sections: [] }
    const fresh = yield* reminders(event, current, new Set([...shown, ...start.memories]), options)
    const { text, used } = ContextText.framed(
      [
        ...start.sections,
        { title: `Remembered of earlier sessions (times in UTC):`, lines: fresh.map(ContextText.memoryLine) }
      ],
      (options.promptTokens ?? 500) + (isFirst ? (options.startTokens ?? 2_000) : 0)
    )
    const told = [
      ...(isFirst ? [startContext] : []),
      ...start.memories.slice(0, used[1]),
      ...fresh.slice(0, used.at(-1)).map((result) => result.id)
    ]
    return { output: HookOutput.context(text), told: text === "" ? [] : told }
  })

/** Records the prompt, then reminds of what it is about. A prompt that can't be recorded is answered all the same. */
const prompt = (event: Prompt, options: HookOptions) =>
  Effect.gen(function* () {
    const content = storedText(event.text)
    const draft = yield* MemoryEvent.stamp<Draft>({
      ...EventKey.ofPrompt(event, options.deliveryId, content),
      type: event.isFromUser ? "user_question" : "notification",
      content,
      importance: !event.isFromUser ? 0.1 : content.length < 20 ? 0.3 : 0.75
    })
    const kept = yield* isKept(event, options, [draft])
    if (kept && !event.isFromUser) return HookOutput.empty
    const current = yield* session(event, options)
    const notice = kept
      ? undefined
      : yield* record({ ...common(event, current), ...draft }).pipe(
          Effect.as(undefined),
          Effect.catch((error) => Effect.succeed(`the prompt was not recorded: ${error.message}`))
        )
    if (!event.isFromUser) return { ...HookOutput.empty, notice }
    const { output, told } = yield* remind(event, current, options)
    // What kept the prompt from being recorded, such as a lock, is not waited for a second time.
    return { ...output, notice: notice ?? (yield* remember(event.sessionId, told, options)) }
  })

const toolContent = (call: ToolCall): string => {
  const subject = storedText(call.subject, subjectLength)
  const what = subject === "" ? call.tool : `${call.tool}: ${subject}`
  return call.error === undefined ? what : `${what}\nfailed: ${storedText(call.error, errorLength)}`
}

const toolDraft = (event: ToolUse, options: HookOptions, call: ToolCall, index: number): Draft => {
  const content = toolContent(call)
  return {
    ...EventKey.ofToolCall(event, call, options.deliveryId, index, content),
    type: "tool_execution",
    content,
    outcome: call.outcome === "unknown" ? undefined : call.outcome,
    durationMs: call.durationMs,
    files: call.files.slice(0, 100),
    filesChanged: call.changesFiles && call.outcome !== "failure" ? call.files.length : 0,
    importance: call.outcome === "failure" ? 0.6 : call.changesFiles ? 0.5 : 0.3
  }
}

const toolUse = (event: ToolUse, options: HookOptions) =>
  Effect.gen(function* () {
    const unstamped = event.calls.slice(0, 1_000).map((call, index) => toolDraft(event, options, call, index))
    const drafts = yield* Effect.forEach(unstamped, MemoryEvent.stamp)
    if (yield* isKept(event, options, drafts)) return HookOutput.empty
    const memory = yield* MemoryBridge
    const current = yield* session(event, options)
    yield* memory.recordEvents(drafts.map((draft) => MemoryEvent.make({ ...common(event, current), ...draft })))
    return HookOutput.empty
  })

const answer = (event: Answer, options: HookOptions) => {
  const content = storedText(event.text)
  const helper = event.subagentId !== undefined
  return recordOne(event, options, {
    ...EventKey.ofAnswer(event, options.deliveryId),
    type: helper ? "subagent_message" : "assistant_message",
    content,
    importance: helper ? 0.5 : content.length < 40 ? 0.4 : 0.8
  })
}

const compaction = (event: Compaction, options: HookOptions) => {
  const summary = event.summary === undefined ? undefined : CompactionSummary.parse(event.summary)
  return recordOne(event, options, {
    ...EventKey.ofCompaction(event, summary?.text, options.deliveryId),
    type: "compaction",
    content:
      summary === undefined
        ? `context is compacted (${event.trigger.slice(0, 100)})`
        : // No adapter has cut it, so none of its end can be half a secret.
          preview(Redaction.redact(summary.text), MemoryEvent.maxContentLength),
    importance: summary === undefined ? 0.2 : 0.8
  })
}

const interruption = (event: Interruption, options: HookOptions) =>
  recordOne(event, options, {
    ...EventKey.ofInterruption(event, options.deliveryId),
    type: "notification",
    content: "the user interrupted the agent",
    importance: 0.1
  })

const sessionEnd = (event: SessionEnd, options: HookOptions) =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    recordOne(event, options, {
      ...EventKey.ofSessionEnd(event, now),
      type: "session_end",
      content: `session ended (${event.reason.slice(0, 100)})`,
      importance: 0.2
    })
  )

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
    case "Interruption":
      return interruption(event, options)
    case "SessionEnd":
      return sessionEnd(event, options)
    case "Ignored":
      return Effect.succeed(HookOutput.empty)
  }
}
