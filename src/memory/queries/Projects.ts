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
import * as Redaction from "../../redaction/Redaction.ts"
import * as Rows from "../internal/rows.ts"
import { Project, ProjectLocation } from "../Project.ts"

const decode = Rows.decode(Schema.Array(Project))

const first = (path: string): Effect.Effect<Project | undefined, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`SELECT id, name, path FROM projects WHERE path = ${path}`
    return (yield* decode(rows))[0] ?? (yield* unredacted(path))
  })

/** A project whose path was stored before paths were redacted. */
const unredacted = (path: string): Effect.Effect<Project | undefined, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const secret = path.indexOf("[redacted-")
    if (secret < 0) return undefined
    const sql = yield* SqlClient.SqlClient
    const before = path.slice(0, secret)
    const rows = yield* sql`SELECT id, name, path FROM projects
      WHERE substr(path, 1, ${before.length}) = ${before} ORDER BY id`
    return (yield* decode(rows)).find((project) => Redaction.redactName(project.path, 850) === path)
  })

/** Stands for the project that is found where a path has none of its own. */
const standIn = Dependency.make("projects.default")

/**
 * What making a project where there is none changes. A project that is there stays as it is.
 *
 * @category dependencies
 * @since 0.1.0
 */
export const making = ({ name, path }: ProjectLocation): ReadonlyArray<Dependency.Dependency> =>
  name === "default" ? [Dependency.make("projects", path), standIn] : [Dependency.make("projects", path)]

/**
 * The project with exactly this path; where there is none, the project named `default`; else `null`.
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
    const found = yield* first(path)
    if (found !== undefined) return found
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`SELECT id, name, path FROM projects WHERE name = 'default'`
    return (yield* decode(rows))[0] ?? null
  })
})

/**
 * The project with exactly this path, made where there is none. For use inside a mutation.
 *
 * @category programs
 * @since 0.1.0
 */
export const findOrMake = (location: ProjectLocation): Effect.Effect<Project, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const found = yield* first(location.path)
    if (found !== undefined) return found
    const sql = yield* SqlClient.SqlClient
    const insert = (name: string) =>
      sql`INSERT INTO projects (name, path) VALUES (${name}, ${location.path}) ON CONFLICT DO NOTHING`
    yield* insert(location.name)
    const made = yield* first(location.path)
    if (made !== undefined) return made
    yield* insert(`${location.name}-${fnv1a(location.path)}`)
    return (yield* decode(yield* sql`SELECT id, name, path FROM projects WHERE path = ${location.path}`))[0]!
  })

/**
 * Makes the project with this path where there is none.
 *
 * @category mutations
 * @since 0.1.0
 */
export const ensure = Mutation.make({
  name: "memory.ensureProject",
  input: ProjectLocation,
  changes: making,
  run: findOrMake
})
