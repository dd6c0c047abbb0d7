/**
 * The tables of the memory, as migrations for both dialects.
 *
 * They are Athena's tables. On a database that has them already, only what is missing is added and no row is changed;
 * tables that the memory does not use are left alone. Three tables of the project's own hold which project a
 * session belongs to, its injections, and by what the repository of a project is recognised.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Activation from "./Activation.ts"
import * as Migrations from "../sql/Migrations.ts"
import * as SearchIndex from "./internal/searchIndex.ts"

/**
 * The table that remembers which migrations have run.
 *
 * @category constants
 * @since 0.1.0
 */
export const migrationsTable = "athena_hooks_migrations"

const all = (sql: SqlClient.SqlClient, statements: ReadonlyArray<string>) =>
  Effect.forEach(statements, (statement) => sql.unsafe(statement).unprepared, { discard: true })

const tablesPg = [
  `CREATE TABLE IF NOT EXISTS projects (
    id SERIAL PRIMARY KEY,
    name VARCHAR(255) UNIQUE NOT NULL,
    path TEXT UNIQUE NOT NULL,
    description TEXT,
    language VARCHAR(50),
    framework VARCHAR(100),
    created_at TIMESTAMP DEFAULT NOW(),
    last_accessed TIMESTAMP DEFAULT NOW(),
    embedding_dim INT DEFAULT 768,
    consolidation_interval INT DEFAULT 3600
  )`,
  `CREATE TABLE IF NOT EXISTS episodic_events (
    id BIGSERIAL PRIMARY KEY,
    project_id INT NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    session_id VARCHAR(255) NOT NULL,
    timestamp BIGINT NOT NULL,
    duration_ms INT,
    event_type VARCHAR(50) NOT NULL,
    content TEXT NOT NULL,
    outcome TEXT,
    context_cwd TEXT,
    context_files TEXT[],
    files_changed INT DEFAULT 0,
    consolidation_status VARCHAR(50) DEFAULT 'unconsolidated'
  )`,
  `CREATE TABLE IF NOT EXISTS prospective_tasks (
    id BIGSERIAL PRIMARY KEY,
    project_id INT NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    title VARCHAR(255) NOT NULL,
    description TEXT,
    status VARCHAR(50) DEFAULT 'pending',
    priority INT DEFAULT 5,
    created_at TIMESTAMP DEFAULT NOW(),
    completed_at TIMESTAMP
  )`
]

/**
 * What a table of either of Athena's releases may lack. `last_activation` gets its default only after it was added:
 * added with one, every old memory would look as if it had been used a moment ago.
 */
const missingColumnsPg = [
  `ALTER TABLE episodic_events
    ADD COLUMN IF NOT EXISTS lifecycle_status VARCHAR(50) DEFAULT 'active',
    ADD COLUMN IF NOT EXISTS consolidation_score FLOAT DEFAULT 0.0,
    ADD COLUMN IF NOT EXISTS last_activation TIMESTAMP,
    ADD COLUMN IF NOT EXISTS activation_count INT DEFAULT 0,
    ADD COLUMN IF NOT EXISTS importance_score REAL DEFAULT 0.5,
    ADD COLUMN IF NOT EXISTS actionability_score REAL DEFAULT 0.5,
    ADD COLUMN IF NOT EXISTS has_next_step INTEGER DEFAULT 0,
    ADD COLUMN IF NOT EXISTS worktree_path TEXT,
    ADD COLUMN IF NOT EXISTS event_key VARCHAR(255)`,
  `ALTER TABLE episodic_events ALTER COLUMN last_activation SET DEFAULT NOW()`
]

