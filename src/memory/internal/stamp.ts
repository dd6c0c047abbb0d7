/**
 * What makes an event one event however often it is tried to record it.
 */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type { MemoryEvent } from "../MemoryEvent.ts"

const { uuidV7 } = SecureRandom.make(SecureRandom.randomBytesUnsafe)

/** Gives an event a key, a fresh UUIDv7 where it has none, and a time, now where it has none. */
export const stamp = <Event extends Pick<MemoryEvent, "key" | "timestamp">>(
  event: Event
): Effect.Effect<Event & { readonly key: string; readonly timestamp: DateTime.Utc }> =>
  Effect.gen(function* () {
    return { ...event, key: event.key ?? (yield* uuidV7()), timestamp: event.timestamp ?? (yield* DateTime.now) }
  })
