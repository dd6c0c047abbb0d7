/**
 * Projects whose path has changed: moved, reused by another repository, or merged.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
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
import * as SearchIndex from "../internal/searchIndex.ts"
import {
  compareMarks,
  type MergedProjects,
  Project,
  ProjectId,
  ProjectLocation,
  ProjectStanding,
  ProjectSummary
} from "../Project.ts"

/**
 * The most projects that one call lists: 1,000.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxListed = 1_000

/** The most projects checked for a move. */
const maxCandidates = 10

/** What a project at another path changes: the sessions show their project. */
const moving = [
  Dependency.make("projects"),
  Dependency.make("projects.default"),
  Dependency.make("agent_sessions")
] as const

/** On a server shared by several hosts, a path may exist on another host, so only the same folder counts as moved. */
const candidates = Effect.fnUntraced(function* ({ marks, path }: ProjectLocation) {
  if (marks === undefined) return []
  const found = yield* Marks.where((sql) => {
    const instance = marks.instance ?? null
    const rest = sql`p.path <> ${path} ORDER BY CASE WHEN m.instance = ${instance} THEN 0 ELSE 1 END, p.id DESC
      LIMIT ${maxCandidates}`
    return sql.onDialectOrElse({
      pg: () => sql`m.instance = ${instance} AND ${rest}`,
      orElse: () =>
        sql`(m.instance = ${instance} OR m.remote = ${marks.remote ?? null} OR m.root = ${marks.root ?? null})
          AND ${rest}`
    })
  })
  return found.filter((one) => compareMarks(one.marks, marks) === "same").map(({ project }) => project)
})

/**
 * Compares the repository at a path with the known projects.
 *
 * @category queries
 * @since 0.1.0
 */
export const standing = Query.make({
  name: "memory.projectStanding",
  input: ProjectLocation,
  result: ProjectStanding,
  dependencies: () => [Dependency.make("projects")],
  run: Effect.fnUntraced(function* (location): Effect.fn.Return<ProjectStanding, SqlError, SqlClient.SqlClient> {
    const own = yield* Marks.byPath(location.path)
    if (own !== undefined && compareMarks(own.marks, location.marks) !== "different") {
      return { _tag: "Settled", project: own.project }
    }
    return { _tag: own === undefined ? "Absent" : "Reused", candidates: yield* candidates(location) }
  })
})

/** Frees the path of a project. Its id makes the new path unique. */
const setAside = Effect.fnUntraced(function* ({ id, path }: Project) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`UPDATE projects SET path = ${`${path}#${id}`} WHERE id = ${id}`
})

/**
 * Frees the path of a project if another repository uses it now. For use inside a mutation.
 *
 * @category programs
 * @since 0.1.0
 */
export const setAsideReused = Effect.fnUntraced(function* (
  location: ProjectLocation
): Effect.fn.Return<void, SqlError, SqlClient.SqlClient> {
  if (location.marks === undefined) return
  const own = yield* Marks.byPath(location.path)
  if (own !== undefined && compareMarks(own.marks, location.marks) === "different") yield* setAside(own.project)
})

/** Assigns a free path to a project, and the name if it is free. */
const place = Effect.fnUntraced(function* ({ marks, project }: Marks.MarkedProject, location: ProjectLocation) {
  const sql = yield* SqlClient.SqlClient
  const isFree = (name: string) =>
    Effect.map(sql`SELECT 1 FROM projects WHERE name = ${name} AND id <> ${project.id}`, ({ length }) => length === 0)
  const wanted = [location.name, `${location.name}-${fnv1a(location.path)}`]
  let name = project.name
  // The fallback project retains its name.
  if (project.name !== "default") {
    for (const candidate of wanted.toReversed()) if (yield* isFree(candidate)) name = candidate
  }
  yield* sql`UPDATE projects SET path = ${location.path}, name = ${name} WHERE id = ${project.id}`
  yield* Marks.save(project.id, marks, location.marks)
  return { id: project.id, name, path: location.path } satisfies Project as Project
})

/**
 * Assigns a path to the repository that is there now: a project of another repository frees it, and the moved project
 * gets it. `null` if none moved.
 *
 * @category mutations
 * @since 0.1.0
 */
export const relocate = Mutation.make({
  name: "memory.relocateProject",
  input: ProjectLocation,
  changes: () => moving,
  run: Effect.fnUntraced(function* (location): Effect.fn.Return<Project | null, SqlError, SqlClient.SqlClient> {
    const own = yield* Marks.byPath(location.path)
    // Another process was first.
    if (own !== undefined && compareMarks(own.marks, location.marks) !== "different") return own.project
    if (own !== undefined) yield* setAside(own.project)
    const moved = location.movedFrom === undefined ? undefined : yield* Marks.byId(location.movedFrom)
    if (moved === undefined || compareMarks(moved.marks, location.marks) !== "same") return null
    return yield* place(moved, location)
  })
})

/**
 * The projects with their contents, last active first, at most `maxListed`. Reads the times of all events.
 *
 * @category queries
 * @since 0.1.0
 */
