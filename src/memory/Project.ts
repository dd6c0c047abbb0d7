/**
 * A project: one repository that an agent works in.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { storable } from "../internal/text.ts"
import * as Redaction from "../redaction/Redaction.ts"

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
export const IndexedPath = Redaction.RedactedText.check(Schema.isBetweenLength(1, 850))

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

const Mark = Schema.String.check(Schema.isBetweenLength(1, 500))

/**
 * By what a repository is recognised beside its path, which may be moved, or used by another repository. Each may be
 * absent; 1 to 500 characters.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RepositoryMarks = Schema.Struct({
  /** The address of its remote without user, password and scheme, such as `git.example/shop`. */
  remote: Schema.optional(Mark),
  /** The id of its first commit. */
  root: Schema.optional(Mark),
  /** What the file system tells its folder by: equal for a folder that was moved on one disk. */
  instance: Schema.optional(Mark)
})

/**
 * By what a repository is recognised beside its path.
 *
 * @category models
 * @since 0.1.0
 */
export type RepositoryMarks = typeof RepositoryMarks.Type

/**
 * Whether two repositories are one by their marks: `unknown` where they have none in common to compare. The same folder is
 * the same repository, whatever its remote is by now; else the remote decides, and then the first commit.
 *
 * @category predicates
 * @since 0.1.0
 */
export const compareMarks = (
  left: RepositoryMarks | undefined,
  right: RepositoryMarks | undefined
): "same" | "different" | "unknown" => {
  if (left?.instance !== undefined && left.instance === right?.instance) return "same"
  for (const mark of ["remote", "root"] as const) {
    const [one, other] = [left?.[mark], right?.[mark]]
    if (one !== undefined && other !== undefined) return one === other ? "same" : "different"
  }
  return "unknown"
}

const RedactedMark = Redaction.RedactedText.check(Schema.isBetweenLength(1, 500))

const RedactedMarks = Schema.Struct({
  remote: Schema.optional(RedactedMark),
  root: Schema.optional(RedactedMark),
  instance: Schema.optional(RedactedMark)
})

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
  name: Redaction.RedactedText.check(Schema.isBetweenLength(1, 200)),
  /** What the repository at the path is recognised by. Where they are those of another one, a new project is made. */
  marks: Schema.optional(RedactedMarks),
  /** The project that was moved to this path, see `MemoryBridge.relocateProject`. */
  movedFrom: Schema.optional(ProjectId)
})

/**
 * What a project is found by, or made from on first sight.
 *
 * @category models
 * @since 0.1.0
 */
export type ProjectLocation = typeof ProjectLocation.Type

/**
 * What a project is found by, as it is known before its texts are redacted.
 *
 * @category models
 * @since 0.1.0
 */
export type Input = Omit<Redaction.Unredacted<ProjectLocation>, "marks"> & {
  readonly marks?: RepositoryMarks | undefined
}

const markOf = (text: string | undefined) => (text === undefined ? undefined : Redaction.redactName(text, 500))

const marksOf = ({ instance, remote, root }: RepositoryMarks): typeof RedactedMarks.Type => ({
  remote: markOf(remote),
  root: markOf(root),
  instance: markOf(instance)
})

/**
 * Makes what a project is found by: a path has the same form each time, and two paths stay two. A name is truncated to
 * 200 characters.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ marks, name, path, ...rest }: Input): ProjectLocation => ({
  ...rest,
  ...(marks === undefined ? {} : { marks: marksOf(marks) }),
  path: Redaction.redactName(storable(path), 850),
  name: Redaction.truncate(Redaction.redactName(storable(name), 200), 200)
})

/**
 * How the repository at a path stands to the projects that are known.
 *
 * - `Settled`: the project with this path is that of the repository, as far as its marks show.
 * - `Absent`: no project has the path.
 * - `Reused`: the project with this path is that of another repository.
 *
 * The candidates are projects of the same repository at other paths, likeliest first, at most 10. Where the path of one is
 * gone, it has moved.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ProjectStanding = Schema.Union([
  Schema.TaggedStruct("Settled", { project: Project }),
  Schema.Struct({ _tag: Schema.Literals(["Absent", "Reused"]), candidates: Schema.Array(Project) })
])

/**
 * How the repository at a path stands to the projects that are known.
 *
 * @category models
 * @since 0.1.0
 */
export type ProjectStanding = typeof ProjectStanding.Type

/**
 * A project, and how much it holds.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ProjectSummary = Schema.Struct({
  ...Project.fields,
  events: Schema.Natural,
  goals: Schema.Natural,
  sessions: Schema.Natural,
  /** When its newest event happened. */
  lastActivity: Schema.NullOr(Schema.DateTimeUtcFromMillis)
})

/**
 * A project, and how much it holds.
 *
 * @category models
 * @since 0.1.0
 */
export type ProjectSummary = typeof ProjectSummary.Type

/**
 * What was put from one project into another.
 *
 * @category models
 * @since 0.1.0
 */
export interface MergedProjects {
  /** The project that is left. */
  readonly project: Project
  readonly events: number
  readonly goals: number
  readonly sessions: number
}