const tablesSqlite = [
  `CREATE TABLE IF NOT EXISTS projects (
    id INTEGER PRIMARY KEY,
    name TEXT UNIQUE NOT NULL,
    path TEXT UNIQUE NOT NULL,
    description TEXT,
    language TEXT,
    framework TEXT,
    created_at TEXT DEFAULT CURRENT_TIMESTAMP,
    last_accessed TEXT DEFAULT CURRENT_TIMESTAMP,
    embedding_dim INTEGER DEFAULT 768,
    consolidation_interval INTEGER DEFAULT 3600
  )`,
  `CREATE TABLE IF NOT EXISTS episodic_events (
    id INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    session_id TEXT NOT NULL,
    timestamp INTEGER NOT NULL,
    duration_ms INTEGER,
    event_type TEXT NOT NULL,
    content TEXT NOT NULL,
    outcome TEXT,
    context_cwd TEXT,
    context_files TEXT,
    files_changed INTEGER DEFAULT 0,
    consolidation_status TEXT DEFAULT 'unconsolidated',
    lifecycle_status TEXT DEFAULT 'active',
    consolidation_score REAL DEFAULT 0.0,
    last_activation INTEGER,
    activation_count INTEGER DEFAULT 0,
    importance_score REAL DEFAULT 0.5,
    actionability_score REAL DEFAULT 0.5,
    has_next_step INTEGER DEFAULT 0,
    worktree_path TEXT,
    event_key TEXT
  )`,
  `CREATE TABLE IF NOT EXISTS prospective_tasks (
    id INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    title TEXT NOT NULL,
    description TEXT,
    status TEXT DEFAULT 'pending',
    priority INTEGER DEFAULT 5,
    created_at TEXT DEFAULT CURRENT_TIMESTAMP,
    completed_at TEXT
  )`
]

/**
 * The full-text index keeps no copy of the content. Its second column holds the project, so that a search reads the
 * postings of one project only.
 */
const fullTextSqlite = [
  `CREATE VIRTUAL TABLE IF NOT EXISTS episodic_events_fts USING fts5(
    content, project_id,
    content = 'episodic_events', content_rowid = 'id',
    tokenize = 'porter unicode61 remove_diacritics 2'
  )`,
  `CREATE TRIGGER IF NOT EXISTS episodic_events_fts_insert AFTER INSERT ON episodic_events BEGIN
    INSERT INTO episodic_events_fts (rowid, content, project_id) VALUES (new.id, new.content, new.project_id);
  END`,
  `CREATE TRIGGER IF NOT EXISTS episodic_events_fts_delete AFTER DELETE ON episodic_events BEGIN
    INSERT INTO episodic_events_fts (episodic_events_fts, rowid, content, project_id)
    VALUES ('delete', old.id, old.content, old.project_id);
  END`,
  `CREATE TRIGGER IF NOT EXISTS episodic_events_fts_update AFTER UPDATE OF content, project_id ON episodic_events BEGIN
    INSERT INTO episodic_events_fts (episodic_events_fts, rowid, content, project_id)
    VALUES ('delete', old.id, old.content, old.project_id);
    INSERT INTO episodic_events_fts (rowid, content, project_id) VALUES (new.id, new.content, new.project_id);
  END`,
  `INSERT INTO episodic_events_fts (episodic_events_fts) VALUES ('rebuild')`
]

const sessions = (id: string, project: string, path: string, memory: string, time: string) => [
  `CREATE TABLE IF NOT EXISTS agent_sessions (
    session_id ${id} PRIMARY KEY,
    project_id ${project} NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    worktree_path ${path} NOT NULL,
    started_at ${time} NOT NULL
  )`,
  `CREATE TABLE IF NOT EXISTS agent_session_memories (
    session_id ${id} NOT NULL REFERENCES agent_sessions(session_id) ON DELETE CASCADE,
    memory_id ${memory} NOT NULL,
    PRIMARY KEY (session_id, memory_id)
  )`
]

const indexes = (sql: SqlClient.SqlClient) => {
  const { activatedAt, weight } = Activation.expressions(sql)
  return [
    sql`CREATE INDEX IF NOT EXISTS idx_episodic_timestamp ON episodic_events (project_id, timestamp DESC)`,
    sql`CREATE INDEX IF NOT EXISTS idx_episodic_session ON episodic_events (session_id)`,
    sql`CREATE UNIQUE INDEX IF NOT EXISTS idx_episodic_event_key ON episodic_events (event_key)`,
    sql`CREATE INDEX IF NOT EXISTS idx_episodic_activated ON episodic_events
      (project_id, (${activatedAt}) DESC) WHERE lifecycle_status = 'active'`,
    sql`CREATE INDEX IF NOT EXISTS idx_episodic_weight ON episodic_events
      (project_id, (${weight}) DESC, (${activatedAt}) DESC) WHERE lifecycle_status = 'active'`,
    sql`CREATE INDEX IF NOT EXISTS idx_episodic_worktree_activated ON episodic_events
      (project_id, worktree_path, (${activatedAt}) DESC) WHERE lifecycle_status = 'active'`,
    sql`CREATE INDEX IF NOT EXISTS idx_tasks_project_status ON prospective_tasks (project_id, status, priority DESC)`
  ]
}

