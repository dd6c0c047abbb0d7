/**
 * A session of an agent: which project it belongs to and the memories that were injected into it.
 *
 * The project of a session is the one of its first event, because the working directory of an agent wanders.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { storable } from "../internal/text.ts"
import * as Redaction from "../redaction/Redaction.ts"
import { IndexedPath, type Input as ProjectInput, make as makeLocation, Project, ProjectLocation } from "./Project.ts"

/**
 * Identifies a session: 1 to 255 characters, chosen by the agent.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SessionId = Redaction.RedactedText.check(Schema.isBetweenLength(1, 255))

/**
 * A session as stored.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Session = Schema.Struct({
  id: Schema.String,
  project: Project,
  /** The worktree of the session's first event. */
  worktreePath: Schema.String
})

/**
 * A session as stored.
 *
 * @category models
 * @since 0.1.0
 */
export type Session = typeof Session.Type

/**
 * A session that is seen for the first time.
 *
 * @category schemas
 * @since 0.1.0
 */
export const NewSession = Schema.Struct({
  id: SessionId,
  project: ProjectLocation,
  worktreePath: IndexedPath
})

/**
 * A session that is seen for the first time.
 *
 * @category models
 * @since 0.1.0
 */
export type NewSession = typeof NewSession.Type

/**
 * The id of a session as it is stored: a secret in it is replaced, and two ids stay two.
 *
 * @category constructors
 * @since 0.1.0
 */
export const idOf = (sessionId: string): Redaction.RedactedText => Redaction.redactName(storable(sessionId), 255)

/**
 * Makes a session of plain values: every text goes through the redactor.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (session: {
  readonly id: string
  readonly project: ProjectInput
  readonly worktreePath: string
}): NewSession => ({
  id: idOf(session.id),
  project: makeLocation(session.project),
  worktreePath: Redaction.redactName(storable(session.worktreePath), 850)
})
