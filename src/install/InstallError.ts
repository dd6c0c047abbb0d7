/**
 * Errors of installing and removing hooks, each with its next step.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

const id = "athena-hooks/install/InstallError"

/**
 * The settings file is invalid, or its structure has no location for hooks. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidSettings extends Schema.TaggedError<InvalidSettings>(`${id}/InvalidSettings`)("InvalidSettings", {
  file: Schema.String,
  /** The problem, without any content of the file. */
  detail: Schema.String,
  /** Starts at 1. */
  line: Schema.Int,
  /** Starts at 1, in UTF-16 units. */
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
 * A symbolic link leads from the project's settings out of the project. The author of the project chose its target, so
 * nothing was read or changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class OutsideProject extends Schema.TaggedError<OutsideProject>(`${id}/OutsideProject`)("OutsideProject", {
  file: Schema.String,
  /** The target of the link. */
  target: Schema.String
}) {
  override get message(): string {
    return `${this.file}: a symbolic link leads out of the project to ${this.target}; remove the link, or edit that file manually`
  }
}

/**
 * Another program wrote the file during the change. Its content was preserved.
 *
 * @category errors
 * @since 0.1.0
 */
export class ChangedMeanwhile extends Schema.TaggedError<ChangedMeanwhile>(`${id}/ChangedMeanwhile`)(
  "ChangedMeanwhile",
  { file: Schema.String }
) {
  override get message(): string {
    return `${this.file}: another program changes the file repeatedly; stop that program, or try again`
  }
}

/**
 * Hooks of this agent are not supported.
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
 * The reason of an `InstallError`.
 *
 * @category errors
 * @since 0.1.0
 */
export type InstallErrorReason = InvalidSettings | NotAccessible | OutsideProject | ChangedMeanwhile | UnsupportedAgent

/**
 * The error of installing and removing hooks. Handle a reason with `Effect.catchReason("InstallError",
 * "InvalidSettings", ...)`.
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
