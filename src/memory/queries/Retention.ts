/**
 * Queries and mutations of the retention. Each statement touches a bounded number of rows, found by an index that
 * serves other queries too.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as Dependency from "../../query/Dependency.ts"
import * as Mutation from "../../query/Mutation.ts"
import * as Query from "../../query/Query.ts"
import * as Rows from "../internal/rows.ts"

/**
 * The most rows that one transaction deletes: 1,000.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxBatch = 1_000

const Limit = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxBatch }))
const Millis = Schema.Int

const Oldest = Schema.Array(Schema.Struct({ projectId: Schema.Int, at: Schema.Finite }))
const decodeOldest = Rows.decode(Oldest)

/**
 * The time of the oldest event of each project, oldest first.
 *
 * @category queries
 * @since 0.1.0
 */
export const oldest = Query.make({
  name: "memory.oldestEvents",
  input: Schema.Struct({}),
  result: Oldest,
  dependencies: () => [Dependency.make("episodic_events"), Dependency.make("projects")],
  timeToLive: 0,
  run: Effect.fnUntraced(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* decodeOldest(
      yield* sql`SELECT id AS "projectId", at FROM (
        SELECT p.id, (SELECT ${Rows.integer(sql, "min(e.timestamp)")} FROM episodic_events e WHERE e.project_id = p.id) AS at
        FROM projects p) AS project WHERE at IS NOT NULL ORDER BY at`
    )
  })
})

const Newest = Schema.NullOr(Schema.Finite)
const decodeNewest = Rows.decode(Schema.Struct({ at: Newest }))

/**
 * The time of the newest event before a time, `null` if none exists.
 *
 * @category queries
 * @since 0.1.0
 */
export const newest = Query.make({
  name: "memory.newestEvent",
  input: Schema.Struct({ before: Millis }),
  result: Newest,
  dependencies: () => [Dependency.make("episodic_events"), Dependency.make("projects")],
  timeToLive: 0,
  run: Effect.fnUntraced(function* ({ before }) {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`SELECT max(at) AS at FROM (
      SELECT (SELECT ${Rows.integer(sql, "max(e.timestamp)")} FROM episodic_events e
        WHERE e.project_id = p.id AND e.timestamp < ${before}) AS at
      FROM projects p) AS project`
    return (yield* decodeNewest(rows[0])).at
  })
})

/**
 * The clock of the database server, in milliseconds since 1970; `null` for an embedded database.
 *
 * @category queries
 * @since 0.1.0
 */
export const serverNow = Query.make({
  name: "memory.serverNow",
  input: Schema.Struct({}),
  result: Schema.NullOr(Schema.Finite),
  dependencies: () => [],
  timeToLive: 0,
  run: Effect.fnUntraced(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* sql.onDialectOrElse({
      pg: () =>
        Effect.map(
          sql<{ now: number }>`SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now`,
          ([row]) => row?.now ?? null
        ),
      orElse: () => Effect.succeed(null)
    })
  })
})

/**
 * Deletes the oldest events of a project before a time, in milliseconds since 1970, and returns their number. A trigger
 * deletes their rows of the full-text index.
 *
 * @category mutations
 * @since 0.1.0
 */
export const deleteEvents = Mutation.make({
  name: "memory.pruneEvents",
  input: Schema.Struct({ projectId: Schema.Int, before: Millis, limit: Limit }),
  changes: ({ projectId }) => [Dependency.make("episodic_events", projectId)],
  run: Effect.fnUntraced(function* ({ before, limit, projectId }) {
    const sql = yield* SqlClient.SqlClient
    // Concurrent prunes of one server take different rows and do not wait for each other.
    const locking = sql.onDialectOrElse({ pg: () => sql`FOR UPDATE SKIP LOCKED`, orElse: () => sql`` })
    const deleted = yield* sql`DELETE FROM episodic_events WHERE id IN (
      SELECT id FROM episodic_events WHERE project_id = ${projectId} AND timestamp < ${before}
      ORDER BY timestamp LIMIT ${limit} ${locking}) RETURNING 1`
    return deleted.length
  })
})

/**
 * The memory id under which hooks mark that a session has its start context: it names no event, and lasts as long as the
 * session.
 */
const startContextMark = Number.MAX_SAFE_INTEGER

/** A row of `agent_session_memories`, as a position in the table. */
const Injection = Schema.Struct({ sessionId: Schema.String, memoryId: Schema.Finite })

/**
 * A page of the injections.
 *
 * @category schemas
 * @since 0.1.0
 */
export const InjectionPage = Schema.Struct({
  /** The last row of the page, `null` at the end of the table. */
  last: Schema.NullOr(Injection),
  /** The number of rows whose memory was deleted. */
  orphaned: Schema.Int
})

/**
 * Counts the injections of deleted memories in a page.
 *
 * @category queries
 * @since 0.1.0
 */
