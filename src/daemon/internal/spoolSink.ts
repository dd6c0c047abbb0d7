/**
 * Stores the events of hooks in the spool; the relay of the recorder delivers them to the database.
 */
import * as Effect from "effect/Effect"
import type { EventRecorder } from "../../events/EventRecorder.ts"
import type { Sink } from "../../hooks/EventSink.ts"
import { type SpooledEvent, stamp } from "../../memory/MemoryRecorder.ts"

/** The sink of one payload. */
export interface PayloadSink {
  readonly sink: Sink
  /** Events that the spool did not store; the database may still store them. */
  readonly rejected: () => number
}

export interface Sinks {
  readonly next: () => PayloadSink
  /** Events in the spool. */
  readonly stored: () => number
}

export const make = (recorder: EventRecorder<SpooledEvent>): Sinks => {
  let stored = 0
  const next = (): PayloadSink => {
    let rejected = 0
    const store: Sink["store"] = (events) =>
      Effect.forEach(events, stamp).pipe(
        Effect.flatMap((stamped) => recorder.recordAll(stamped, { ack: "spooled" })),
        Effect.map(() => {
          stored += events.length
          return true
        }),
        Effect.catch((error) => {
          rejected += events.length
          return Effect.as(Effect.logWarning(`the spool rejected the events: ${error.message}`), false)
        })
      )
    return { sink: { store, flush: Effect.succeed(undefined) }, rejected: () => rejected }
  }
  return { next, stored: () => stored }
}
