/**
 * Records events of the memory without waiting for its database.
 *
 * It is an `EventRecorder` whose target are the tables of the memory. An event names its project by id, or by the place
 * where it happened: then it belongs to the project of its session, which is looked up, or made on first sight, when the
 * event reaches the database. So an event can be recorded while the database is away.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as EventRecorder from "../events/EventRecorder.ts"
import { storable } from "../internal/text.ts"
import * as Redaction from "../redaction/Redaction.ts"
import * as Dependency from "../query/Dependency.ts"
import * as Mutation from "../query/Mutation.ts"
import {
  type Input as MemoryEventInput,
  make as makeEvent,
  maxBatch,
  type MemoryEvent,
  stamp as stampEvent
} from "./MemoryEvent.ts"
import { IndexedPath, type Input as ProjectInput, ProjectId, ProjectLocation } from "./Project.ts"
import * as EventQueries from "./queries/Events.ts"
import * as ProjectMoves from "./queries/ProjectMoves.ts"
import * as SessionQueries from "./queries/Sessions.ts"
import { make as makeSession, type Session } from "./Session.ts"

const { projectId: _, ...fields } = EventQueries.StampedEvent.fields

/**
 * Where a session happens, for an event whose project is not known.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Place = Schema.Struct({ project: ProjectLocation, worktreePath: IndexedPath })

/**
 * Where a session happens, for an event whose project is not known.
 *
 * @category models
 * @since 0.1.0
 */
export type Place = typeof Place.Type

/**
 * An event on its way: its key and its time are known, its project by id or by place.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SpooledEvent = Schema.Struct({ ...fields, project: Schema.Union([ProjectId, Place]) })

/**
 * An event on its way: its key and its time are known, its project by id or by place.
 *
 * @category models
 * @since 0.1.0
 */
export type SpooledEvent = typeof SpooledEvent.Type

/** The session's project and worktree, made on first sight, for each session of which only the place is known. */
const sessionsOf = Effect.fnUntraced(function* (events: ReadonlyArray<SpooledEvent>) {
  const places = new Map<SpooledEvent["sessionId"], Place>()
  for (const { project, sessionId } of events) {
    if (typeof project !== "number" && !places.has(sessionId)) places.set(sessionId, project)
  }
  const sessions = yield* Effect.forEach(
    places,
    Effect.fnUntraced(function* ([id, place]) {
      const known = yield* SessionQueries.byId.run({ sessionId: storable(id) })
      if (known !== null) return known
      const project = {
        ...place.project,
        path: storable(place.project.path),
        name: storable(place.project.name)
      }
      yield* ProjectMoves.setAsideReused(project)
      return yield* SessionQueries.open.run({
        id: storable(id),
        project,
        worktreePath: storable(place.worktreePath)
      })
    })
  )
  return new Map<string, Session>([...places.keys()].map((id, index) => [id, sessions[index]!]))
})

/**
 * Stores events that are not stored yet, 1 to 1,000, all or none, and makes the sessions and projects that they name by
 * place.
 *
 * @category mutations
 * @since 0.1.0
 */
export const record: Mutation.Mutation<ReadonlyArray<SpooledEvent>, void> = Mutation.make({
  name: "memory.recordSpooled",
  input: Schema.Array(SpooledEvent).check(Schema.isBetweenLength(1, maxBatch)),
  changes: (events) =>
    events.some(({ project }) => typeof project !== "number")
      ? // Which project it is shows when the session is looked up.
        [Dependency.make("episodic_events"), Dependency.make("agent_sessions"), Dependency.make("projects")]
      : [...new Set(events.map(({ project }) => project as number))].map((id) =>
          Dependency.make("episodic_events", id)
        ),
  run: Effect.fnUntraced(function* (events) {
    const sessions = yield* sessionsOf(events)
    yield* EventQueries.insertAll(
      events.map(({ project, ...event }) => {
        if (typeof project === "number") return { ...event, projectId: project }
        const session = sessions.get(event.sessionId)!
        return { ...event, projectId: session.project.id, worktreePath: Redaction.redactName(session.worktreePath) }
      })
    )
  })
})

/**
 * The recorder of the memory's events. Its Layers are `EventRecorder.layer`, `layerSpool` and `layerDirect`.
 *
 * **Example**
 *
 * ```ts
 * import * as EventRecorder from "athena-hooks/events/EventRecorder"
 * import * as MemoryEvent from "athena-hooks/memory/MemoryEvent"
 * import * as MemoryRecorder from "athena-hooks/memory/MemoryRecorder"
 * import * as QueryExecutor from "athena-hooks/query/QueryExecutor"
 * import * as Effect from "effect/Effect"
 * import * as Layer from "effect/Layer"
 *
 * const Recorder = EventRecorder.layer(MemoryRecorder.MemoryRecorder, { filename: "events.spool" }).pipe(
 *   Layer.provide(QueryExecutor.layer)
 * )
 *
 * const program = Effect.gen(function* () {
 *   const recorder = yield* MemoryRecorder.MemoryRecorder
 *   const event = yield* MemoryRecorder.stamp(
 *     MemoryEvent.make({ projectId: 7, sessionId: "s-1", type: "note", content: "It works" })
 *   )
 *   yield* recorder.record(event, { ack: "spooled" })
 * })
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class MemoryRecorder extends EventRecorder.Service<MemoryRecorder, SpooledEvent>()(
  "athena-hooks/memory/MemoryRecorder",
  {
    name: "memory.events",
    event: SpooledEvent,
    id: ({ key }) => key,
    order: ({ sessionId }) => sessionId,
    target: record
  }
) {}

/**
 * An event of which it is known where it happened, and not yet in which project.
 *
 * @category models
 * @since 0.1.0
 */
export type PlacedEvent = Omit<MemoryEvent, "projectId"> & { readonly place: Place }

/**
 * Makes such an event of plain values: every text goes through the redactor.
 *
 * @category constructors
 * @since 0.1.0
 */
export const placed = ({
  place,
  ...event
}: Omit<MemoryEventInput, "projectId"> & {
  readonly place: { readonly project: ProjectInput; readonly worktreePath: string }
}): PlacedEvent => {
  const { project, worktreePath } = makeSession({ id: event.sessionId, ...place })
  return { ...(makeEvent(event) as Omit<MemoryEvent, "projectId">), place: { project, worktreePath } }
}

/**
 * Makes an event ready: with a key, a fresh UUIDv7 where it has none, and a time, now where it has none. Do it once, before
 * the first attempt to record the event. With a place, the event belongs to the project of its session.
 *
 * @category constructors
 * @since 0.1.0
 */
export const stamp = Effect.fnUntraced(function* (event: MemoryEvent | PlacedEvent): Effect.fn.Return<SpooledEvent> {
  if ("place" in event) {
    const { place, ...rest } = event
    return { ...(yield* stampEvent(rest)), project: place }
  }
  const { projectId, ...rest } = event
  return { ...(yield* stampEvent(rest)), project: projectId }
})
