/**
 * Records events of the memory without waiting for its database.
 *
 * It is an `EventRecorder` whose target are the tables of the memory. An event names its project by id or by location.
 * In the second case it belongs to the project of its session, which is looked up or created when the event reaches the
 * database, so that events can be recorded while the database is unavailable.
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
 * The location of a session, for an event whose project id is unknown.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Place = Schema.Struct({ project: ProjectLocation, worktreePath: IndexedPath })

/**
 * The location of a session, for an event whose project id is unknown.
 *
 * @category models
 * @since 0.1.0
 */
export type Place = typeof Place.Type

/**
 * A stamped event: its key and time are set, its project is an id or a location.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SpooledEvent = Schema.Struct({ ...fields, project: Schema.Union([ProjectId, Place]) })

/**
 * A stamped event: its key and time are set, its project is an id or a location.
 *
 * @category models
 * @since 0.1.0
 */
export type SpooledEvent = typeof SpooledEvent.Type

/** Looks up or creates each session that is known only by its location. */
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
 * Stores 1 to 1,000 new events atomically, and creates the sessions and projects that they name by location.
 *
 * @category mutations
 * @since 0.1.0
 */
export const record: Mutation.Mutation<ReadonlyArray<SpooledEvent>, void> = Mutation.make({
  name: "memory.recordSpooled",
  input: Schema.Array(SpooledEvent).check(Schema.isBetweenLength(1, maxBatch)),
  changes: (events) =>
    events.some(({ project }) => typeof project !== "number")
      ? // The project is unknown until the session is looked up.
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
 * An event with a location in place of a project id.
 *
 * @category models
 * @since 0.1.0
 */
export type PlacedEvent = Omit<MemoryEvent, "projectId"> & { readonly place: Place }

/**
 * Constructs such an event from plain values. The redactor processes every text.
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
 * Stamps an event with its key and time, see `MemoryEvent.stamp`, and sets its project. Stamp once, before the first
 * attempt to record.
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
