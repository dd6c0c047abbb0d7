/**
 * Measures the injections and the searches of a history: each labelled prompt is submitted in a session of its own at the
 * end of the history.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import { EventSink } from "../../src/hooks/EventSink.ts"
import { MemoryBridge } from "../../src/memory/MemoryBridge.ts"
import type * as History from "./History.ts"
import * as Replay from "./Replay.ts"
import { at } from "./wallClock.ts"

/** The outcome of a labelled prompt. */
export interface PromptOutcome {
  readonly prompt: History.Prompt
  /** The injected text; empty if none. */
  readonly context: string
  /** The memory of the history to which each injected passage belongs. */
  readonly passages: ReadonlyArray<string | undefined>
  /** How many of them a later memory replaces. */
  readonly superseded: number
  /** Whether the injection contains all required strings. */
  readonly isCovered: boolean
  /** Whether one of the first five results of an explicit search is relevant. */
  readonly isFound: boolean
  /** Milliseconds of the hook program. */
  readonly latency: number
}

/** The context of a session start, and the labelled facts that it lacks. */
export interface StartOutcome {
  readonly facts: number
  readonly missing: ReadonlyArray<History.Fact>
  readonly context: string
}

export interface Outcome {
  readonly history: History.History
  readonly prompts: ReadonlyArray<PromptOutcome>
  /** A start after the last session with a labelled memory. */
  readonly startBeforeChores: StartOutcome
  /** A start at the end of the history. */
  readonly startAfterChores: StartOutcome
}

/** Records a history into an empty project below `root` and measures it. */
export const measure = (root: string, history: History.History) =>
  Effect.gen(function* () {
    const recording = yield* Replay.start(root, history)
    const chores = lastLabelled(history) + 1
    let end = history.now
    for (const session of history.sessions.slice(0, chores)) end = yield* Replay.session(recording, session)
    const startBeforeChores = yield* measureStart(
      recording,
      history,
      "before chores",
      DateTime.add(end, { minutes: 10 })
    )
    for (const session of history.sessions.slice(chores)) yield* Replay.session(recording, session)
    const startAfterChores = yield* measureStart(recording, history, "after chores", history.now)
    const prompts = yield* Effect.forEach(history.prompts, (prompt, index) =>
      measurePrompt(recording, history, prompt, `labelled-${index}`)
    )
    return { history, prompts, startBeforeChores, startAfterChores } satisfies Outcome
  })

/** The index of the last session with a labelled memory; the sessions after it are chores. */
const lastLabelled = ({ prompts, sessions, superseded }: History.History): number => {
  const labelled = new Set([...superseded, ...prompts.flatMap(({ relevant }) => relevant)])
  return sessions.findLastIndex(({ compactions, exchanges, goals, notes }) =>
    [...exchanges, ...compactions, ...notes, ...goals].some(({ id }) => labelled.has(id))
  )
}

/** Accepts events and drops them, so that no labelled prompt becomes a memory of the next. */
const discarded = Effect.provideService(EventSink, {
  store: () => Effect.succeed(true),
  flush: Effect.succeed(undefined)
})

const measureStart = ({ cwd }: Replay.Recording, { start }: History.History, sessionId: string, time: DateTime.Utc) =>
  Effect.gen(function* () {
    const body = { hook_event_name: "SessionStart", source: "startup" }
    const { context = "" } = yield* Replay.hook(cwd, sessionId, body).pipe(discarded, at(time))
    const missing = start.filter(({ any }) => !any.some((text) => contains(context, text)))
    return { facts: start.length, missing, context } satisfies StartOutcome
  })

const measurePrompt = (
  { cwd, memories, projectId }: Replay.Recording,
  { now, superseded }: History.History,
  prompt: History.Prompt,
  sessionId: string
) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const body = { hook_event_name: "UserPromptSubmit", prompt: prompt.text, prompt_id: sessionId }
    const started = performance.now()
    const { context = "" } = yield* Replay.hook(cwd, sessionId, body).pipe(discarded)
    const latency = performance.now() - started
    const passages = (yield* memory.getInjected(sessionId)).map((id) => memories.get(id))
    const { results } = yield* memory.searchMemories(projectId, prompt.text, { limit: 5 })
    return {
      prompt,
      context,
      passages,
      superseded: passages.filter((id) => id !== undefined && superseded.includes(id)).length,
      isCovered: prompt.must.every((text) => contains(context, text)),
      isFound: results.some(({ id }) => prompt.relevant.includes(memories.get(id) ?? "")),
      latency
    } satisfies PromptOutcome
  }).pipe(at(now))

/** Line breaks of a memory are spaces in a context. */
const contains = (context: string, text: string) => oneLine(context).includes(oneLine(text))

const oneLine = (text: string) => text.replace(/\s+/g, " ")
