/**
 * Queries and mutations by which a user reads and corrects the stored memories: list, edit, pin, forget, restore, delete.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { preview, storable } from "../../internal/text.ts"
import * as Dependency from "../../query/Dependency.ts"
import * as Mutation from "../../query/Mutation.ts"
import * as Query from "../../query/Query.ts"
import * as Redaction from "../../redaction/Redaction.ts"
import * as Facts from "./Facts.ts"
import * as Rows from "../internal/rows.ts"
import * as SearchIndex from "../internal/searchIndex.ts"
import { type MemoryEntry, MemoryEntry as Entry, MemoryId, previewLength, SessionSummary } from "../Memory.ts"
import { maxContentLength } from "../MemoryEvent.ts"
import { ProjectId } from "../Project.ts"
import { SessionId } from "../Session.ts"

/**
 * The maximum number of memories or sessions that one call lists or changes: 1,000.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxBatch = 1_000

/** The status of a memory that is excluded from recall. */
const forgotten = "forgotten"

const Ids = Schema.Array(MemoryId).check(Schema.isMaxLength(maxBatch))
const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxBatch }))

const columns = (sql: SqlClient.SqlClient) => {
  const files = sql.onDialectOrElse({
    pg: () => sql`array_to_json(e.context_files)::text`,
    orElse: () => sql`e.context_files`
  })
  return sql`${Rows.integer(sql, "e.id")} AS id, ${Rows.integer(sql, "e.project_id")} AS "projectId",
    e.session_id AS "sessionId", e.event_type AS type, e.content, ${Rows.integer(sql, "e.timestamp")} AS timestamp,
    e.outcome, coalesce(e.importance_score, 0.5) AS importance, e.context_cwd AS cwd,
    coalesce(${files}, '[]') AS files,
    CASE WHEN e.lifecycle_status = ${forgotten} THEN 1 ELSE 0 END AS "isForgotten",
    CASE WHEN EXISTS (SELECT 1 FROM agent_pins p WHERE p.memory_id = e.id) THEN 1 ELSE 0 END AS "isPinned"`
}

const decode = Rows.decode(Schema.Array(Entry))

const shortened = (entry: MemoryEntry): MemoryEntry => ({ ...entry, content: preview(entry.content, previewLength) })

const escapeLike = (text: string): string => text.replace(/[\\%_]/g, (character) => `\\${character}`)

const Conditions = {
  projectId: ProjectId,
  type: Schema.NullOr(Schema.String),
  sessionId: Schema.NullOr(SessionId),
  /** Milliseconds since 1970. */
  since: Schema.NullOr(Schema.Finite),
  /** A text that the content contains, whatever the case of ASCII letters. */
  containing: Schema.NullOr(Schema.String),
  pinned: Schema.Boolean,
  forgotten: Schema.Boolean
}
const ConditionsSchema = Schema.Struct(Conditions)

const matching = (sql: SqlClient.SqlClient, input: typeof ConditionsSchema.Type) => {
  const like = sql.onDialectOrElse({ pg: () => sql`ILIKE`, orElse: () => sql`LIKE` })
  return sql.and([
    sql`e.project_id = ${input.projectId}`,
    ...(input.type === null ? [] : [sql`e.event_type = ${input.type}`]),
    ...(input.sessionId === null ? [] : [sql`e.session_id = ${input.sessionId}`]),
    ...(input.since === null ? [] : [sql`e.timestamp >= ${Math.floor(input.since)}`]),
    ...(input.containing === null
      ? []
      : [sql`e.content ${like} ${`%${escapeLike(storable(input.containing))}%`} ESCAPE '\\'`]),
    ...(input.pinned ? [sql`EXISTS (SELECT 1 FROM agent_pins p WHERE p.memory_id = e.id)`] : []),
    ...(input.forgotten ? [sql`e.lifecycle_status = ${forgotten}`] : [])
  ])
}

/**
 * The memories of a project that fulfil all conditions, newest first, with the first `previewLength` characters of their
 * contents.
 *
 * @category queries
 * @since 0.1.0
 */
