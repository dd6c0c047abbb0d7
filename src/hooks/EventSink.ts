/**
 * A local store for events, used when the database is remote.
 *
 * Without a sink, an event is in the memory before the hook responds. With one, it is first stored on this host, so
 * that an unavailable database loses none.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { PlacedEvent } from "../memory/MemoryRecorder.ts"

/**
 * Stores events until the database accepts them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sink {
  /** Stores the events; `false` if it can't, so that the memory must store them. */
  readonly store: (events: ReadonlyArray<PlacedEvent>) => Effect.Effect<boolean>
  /** Delivers stored events to the database within the remaining time. Returns a notice if that fails. */
  readonly flush: Effect.Effect<string | undefined>
}

/**
 * The sink of a hook; `undefined` by default.
 *
 * @category references
 * @since 0.1.0
 */
export const EventSink: Context.Reference<Sink | undefined> = Context.Reference<Sink | undefined>(
  "athena-hooks/hooks/EventSink",
  { defaultValue: () => undefined }
)
