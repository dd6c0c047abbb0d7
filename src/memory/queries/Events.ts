/**
 * Queries over recorded events.
 *
 * @since 0.1.0
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Dependency from "../../query/Dependency.ts"
import * as Mutation from "../../query/Mutation.ts"
import * as Query from "../../query/Query.ts"
import * as Rows from "../internal/rows.ts"
import * as SearchIndex from "../internal/searchIndex.ts"
import { storable } from "../../internal/text.ts"
import { MemoryId } from "../Memory.ts"
import { maxBatch, MemoryEvent, type RecordedEvent } from "../MemoryEvent.ts"
import { ProjectId } from "../Project.ts"
import * as Redaction from "../../redaction/Redaction.ts"

/**
 * A stamped event: its key and time are set.
 *
 * @category schemas
 * @since 0.1.0
 */
export const StampedEvent = Schema.Struct({
  ...MemoryEvent.fields,
  key: Redaction.RedactedText.check(Schema.isBetweenLength(1, 255)),
  timestamp: Schema.DateTimeUtcFromMillis
})

/**
 * A stamped event: its key and time are set.
 *
 * @category models
 * @since 0.1.0
 */
export type StampedEvent = typeof StampedEvent.Type

/** The event as the columns of its row. */
const toRow = (event: StampedEvent) => ({
  event_key: storable(event.key),
  earlier_keys: event.earlierKeys?.map(({ beginsWith, key }) => ({
    key: storable(key),
    begins_with: beginsWith === undefined ? undefined : storable(beginsWith)
  })),
  project_id: event.projectId,
  session_id: storable(event.sessionId),
  // A time made by arithmetic can fall between two milliseconds.
  timestamp: Math.floor(DateTime.toEpochMillis(event.timestamp)),
  duration_ms: event.durationMs ?? null,
  event_type: storable(event.type),
  content: storable(event.content),
  outcome: event.outcome === undefined ? null : storable(event.outcome),
  context_cwd: event.cwd === undefined ? null : storable(event.cwd),
  context_files: event.files === undefined ? null : event.files.map(storable),
  files_changed: event.filesChanged ?? 0,
  worktree_path: event.worktreePath === undefined ? null : storable(event.worktreePath),
  importance_score: event.importance ?? 0.5
})

type Row = ReturnType<typeof toRow>

interface Inserted {
  readonly event_key: string
  readonly id: number
}

/** One statement whatever the number of events: the rows travel as one JSON parameter. */
const insertRows = (sql: SqlClient.SqlClient, rows: string) =>
  sql.onDialectOrElse({
    pg: () => sql<Inserted>`INSERT INTO episodic_events (event_key, project_id, session_id, timestamp,
        duration_ms, event_type, content, outcome, context_cwd, context_files, files_changed, worktree_path,
        importance_score, last_activation)
      SELECT event_key, project_id, session_id, timestamp, duration_ms, event_type, content, outcome, context_cwd,
        CASE WHEN context_files IS NULL OR jsonb_typeof(context_files) = 'null' THEN NULL
          ELSE ARRAY(SELECT jsonb_array_elements_text(context_files)) END,
        files_changed, worktree_path, importance_score, to_timestamp(timestamp / 1000.0)::timestamp
      FROM jsonb_to_recordset(${rows}::text::jsonb) AS event (event_key text, project_id int, session_id text,
        timestamp bigint, duration_ms int, event_type text, content text, outcome text, context_cwd text,
        context_files jsonb, files_changed int, worktree_path text, importance_score real, earlier_keys jsonb)
      WHERE NOT EXISTS (SELECT 1
        FROM jsonb_to_recordset(coalesce(event.earlier_keys, '[]')) AS earlier (key text, begins_with text)
        JOIN episodic_events stored ON stored.event_key = earlier.key
        WHERE earlier.begins_with IS NULL OR starts_with(stored.content, earlier.begins_with))
        AND NOT EXISTS (SELECT 1 FROM agent_tombstones deleted WHERE deleted.event_key = event.event_key
          OR deleted.event_key IN (SELECT earlier ->> 'key'
            FROM jsonb_array_elements(coalesce(event.earlier_keys, '[]')) AS earlier))
      ON CONFLICT (event_key) DO NOTHING RETURNING event_key, ${Rows.integer(sql, "id")} AS id`,
    orElse: () => sql<Inserted>`INSERT INTO episodic_events (event_key, project_id, session_id, timestamp,
        duration_ms, event_type, content, outcome, context_cwd, context_files, files_changed, worktree_path,
        importance_score, last_activation)
      SELECT value ->> 'event_key', value ->> 'project_id', value ->> 'session_id', value ->> 'timestamp',
        value ->> 'duration_ms', value ->> 'event_type', value ->> 'content', value ->> 'outcome',
        value ->> 'context_cwd', value ->> 'context_files', value ->> 'files_changed', value ->> 'worktree_path',
        value ->> 'importance_score', value ->> 'timestamp'
      FROM json_each(${rows}) AS event WHERE NOT EXISTS (SELECT 1
        FROM json_each(event.value -> 'earlier_keys') AS earlier
        CROSS JOIN episodic_events stored ON stored.event_key = earlier.value ->> 'key'
        WHERE earlier.value ->> 'begins_with' IS NULL
          OR substr(stored.content, 1, length(earlier.value ->> 'begins_with')) = earlier.value ->> 'begins_with')
        AND NOT EXISTS (SELECT 1 FROM agent_tombstones deleted WHERE deleted.event_key = event.value ->> 'event_key'
          OR deleted.event_key IN (SELECT earlier.value ->> 'key'
            FROM json_each(event.value -> 'earlier_keys') AS earlier))
      ON CONFLICT (event_key) DO NOTHING RETURNING event_key, ${Rows.integer(sql, "id")} AS id`
  })

