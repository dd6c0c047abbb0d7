/**
 * The memories of a project, as read back.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

/**
 * Identifies a row of the `episodic_events` table: a positive safe integer.
 *
 * @category schemas
 * @since 0.1.0
 */
export const MemoryId = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }))

/**
 * The number of characters of a memory's content in a list: 200. `MemoryBridge.getMemoryContent` returns the whole
 * content.
 *
 * @category defaults
 * @since 0.1.0
 */
export const previewLength = 200

const summary = {
  id: MemoryId,
  /** What kind of event it was, for example `user_question` or `tool_execution`. */
  type: Schema.String,
  /** The first `previewLength` characters, ending in `…` where there is more. */
  content: Schema.String,
  /** When it happened. */
  timestamp: Schema.DateTimeUtcFromMillis,
  outcome: Schema.NullOr(Schema.String)
} as const

/**
 * A memory in the working set of a project.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ActiveMemory = Schema.Struct({
  ...summary,
  /** From 0 to 1. */
  importance: Schema.Finite,
  /** The worktree it happened in. */
  worktreePath: Schema.NullOr(Schema.String),
  /** The rank: recency, frequency, consolidation, importance, next step, success and worktree, see `Activation`. */
  activation: Schema.Finite
})

/**
 * A memory in the working set of a project.
 *
 * @category models
 * @since 0.1.0
 */
export type ActiveMemory = typeof ActiveMemory.Type

/**
 * The working set of a project, highest activation first.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ActiveMemories = Schema.Struct({
  count: Schema.Natural,
  items: Schema.Array(ActiveMemory),
  /** Lowest and highest activation among the items; `[0, 1]` where there are none. */
  activationRange: Schema.Tuple([Schema.Finite, Schema.Finite]),
  /** The worktree that the ranking preferred. */
  currentWorktree: Schema.NullOr(Schema.String)
})

/**
 * The working set of a project, highest activation first.
 *
 * @category models
 * @since 0.1.0
 */
export type ActiveMemories = typeof ActiveMemories.Type

/**
 * The number of characters of a note at a session start: 400.
 *
 * @category defaults
 * @since 0.1.0
 */
export const noteLength = 400

/**
 * A note: a memory that a user or an agent stored on purpose.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Note = Schema.Struct({
  id: MemoryId,
  type: Schema.String,
  /** The first `noteLength` characters, ending in `…` where there is more. */
  content: Schema.String,
  timestamp: Schema.DateTimeUtcFromMillis
})

/**
 * A note: a memory that a user or an agent stored on purpose.
 *
 * @category models
 * @since 0.1.0
 */
export type Note = typeof Note.Type

/**
 * An exchange found by a search: a prompt with what followed it, or a note or another event of its own.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FoundMemory = Schema.Struct({
  /** The id of the first event, the prompt. */
  id: MemoryId,
  /** The type of the event with the passage. */
  type: Schema.String,
  /** The passage of that event that fits the query best, about 420 characters; `…` where there is more. */
  content: Schema.String,
  /** The passage of the prompt that fits the query best, about 160 characters, where `content` is of another event. */
  prompt: Schema.NullOr(Schema.String),
  /** When the event with the passage happened. */
  timestamp: Schema.DateTimeUtcFromMillis,
  outcome: Schema.NullOr(Schema.String),
  /** The files of the event with the passage. */
  files: Schema.Array(Schema.String),
  /** From 0 to 1, higher is better: the BM25 score as a share of the highest possible one; newer and more important ones rank higher. */
  score: Schema.Finite,
  /** The number of different terms of the query that the exchange has; 0 where only a part of a word matched. */
  matchedTerms: Schema.Natural,
  /** From 0 to 1: the share of the query's terms that the exchange has, each weighted by its rarity in the project. */
  coverage: Schema.Finite,
  /** From 0 to 1: the rarity of the two rarest matched terms, as a share of the highest possible one. */
  rarity: Schema.Finite
})

/**
 * A memory found by a search.
 *
 * @category models
 * @since 0.1.0
 */
export type FoundMemory = typeof FoundMemory.Type

/**
 * What a search found, best first.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SearchResult = Schema.Struct({
  found: Schema.Natural,
  results: Schema.Array(FoundMemory)
})

/**
 * What a search found, best first.
 *
 * @category models
 * @since 0.1.0
 */
export type SearchResult = typeof SearchResult.Type

/** SQLite has no booleans. */
const Flag = Schema.Literals([0, 1]).pipe(
  Schema.decodeTo(Schema.Boolean, {
    decode: SchemaGetter.transform((flag: 0 | 1) => flag === 1),
    encode: SchemaGetter.transform((flag: boolean): 0 | 1 => (flag ? 1 : 0))
  })
)

/**
 * A memory with its circumstances, as a user inspects it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const MemoryEntry = Schema.Struct({
  ...summary,
  projectId: Schema.Int,
  sessionId: Schema.String,
  /** From 0 to 1. */
  importance: Schema.Finite,
  /** The working directory. */
  cwd: Schema.NullOr(Schema.String),
  files: Schema.fromJsonString(Schema.Array(Schema.String)),
  /** Whether every session start of the project receives it. */
  isPinned: Flag,
  /** Whether it is excluded from recall. */
  isForgotten: Flag
})

/**
 * A memory with its circumstances, as a user inspects it.
 *
 * @category models
 * @since 0.1.0
 */
export type MemoryEntry = typeof MemoryEntry.Type

/**
 * A session with its extent.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SessionSummary = Schema.Struct({
  id: Schema.String,
  /** When its first event happened. */
  start: Schema.DateTimeUtcFromMillis,
  /** When its last event happened. */
  end: Schema.DateTimeUtcFromMillis,
  events: Schema.Int,
  /** The first `previewLength` characters of its first prompt; `null` without a prompt. */
  firstPrompt: Schema.NullOr(Schema.String)
})

/**
 * A session with its extent.
 *
 * @category models
 * @since 0.1.0
 */
export type SessionSummary = typeof SessionSummary.Type