/** Punctuation is made white space, because the parser of Postgres takes a path or a file name for one word. */
const searchVectorPg = `to_tsvector('english', translate(content, '/\\._-:@#=()[]{}<>', '                 '))`

const initial: Effect.Effect<void, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql.onDialectOrElse({
    pg: () =>
      all(sql, [...tablesPg, ...missingColumnsPg, ...sessions("VARCHAR(255)", "INT", "TEXT", "BIGINT", "BIGINT")]),
    orElse: () =>
      all(sql, [...tablesSqlite, ...fullTextSqlite, ...sessions("TEXT", "INTEGER", "TEXT", "INTEGER", "INTEGER")])
  })
  yield* Effect.forEach(indexes(sql), (index) => index.unprepared, { discard: true })
  yield* sql.onDialectOrElse({
    pg: () =>
      sql`CREATE INDEX IF NOT EXISTS idx_episodic_search ON episodic_events USING gin (${sql.literal(searchVectorPg)})`
        .unprepared,
    orElse: () => Effect.void
  })
})

/** By what the repository of a project is recognised beside its path. */
const projectMarks = (id: string) =>
  `CREATE TABLE IF NOT EXISTS agent_project_marks (
    project_id ${id} PRIMARY KEY REFERENCES projects(id) ON DELETE CASCADE,
    remote TEXT,
    root TEXT,
    instance TEXT
  )`

const projectIdentity: Effect.Effect<void, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* all(sql, [sql.onDialectOrElse({ pg: () => projectMarks("INT"), orElse: () => projectMarks("INTEGER") })])
})

/** The corrections of a user: memories that are always injected, and keys of events that were deleted permanently. */
const curation = (id: string, key: string) => [
  `CREATE TABLE IF NOT EXISTS agent_pins (
    memory_id ${id} PRIMARY KEY REFERENCES episodic_events(id) ON DELETE CASCADE
  )`,
  `CREATE TABLE IF NOT EXISTS agent_tombstones (event_key ${key} PRIMARY KEY)`
]

const userCorrections: Effect.Effect<void, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* all(
    sql,
    sql.onDialectOrElse({
      pg: () => curation("BIGINT", "VARCHAR(255)"),
      orElse: () => curation("INTEGER", "TEXT")
    })
  )
})

/**
 * Facts derived from the events, the sessions that received them, and the progress of the consolidation. The partial
 * index finds the notes of a project among all events.
 */
const factTables = (id: string, reference: string, project: string, name: string, time: string, real: string) => [
  `CREATE TABLE IF NOT EXISTS agent_facts (
    id ${id} PRIMARY KEY,
    project_id ${project} NOT NULL REFERENCES projects(id) ON DELETE CASCADE,
    kind ${name} NOT NULL,
    subject ${name} NOT NULL,
    text TEXT NOT NULL,
    confidence ${real} NOT NULL,
    evidence TEXT NOT NULL,
    proofs INTEGER NOT NULL,
    valid_from ${time} NOT NULL,
    valid_to ${time},
    recorded_at ${time} NOT NULL,
    ended_at ${time},
    ended_by ${reference},
    source ${name} NOT NULL,
    last_shown ${time},
    shown INTEGER NOT NULL DEFAULT 0,
    useful INTEGER NOT NULL DEFAULT 0
  )`,
  `CREATE UNIQUE INDEX IF NOT EXISTS idx_facts_current ON agent_facts (project_id, kind, subject) WHERE ended_at IS NULL`,
  `CREATE INDEX IF NOT EXISTS idx_facts_ended_by_user ON agent_facts (project_id) WHERE ended_by = id`,
  `CREATE TABLE IF NOT EXISTS agent_session_facts (
    session_id ${name} NOT NULL REFERENCES agent_sessions(session_id) ON DELETE CASCADE,
    fact_id ${reference} NOT NULL REFERENCES agent_facts(id) ON DELETE CASCADE,
    useful INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (session_id, fact_id)
  )`,
  `CREATE TABLE IF NOT EXISTS agent_usefulness (
    session_id ${name} NOT NULL REFERENCES agent_sessions(session_id) ON DELETE CASCADE,
    kind ${name} NOT NULL,
    shown INTEGER NOT NULL,
    useful INTEGER NOT NULL,
    PRIMARY KEY (session_id, kind)
  )`,
  `CREATE INDEX IF NOT EXISTS idx_session_facts_fact ON agent_session_facts (fact_id)`,
  `CREATE TABLE IF NOT EXISTS agent_consolidation (
    id INTEGER PRIMARY KEY,
    last_event_id ${time} NOT NULL,
    rules_version INTEGER NOT NULL,
    owner ${name},
    lease_until ${time}
  )`,
  `CREATE INDEX IF NOT EXISTS idx_episodic_notes ON episodic_events (project_id, timestamp DESC) WHERE event_type = 'note'`
]