export const orphanedInjections = Query.make({
  name: "memory.orphanedInjections",
  input: Schema.Struct({ after: Injection, limit: Limit }),
  result: InjectionPage,
  dependencies: () => [Dependency.make("agent_session_memories"), Dependency.make("episodic_events")],
  timeToLive: 0,
  run: Effect.fnUntraced(function* ({ after, limit }) {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ sessionId: string; memoryId: number; orphaned: number }>`
      SELECT session_id AS "sessionId", ${Rows.integer(sql, "memory_id")} AS "memoryId",
        CASE WHEN memory_id = ${startContextMark} OR EXISTS (SELECT 1 FROM episodic_events e WHERE e.id = memory_id)
          THEN 0 ELSE 1 END AS orphaned
      FROM agent_session_memories WHERE (session_id, memory_id) > (${after.sessionId}, ${after.memoryId})
      ORDER BY session_id, memory_id LIMIT ${limit}`
    const last = rows.at(-1)
    return {
      last: last === undefined ? null : { sessionId: last.sessionId, memoryId: last.memoryId },
      orphaned: rows.filter((row) => row.orphaned === 1).length
    }
  })
})

/**
 * Deletes the injections of deleted memories in a page, and returns their number.
 *
 * @category mutations
 * @since 0.1.0
 */
export const deleteOrphanedInjections = Mutation.make({
  name: "memory.pruneInjections",
  input: Schema.Struct({ after: Injection, upTo: Injection }),
  changes: () => [Dependency.make("agent_session_memories")],
  run: Effect.fnUntraced(function* ({ after, upTo }) {
    const sql = yield* SqlClient.SqlClient
    const deleted = yield* sql`DELETE FROM agent_session_memories
      WHERE (session_id, memory_id) > (${after.sessionId}, ${after.memoryId})
        AND (session_id, memory_id) <= (${upTo.sessionId}, ${upTo.memoryId})
        AND memory_id <> ${startContextMark}
        AND NOT EXISTS (SELECT 1 FROM episodic_events e WHERE e.id = memory_id) RETURNING 1`
    return deleted.length
  })
})

/**
 * A page of the sessions.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SessionPage = Schema.Struct({
  /** The last session of the page, `null` at the end of the table. */
  last: Schema.NullOr(Schema.String),
  /** The number of old sessions without events. */
  empty: Schema.Int
})

/**
 * Counts the sessions in a page that began before a time and have no events.
 *
 * @category queries
 * @since 0.1.0
 */
export const emptySessions = Query.make({
  name: "memory.emptySessions",
  input: Schema.Struct({ after: Schema.String, before: Millis, limit: Limit }),
  result: SessionPage,
  dependencies: () => [Dependency.make("agent_sessions"), Dependency.make("episodic_events")],
  timeToLive: 0,
  run: Effect.fnUntraced(function* ({ after, before, limit }) {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ id: string; empty: number }>`SELECT session_id AS id,
        CASE WHEN started_at < ${before}
          AND NOT EXISTS (SELECT 1 FROM episodic_events e WHERE e.session_id = agent_sessions.session_id)
        THEN 1 ELSE 0 END AS empty
      FROM agent_sessions WHERE session_id > ${after} ORDER BY session_id LIMIT ${limit}`
    return { last: rows.at(-1)?.id ?? null, empty: rows.filter((row) => row.empty === 1).length }
  })
})

/**
 * Deletes the sessions in a page that began before a time and have no events, with their injections, and returns their
 * number.
 *
 * @category mutations
 * @since 0.1.0
 */
export const deleteSessions = Mutation.make({
  name: "memory.pruneSessions",
  input: Schema.Struct({ after: Schema.String, upTo: Schema.String, before: Millis }),
  changes: () => [Dependency.make("agent_sessions"), Dependency.make("agent_session_memories")],
  run: Effect.fnUntraced(function* ({ after, before, upTo }) {
    const sql = yield* SqlClient.SqlClient
    const deleted = yield* sql`DELETE FROM agent_sessions
      WHERE session_id > ${after} AND session_id <= ${upTo} AND started_at < ${before}
        AND NOT EXISTS (SELECT 1 FROM episodic_events e WHERE e.session_id = agent_sessions.session_id) RETURNING 1`
    return deleted.length
  })
})

const Counts = Schema.Struct({
  events: Schema.Int,
  /** Events before the time. */
  before: Schema.Int
})
const decodeCounts = Rows.decode(Counts)

/**
 * Counts all events, and those before a time. Scans an index: about 70 ms per 1,000,000 events in the embedded
 * database.
 *
 * @category queries
 * @since 0.1.0
 */
export const count = Query.make({
  name: "memory.countEvents",
  input: Schema.Struct({ before: Millis }),
  result: Counts,
  dependencies: () => [Dependency.make("episodic_events")],
  timeToLive: 0,
  run: Effect.fnUntraced(function* ({ before }) {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`SELECT
      (SELECT ${Rows.integer(sql, "count(*)")} FROM episodic_events) AS events,
      (SELECT ${Rows.integer(sql, "count(*)")} FROM episodic_events
        WHERE project_id IN (SELECT id FROM projects) AND timestamp < ${before}) AS before`
    return yield* decodeCounts(rows[0])
  })
})
