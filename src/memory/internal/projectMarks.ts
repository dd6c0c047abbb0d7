/**
 * Projects with the marks of their repositories, read and written inside queries and mutations.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type * as Statement from "effect/sql/Statement"
import * as Redaction from "../../redaction/Redaction.ts"
import { Project, type RepositoryMarks } from "../Project.ts"
import * as Rows from "./rows.ts"

export interface MarkedProject {
  readonly project: Project
  readonly marks: RepositoryMarks
}

const Row = Schema.Struct({
  ...Project.fields,
  remote: Schema.NullOr(Schema.String),
  root: Schema.NullOr(Schema.String),
  instance: Schema.NullOr(Schema.String)
})
const decode = Rows.decode(Schema.Array(Row))

const markedOf = ({ id, instance, name, path, remote, root }: typeof Row.Type): MarkedProject => ({
  project: { id, name, path },
  marks: { remote: remote ?? undefined, root: root ?? undefined, instance: instance ?? undefined }
})

/** The projects that fit a condition on `p`, the project, and `m`, its marks. */
export const where = (
  condition: (sql: SqlClient.SqlClient) => Statement.Fragment
): Effect.Effect<ReadonlyArray<MarkedProject>, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`SELECT p.id, p.name, p.path, m.remote, m.root, m.instance
      FROM projects p LEFT JOIN agent_project_marks m ON m.project_id = p.id WHERE ${condition(sql)}`
    return (yield* decode(rows)).map(markedOf)
  })

/** A project whose path was stored before paths were redacted. */
const unredacted = Effect.fnUntraced(function* (path: string) {
  const secret = path.indexOf("[redacted-")
  if (secret < 0) return undefined
  const before = path.slice(0, secret)
  const found = yield* where((sql) => sql`substr(p.path, 1, ${before.length}) = ${before} ORDER BY p.id`)
  return found.find(({ project }) => Redaction.redactName(project.path, 850) === path)
})

export const byPath = (path: string): Effect.Effect<MarkedProject | undefined, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(
    where((sql) => sql`p.path = ${path}`),
    ([found]) => (found === undefined ? unredacted(path) : Effect.succeed(found))
  )

export const byId = (id: number): Effect.Effect<MarkedProject | undefined, SqlError, SqlClient.SqlClient> =>
  Effect.map(
    where((sql) => sql`p.id = ${id}`),
    (found) => found[0]
  )

const names = ["remote", "root", "instance"] as const

/** Stores the marks that are other ones by now; one that is absent leaves what is stored. */
export const save = Effect.fnUntraced(function* (
  projectId: number,
  before: RepositoryMarks | undefined,
  now: RepositoryMarks | undefined
) {
  if (now === undefined || names.every((name) => now[name] === undefined || now[name] === before?.[name])) return
  const sql = yield* SqlClient.SqlClient
  yield* sql`INSERT INTO agent_project_marks (project_id, remote, root, instance)
    VALUES (${projectId}, ${now.remote ?? null}, ${now.root ?? null}, ${now.instance ?? null})
    ON CONFLICT (project_id) DO UPDATE SET remote = coalesce(excluded.remote, agent_project_marks.remote),
      root = coalesce(excluded.root, agent_project_marks.root),
      instance = coalesce(excluded.instance, agent_project_marks.instance)`
})