const facts: Effect.Effect<void, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* all(
    sql,
    sql.onDialectOrElse({
      pg: () => factTables("BIGSERIAL", "BIGINT", "INT", "VARCHAR(255)", "BIGINT", "REAL"),
      orElse: () => factTables("INTEGER", "INTEGER", "INTEGER", "TEXT", "INTEGER", "REAL")
    })
  )
})

/**
 * The old indexes read events word by word; the new one reads hashes of terms, see `internal/searchIndex`. The pending
 * list of Postgres's index is short, because every search reads it.
 */
const searchPg = [
  `DROP INDEX IF EXISTS idx_episodic_search`,
  `CREATE TABLE IF NOT EXISTS agent_search (
    event_id BIGINT PRIMARY KEY REFERENCES episodic_events(id) ON DELETE CASCADE,
    project_id INT NOT NULL,
    length INT NOT NULL,
    terms BIGINT[] NOT NULL,
    frequencies BYTEA NOT NULL
  )`,
  `CREATE INDEX IF NOT EXISTS idx_search_project ON agent_search (project_id, event_id)`,
  `CREATE INDEX IF NOT EXISTS idx_search_terms ON agent_search USING gin (terms) WITH (gin_pending_list_limit = 64)`,
  `CREATE INDEX IF NOT EXISTS idx_episodic_session_order ON episodic_events (session_id, id)`,
  `DROP INDEX IF EXISTS idx_episodic_session`
]

const searchSqlite = [
  ...["insert", "delete", "update"].map((name) => `DROP TRIGGER IF EXISTS episodic_events_fts_${name}`),
  `DROP TABLE IF EXISTS episodic_events_fts`,
  `CREATE TABLE IF NOT EXISTS agent_search (
    event_id INTEGER PRIMARY KEY,
    project_id INTEGER NOT NULL,
    length INTEGER NOT NULL,
    frequencies BLOB NOT NULL
  )`,
  `CREATE INDEX IF NOT EXISTS idx_search_project ON agent_search (project_id, event_id)`,
  `CREATE VIRTUAL TABLE IF NOT EXISTS agent_search_terms USING fts5(
    terms, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii'
  )`,
  `CREATE TRIGGER IF NOT EXISTS agent_search_event AFTER DELETE ON episodic_events BEGIN
    DELETE FROM agent_search WHERE event_id = old.id;
  END`,
  `CREATE TRIGGER IF NOT EXISTS agent_search_delete AFTER DELETE ON agent_search BEGIN
    DELETE FROM agent_search_terms WHERE rowid = old.event_id;
  END`
]

/** Finds the prompt before an event, with which its exchange begins. */
const searchShared = [
  `CREATE INDEX IF NOT EXISTS idx_episodic_prompt ON episodic_events (session_id, id) WHERE event_type = 'user_question'`,
  `CREATE TABLE IF NOT EXISTS agent_search_backlog (below BIGINT NOT NULL)`,
  `INSERT INTO agent_search_backlog SELECT coalesce(max(id), 0) + 1 FROM episodic_events`
]

/** How many of the newest events the migration indexes; the rest follows, see `indexMissing`. */
const indexedByMigration = 1_000

