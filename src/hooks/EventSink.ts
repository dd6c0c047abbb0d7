/**
 * Where a hook puts its events when they need not wait for the database.
 *
 * By default there is no sink: an event is recorded in the memory before the hook answers. Over a database that is not
 * on this host a sink keeps the event here first, so that a database that is away loses none.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { PlacedEvent } from "../memory/MemoryRecorder.ts"

/**
 * Keeps events until the database takes them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sink {
  /** Keeps the events; `false` where it can't, and the memory itself has to take them. */
  readonly store: (events: ReadonlyArray<PlacedEvent>) => Effect.Effect<boolean>
  /** Brings what is kept into the database in the time that is left. Gives a line for a person where that fails. */
  readonly flush: Effect.Effect<string | undefined>
}

/**
 * The sink of a hook; none unless it is provided.
 *
 * @category references
 * @since 0.1.0
 */
export const EventSink: Context.Reference<Sink | undefined> = Context.Reference<Sink | undefined>(
  "athena-hooks/hooks/EventSink",
  { defaultValue: () => undefined }
)
