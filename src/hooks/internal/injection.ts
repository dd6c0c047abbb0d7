/**
 * Selection of the memories that a session's context receives, and the record of what it has received.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { MemoryBridge } from "../../memory/MemoryBridge.ts"
import * as Fact from "../../memory/facts/Fact.ts"
import type { SessionDigest } from "../../memory/facts/SessionDigest.ts"
import type { Session } from "../../memory/Session.ts"
import * as ContextText from "../ContextText.ts"
import type { Prompt, SessionStart } from "../HookEvent.ts"
import * as HookOutput from "../HookOutput.ts"
import * as Recall from "../Recall.ts"
import { agentContext } from "./agentContext.ts"
import type { HookOptions } from "./recording.ts"

/** Marks among the injected memories that the session has its start's context; no memory has this id. */
const startMarker = Number.MAX_SAFE_INTEGER

const maxTokens = ContextText.maxLength / ContextText.charactersPerToken

const whole = (name: keyof HookOptions, value: number, min: number, max: number): number => {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw new RangeError(`HookProgram: ${name} is ${value}; specify a whole number from ${min} to ${max}`)
}

const startBudget = ({ startTokens = 2_000 }: HookOptions) => whole("startTokens", startTokens, 1, maxTokens)

const promptBudget = ({ promptTokens = 500 }: HookOptions) => whole("promptTokens", promptTokens, 1, maxTokens)

/** Ids of memories and of facts. */
export interface Injected {
  readonly memories: ReadonlyArray<number>
  readonly facts: ReadonlyArray<number>
}

/** Marks memories and facts as injected. A failure becomes a notice: they may be injected again. */
export const markInjected = (sessionId: string, { facts, memories }: Injected, { isAwaited }: HookOptions) =>
  memories.length + facts.length === 0 || isAwaited?.() === false
    ? Effect.succeed(undefined)
    : MemoryBridge.use((memory) =>
        Effect.andThen(
          memories.length === 0 ? Effect.void : memory.markInjected(sessionId, memories),
          facts.length === 0 ? Effect.void : memory.markInjectedFacts(sessionId, facts)
        )
      ).pipe(
        Effect.as(undefined),
        Effect.catch((error) => Effect.succeed(`the injected memories were not marked: ${error.message}`))
      )

/**
 * The memories not injected yet, each text once: a text that many sessions share must not displace one that occurs
 * once.
 */
const withoutInjected = <Memory extends { readonly id: number; readonly content: string }>(
  memories: ReadonlyArray<Memory>,
  injected: ReadonlySet<number>
): ReadonlyArray<Memory> => {
  const normalized = ({ content }: Memory) => Recall.normalized(content)
  const seen = new Set(memories.filter(({ id }) => injected.has(id)).map(normalized))
  return memories.filter((memory) => {
    const before = seen.size
    return !injected.has(memory.id) && seen.add(normalized(memory)).size > before
  })
}

/** What the context of a session still contains: its own conversation, and the memories injected so far. */
export interface RetainedContext {
  readonly conversation: boolean
  readonly injected: boolean
}

/** The part of a start's context that notes take at most, which digests can't displace. */
const notesShare = 0.4

/** The parts of a digest that are not in the context yet; `undefined` if all are. */
const withoutKnown = (digest: SessionDigest, injected: ReadonlySet<number>): SessionDigest | undefined => {
  const isNew = (part: { readonly id: number }) => !injected.has(part.id)
  const prompts = digest.prompts.filter(isNew)
  const answer = digest.answer !== null && isNew(digest.answer) ? digest.answer : null
  const unfinished = digest.unfinished !== null && isNew(digest.unfinished) ? digest.unfinished : null
  return prompts.length === 0 && answer === null && unfinished === null
    ? undefined
    : { ...digest, prompts, answer, unfinished }
}

/** The most digests of routine work in a context, shown only if few others are. */
const maxRoutine = 3

/** The digests for a context, best first, without those known: routine work fills it only if little else is recorded. */
const digestsFor = (digests: ReadonlyArray<SessionDigest>, injected: ReadonlySet<number>) => {
  const valuable = digests.filter(({ value }) => value > 0)
  const routine = digests.filter(({ value }) => value === 0).slice(0, Math.max(0, maxRoutine - valuable.length))
  return [...valuable, ...routine].flatMap((digest) => withoutKnown(digest, injected) ?? [])
}

const idsOf = ({ answer, prompts, unfinished }: SessionDigest): ReadonlyArray<number> => [
  ...prompts.map(({ id }) => id),
  ...(answer === null ? [] : [answer.id]),
  ...(unfinished === null ? [] : [unfinished.id])
]

/** A start's context: its sections, and the memories in the first lines of each. */
interface StartContext {
  readonly sections: ReadonlyArray<ContextText.Section>
  readonly memories: (used: ReadonlyArray<number>) => ReadonlyArray<number>
  readonly facts: (used: ReadonlyArray<number>) => ReadonlyArray<number>
}

/** The most preferences and the most other facts in a context. */
const maxFacts = 5

/** The most facts of one kind, so that failures do not displace commands. */
const maxOfKind = 3