export const list = Query.make({
  name: "memory.projects",
  input: Schema.Struct({}),
  result: Schema.Array(ProjectSummary),
  dependencies: () =>
    ["projects", "episodic_events", "prospective_tasks", "agent_sessions"].map((table) => Dependency.make(table)),
  run: Effect.fnUntraced(function* () {
    const sql = yield* SqlClient.SqlClient
    const count = (table: string) => sql`(SELECT project_id, count(*) AS rows FROM ${sql(table)} GROUP BY project_id)`
    const number = (column: string) => sql`coalesce(${Rows.integer(sql, column)}, 0)`
    const rows = yield* sql<Omit<typeof ProjectSummary.Encoded, "lastActivity"> & { readonly last: number | null }>`
      SELECT p.id, p.name, p.path, ${number("e.rows")} AS events, ${number("g.rows")} AS goals,
        ${number("s.rows")} AS sessions, ${Rows.integer(sql, "e.last")} AS last
      FROM projects p
      LEFT JOIN (SELECT project_id, count(*) AS rows, max(timestamp) AS last FROM episodic_events GROUP BY project_id) e
        ON e.project_id = p.id
      LEFT JOIN ${count("prospective_tasks")} g ON g.project_id = p.id
      LEFT JOIN ${count("agent_sessions")} s ON s.project_id = p.id
      ORDER BY CASE WHEN e.last IS NULL THEN 1 ELSE 0 END, e.last DESC, p.id LIMIT ${maxListed}`
    return rows.map(({ last, ...row }) => ({
      ...row,
      lastActivity: last === null ? null : DateTime.makeUnsafe(last)
    }))
  })
})

/**
 * Moves a project to another path. `Taken` if another project has that path, `Missing` if the project does not exist.
 *
 * @category mutations
 * @since 0.1.0
 */
export const move = Mutation.make({
  name: "memory.moveProject",
  input: Schema.Struct({ projectId: ProjectId, location: ProjectLocation }),
  changes: () => moving,
  run: Effect.fnUntraced(function* ({ location, projectId }) {
    const project = yield* Marks.byId(projectId)
    if (project === undefined) return { _tag: "Missing" } as const
    const other = yield* Marks.byPath(location.path)
    if (other !== undefined && other.project.id !== projectId) return { _tag: "Taken", by: other.project } as const
    return { _tag: "Moved", project: yield* place(project, location) } as const
  })
})

interface Reference {
  readonly table: string
  readonly column: string
}

/** The columns of all tables that reference a project, including tables of other programs, quoted for SQL. */
const references = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return yield* sql.onDialectOrElse({
    pg: () => sql<Reference>`SELECT c.conrelid::regclass::text AS "table", quote_ident(a.attname) AS "column"
      FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
      WHERE c.contype = 'f' AND c.confrelid = 'projects'::regclass AND array_length(c.conkey, 1) = 1
        AND c.conrelid <> 'agent_project_marks'::regclass`,
    orElse: () =>
      sql<Reference>`SELECT '"' || replace(t.name, '"', '""') || '"' AS "table",
        '"' || replace(f."from", '"', '""') || '"' AS "column"
      FROM sqlite_master t JOIN pragma_foreign_key_list(t.name) f ON f."table" = 'projects'
      WHERE t.type = 'table' AND t.name <> 'agent_project_marks'`
  })
})

const countOf = Effect.fnUntraced(function* (table: string, projectId: number) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ rows: number }>`SELECT ${Rows.integer(sql, "count(*)")} AS rows FROM ${sql(table)}
    WHERE project_id = ${projectId}`
  return rows[0]?.rows ?? 0
})

/**
 * Merges one project into another and removes the first: events, goals, sessions, and the rows of every other table
 * that references it. `null` if either does not exist.
 *
 * @category mutations
 * @since 0.1.0
 */
export const merge = Mutation.make({
  name: "memory.mergeProjects",
  input: Schema.Struct({ from: ProjectId, into: ProjectId }),
  changes: ({ from, into }) => [
    ...moving,
    ...[from, into].flatMap((id) =>
      ["episodic_events", "prospective_tasks", "agent_facts"].map((table) => Dependency.make(table, id))
    )
  ],
  run: Effect.fnUntraced(function* ({
    from,
    into
  }): Effect.fn.Return<MergedProjects | null, SqlError, SqlClient.SqlClient> {
    const sql = yield* SqlClient.SqlClient
    const [one, other] = [yield* Marks.byId(from), yield* Marks.byId(into)]
    if (one === undefined || other === undefined || from === into) return null
    const counts = {
      events: yield* countOf("episodic_events", from),
      goals: yield* countOf("prospective_tasks", from),
      sessions: yield* countOf("agent_sessions", from)
    }
    // Two current facts never have the same subject.
    yield* sql`DELETE FROM agent_facts WHERE project_id = ${from} AND ended_at IS NULL AND EXISTS (
      SELECT 1 FROM agent_facts other WHERE other.project_id = ${into} AND other.ended_at IS NULL
        AND other.kind = agent_facts.kind AND other.subject = agent_facts.subject)`
    yield* Effect.forEach(
      yield* references,
      ({ column, table }) =>
        sql`UPDATE ${sql.literal(table)} SET ${sql.literal(column)} = ${into} WHERE ${sql.literal(column)} = ${from}`,
      { discard: true }
    )
    yield* SearchIndex.move(from, into)
    yield* sql`DELETE FROM projects WHERE id = ${from}`
    return { project: other.project, ...counts }
  })
})
