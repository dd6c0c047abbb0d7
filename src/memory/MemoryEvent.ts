/**
 * Something that happened in a session, on its way into memory.
 *
 * @since 0.1.0
 */
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Redaction from "../redaction/Redaction.ts"
import { MemoryId } from "./Memory.ts"
import { IndexedPath, ProjectId } from "./Project.ts"

/**
 * The longest content of an event, in UTF-16 units: 131,072. The longest texts are the summaries of compactions, which
 * Claude Code limits to 20,000 tokens.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxContentLength = 131_072

/**
 * The most events that one call records: 1,000.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxBatch = 1_000

const Path = Redaction.RedactedText.check(Schema.isMaxLength(4096))
const Ratio = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))

const Key = Redaction.RedactedText.check(Schema.isBetweenLength(1, 255))

/**
 * A key under which the event may be stored already, by an earlier release or by another delivery.
 *
 * @category schemas
 * @since 0.1.0
 */
export const EarlierKey = Schema.Struct({
  /** 1 to 255 characters. */
  key: Key,
  /**
   * How the content of the event that is stored under the key begins, at most 255 characters, where the key alone does
   * not distinguish the two. A row whose content begins otherwise is another event.
   */
  beginsWith: Schema.optional(Redaction.RedactedText.check(Schema.isMaxLength(255)))
})

/**
 * A key under which the event may be stored already, by an earlier release or by another delivery.
 *
 * @category models
 * @since 0.1.0
 */
export type EarlierKey = typeof EarlierKey.Type

/**
 * An event to record; `make` makes one. NUL characters and lone surrogates, which databases refuse, are stored as U+FFFD.
 *
 * @category schemas
 * @since 0.1.0
 */
export const MemoryEvent = Schema.Struct({
  /**
   * What makes the event the same event when it is recorded again, 1 to 255 characters, unique in the database. A key
   * that is already stored changes nothing. A fresh UUIDv7 when absent.
   */
  key: Schema.optional(Key),
  /** Other keys under which the event may be stored; then it changes nothing either. At most 8. */
  earlierKeys: Schema.optional(Schema.Array(EarlierKey).check(Schema.isMaxLength(8))),
  projectId: ProjectId,
  /** 1 to 255 characters. */
  sessionId: Redaction.RedactedText.check(Schema.isBetweenLength(1, 255)),
  /** 1 to 50 characters. */
  type: Redaction.RedactedText.check(Schema.isBetweenLength(1, 50)),
  /** 1 to `maxContentLength` UTF-16 units. */
  content: Redaction.RedactedText.check(Schema.isBetweenLength(1, maxContentLength)),
  /** For example `success` or `failure`; at most 255 characters. */
  outcome: Schema.optional(Redaction.RedactedText.check(Schema.isMaxLength(255))),
  /** When it happened. Now when absent. */
  timestamp: Schema.optional(Schema.DateTimeUtcFromMillis),
  /** How long it took, in milliseconds, up to 24 days. */
  durationMs: Schema.optional(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 2_147_483_647 }))),
  cwd: Schema.optional(Path),
  /** At most 100 files. */
  files: Schema.optional(Schema.Array(Path).check(Schema.isMaxLength(100))),
  /** How many files it changed, at most 100,000. 0 when absent. */
  filesChanged: Schema.optional(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100_000 }))),
  worktreePath: Schema.optional(IndexedPath),
  /** From 0 to 1; 0.5 when absent. Above 0.7 the memory stays in the working set longer. */
  importance: Schema.optional(Ratio)
})

/**
 * An event to record.
 *
 * @category models
 * @since 0.1.0
 */
export type MemoryEvent = typeof MemoryEvent.Type

/**
 * What an event is made of: the fields of a `MemoryEvent`, with any text.
 *
 * @category models
 * @since 0.1.0
 */
export type Input = Omit<Redaction.Unredacted<MemoryEvent>, "earlierKeys"> & {
  readonly earlierKeys?: ReadonlyArray<Redaction.Unredacted<EarlierKey>> | undefined
}

const earlierKey = ({ beginsWith, key }: Redaction.Unredacted<EarlierKey>): EarlierKey => ({
  key: Redaction.redactName(key, 255),
  ...(beginsWith === undefined ? {} : { beginsWith: Redaction.truncate(Redaction.redact(beginsWith), 255) })
})

/** The texts of an event, redacted: what names something stays distinct from what has another name. */
const redacted = (event: Partial<Input>) => ({
  ...(event.key === undefined ? {} : { key: Redaction.redactName(event.key, 255) }),
  ...(event.earlierKeys === undefined ? {} : { earlierKeys: event.earlierKeys.map(earlierKey) }),
  ...(event.sessionId === undefined ? {} : { sessionId: Redaction.redactName(event.sessionId, 255) }),
  ...(event.worktreePath === undefined ? {} : { worktreePath: Redaction.redactName(event.worktreePath, 850) }),
  ...(event.cwd === undefined ? {} : { cwd: Redaction.redactName(event.cwd, 4096) }),
  ...(event.files === undefined ? {} : { files: event.files.map((file) => Redaction.redactName(file, 4096)) }),
  ...(event.type === undefined ? {} : { type: Redaction.redactName(event.type, 50) }),
  ...(event.outcome === undefined ? {} : { outcome: Redaction.redactName(event.outcome, 255) }),
  ...(event.content === undefined ? {} : { content: redactContent(event.content) })
})

/**
 * The content of an event, redacted and within `maxContentLength`: a placeholder may be longer than its secret.
 *
 * @category combinators
 * @since 0.1.0
 */
export const redactContent = (content: string): Redaction.RedactedText => {
  const clean = Redaction.redact(content)
  return content.length <= maxContentLength ? Redaction.truncate(clean, maxContentLength) : clean
}

/**
 * Makes an event of plain values: every text goes through the redactor.
 *
 * **Example**
 *
 * ```ts
 * import * as MemoryEvent from "athena-hooks/memory/MemoryEvent"
 *
 * MemoryEvent.make({ projectId: 7, sessionId: "s-1", type: "note", content: "log in with --password hunter2" }).content
 * // "log in with --password [redacted]"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Event extends Omit<Input, "projectId"> & { readonly projectId?: number }>(
  event: Event
): Event extends Input ? MemoryEvent : Omit<MemoryEvent, "projectId"> =>
  ({ ...event, ...redacted(event as Partial<Input>) }) as never

const { uuidV7 } = SecureRandom.make(SecureRandom.randomBytesUnsafe)

/**
 * Stamps an event with the key and the time that identify it across retries: a fresh UUIDv7 and the current time, unless
 * the event has its own. Stamp once, before the first attempt to record.
 *
 * @category constructors
 * @since 0.1.0
 */
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

/**
 * The result of recording an event.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RecordedEvent = Schema.Struct({
  /** `null` if the event was deleted permanently before; it is not stored again. */
  id: Schema.NullOr(MemoryId),
  key: Schema.String,
  /** `false` if an event with this key was already stored, which remains. */
  isNew: Schema.Boolean
})

/**
 * What became of an event.
 *
 * @category models
 * @since 0.1.0
 */
export type RecordedEvent = typeof RecordedEvent.Type
