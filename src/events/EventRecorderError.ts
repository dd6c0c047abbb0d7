/**
 * The error of an event recorder, with reasons to branch on. No reason contains a part of an event.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const id = "athena-hooks/events/EventRecorderError"

/**
 * The event does not fit its schema, has an invalid id, or is too large. It was not recorded.
 *
 * @category reasons
 * @since 0.1.0
 */
export class InvalidEvent extends Schema.TaggedError<InvalidEvent>(`${id}/InvalidEvent`)("InvalidEvent", {
  detail: Schema.String
}) {
  override get message(): string {
    return this.detail
  }
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The spool is at its limit of rows or bytes, or too many events wait in memory. The event was not recorded.
 *
 * @category reasons
 * @since 0.1.0
 */
export class SpoolFull extends Schema.TaggedError<SpoolFull>(`${id}/SpoolFull`)("SpoolFull", {
  detail: Schema.String
}) {
  override get message(): string {
    return `the event was not recorded: ${this.detail}. Restore the database, drop dead letters, or raise the limits`
  }
  get isRetryable(): boolean {
    return true
  }
}

/**
 * The disk of the spool is full, while the spool is below its limit. The event was not recorded.
 *
 * @category reasons
 * @since 0.1.0
 */
export class DiskFull extends Schema.TaggedError<DiskFull>(`${id}/DiskFull`)("DiskFull", {
  detail: Schema.String
}) {
  override get message(): string {
    return `the event was not recorded: ${this.detail}. Free space on the disk of the spool`
  }
  get isRetryable(): boolean {
    return true
  }
}

/**
 * The recorder was full, and the policy is `dropNewest`. The event was not recorded, and counts as dropped.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Dropped extends Schema.TaggedError<Dropped>(`${id}/Dropped`)("Dropped", { detail: Schema.String }) {
  override get message(): string {
    return `the event was dropped and counted: ${this.detail}`
  }
  get isRetryable(): boolean {
    return true
  }
}

/**
 * The acknowledgement missed its deadline. With `reached: "spooled"` the event is in the spool and will be delivered;
 * with `"none"` it was not recorded; with `"unknown"` the database has not responded yet. Recording the event again is
 * safe.
 *
 * @category reasons
 * @since 0.1.0
 */
export class DeadlineExceeded extends Schema.TaggedError<DeadlineExceeded>(`${id}/DeadlineExceeded`)(
  "DeadlineExceeded",
  {
    reached: Schema.Literals(["none", "spooled", "unknown"]),
    detail: Schema.String
  }
) {
  override get message(): string {
    switch (this.reached) {
      case "spooled":
        return `the event is in the spool and will be stored later: ${this.detail}`
      case "unknown":
        return `it is not known whether the event is stored: ${this.detail}`
      case "none":
        return `the event was not recorded in time: ${this.detail}`
    }
  }
  get isRetryable(): boolean {
    return true
  }
}

/**
 * The recorder is shut down. The event was not recorded.
 *
 * @category reasons
 * @since 0.1.0
 */
export class Closed extends Schema.TaggedError<Closed>(`${id}/Closed`)("Closed", {}) {
  override get message(): string {
    return "the recorder is shut down; the event was not recorded"
  }
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The database rejects this event and would reject it again. With a spool it becomes a dead letter, see `deadLetters`.
 *
 * @category reasons
 * @since 0.1.0
 */
export class EventRejected extends Schema.TaggedError<EventRejected>(`${id}/EventRejected`)("EventRejected", {
  /** The kind of rejection and the database's code, for example `ConstraintError 23503`. */
  code: Schema.String
}) {
  override get message(): string {
    return `the database rejects the event (${this.code}); it is not stored`
  }
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The spool can't be opened, read or written, or stays locked.
 *
 * @category reasons
 * @since 0.1.0
 */
export class SpoolUnavailable extends Schema.TaggedError<SpoolUnavailable>(`${id}/SpoolUnavailable`)(
  "SpoolUnavailable",
  { detail: Schema.String }
) {
  override get message(): string {
    return `the spool can't be used: ${this.detail}`
  }
  get isRetryable(): boolean {
    return true
  }
}

/**
 * The database accepts no events now. Spooled events stay in the spool.
 *
 * @category reasons
 * @since 0.1.0
 */
export class TargetUnavailable extends Schema.TaggedError<TargetUnavailable>(`${id}/TargetUnavailable`)(
  "TargetUnavailable",
  {
    /** The kind of failure, for example `ConnectionError`. */
    code: Schema.String
  }
) {
  override get message(): string {
    return `the database accepts no events now (${this.code})`
  }
  get isRetryable(): boolean {
    return true
  }
}

/**
 * The reasons of an `EventRecorderError`.
 *
 * @category reasons
 * @since 0.1.0
 */
export type EventRecorderErrorReason =
  | InvalidEvent
  | SpoolFull
  | DiskFull
  | Dropped
  | DeadlineExceeded
  | Closed
  | EventRejected
  | SpoolUnavailable
  | TargetUnavailable

/**
 * The failure of every operation of a recorder. Branch with `Effect.catchReason("EventRecorderError", "SpoolFull",
 * ...)`.
 *
 * @category errors
 * @since 0.1.0
 */
export class EventRecorderError extends Schema.TaggedError<EventRecorderError>(id)("EventRecorderError", {
  /** The name of the recorder. */
  recorder: Schema.String,
  /** The operation that failed, for example `record`. */
  operation: Schema.String,
  reason: Schema.Union([
    InvalidEvent,
    SpoolFull,
    DiskFull,
    Dropped,
    DeadlineExceeded,
    Closed,
    EventRejected,
    SpoolUnavailable,
    TargetUnavailable
  ])
}) {
  override get message(): string {
    return `${this.recorder}.${this.operation}: ${this.reason.message}`
  }
  /** Whether the same call can succeed later. */
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }
}
