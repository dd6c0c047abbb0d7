/**
 * Reads recorded events as the rules of facts take them.
 */
import * as Effect from "effect/Effect"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type * as Statement from "effect/sql/Statement"
import type { SessionEvent } from "../facts/SessionEvent.ts"
import * as Rows from "./rows.ts"

/** The part of a content that the rules read; a compaction summary is read whole, for its last sections. */
const readLength = 2_000

/** The columns of a row; files only of an event that changed any. */
const columns = (sql: SqlClient.SqlClient): Statement.Fragment => {
  const files = sql.onDialectOrElse({
    pg: () => sql`array_to_json(context_files)::text`,
    orElse: () => sql`CASE WHEN json_valid(context_files) THEN context_files END`
  })
  return sql`${Rows.integer(sql, "id")} AS id, session_id AS "sessionId", event_type AS type,
    CASE WHEN event_type = 'compaction' THEN content ELSE substr(content, 1, ${readLength}) END AS content, outcome,
    CASE WHEN files_changed > 0 THEN ${files} END AS files, coalesce(files_changed, 0) AS "filesChanged",
    ${Rows.integer(sql, "timestamp")} AS timestamp, worktree_path AS "worktreePath"`
}

type Row = Omit<SessionEvent, "files"> & { readonly files: string | null }

/** The active events that fulfil a condition, of which `newest` are read, oldest first. */
export const read = (
  sql: SqlClient.SqlClient,
  where: Statement.Fragment,
  newest: number
): Effect.Effect<ReadonlyArray<SessionEvent>, SqlError> =>
  Effect.map(
    sql<Row>`SELECT ${columns(sql)} FROM episodic_events
      WHERE ${where} AND coalesce(lifecycle_status, 'active') = 'active'
      ORDER BY timestamp DESC, id DESC LIMIT ${newest}`,
    (rows) =>
      rows
        .map((row): SessionEvent => ({
          ...row,
          files: row.files === null ? [] : (JSON.parse(row.files) as Array<string>)
        }))
        .toReversed()
  )

/** The events of each session. */
export const bySession = (events: ReadonlyArray<SessionEvent>): ReadonlyMap<string, ReadonlyArray<SessionEvent>> =>
  Map.groupBy(events, ({ sessionId }) => sessionId)
