/**
 * A memory with old events, created in bulk, and the queries of it after pruning.
 */
import { assert } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as MemorySchema from "../../src/memory/MemorySchema.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"

export const day = 86_400_000
/** About now; events that end a tenth of a day earlier remain distinguishable whenever the test runs. */
export const now = DateTime.toEpochMillis(DateTime.nowUnsafe())

/** The embedded database in a file, as the commands open it, with its tables. */
export const sqlite = (filename: string) =>
  Layer.effectDiscard(MemorySchema.migrate).pipe(
    Layer.provideMerge(QueryExecutor.layer),
    Layer.provideMerge(Sqlite.layer({ filename, busyTimeout: "5 seconds", autoVacuum: "incremental" }))
  )

export interface Past {
  /** How many events, one after the other in time, in turn by project; numbered from 1. */
  readonly events: number
  readonly projects: number
  /** How many events a session has; each session is of one project. */
  readonly perSession?: number
  /** When the first and the last event happened, in days before `now`. */
  readonly from: number
  readonly to: number
  /** How long the content is, about. */
  readonly length?: number
}

/** Stores events, their sessions, and for every tenth event that its session was shown it. */
export const remember = ({ events, from, length = 40, perSession = 10, projects, to }: Past) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const number = sql.onDialectOrElse({
      pg: () => sql`SELECT n::int AS n FROM generate_series(1, ${events}::int) AS n`,
      orElse: () =>
        sql`WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ${events})
        SELECT n FROM numbers`
    })
    const int = sql.literal(sql.onDialectOrElse({ pg: () => "bigint", orElse: () => "integer" }))
    const first = now - from * day
    const step = Math.floor(((from - to) * day) / events)
    const at = sql`(CAST(${first} AS ${int}) + n * CAST(${step} AS ${int}))`
    const session = sql.literal(`('s-' || ((n - 1) / ${perSession}))`)
    const project = sql.literal(`(((n - 1) / ${perSession}) % ${projects} + 1)`)
    const padding = "lorem ipsum ".repeat(Math.ceil(length / 12))
    yield* sql.withTransaction(
      Effect.gen(function* () {
        for (let n = 1; n <= projects; n++) {
          yield* sql`INSERT INTO projects (name, path) VALUES (${`p${n}`}, ${`/p/${n}`})`
          yield* sql`INSERT INTO prospective_tasks (project_id, title) VALUES (${n}, 'goal')`
        }
        yield* sql`INSERT INTO episodic_events (project_id, session_id, timestamp, event_type, content, event_key)
          SELECT ${project}, ${session}, ${at}, 'note', 'number' || n || ' word' || (n % 97) || ' ' || ${padding}, 'key-' || n
          FROM (${number}) AS number`
        yield* sql`INSERT INTO agent_sessions (session_id, project_id, worktree_path, started_at)
          SELECT ${session}, ${project}, '/', ${at} FROM (${number}) AS number WHERE (n - 1) % ${sql.literal(String(perSession))} = 0`
        yield* sql`INSERT INTO agent_session_memories (session_id, memory_id)
          SELECT session_id, id FROM episodic_events WHERE id % 10 = 0`
      })
    )
  })

const countOf = (table: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(sql<{ n: number | bigint }>`SELECT count(*) AS n FROM ${sql(table)}`, (rows) => Number(rows[0]!.n))
  )

export const counts = Effect.all({
  events: countOf("episodic_events"),
  sessions: countOf("agent_sessions"),
  injections: countOf("agent_session_memories"),
  projects: countOf("projects"),
  goals: countOf("prospective_tasks")
})

/** The numbers of the events that are left. */
export const numbers = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(sql<{ key: string }>`SELECT event_key AS key FROM episodic_events`, (rows) =>
    rows.map(({ key }) => Number(key.slice(4))).toSorted((a, b) => a - b)
  )
)

/** Fails where the file is damaged, or the full-text index does not agree with the table. */
export const assertSound = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  assert.deepStrictEqual(yield* sql`PRAGMA integrity_check`, [{ integrity_check: "ok" }])
  yield* sql`INSERT INTO agent_search_terms (agent_search_terms) VALUES ('integrity-check')`
  assert.deepStrictEqual(
    yield* sql`SELECT count(*) AS n FROM agent_search WHERE event_id NOT IN (SELECT id FROM episodic_events)
      OR event_id NOT IN (SELECT rowid FROM agent_search_terms)`,
    [{ n: 0 }]
  )
})

/** An executor that does more beside each mutation. */
export const around = (
  each: (name: string, input: any, run: Effect.Effect<any, any>) => Effect.Effect<any, any, never>
) =>
  Layer.effect(
    QueryExecutor.QueryExecutor,
    Effect.map(QueryExecutor.QueryExecutor, (executor) => ({
      ...executor,
      query: (query, input) => each(query.name, input, executor.query(query, input)),
      mutate: (mutation, input) => each(mutation.name, input, executor.mutate(mutation, input))
    }))
  )
