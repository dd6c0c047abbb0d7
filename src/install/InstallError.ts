/**
 * Why hooks could not be installed or taken out, and what to do about it.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const id = "athena-hooks/install/InstallError"

/**
 * The settings file is not valid, so the agent itself can't read it, or has no place for hooks. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidSettings extends Schema.TaggedError<InvalidSettings>(`${id}/InvalidSettings`)("InvalidSettings", {
  file: Schema.String,
  /** What is wrong; never what the file says. */
  detail: Schema.String,
  /** From 1 on. */
  line: Schema.Int,
  /** From 1 on, in UTF-16 units. */
  column: Schema.Int
}) {
  override get message(): string {
    return `${this.file}:${this.line}:${this.column}: ${this.detail}; correct the file and try again`
  }
}

/**
 * The file or its folder can't be read or written. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotAccessible extends Schema.TaggedError<NotAccessible>(`${id}/NotAccessible`)("NotAccessible", {
  file: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.file}: ${this.detail}`
  }
}

/**
 * The file is in a project, and its links lead out of it: whoever made the project chose where to. Nothing was read or
 * changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class OutsideProject extends Schema.TaggedError<OutsideProject>(`${id}/OutsideProject`)("OutsideProject", {
  file: Schema.String,
  /** What the links lead to. */
  target: Schema.String
}) {
  override get message(): string {
    return `${this.file}: a link leads out of the project, to ${this.target}; remove the link, or edit that file by hand`
  }
}

/**
 * Another program wrote the file while it was being changed. Its work was left as it is.
 *
 * @category errors
 * @since 0.1.0
 */
export class ChangedMeanwhile extends Schema.TaggedError<ChangedMeanwhile>(`${id}/ChangedMeanwhile`)(
  "ChangedMeanwhile",
  { file: Schema.String }
) {
  override get message(): string {
    return `${this.file}: another program keeps writing it; end that program, or try again`
  }
}

/**
 * The agent's hooks are not known well enough to install anything.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnsupportedAgent extends Schema.TaggedError<UnsupportedAgent>(`${id}/UnsupportedAgent`)(
  "UnsupportedAgent",
  { agent: Schema.String, detail: Schema.String }
) {
  override get message(): string {
    return `${this.agent}: ${this.detail}`
  }
}

/**
 * What can be the reason.
 *
 * @category errors
 * @since 0.1.0
 */
export type InstallErrorReason = InvalidSettings | NotAccessible | OutsideProject | ChangedMeanwhile | UnsupportedAgent

/**
 * What installing and taking out fail with. Branch with `Effect.catchReason("InstallError", "InvalidSettings", ...)`.
 *
 * @category errors
 * @since 0.1.0
 */
export class InstallError extends Schema.TaggedError<InstallError>(id)("InstallError", {
  reason: Schema.Union([InvalidSettings, NotAccessible, OutsideProject, ChangedMeanwhile, UnsupportedAgent])
}) {
  override get message(): string {
    return this.reason.message
  }
}
