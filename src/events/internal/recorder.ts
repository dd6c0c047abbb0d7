/** The interface of a recorder and its definition. */
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { Mutation } from "../../query/Mutation.ts"
import type { EventRecorderError } from "../EventRecorderError.ts"

/**
 * The acknowledgement of a recording.
 *
 * - `accepted`: the event is in the memory of this process. A kill loses it.
 * - `spooled`: it is in the spool. It survives a kill of the process, and with `durability: "full"` a power loss.
 * - `committed`: it is in the database. An event that became a dead letter fails with `EventRejected`.
 *
 * @category models
 * @since 0.1.0
 */
export type Ack = "accepted" | "spooled" | "committed"

/**
 * Defines a recorder: its events and their target.
 *
 * @category models
 * @since 0.1.0
 */
export interface Definition<in out Event> {
  /** Names the recorder in spools, spans, metrics and errors, for example `memory.events`. */
  readonly name: string
  /** The schema that encodes events as JSON in the spool. */
  readonly event: Schema.Codec<Event, unknown>
  /**
   * The identity of an event across retries, 1 to 1,024 characters. The producer creates it once, before the first
   * attempt.
   */
  readonly id: (event: Event) => string
  /** Events with the same order key, such as a session's id, reach the database in the order they were recorded. */
  readonly order: (event: Event) => string
  /**
   * Stores a batch. It must ignore events whose id is stored already (`ON CONFLICT DO NOTHING`): a batch is delivered
   * again if a process ends between its commit and its removal from the spool.
   */
  readonly target: Mutation<ReadonlyArray<Event>, unknown>
}

/**
 * Options of one recording.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecordOptions {
  /** Default: `spooled`. */
  readonly ack?: Ack | undefined
  /** The deadline of the acknowledgement. Default: `deadline` of the recorder. */
  readonly timeout?: Duration.Input | undefined
}

/**
 * The result of a flush.
 *
 * @category models
 * @since 0.1.0
 */
export interface Flushed {
  /** Events delivered during the flush. */
  readonly delivered: number
  /** Events that became dead letters during the flush. */
  readonly deadLetters: number
  /** Events that remain in the spool. */
  readonly left: number
}

/**
 * The state of a recorder. The counters of a spool cover all processes since the file was created.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  /** Events in the memory of this process. */
  readonly waiting: number
  /** Events in the spool. */
  readonly spooled: number
  /** Used bytes of the spool's file; 0 without one. */
  readonly bytes: number
  /** The recording time of the oldest event in the spool. */
  readonly oldest: DateTime.Utc | undefined
  /** Dead letters in the spool. */
  readonly deadLetters: number
  readonly delivered: number
  /** Events beyond the limits, and events in memory that a shutdown could not write in time. */
  readonly dropped: number
  /** Events that became dead letters because the database rejected them or they no longer fitted their schema. */
  readonly rejected: number
  /** Damaged rows, and rows lost to damage. A lost transaction of the log counts as one. */
  readonly damaged: number
  /** The cause of this process's last failed delivery, for example `ConnectionError`; absent after a success. */
  readonly lastFailure: string | undefined
}

/**
 * An undeliverable event.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadLetter {
  readonly id: string
  readonly order: string
  readonly recordedAt: DateTime.Utc
  readonly diedAt: DateTime.Utc
  /** Rejected by the database, damaged in the spool, or unreadable by the current schema. */
  readonly kind: "rejected" | "damaged" | "unreadable"
  /** The kind of rejection and the database's code; never a part of the event. */
  readonly reason: string
  /** The event's JSON, as spooled. */
  readonly payload: string
}

/**
 * The dead letters of a recorder. They count toward the limits of the spool until they are retried or dropped.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadLetters {
  /** Oldest first, up to `limit`; default: 100. */
  readonly list: (limit?: number) => Effect.Effect<ReadonlyArray<DeadLetter>, EventRecorderError>
  /** Appends dead letters with these ids, or all, to the spool again, except damaged ones. Returns their number. */
  readonly retry: (ids?: ReadonlyArray<string>) => Effect.Effect<number, EventRecorderError>
  readonly drop: (ids?: ReadonlyArray<string>) => Effect.Effect<number, EventRecorderError>
}

/**
 * A recorder of events.
 *
 * @category models
 * @since 0.1.0
 */
export interface EventRecorder<in Event> {
  /** Records an event. After an interruption the event may be recorded; recording it again is safe. */
  readonly record: (event: Event, options?: RecordOptions) => Effect.Effect<void, EventRecorderError>
  /**
   * Records events in order. An invalid event fails the call before any is recorded; a later failure may leave some of
   * them recorded. Recording all again is safe.
   */
  readonly recordAll: (events: ReadonlyArray<Event>, options?: RecordOptions) => Effect.Effect<void, EventRecorderError>
  /**
   * Delivers all earlier events now. Fails with `TargetUnavailable` if the database accepts nothing, and with
   * `DeadlineExceeded` after `timeout`, by default the recorder's `deadline`.
   */
  readonly flush: (options?: {
    readonly timeout?: Duration.Input | undefined
  }) => Effect.Effect<Flushed, EventRecorderError>
  readonly stats: Effect.Effect<Stats, EventRecorderError>
  readonly deadLetters: DeadLetters
}
