/**
 * Recording of a session's events: the session's project, the event's location, and the choice between the sink and the
 * memory.
 */
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as Path from "effect/Path"
import { MemoryBridge } from "../../memory/MemoryBridge.ts"
import type { MemoryError } from "../../memory/MemoryError.ts"
import * as MemoryEvent from "../../memory/MemoryEvent.ts"
import * as MemoryRecorder from "../../memory/MemoryRecorder.ts"
import { make as makeSession, type Session } from "../../memory/Session.ts"
import { EventSink } from "../EventSink.ts"
import type { HookEvent } from "../HookEvent.ts"
import * as Relocation from "../Relocation.ts"
import * as Repository from "../Repository.ts"

/**
 * Options of the programs. A number out of its bounds is a defect, a `RangeError` that names it.
 *
 * @category models
 * @since 0.1.0
 */
export interface HookOptions {
  /** Budget of the context at a session's start, in tokens of four characters, from 1 to 2,500. 2,000 when absent. */
  readonly startTokens?: number | undefined
  /** Budget of the reminder at a prompt, in tokens of four characters, from 1 to 2,500. 500 when absent. */
  readonly promptTokens?: number | undefined
  /** The most memories in a reminder, from 0 to 30. 3 when absent. */
  readonly maxReminders?: number | undefined
  /**
   * The folder in which the agent started, if the agent reports it. It decides the project of a session whose first event
   * arrives after the agent has changed its working directory.
   */
  readonly projectFolder?: string | undefined
  /**
   * Identifies the delivery, 1 to 64 characters. An event without an id of its own is stored once for each delivery id.
   */
  readonly deliveryId?: string | undefined
  /**
   * Resolves the repository of a folder for an event of a session; `Repository.find` when absent. A daemon provides a
   * cached lookup, so that it does not read git's files at each event.
   */
  readonly findRepository?: typeof findRepository | undefined
  /**
   * Whether the agent still waits for the response, evaluated when the response is complete. Memories are marked as injected
   * only if it does. Always `true` when absent.
   */
  readonly isAwaited?: (() => boolean) | undefined
}

/**
 * Requirements of a program.
 *
 * @category models
 * @since 0.1.0
 */
export type Requirements = MemoryBridge | FileSystem.FileSystem | Path.Path

/**
 * Errors of a program.
 *
 * @category errors
 * @since 0.1.0
 */
export type HookError = MemoryError | Repository.FolderNotFound

/** An event without its location, which `record` adds. */
export type EventDraft = Omit<MemoryEvent.Input, "projectId" | "sessionId" | "cwd" | "worktreePath">

const findRepository = (
  _sessionId: string,
  folder: string
): Effect.Effect<Repository.Repository, Repository.FolderNotFound, FileSystem.FileSystem | Path.Path> =>
  Repository.find(folder)

/**
 * The repository of an event. With a sink, an event from a deleted folder, such as a worktree removed at the end of a job,
 * is stored too: under the project of its session if the memory has one, else under a project named after the folder.
 */
const locate = (event: HookEvent, { findRepository: find = findRepository, projectFolder = event.cwd }: HookOptions) =>
  find(event.sessionId, projectFolder).pipe(
    Effect.catchTag("FolderNotFound", (error) =>
      projectFolder === event.cwd ? Effect.fail(error) : find(event.sessionId, event.cwd)
    ),
    Effect.catchTag("FolderNotFound", (error) =>
      Effect.flatMap(EventSink, (sink) =>
        sink === undefined ? Effect.fail(error) : Repository.fromPath(projectFolder)
      )
    )
  )

/** The session of an event; its project is that of its first event. */
export const sessionOf = (event: HookEvent, options: HookOptions): Effect.Effect<Session, HookError, Requirements> =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const stored = yield* memory.getSession(event.sessionId)
    if (Option.isSome(stored)) return stored.value
    const session = makeSession({ id: event.sessionId, ...(yield* locate(event, options)) })
    yield* Relocation.reconcile(session.project)
    return yield* memory.openSession(session)
  })

/** The event of a draft, with its location. */
export const located = (event: HookEvent, session: Session, draft: EventDraft): MemoryEvent.MemoryEvent =>
  MemoryEvent.make({
    projectId: session.project.id,
    sessionId: event.sessionId,
    cwd: event.cwd,
    worktreePath: session.worktreePath,
    ...draft
  })

/** Stores the events in the sink; `false` without a sink, or if the sink rejects them. */
export const storeInSink = (
  event: HookEvent,
  options: HookOptions,
  drafts: ReadonlyArray<EventDraft>
): Effect.Effect<boolean, Repository.FolderNotFound, Requirements> =>
  Effect.gen(function* () {
    const sink = yield* EventSink
    if (sink === undefined) return false
    const place = yield* locate(event, options)
    return yield* sink.store(
      drafts
        .filter(({ content }) => content !== "")
        .map((draft) => MemoryRecorder.placed({ ...draft, sessionId: event.sessionId, cwd: event.cwd, place }))
    )
  })

/** Stores an event in the memory; one without content is dropped. */
export const storeInMemory = (
  event: HookEvent,
  session: Session,
  draft: EventDraft
): Effect.Effect<void, MemoryError, MemoryBridge> =>
  draft.content === ""
    ? Effect.void
    : MemoryBridge.use((memory) => Effect.asVoid(memory.recordEvent(located(event, session, draft))))

/**
 * Stores an event in the sink, or else in the memory. The stamp precedes the first attempt, so that an event that the
 * sink stored in part has the same key in the memory.
 */
export const record = (
  event: HookEvent,
  options: HookOptions,
  draft: EventDraft
): Effect.Effect<void, HookError, Requirements> =>
  Effect.gen(function* () {
    const stamped = yield* MemoryEvent.stamp(draft)
    if (yield* storeInSink(event, options, [stamped])) return
    yield* storeInMemory(event, yield* sessionOf(event, options), stamped)
  })
