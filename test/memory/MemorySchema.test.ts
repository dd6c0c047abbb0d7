/**
 * A Postgres database that Athena made, in either of its releases, with rows in it.
 */
import { assert, describe, it } from "@effect/vitest"
import { assertSome } from "@effect/vitest/utils"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as MemoryBridge from "../../src/memory/MemoryBridge.ts"
import * as MemoryEvent from "../../src/memory/MemoryEvent.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as MemorySchema from "../../src/memory/MemorySchema.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import { suite } from "./MemoryBridgeTest.ts"

const projects = `CREATE TABLE projects (
  id SERIAL PRIMARY KEY, name VARCHAR(255) UNIQUE NOT NULL, path TEXT UNIQUE NOT NULL, description TEXT,
  language VARCHAR(50), framework VARCHAR(100), created_at TIMESTAMP DEFAULT NOW(), last_accessed TIMESTAMP DEFAULT NOW(),
  last_modified TIMESTAMP DEFAULT NOW(), memory_count INT DEFAULT 0, total_events INT DEFAULT 0, task_count INT DEFAULT 0,
  embedding_dim INT DEFAULT 768, consolidation_interval INT DEFAULT 3600)`

const eventColumns = `
  id BIGSERIAL PRIMARY KEY, project_id INT NOT NULL REFERENCES projects(id) ON DELETE CASCADE, memory_vector_id BIGINT,
  session_id VARCHAR(255) NOT NULL, timestamp BIGINT NOT NULL, duration_ms INT, event_type VARCHAR(50) NOT NULL,
  content TEXT NOT NULL, outcome TEXT, context_cwd TEXT, context_files TEXT[], context_task VARCHAR(255),
  context_phase VARCHAR(50), context_branch VARCHAR(255), files_changed INT DEFAULT 0, lines_added INT DEFAULT 0,
  lines_deleted INT DEFAULT 0, learned TEXT, surprise_score FLOAT, confidence FLOAT DEFAULT 1.0`

const tasks = `CREATE TABLE prospective_tasks (
  id BIGSERIAL PRIMARY KEY, project_id INT NOT NULL REFERENCES projects(id) ON DELETE CASCADE, title VARCHAR(255) NOT NULL,
  description TEXT, status VARCHAR(50) DEFAULT 'pending', priority INT DEFAULT 5, goal_id BIGINT,
  parent_task_id BIGINT REFERENCES prospective_tasks(id) ON DELETE SET NULL, estimated_effort_hours FLOAT, due_date DATE,
  related_memory_ids BIGINT[] DEFAULT '{}', completion_percentage INT DEFAULT 0, created_at TIMESTAMP DEFAULT NOW(),
  started_at TIMESTAMP, completed_at TIMESTAMP)`

const rows = [
  `INSERT INTO projects (name, path) VALUES ('default', '/workspace'), ('legacy', '/repos/legacy')`,
  `INSERT INTO episodic_events (project_id, session_id, timestamp, event_type, content, outcome, context_files)
    SELECT 2, 'abcd1234', 1700000000000 + n * 60000, 'tool_execution', 'Legacy event ' || n, 'success', '{a.ts,b.ts}'
    FROM generate_series(1, 50) AS n`,
  `INSERT INTO prospective_tasks (project_id, title, status, priority) VALUES
    (2, 'Legacy goal', 'in_progress', 7), (2, 'Legacy wish', 'pending', 3)`
]

const releases = {
  "first release": [
    projects,
    `CREATE TABLE episodic_events (${eventColumns}, consolidation_status VARCHAR(50) DEFAULT 'unconsolidated')`,
    `CREATE INDEX idx_episodic_timestamp ON episodic_events(project_id, timestamp DESC)`,
    `CREATE INDEX idx_episodic_session ON episodic_events(session_id)`,
    tasks
  ],
  "last release": [
    projects,
    `CREATE TABLE episodic_events (${eventColumns}, evidence_type VARCHAR(50) DEFAULT 'observed', source_id VARCHAR(500),
      evidence_quality FLOAT DEFAULT 1.0, lifecycle_status VARCHAR(50) DEFAULT 'active',
      consolidation_status VARCHAR(50) DEFAULT 'unconsolidated', consolidation_score FLOAT DEFAULT 0.0,
      last_activation TIMESTAMP DEFAULT NOW(), activation_count INT DEFAULT 0, worktree_path TEXT,
      worktree_branch VARCHAR(255), project_name TEXT,
      actionability_score REAL DEFAULT 0.5 CHECK (actionability_score >= 0.0 AND actionability_score <= 1.0),
      has_next_step INTEGER DEFAULT 0, has_blocker INTEGER DEFAULT 0,
      importance_score REAL DEFAULT 0.5 CHECK (importance_score >= 0.0 AND importance_score <= 1.0))`,
    `CREATE INDEX idx_episodic_project_worktree ON episodic_events(project_id, worktree_path, timestamp DESC)`,
    tasks
  ]
} as const

const snapshot = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const columns = yield* sql<{ list: string }>`SELECT string_agg(column_name, ', ' ORDER BY ordinal_position) AS list
    FROM information_schema.columns WHERE table_name = 'episodic_events'`
  const read = (table: string, list: string) =>
    sql.unsafe<{ digest: string }>(
      `SELECT md5(string_agg(r::text, '|' ORDER BY id)) AS digest FROM (SELECT ${list} FROM ${table}) r`
    )
  return { columns: columns[0]!.list, read }
})

