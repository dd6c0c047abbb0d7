/**
 * Queries of what a session start shows: the notes of a project, and the digests of its recent sessions.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { preview } from "../../internal/text.ts"
import * as Dependency from "../../query/Dependency.ts"
import * as Query from "../../query/Query.ts"
import { Evidence } from "../facts/Fact.ts"
import * as SessionDigest from "../facts/SessionDigest.ts"
import { commandRun, type SessionEvent } from "../facts/SessionEvent.ts"
import * as Rows from "../internal/rows.ts"
import * as SessionEvents from "../internal/sessionEvents.ts"
import { Note, noteLength } from "../Memory.ts"
import { ProjectId } from "../Project.ts"

/**
 * The most notes that one call returns: 100.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxNotes = 100

/**
 * The newest events of a project from which digests are derived: 2,000.
 *
 * @category defaults
 * @since 0.1.0
 */
export const digestedEvents = 2_000

/** The most digests that one call returns: enough to choose from after those in the context are excluded. */
const maxDigests = 20

const active = (sql: SqlClient.SqlClient) => sql`coalesce(lifecycle_status, 'active') = 'active'`

const decodeNotes = Rows.decode(Schema.Array(Note))

/**
 * The notes and the pinned memories of a project, pinned first, then newest. Their age and number of uses do not matter.
 *
 * @category queries
 * @since 0.1.0
 */
export const notes = Query.make({
  name: "memory.notes",
  input: Schema.Struct({
    projectId: ProjectId,
    limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxNotes }))
  }),
  result: Schema.Array(Note),
  dependencies: ({ projectId }) => [Dependency.make("episodic_events", projectId)],
  run: Effect.fnUntraced(function* ({
    limit,
    projectId
  }): Effect.fn.Return<ReadonlyArray<Note>, SqlError, SqlClient.SqlClient> {
    const sql = yield* SqlClient.SqlClient
    const own = sql`project_id = ${projectId} AND ${active(sql)}`
    const columns = sql`id, event_type, substr(content, 1, ${noteLength + 1}) AS content, timestamp`
    const rows = yield* decodeNotes(
      yield* sql`SELECT ${Rows.integer(sql, "id")} AS id, event_type AS type, content,
          ${Rows.integer(sql, "timestamp")} AS timestamp FROM (
        SELECT ${columns}, 1 AS pinned FROM episodic_events
          WHERE ${own} AND id IN (SELECT memory_id FROM agent_pins)
        UNION ALL SELECT * FROM (SELECT ${columns}, 0 AS pinned FROM episodic_events
          WHERE ${own} AND event_type = 'note' AND id NOT IN (SELECT memory_id FROM agent_pins)
          ORDER BY timestamp DESC, id DESC LIMIT ${limit}) AS newest) AS notes
        ORDER BY pinned DESC, timestamp DESC, id DESC LIMIT ${limit}`
    )
    return rows.map((note) => ({ ...note, content: preview(note.content, noteLength) }))
  })
})

/** The time of the last success of each command. */
const successes = (events: ReadonlyArray<SessionEvent>): ReadonlyMap<string, number> => {
  const times = new Map<string, number>()
  for (const run of events.map(commandRun)) {
    if (run !== undefined && run.error === undefined) times.set(run.key, run.event.timestamp)
  }
  return times
}

/** The most stored digests of older sessions. */
const maxStored = 200

const decodeEvidence = Rows.decode(
  Schema.Array(Schema.Struct({ evidence: Schema.fromJsonString(Schema.Array(Evidence)) }))
)

/** The consolidated digests of a project, oldest first. */
const storedDigests = (projectId: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* decodeEvidence(
      yield* sql`SELECT evidence FROM agent_facts WHERE project_id = ${projectId} AND kind = 'digest'
        AND ended_at IS NULL ORDER BY valid_from DESC LIMIT ${maxStored}`
    )
    return rows.flatMap(({ evidence }) => evidence.flatMap(({ digest }) => digest ?? [])).toReversed()
  })

/**
 * The digests of the sessions among the newest `digestedEvents` events of a project, and the consolidated digests of
 * older ones, best first, at most 20.
 *
 * @category queries
 * @since 0.1.0
 */
export const digests = Query.make({
  name: "memory.digests",
  input: Schema.Struct({
    projectId: ProjectId,
    /** A session without a digest. */
    exceptSession: Schema.NullOr(Schema.String)
  }),
  result: Schema.Array(SessionDigest.SessionDigest),
  dependencies: ({ projectId }) => [
    Dependency.make("episodic_events", projectId),
    Dependency.make("agent_facts", projectId)
  ],
  // The ranking moves with the clock.
  timeToLive: "1 minute",
  run: Effect.fnUntraced(function* ({
    exceptSession,
    projectId
  }): Effect.fn.Return<ReadonlyArray<SessionDigest.SessionDigest>, SqlError, SqlClient.SqlClient> {
    const sql = yield* SqlClient.SqlClient
    const now = yield* Clock.currentTimeMillis
    const events = yield* SessionEvents.read(sql, sql`project_id = ${projectId}`, digestedEvents)
    const recent = SessionEvents.bySession(events)
    const made = [...recent].flatMap(([, own]) => SessionDigest.make(own) ?? [])
    const oldest = events.length < digestedEvents ? undefined : events[0]?.sessionId
    const stored = oldest === undefined ? [] : yield* storedDigests(projectId)
    // Of the oldest session, a part of the events may not be among the newest.
    const older = stored.filter(({ sessionId }) => sessionId === oldest || !recent.has(sessionId))
    const all = [...older, ...made.filter(({ sessionId }) => !older.some((one) => one.sessionId === sessionId))]
    const others = all.filter(({ sessionId }) => sessionId !== exceptSession)
    return SessionDigest.rank(others, { now, succeeded: successes(events) }).slice(0, maxDigests)
  })
})
