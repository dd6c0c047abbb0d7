/**
 * Keeps the events of hooks in the spool, from which the recorder brings them into the database by itself.
 */
import * as Effect from "effect/Effect"
import type { EventRecorder } from "../../events/EventRecorder.ts"
import type { Sink } from "../../hooks/EventSink.ts"
import { type SpooledEvent, stamp } from "../../memory/MemoryRecorder.ts"

/** The sink of one payload. */
export interface PayloadSink {
  readonly sink: Sink
  /** Events of it that could not be kept: the database itself may still take them. */
  readonly refused: () => number
}

export interface Sinks {
  readonly next: () => PayloadSink
  /** Events that were kept. */
  readonly kept: () => number
}

export const make = (recorder: EventRecorder<SpooledEvent>): Sinks => {
  let kept = 0
  const next = (): PayloadSink => {
    let refused = 0
    const keep: Sink["store"] = (events) =>
      Effect.forEach(events, stamp).pipe(
        Effect.flatMap((stamped) => recorder.recordAll(stamped, { ack: "spooled" })),
        Effect.map(() => {
          kept += events.length
          return true
        }),
        Effect.catch((error) => {
          refused += events.length
          return Effect.as(Effect.logWarning(`the spool took nothing: ${error.message}`), false)
        })
      )
    return { sink: { store: keep, flush: Effect.succeed(undefined) }, refused: () => refused }
  }
  return { next, kept: () => kept }
}