/** The event among `rows` that a row is another delivery of, by an earlier key of its own. */
const sameAmong = (rows: ReadonlyMap<string, Row>, { earlier_keys = [] }: Row): string | undefined =>
  earlier_keys.find(({ begins_with = "", key }) => rows.get(key)?.content.startsWith(begins_with))?.key

/** Without those that are another delivery of one before them: the statement sees only what was stored before it. */
const withoutRepeated = (rows: ReadonlyArray<Row>): ReadonlyArray<Row> => {
  const before = new Map<string, Row>()
  return rows.filter((row) => {
    if (sameAmong(before, row) !== undefined) return false
    before.set(row.event_key, row)
    return true
  })
}

/** Stores and indexes the events that are not stored yet, and returns these. */
const insert = (rows: ReadonlyArray<Row>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const inserted = yield* insertRows(sql, JSON.stringify(withoutRepeated(rows)))
    const ids = new Map(inserted.map(({ event_key, id }) => [event_key, id]))
    const fresh = rows.flatMap((row) => {
      const id = ids.get(row.event_key)
      return id !== undefined && ids.delete(row.event_key) ? [{ ...row, id }] : []
    })
    yield* SearchIndex.add(fresh)
    return inserted
  })

/**
 * Stores the events that are not stored yet. For use inside a mutation.
 *
 * @category programs
 * @since 0.1.0
 */
export const insertAll = (events: ReadonlyArray<StampedEvent>): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.asVoid(insert(events.map(toRow)))

const idsOf = Effect.fnUntraced(function* (keys: ReadonlyArray<string>) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ key: string; id: number }>`SELECT event_key AS key, ${Rows.integer(sql, "id")} AS id
    FROM episodic_events WHERE ${sql.in("event_key", keys)}`
  return rows.map((row) => [row.key, row.id] as const)
})

/**
 * Stores 1 to `maxBatch` new events atomically. The results have the order of the events.
 *
 * @category mutations
 * @since 0.1.0
 */
export const record = Mutation.make({
  name: "memory.recordEvents",
  input: Schema.Array(StampedEvent).check(Schema.isBetweenLength(1, maxBatch)),
  changes: (events) =>
    [...new Set(events.map((event) => event.projectId))].map((id) => Dependency.make("episodic_events", id)),
  run: Effect.fnUntraced(function* (events) {
    const rows = events.map(toRow)
    const inserted = yield* insert(rows)
    const ids = new Map(yield* idsOf(rows.map((row) => row.event_key)))
    const missing = rows.filter((row) => !ids.has(row.event_key))
    const earlier = missing.flatMap(({ earlier_keys = [] }) => earlier_keys.map(({ key }) => key))
    if (earlier.length > 0) for (const [key, id] of yield* idsOf(earlier)) ids.set(key, id)
    return answers(rows, new Set(inserted.map((row) => row.event_key)), ids)
  })
})

/** A key that occurs twice in one call is new only the first time. */
const answers = (
  rows: ReadonlyArray<Row>,
  fresh: Set<string>,
  ids: ReadonlyMap<string, number>
): ReadonlyArray<RecordedEvent> =>
  rows.map(({ earlier_keys = [], event_key: key }) => ({
    id: ids.get(key) ?? ids.get(earlier_keys.find((earlier) => ids.has(earlier.key))?.key ?? "") ?? null,
    key,
    isNew: fresh.delete(key)
  }))

/**
 * The whole content of a memory, or `null` where there is none with this id.
 *
 * @category queries
 * @since 0.1.0
 */
export const content = Query.make({
  name: "memory.content",
  input: Schema.Struct({ memoryId: MemoryId }),
  result: Schema.NullOr(Schema.String),
  dependencies: () => [Dependency.make("episodic_events")],
  run: Effect.fnUntraced(function* ({ memoryId }) {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ content: string }>`SELECT content FROM episodic_events WHERE id = ${memoryId}`
    return rows[0]?.content ?? null
  })
})

/**
 * When the newest event of a project happened, or `null` where there is none.
 *
 * @category queries
 * @since 0.1.0
 */
export const lastSessionTime = Query.make({
  name: "memory.lastSessionTime",
  input: Schema.Struct({ projectId: ProjectId }),
  result: Schema.NullOr(Schema.DateTimeUtcFromMillis),
  dependencies: ({ projectId }) => [Dependency.make("episodic_events", projectId)],
  run: Effect.fnUntraced(function* ({ projectId }) {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ at: number }>`SELECT ${Rows.integer(sql, "timestamp")} AS at FROM episodic_events
      WHERE project_id = ${projectId} ORDER BY timestamp DESC LIMIT 1`
    return rows[0] === undefined ? null : DateTime.makeUnsafe(rows[0].at)
  })
})