export const list = Query.make({
  name: "memory.list",
  input: Schema.Struct({ ...Conditions, limit: Limit }),
  result: Schema.Array(Entry),
  dependencies: ({ projectId }) => [Dependency.make("episodic_events", projectId)],
  timeToLive: 0,
  run: Effect.fnUntraced(function* (input): Effect.fn.Return<
    ReadonlyArray<MemoryEntry>,
    SqlError,
    SqlClient.SqlClient
  > {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`SELECT ${columns(sql)} FROM episodic_events e WHERE ${matching(sql, input)}
      ORDER BY e.timestamp DESC, e.id DESC LIMIT ${input.limit}`
    return (yield* decode(rows)).map(shortened)
  })
})

/**
 * The ids of all memories of a project that fulfil all conditions.
 *
 * @category queries
 * @since 0.1.0
 */
export const ids = Query.make({
  name: "memory.ids",
  input: ConditionsSchema,
  result: Schema.Array(MemoryId),
  dependencies: ({ projectId }) => [Dependency.make("episodic_events", projectId)],
  timeToLive: 0,
  run: Effect.fnUntraced(function* (input) {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ id: number }>`SELECT ${Rows.integer(sql, "e.id")} AS id FROM episodic_events e
      WHERE ${matching(sql, input)} ORDER BY e.id`
    return rows.map(({ id }) => id)
  })
})

/**
 * Some memories with their whole contents, by id. A missing one is left out.
 *
 * @category queries
 * @since 0.1.0
 */
export const byIds = Query.make({
  name: "memory.entries",
  input: Schema.Struct({ ids: Ids }),
  result: Schema.Array(Entry),
  dependencies: () => [Dependency.make("episodic_events")],
  timeToLive: 0,
  run: Effect.fnUntraced(function* ({ ids }) {
    if (ids.length === 0) return []
    const sql = yield* SqlClient.SqlClient
    return yield* decode(
      yield* sql`SELECT ${columns(sql)} FROM episodic_events e WHERE ${sql.in("e.id", ids)} ORDER BY e.id`
    )
  })
})

const decodeSessions = Rows.decode(Schema.Array(SessionSummary))

/**
 * The sessions of a project, last active first.
 *
 * @category queries
 * @since 0.1.0
 */
export const sessions = Query.make({
  name: "memory.sessions",
  input: Schema.Struct({ projectId: ProjectId, limit: Limit }),
  result: Schema.Array(SessionSummary),
  dependencies: ({ projectId }) => [Dependency.make("episodic_events", projectId)],
  timeToLive: 0,
  run: Effect.fnUntraced(function* ({ limit, projectId }) {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* decodeSessions(
      yield* sql`SELECT s.*, (SELECT substr(q.content, 1, ${previewLength + 1}) FROM episodic_events q
          WHERE q.session_id = s.id AND q.project_id = ${projectId} AND q.event_type = 'user_question'
          ORDER BY q.timestamp, q.id LIMIT 1) AS "firstPrompt"
        FROM (SELECT e.session_id AS id, ${Rows.integer(sql, "min(e.timestamp)")} AS start,
            ${Rows.integer(sql, "max(e.timestamp)")} AS "end", ${Rows.integer(sql, "count(*)")} AS events
          FROM episodic_events e WHERE e.project_id = ${projectId} GROUP BY e.session_id
          ORDER BY max(e.timestamp) DESC, e.session_id LIMIT ${limit}) s ORDER BY s."end" DESC, s.id`
    )
    return rows.map((row) => ({
      ...row,
      firstPrompt: row.firstPrompt === null ? null : preview(row.firstPrompt, previewLength)
    }))
  })
})

const Selection = Schema.Struct({ projectId: ProjectId, ids: Ids })

const changesOf = ({ projectId }: typeof Selection.Type) => [Dependency.make("episodic_events", projectId)]

