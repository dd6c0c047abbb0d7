/**
 * Keeps the events of hooks in the spool, from which the recorder brings them into the database by itself.
 */
import * as Effect from "effect/Effect"
import type { EventRecorder } from "../../events/EventRecorder.ts"
import type { Sink } from "../../hooks/EventSink.ts"
import { type SpooledEvent, stamp } from "../../memory/MemoryRecorder.ts"

export interface CountingSink {
  readonly sink: Sink
  /** Events that were kept. */
  readonly kept: () => number
}

export const make = (recorder: EventRecorder<SpooledEvent>): CountingSink => {
  let kept = 0
  const keep: Sink["keep"] = (events) =>
    Effect.forEach(events, stamp).pipe(
      Effect.flatMap((stamped) => recorder.recordAll(stamped, { ack: "spooled" })),
      Effect.map(() => {
        kept += events.length
        return true
      }),
      // The database itself may still take them.
      Effect.catch((error) => Effect.as(Effect.logWarning(`the spool took nothing: ${error.message}`), false))
    )
  return { sink: { keep, settle: Effect.succeed(undefined) }, kept: () => kept }
}
