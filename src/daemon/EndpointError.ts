/**
 * Why the daemon of a home has no address, and what to do about it. No reason holds a token.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const id = "athena-hooks/daemon/EndpointError"

/**
 * The file or folder belongs to another user, who could read a secret there, or choose it. Nothing was changed.
 *
 * @category reasons
 * @since 0.1.0
 */
export class ForeignFile extends Schema.TaggedError<ForeignFile>(`${id}/ForeignFile`)("ForeignFile", {
  file: Schema.String
}) {
  override get message(): string {
    return `${this.file} belongs to another user: remove it, or set ATHENA_HOME to a folder of your own`
  }
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The file or folder can't be read or written.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NotAccessible extends Schema.TaggedError<NotAccessible>(`${id}/NotAccessible`)("NotAccessible", {
  file: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.file}: ${this.detail}`
  }
  get isRetryable(): boolean {
    return false
  }
}

/**
 * All ports that a home may have are held by other programs.
 *
 * @category reasons
 * @since 0.1.0
 */
export class NoFreePort extends Schema.TaggedError<NoFreePort>(`${id}/NoFreePort`)("NoFreePort", {
  /** The first and the last one that were tried. */
  first: Schema.Int,
  last: Schema.Int
}) {
  override get message(): string {
    return `no port of 127.0.0.1 from ${this.first} to ${this.last} is free: end the programs that hold them`
  }
  get isRetryable(): boolean {
    return true
  }
}

/**
 * What can be the reason.
 *
 * @category reasons
 * @since 0.1.0
 */
export type EndpointErrorReason = ForeignFile | NotAccessible | NoFreePort

/**
 * What finding or making an address fails with. Branch with `Effect.catchReason("EndpointError", "ForeignFile", ...)`.
 *
 * @category errors
 * @since 0.1.0
 */
export class EndpointError extends Schema.TaggedError<EndpointError>(id)("EndpointError", {
  reason: Schema.Union([ForeignFile, NotAccessible, NoFreePort])
}) {
  override get message(): string {
    return this.reason.message
  }
}
