/**
 * A session of an agent: which project it belongs to and what it was already shown.
 *
 * The project of a session is the one of its first event, because the working directory of an agent wanders.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { IndexedPath, Project, ProjectLocation } from "./Project.ts"

/**
 * Identifies a session: 1 to 255 characters, chosen by the agent.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SessionId = Schema.String.check(Schema.isBetweenLength(1, 255))

/**
 * A session as stored.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Session = Schema.Struct({
  id: SessionId,
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
