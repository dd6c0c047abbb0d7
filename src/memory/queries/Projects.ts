/**
 * Queries over projects.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { fnv1a } from "../../internal/fnv1a.ts"
import * as Dependency from "../../query/Dependency.ts"
import * as Mutation from "../../query/Mutation.ts"
import * as Query from "../../query/Query.ts"
import * as Marks from "../internal/projectMarks.ts"
import * as Rows from "../internal/rows.ts"
import { Project, ProjectLocation } from "../Project.ts"

const decode = Rows.decode(Schema.Array(Project))

/** The dependency on the fallback project, which serves paths without a project. */
const standIn = Dependency.make("projects.default")

/**
 * The changes made by creating a project. An existing project stays unchanged.
 *
 * @category dependencies
 * @since 0.1.0
 */
export const changesOfNew = ({ name, path }: ProjectLocation): ReadonlyArray<Dependency.Dependency> =>
  name === "default" ? [Dependency.make("projects", path), standIn] : [Dependency.make("projects", path)]

/**
 * The project with exactly this path; otherwise the project named `default`; otherwise `null`.
 *
 * @category queries
 * @since 0.1.0
 */
export const byPath = Query.make({
  name: "memory.projectByPath",
  input: Schema.Struct({ path: ProjectLocation.fields.path }),
  result: Schema.NullOr(Project),
  dependencies: ({ path }) => [Dependency.make("projects", path), standIn],
  run: Effect.fnUntraced(function* ({ path }) {
    const found = yield* Marks.byPath(path)
    if (found !== undefined) return found.project
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`SELECT id, name, path FROM projects WHERE name = 'default'`
    return (yield* decode(rows))[0] ?? null
  })
})

/**
 * The project with exactly this path, created if absent, with the marks of its repository. For use inside a mutation.
 *
 * @category programs
 * @since 0.1.0
 */
export const findOrMake = (location: ProjectLocation): Effect.Effect<Project, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const found = yield* Marks.byPath(location.path)
    if (found !== undefined) {
      yield* Marks.save(found.project.id, found.marks, location.marks)
      return found.project
    }
    const sql = yield* SqlClient.SqlClient
    const insert = (name: string) =>
      sql`INSERT INTO projects (name, path) VALUES (${name}, ${location.path}) ON CONFLICT DO NOTHING`
    yield* insert(location.name)
    const made = yield* Marks.byPath(location.path)
    if (made === undefined) yield* insert(`${location.name}-${fnv1a(location.path)}`)
    const { marks, project } = made ?? (yield* Marks.byPath(location.path))!
    yield* Marks.save(project.id, marks, location.marks)
    return project
  })

/**
 * Creates the project with this path if it is absent.
 *
 * @category mutations
 * @since 0.1.0
 */
export const ensure = Mutation.make({
  name: "memory.ensureProject",
  input: ProjectLocation,
  changes: changesOfNew,
  run: findOrMake
})
