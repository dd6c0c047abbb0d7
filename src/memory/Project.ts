/**
 * A project: one repository that an agent works in.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Identifies a row of the `projects` table: a positive 32-bit integer.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ProjectId = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2_147_483_647 }))

/**
 * A path that is looked up by an index: 1 to 850 characters, which every database can index whatever they are.
 *
 * @category schemas
 * @since 0.1.0
 */
export const IndexedPath = Schema.String.check(Schema.isBetweenLength(1, 850))

/**
 * A project as stored.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Project = Schema.Struct({
  id: ProjectId,
  /** Unique name, from the last part of the path. */
  name: Schema.String,
  /** Unique absolute path of the repository. */
  path: Schema.String
})

/**
 * A project as stored.
 *
 * @category models
 * @since 0.1.0
 */
export type Project = typeof Project.Type

/**
 * What a project is found by, or made from on first sight.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ProjectLocation = Schema.Struct({
  /** Absolute path. */
  path: IndexedPath,
  /** Preferred name, 1 to 200 characters. Where another project has it, a short digest of the path is added. */
  name: Schema.String.check(Schema.isBetweenLength(1, 200))
})

/**
 * What a project is found by, or made from on first sight.
 *
 * @category models
 * @since 0.1.0
 */
export type ProjectLocation = typeof ProjectLocation.Type