const athena = (statements: ReadonlyArray<string>) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      for (const statement of [...statements, ...rows]) yield* sql.unsafe(statement)
    })
  ).pipe(Layer.provideMerge(Postgres.layerFresh))

for (const [release, statements] of Object.entries(releases)) {
  suite(
    `Postgres with the tables of Athena's ${release}`,
    MemoryBridge.layerSql.pipe(Layer.provideMerge(athena(statements)))
  )

  describe(`On the tables of Athena's ${release}`, () => {
    it.live("the migration adds what is missing and changes no row", () =>
      Effect.gen(function* () {
        const { columns, read } = yield* snapshot
        const tables = [
          ["episodic_events", columns],
          ["projects", "id, name, path, created_at, last_accessed"],
          ["prospective_tasks", "*"]
        ] as const
        const digests = Effect.forEach(tables, ([table, list]) => read(table, list))
        const before = yield* digests
        yield* Layer.build(MemoryBridge.layerSql)
        assert.deepStrictEqual(yield* digests, before)
      }).pipe(Effect.scoped, Effect.provide(athena(statements)))
    )

    it.live("what was there is remembered: project, goals, events, by rank and by search", () =>
      Effect.gen(function* () {
        const memory = yield* MemoryBridge.MemoryBridge
        assertSome(yield* memory.getProjectByPath("/repos/legacy"), { id: 2, name: "legacy", path: "/repos/legacy" })
        assertSome(yield* memory.getProjectByPath("/elsewhere"), { id: 1, name: "default", path: "/workspace" })
        assert.deepStrictEqual(
          (yield* memory.getActiveGoals(2)).goals.map((goal) => goal.title),
          ["Legacy goal"]
        )
        const active = yield* memory.getActiveMemories(2)
        assert.strictEqual(active.count, 7)
        assert.strictEqual(active.items[0]!.content, "Legacy event 50")
        assert.strictEqual((yield* memory.searchMemories(2, "legacy", { limit: 100 })).found, 50)
        const last = yield* memory.getLastSessionTime(2)
        assert.isTrue(last._tag === "Some" && DateTime.toEpochMillis(last.value) === 1_700_003_000_000)
      }).pipe(Effect.provide(MemoryBridge.layerSql.pipe(Layer.provideMerge(athena(statements)))))
    )

    it.live("a database with many events is left as it is until it is migrated by hand", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`INSERT INTO episodic_events (project_id, session_id, timestamp, event_type, content)
          SELECT 2, 's', 1700000000000 + n, 'tool_execution', 'Event ' || n FROM generate_series(1, 10000) AS n`
        const before = yield* snapshot
        const error = yield* Effect.flip(Effect.scoped(Layer.build(MemoryBridge.layerSql)))
        assert.strictEqual(error.reason._tag, "SchemaMismatch")
        assert.include(error.message, "athena migrate")
        assert.strictEqual((yield* snapshot).columns, before.columns)
        yield* MemorySchema.migrateInteractively
        const found = yield* MemoryBridge.MemoryBridge.use((memory) => memory.searchMemories(2, "event")).pipe(
          Effect.provide(MemoryBridge.layerSql)
        )
        assert.strictEqual(found.found, 5)
      }).pipe(Effect.provide(athena(statements)))
    )

    it.live("the times of a server in another part of the world are read as it means them", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql.unsafe("DELETE FROM episodic_events")
        yield* Effect.gen(function* () {
          // One connection, so that the setting of the session holds for all of it.
          yield* sql.unsafe("SET LOCAL TIME ZONE 'Asia/Tokyo'")
          const memory = yield* MemoryBridge.make.pipe(Effect.provide(QueryExecutor.layer))
          yield* sql`INSERT INTO episodic_events (project_id, session_id, timestamp, event_type, content, last_activation)
            VALUES (2, 's', 0, 'note', 'by the server', now() - interval '10 hours')`
          yield* memory.recordEvent(
            MemoryEvent.make({
              projectId: 2,
              sessionId: "s",
              type: "note",
              content: "by us",
              timestamp: DateTime.subtract(yield* DateTime.now, { hours: 10 })
            })
          )
          const { items } = yield* memory.getActiveMemories(2)
          assert.strictEqual(items.length, 2)
          for (const item of items) assert.closeTo(item.activation, -0.5 * Math.log(10), 0.05)
        }).pipe(sql.withTransaction)
      }).pipe(Effect.provide(Layer.effectDiscard(MemorySchema.migrate).pipe(Layer.provideMerge(athena(statements)))))
    )

    it.live("an old memory does not look new because its row was given a column", () =>
      Effect.gen(function* () {
        const memory = yield* MemoryBridge.MemoryBridge
        const sql = yield* SqlClient.SqlClient
        if (release === "last release") yield* sql`UPDATE episodic_events SET last_activation = '2023-11-14 22:14:00'`
        const { items } = yield* memory.getActiveMemories(2)
        // Some years old: -0.5 * ln(hours) + 0.5 for success is far below zero.
        assert.isBelow(items[0]!.activation, -4)
      }).pipe(Effect.provide(MemoryBridge.layerSql.pipe(Layer.provideMerge(athena(statements)))))
    )
  })
}
