/**
 * Queries over the sessions of agents.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Dependency from "../../query/Dependency.ts"
import * as Mutation from "../../query/Mutation.ts"
import * as Query from "../../query/Query.ts"
import * as Rows from "../internal/rows.ts"
import { MemoryId } from "../Memory.ts"
import { NewSession, Session, SessionId } from "../Session.ts"
import * as Projects from "./Projects.ts"

/**
 * The most injections stored per session.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxInjected = 1_000

const SessionRow = Schema.Struct({
  id: Schema.String,
  project_id: Schema.Int,
  name: Schema.String,
  path: Schema.String,
  worktree_path: Schema.String
})
const decode = Rows.decode(Schema.Array(SessionRow))

const find = (id: string): Effect.Effect<Session | null, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* decode(
      yield* sql`SELECT s.session_id AS id, s.project_id, p.name, p.path, s.worktree_path
        FROM agent_sessions s JOIN projects p ON p.id = s.project_id WHERE s.session_id = ${id}`
    )
    const row = rows[0]
    if (row === undefined) return null
    return {
      id: row.id,
      project: { id: row.project_id, name: row.name, path: row.path },
      worktreePath: row.worktree_path
    }
  })

/**
 * The session with this id, or `null`.
 *
 * @category queries
 * @since 0.1.0
 */
export const byId = Query.make({
  name: "memory.session",
  input: Schema.Struct({ sessionId: SessionId }),
  result: Schema.NullOr(Session),
  // The project of a session never changes, and neither does its row.
  dependencies: ({ sessionId }) => [Dependency.make("agent_sessions", sessionId)],
  run: ({ sessionId }) => find(sessionId)
})

/**
 * Creates the session and its project if they are absent. An existing session retains its project.
 *
 * @category mutations
 * @since 0.1.0
 */
export const open = Mutation.make({
  name: "memory.openSession",
  input: NewSession,
  changes: ({ id, project }) => [Dependency.make("agent_sessions", id), ...Projects.changesOfNew(project)],
  run: Effect.fnUntraced(function* (session): Effect.fn.Return<Session, SqlError, SqlClient.SqlClient> {
    const sql = yield* SqlClient.SqlClient
    const project = yield* Projects.findOrMake(session.project)
    const now = yield* Clock.currentTimeMillis
    yield* sql`INSERT INTO agent_sessions (session_id, project_id, worktree_path, started_at)
      VALUES (${session.id}, ${project.id}, ${session.worktreePath}, ${now}) ON CONFLICT DO NOTHING`
    return (yield* find(session.id)) ?? { id: session.id, project, worktreePath: session.worktreePath }
  })
})

/**
 * The ids of the memories that were injected into a session, at most `maxInjected`.
 *
 * @category queries
 * @since 0.1.0
 */
export const injected = Query.make({
  name: "memory.injected",
  input: Schema.Struct({ sessionId: SessionId }),
  result: Schema.Array(MemoryId),
  dependencies: ({ sessionId }) => [Dependency.make("agent_session_memories", sessionId)],
  run: Effect.fnUntraced(function* ({ sessionId }) {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ id: number }>`SELECT ${Rows.integer(sql, "memory_id")} AS id FROM agent_session_memories
      WHERE session_id = ${sessionId} ORDER BY memory_id DESC LIMIT ${maxInjected}`
    return rows.map((row) => row.id)
  })
})

/**
 * Marks memories as injected into a session.
 *
 * @category mutations
 * @since 0.1.0
 */
export const markInjected = Mutation.make({
  name: "memory.markInjected",
  input: Schema.Struct({ sessionId: SessionId, memoryIds: Schema.Array(MemoryId).check(Schema.isMaxLength(100)) }),
  changes: ({ sessionId }) => [Dependency.make("agent_session_memories", sessionId)],
  run: Effect.fnUntraced(function* ({ memoryIds, sessionId }) {
    if (!Arr.isReadonlyArrayNonEmpty(memoryIds)) return
    const sql = yield* SqlClient.SqlClient
    const rows = Arr.map(memoryIds, (memory_id) => ({ session_id: sessionId, memory_id }))
    yield* sql`INSERT INTO agent_session_memories ${sql.insert(rows)} ON CONFLICT DO NOTHING`
  })
})

/**
 * Clears the injections of a session, after its context was compacted.
 *
 * @category mutations
 * @since 0.1.0
 */
export const clearInjected = Mutation.make({
  name: "memory.clearInjected",
  input: Schema.Struct({ sessionId: SessionId }),
  changes: ({ sessionId }) => [Dependency.make("agent_session_memories", sessionId)],
  run: Effect.fnUntraced(function* ({ sessionId }) {
    const sql = yield* SqlClient.SqlClient
    yield* sql`DELETE FROM agent_session_memories WHERE session_id = ${sessionId}`
  })
})

/** The newest own events of a session that a fork inherits as injections. */
const maxOwn = maxInjected

/**
 * Copies to a fork the injections and the newest 1,000 events of the session last active in its worktree, as
 * injections. Does nothing if no other session was active there.
 *
 * @category mutations
 * @since 0.1.0
 */
export const inheritInjected = Mutation.make({
  name: "memory.inheritInjected",
  input: Schema.Struct({ sessionId: SessionId }),
  changes: ({ sessionId }) => [Dependency.make("agent_session_memories", sessionId)],
  run: Effect.fnUntraced(function* ({ sessionId }) {
    const sql = yield* SqlClient.SqlClient
    const [parent] = yield* sql<{ id: string }>`SELECT e.session_id AS id
      FROM agent_sessions own
      JOIN episodic_events e ON e.project_id = own.project_id AND e.worktree_path = own.worktree_path
      JOIN agent_sessions other ON other.session_id = e.session_id
      WHERE own.session_id = ${sessionId} AND e.session_id <> ${sessionId} ORDER BY e.timestamp DESC, e.id DESC LIMIT 1`
    if (parent === undefined) return
    yield* sql`INSERT INTO agent_session_memories (session_id, memory_id)
      SELECT ${sessionId}, memory_id FROM agent_session_memories WHERE session_id = ${parent.id} ON CONFLICT DO NOTHING`
    yield* sql`INSERT INTO agent_session_memories (session_id, memory_id)
      SELECT ${sessionId}, id FROM (
        SELECT id FROM episodic_events WHERE session_id = ${parent.id} ORDER BY id DESC LIMIT ${maxOwn}) AS own
      WHERE true ON CONFLICT DO NOTHING`
  })
})
