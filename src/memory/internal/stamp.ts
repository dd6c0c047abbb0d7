/**
 * What makes an event one event however often it is tried to record it.
 */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Redaction from "../../redaction/Redaction.ts"

const { uuidV7 } = SecureRandom.make(SecureRandom.randomBytesUnsafe)

/** Gives an event a key, a fresh UUIDv7 where it has none, and a time, now where it has none. */
export const stamp = <
  Event extends { readonly key?: string | undefined; readonly timestamp?: DateTime.Utc | undefined }
>(
  event: Event
): Effect.Effect<
  Event & { readonly key: NonNullable<Event["key"]> | Redaction.RedactedText; readonly timestamp: DateTime.Utc }
> =>
  Effect.gen(function* () {
    const key: NonNullable<Event["key"]> | Redaction.RedactedText = event.key ?? Redaction.redactName(yield* uuidV7())
    return { ...event, key, timestamp: event.timestamp ?? (yield* DateTime.now) }
  }) as never