/** The facts for a context by weight, without those that it has: standing preferences, and others. */
const factsFor = (sessionId: string, projectId: number, retained: RetainedContext) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const now = yield* Clock.currentTimeMillis
    const injected = new Set(retained.injected ? yield* memory.getInjectedFacts(sessionId) : [])
    const known = yield* memory.listFacts(projectId, { kinds: ["preference", "fix", "command", "task"] })
    const ranked = known
      .filter(({ id }) => !injected.has(id))
      .map((fact) => ({ fact, weight: Fact.weight(fact, now) }))
      .filter(({ weight }) => weight > 0)
      .toSorted((a, b) => b.weight - a.weight)
      .map(({ fact }) => fact)
    const ofKind = new Map<string, number>()
    const others = ranked.filter(({ kind }) => {
      const count = (ofKind.get(kind) ?? 0) + 1
      ofKind.set(kind, count)
      return kind !== "preference" && count <= maxOfKind
    })
    return {
      preferences: ranked.filter(({ kind }) => kind === "preference").slice(0, maxFacts),
      others: others.slice(0, maxFacts)
    }
  })

/** The context of a start: goals, notes, and digests of recent sessions, without those injected already. */
const startContext = (sessionId: string, { project }: Session, retained: RetainedContext) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const injected = new Set(retained.injected ? yield* memory.getInjected(sessionId) : [])
    const goals = yield* memory.getActiveGoals(project.id)
    const notes = withoutInjected(yield* memory.getNotes(project.id), injected)
    const facts = yield* factsFor(sessionId, project.id, retained)
    const known = yield* memory.getDigests(project.id, {
      exceptSession: retained.conversation ? sessionId : undefined
    })
    const digests = digestsFor(known, injected)
    const of = `of the project ${ContextText.name(project.name)}`
    const context: StartContext = {
      sections: [
        { title: `Active goals ${of}:`, lines: injected.size > 0 ? [] : goals.goals.map(ContextText.goalLine) },
        { title: `Notes ${of}:`, lines: notes.map(ContextText.memoryLine), share: notesShare },
        { title: `Preferences of the user ${of}:`, lines: facts.preferences.map(ContextText.factLine), share: 0.2 },
        { title: `Facts ${of}, which may be out of date:`, lines: facts.others.map(ContextText.factLine), share: 0.2 },
        {
          title: `Memories of the project ${ContextText.name(project.name)}, recent sessions (times in UTC):`,
          lines: digests.map(ContextText.digestLine)
        }
      ],
      memories: ([, usedNotes = 0, , , usedDigests = 0]) => [
        ...notes.slice(0, usedNotes).map(({ id }) => id),
        ...digests.slice(0, usedDigests).flatMap(idsOf)
      ],
      facts: ([, , usedPreferences = 0, usedFacts = 0]) =>
        [...facts.preferences.slice(0, usedPreferences), ...facts.others.slice(0, usedFacts)].map(({ id }) => id)
    }
    return context
  })

const noStart: StartContext = { sections: [], memories: () => [], facts: () => [] }

/**
 * Updates the injected memories at a start. A fork has its parent's context but names no parent: the session
 * last active in the same worktree is taken as its parent.
 */
export const retainContext = (event: SessionStart, isNew: boolean) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    switch (event.source) {
      case "startup":
        return { conversation: false, injected: false }
      case "fork":
        if (isNew) yield* memory.inheritInjected(event.sessionId)
        return { conversation: true, injected: true }
      case "resume": {
        const { survivesResume } = agentContext(event.agent)
        if (!survivesResume) yield* memory.clearInjected(event.sessionId)
        return { conversation: true, injected: survivesResume }
      }
      case "compact":
      case "clear":
        yield* memory.clearInjected(event.sessionId)
        return { conversation: false, injected: false }
    }
  })

/** The output of a session's start: goals, notes and digests of the project. */
export const injectAtStart = (event: SessionStart, session: Session, retained: RetainedContext, options: HookOptions) =>
  Effect.gen(function* () {
    const { facts, memories, sections } = yield* startContext(event.sessionId, session, retained)
    const { text, used } = ContextText.framed(sections, startBudget(options))
    const notice = yield* markInjected(event.sessionId, { memories: memories(used), facts: facts(used) }, options)
    return { ...HookOutput.context(text), notice }
  })

/** Memories that are clearly about a prompt and not injected into the session yet. */
const reminders = (event: Prompt, session: Session, known: ReadonlySet<number>, options: HookOptions) =>
  Effect.map(
    Recall.explain(session.project.id, event.text, {
      exceptSession: event.sessionId,
      known,
      limit: whole("maxReminders", options.maxReminders ?? 3, 0, Recall.maxSearched)
    }),
    (candidates) => candidates.flatMap(({ memory, verdict }) => (verdict === "injected" ? [memory] : []))
  )

/** The output of a prompt, and the ids to mark as injected: reminders, and the start's context if it is due. */
export const injectAtPrompt = (event: Prompt, session: Session, options: HookOptions) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const injected = new Set(yield* memory.getInjected(event.sessionId))
    const needsStart = agentContext(event.agent).startContext === "firstPrompt" && !injected.has(startMarker)
    const start = needsStart
      ? yield* startContext(event.sessionId, session, { conversation: true, injected: false })
      : noStart
    const everything = start.memories(start.sections.map(({ lines }) => lines.length))
    const recalled = yield* reminders(event, session, new Set([...injected, ...everything]), options)
    const { text, used } = ContextText.framed(
      [
        ...start.sections,
        { title: "Related memories of earlier sessions (times in UTC):", lines: recalled.map(ContextText.memoryLine) }
      ],
      promptBudget(options) + (needsStart ? startBudget(options) : 0)
    )
    const ids = [
      ...(needsStart ? [startMarker] : []),
      ...start.memories(used),
      ...recalled.slice(0, used.at(-1)).map((result) => result.id)
    ]
    const injectedNow: Injected =
      text === "" ? { memories: [], facts: [] } : { memories: ids, facts: start.facts(used) }
    return { output: HookOutput.context(text), injected: injectedNow }
  })