/** The ids among these that belong to the project. */
const owned = Effect.fnUntraced(function* ({ ids, projectId }: typeof Selection.Type) {
  if (!Arr.isReadonlyArrayNonEmpty(ids)) return []
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ id: number }>`SELECT ${Rows.integer(sql, "id")} AS id FROM episodic_events
    WHERE project_id = ${projectId} AND ${sql.in("id", ids)}`
  return rows.map(({ id }) => id)
})

/**
 * Replaces the content of a memory; `false` if the project has no such memory.
 *
 * @category mutations
 * @since 0.1.0
 */
export const edit = Mutation.make({
  name: "memory.edit",
  input: Schema.Struct({
    projectId: ProjectId,
    memoryId: MemoryId,
    content: Redaction.RedactedText.check(Schema.isBetweenLength(1, maxContentLength))
  }),
  changes: ({ projectId }) => [Dependency.make("episodic_events", projectId)],
  run: Effect.fnUntraced(function* ({ content, memoryId, projectId }) {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`UPDATE episodic_events SET content = ${storable(content)}
      WHERE id = ${memoryId} AND project_id = ${projectId} RETURNING 1`
    if (rows.length > 0) yield* Facts.retract(projectId, [memoryId])
    if (rows.length > 0) yield* SearchIndex.refresh([memoryId])
    return rows.length > 0
  })
})

/**
 * Pins memories of a project, or unpins them, and returns the ids of those that exist.
 *
 * @category mutations
 * @since 0.1.0
 */
export const pin = Mutation.make({
  name: "memory.pin",
  input: Schema.Struct({ ...Selection.fields, isPinned: Schema.Boolean }),
  changes: changesOf,
  run: Effect.fnUntraced(function* (input) {
    const sql = yield* SqlClient.SqlClient
    const ids = yield* owned(input)
    if (!Arr.isReadonlyArrayNonEmpty(ids)) return []
    yield* input.isPinned
      ? sql`INSERT INTO agent_pins ${sql.insert(Arr.map(ids, (memory_id) => ({ memory_id })))} ON CONFLICT DO NOTHING`
      : sql`DELETE FROM agent_pins WHERE ${sql.in("memory_id", ids)}`
    return ids
  })
})

/**
 * Excludes memories of a project from recall, or restores them, and returns the ids of those that exist.
 *
 * @category mutations
 * @since 0.1.0
 */
export const forget = Mutation.make({
  name: "memory.forget",
  input: Schema.Struct({ ...Selection.fields, isForgotten: Schema.Boolean }),
  changes: changesOf,
  run: Effect.fnUntraced(function* (input) {
    const sql = yield* SqlClient.SqlClient
    const ids = yield* owned(input)
    if (!Arr.isReadonlyArrayNonEmpty(ids)) return []
    yield* input.isForgotten
      ? sql`UPDATE episodic_events SET lifecycle_status = ${forgotten} WHERE ${sql.in("id", ids)}`
      : sql`UPDATE episodic_events SET lifecycle_status = 'active'
          WHERE ${sql.in("id", ids)} AND lifecycle_status = ${forgotten}`
    yield* Facts.retract(input.projectId, ids)
    return ids
  })
})

/**
 * Deletes memories of a project with all that refers to them, and stores their keys, so that no later delivery restores
 * them. Returns the ids of those that existed.
 *
 * @category mutations
 * @since 0.1.0
 */
export const remove = Mutation.make({
  name: "memory.delete",
  input: Selection,
  changes: (input) => [...changesOf(input), Dependency.make("agent_session_memories")],
  run: Effect.fnUntraced(function* (input) {
    const sql = yield* SqlClient.SqlClient
    const ids = yield* owned(input)
    if (!Arr.isReadonlyArrayNonEmpty(ids)) return []
    yield* sql`INSERT INTO agent_tombstones (event_key) SELECT event_key FROM episodic_events
      WHERE ${sql.in("id", ids)} AND event_key IS NOT NULL ON CONFLICT DO NOTHING`
    yield* Facts.retract(input.projectId, ids)
    yield* sql`DELETE FROM agent_session_memories WHERE ${sql.in("memory_id", ids)}`
    yield* sql`DELETE FROM episodic_events WHERE ${sql.in("id", ids)}`
    return ids
  })
})
