/**
 * The interface of a recorder and its definition.
 */
import type * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { Mutation } from "../../query/Mutation.ts"
import type { EventRecorderError } from "../EventRecorderError.ts"

/**
 * How far an event must have come before its recording counts as done.
 *
 * - `accepted`: it is in the memory of this process, and on its way. Lost if the process is killed before that.
 * - `spooled`: it is in the spool. Survives a kill of the process; a power loss as well with `durability: "full"`.
 * - `committed`: it is in the database, or was set aside, which fails with `EventRejected`.
 *
 * @category models
 * @since 0.1.0
 */
export type Ack = "accepted" | "spooled" | "committed"

/**
 * What a recorder records, and where it goes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Definition<in out Event> {
  /** Names the recorder in spools, spans, metrics and errors, for example `memory.events`. */
  readonly name: string
  /** Events wait in the spool as the JSON that this schema makes of them. */
  readonly event: Schema.Codec<Event, unknown>
  /**
   * What makes an event the same event when it is recorded again, 1 to 1,024 characters: made by whoever records it, once,
   * before the first attempt.
   */
  readonly id: (event: Event) => string
  /** Events with the same order key, such as a session's id, reach the database in the order they were recorded. */
  readonly order: (event: Event) => string
  /**
   * Stores a batch. It must leave an event whose id is stored already as it is (`ON CONFLICT DO NOTHING`): a batch comes
   * again when a process ends between its commit and the spool's.
   */
  readonly target: Mutation<ReadonlyArray<Event>, any>
}

/**
 * Options of one recording.
 *
 * @category models
 * @since 0.1.0
 */
export interface RecordOptions {
  /** `spooled` when absent. */
  readonly ack?: Ack | undefined
  /** How long the acknowledgement may take. `deadline` of the recorder when absent. */
  readonly timeout?: Duration.Input | undefined
}

/**
 * What a flush did.
 *
 * @category models
 * @since 0.1.0
 */
export interface Flushed {
  /** Events that left the spool for the database while it lasted. */
  readonly delivered: number
  /** Events that were set aside while it lasted. */
  readonly deadLetters: number
  /** Events that are still in the spool. */
  readonly left: number
}

/**
 * The state of a recorder. The numbers of a spool are those of all processes together, since the file was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  /** Events in the memory of this process. */
  readonly waiting: number
  /** Events in the spool. */
  readonly spooled: number
  /** Bytes in use of the spool's file; 0 without one. */
  readonly bytes: number
  /** When the oldest event in the spool was recorded. */
  readonly oldest: DateTime.Utc | undefined
  /** Events that were set aside and are still there. */
  readonly deadLetters: number
  readonly delivered: number
  /** Events for which there was no room, and those in memory that a shutdown had no time for. */
  readonly dropped: number
  /** Events that were ever set aside because the database refused them or they no longer fitted their schema. */
  readonly rejected: number
  /** Rows of the spool that were ever found damaged. */
  readonly damaged: number
  /** What kept this process's last attempt from delivering, for example `ConnectionError`. */
  readonly lastFailure: string | undefined
}

/**
 * An event that was set aside.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadLetter {
  readonly id: string
  readonly order: string
  readonly recordedAt: DateTime.Utc
  readonly diedAt: DateTime.Utc
  /** Refused by the database, damaged in the spool, or no longer of its schema. */
  readonly kind: "rejected" | "damaged" | "unreadable"
  /** The kind of refusal and the database's code; never a part of the event. */
  readonly reason: string
  /** The event as JSON, as it was spooled. */
  readonly payload: string
}

/**
 * Events that were set aside. They count toward the bounds of the spool until they are retried or dropped.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadLetters {
  /** Oldest first, up to `limit`; 100 when absent. */
  readonly list: (limit?: number) => Effect.Effect<ReadonlyArray<DeadLetter>, EventRecorderError>
  /** Puts those with these ids, or all, back in line, after what is in it; damaged ones stay. Gives how many. */
  readonly retry: (ids?: ReadonlyArray<string>) => Effect.Effect<number, EventRecorderError>
  /** Removes those with these ids, or all, for good. Gives how many. */
  readonly drop: (ids?: ReadonlyArray<string>) => Effect.Effect<number, EventRecorderError>
}

/**
 * A recorder of events.
 *
 * @category models
 * @since 0.1.0
 */
export interface EventRecorder<in Event> {
  /** Records an event. A caller that is interrupted may find it recorded or not; to record it again changes nothing. */
  readonly record: (event: Event, options?: RecordOptions) => Effect.Effect<void, EventRecorderError>
  /**
   * Records events in order. Where one does not fit its schema none is recorded; where it fails later, some may be, and
   * recording all again changes nothing.
   */
  readonly recordAll: (events: ReadonlyArray<Event>, options?: RecordOptions) => Effect.Effect<void, EventRecorderError>
  /**
   * Brings what was recorded before into the database now. Fails with `TargetUnavailable` where the database takes
   * nothing, and with `DeadlineExceeded` where it takes longer than `within`, the recorder's `deadline` when absent.
   */
  readonly flush: (options?: {
    readonly timeout?: Duration.Input | undefined
  }) => Effect.Effect<Flushed, EventRecorderError>
  readonly stats: Effect.Effect<Stats, EventRecorderError>
  readonly deadLetters: DeadLetters
}