const searchIndex: Effect.Effect<void, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* all(sql, [...sql.onDialectOrElse({ pg: () => searchPg, orElse: () => searchSqlite }), ...searchShared])
  yield* SearchIndex.addMissing(indexedByMigration)
})

/**
 * Every migration, oldest first. An entry never changes once it was released.
 *
 * @category migrations
 * @since 0.1.0
 */
export const migrations: Migrations.Migrations = {
  "0001_schema": initial,
  "0002_project_marks": projectIdentity,
  "0004_facts": facts,
  "0005_curation": userCorrections,
  "0006_search_index": searchIndex
}

/**
 * The maximum number of events in a database of another program for an automatic migration: 10,000. Building the indexes of a
 * larger one takes longer than a hook may take.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxAutomaticMigration = 10_000

/**
 * The database holds so many events that its indexes must be made by hand, with `athena migrate`.
 *
 * @category errors
 * @since 0.1.0
 */
export class MigrationNeeded extends Schema.TaggedError<MigrationNeeded>(
  "athena-hooks/memory/MemorySchema/MigrationNeeded"
)("MigrationNeeded", {}) {
  override get message(): string {
    return `the database has more than ${maxAutomaticMigration} events and no indexes for the memory: run "athena migrate" once`
  }
}

/**
 * Whether the database has the table of events, up to date or not.
 *
 * @category accessors
 * @since 0.1.0
 */
export const exists: Effect.Effect<boolean, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const tables = yield* sql.onDialectOrElse({
    pg: () => sql`SELECT 1 WHERE to_regclass('episodic_events') IS NOT NULL`,
    orElse: () => sql`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'episodic_events'`
  })
  return tables.length > 0
})

/** Whether the table of events exists and has more rows than this. */
const hasMoreEventsThan = (count: number): Effect.Effect<boolean, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    if (!(yield* exists)) return false
    return (yield* sql`SELECT 1 FROM episodic_events LIMIT 1 OFFSET ${count}`).length > 0
  })

/**
 * Whether the database holds any event, be its tables up to date or not.
 *
 * @category accessors
 * @since 0.1.0
 */
export const hasEvents: Effect.Effect<boolean, SqlError, SqlClient.SqlClient> = hasMoreEventsThan(0)

/**
 * Whether the database holds so many events that `athena migrate` must bring it up to date.
 *
 * @category accessors
 * @since 0.1.0
 */
export const needsExplicitMigration: Effect.Effect<boolean, SqlError, SqlClient.SqlClient> =
  hasMoreEventsThan(maxAutomaticMigration)

/**
 * What bringing a database up to date can fail with.
 *
 * @category errors
 * @since 0.1.0
 */
export type SchemaError = MigrationNeeded | Migrations.NewerSchema | Migrations.MigrationFailed | SqlError

/**
 * Indexes up to 500 events for the search that are not indexed yet, newest first, in one transaction, and returns their
 * number: events from before the index, and events that another program stored.
 *
 * @category combinators
 * @since 0.1.0
 */
export const indexMissing: Effect.Effect<number, SqlError, SqlClient.SqlClient> = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql.withTransaction(SearchIndex.addMissing(500))
)

/**
 * Brings the database up to date, however long it takes; writers wait meanwhile.
 *
 * @category combinators
 * @since 0.1.0
 */
export const migrateInteractively: Effect.Effect<
  void,
  Exclude<SchemaError, MigrationNeeded>,
  SqlClient.SqlClient
> = Effect.gen(function* () {
  yield* Migrations.run({ migrations, table: migrationsTable })
  while ((yield* indexMissing) > 0) yield* Effect.yieldNow
})

/** The newest migration that reads all events. */
const largeSteps = 6

/**
 * Brings the database up to date; two reads where it is. A database that another program has filled with more than
 * `maxUnattended` events is left as it is: `MigrationNeeded`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const migrate: Effect.Effect<void, SchemaError, SqlClient.SqlClient> = Migrations.run({
  migrations,
  table: migrationsTable,
  before: (version) =>
    version < largeSteps
      ? Effect.flatMap(needsExplicitMigration, (many) => (many ? new MigrationNeeded() : Effect.void))
      : Effect.void
})
