/**
 * The search index: of each event the hashes of its terms with their counts, and an inverted index from the hashes to the
 * events. Rows are written in the transaction of their events; the deletion of an event deletes them by triggers.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type * as Statement from "effect/sql/Statement"
import * as Analyzer from "../../relevance/Analyzer.ts"
import * as Rows from "./rows.ts"
import * as TermHash from "./termHash.ts"

/** What the index reads of an event. */
export interface Indexed {
  readonly id: number
  readonly project_id: number
  readonly content: string
  readonly outcome: string | null
  readonly context_files: ReadonlyArray<string> | null
  readonly worktree_path: string | null
}

/** A path below the worktree is indexed as it is written there. */
const withinWorktree = (file: string, worktree: string | null): string =>
  worktree !== null && file.startsWith(`${worktree}/`) ? file.slice(worktree.length + 1) : file

const textOf = ({ content, context_files, outcome, worktree_path }: Indexed): string =>
  [content, outcome ?? "", ...(context_files ?? []).map((file) => withinWorktree(file, worktree_path))].join("\n")

interface IndexRow {
  readonly id: number
  readonly project: number
  readonly length: number
  /** In hexadecimal digits. */
  readonly frequencies: string
  /** The hashes as the inverted index reads them. */
  readonly terms: string
}

const rowOf = (id: number, project: number, length: number, frequencies: ReadonlyMap<number, number>, isPg: boolean) =>
  ({
    id,
    project,
    length,
    frequencies: TermHash.encode(frequencies),
    terms: isPg
      ? `{${[...frequencies.keys()].join()}}`
      : [...frequencies.keys()].map((hash) => TermHash.token(hash)).join(" ")
  }) satisfies IndexRow as IndexRow

/** The hashes of a text's terms with their counts, and the number of all occurrences. */
const analyzed = (projectId: number, text: string) => {
  const hashOf = TermHash.inProject(projectId)
  const frequencies = new Map<number, number>()
  let length = 0
  for (const [term, count] of Analyzer.frequencies(text)) {
    const hash = hashOf(term)
    frequencies.set(hash, (frequencies.get(hash) ?? 0) + count)
    length += count
  }
  return { frequencies, length }
}

const insert = (rows: ReadonlyArray<IndexRow>) =>
  Effect.gen(function* () {
    if (rows.length === 0) return
    const sql = yield* SqlClient.SqlClient
    const json = JSON.stringify(rows)
    yield* sql.onDialectOrElse({
      pg: () => sql`INSERT INTO agent_search (event_id, project_id, length, terms, frequencies)
        SELECT id, project, length, terms::bigint[], decode(frequencies, 'hex')
        FROM jsonb_to_recordset(${json}::text::jsonb) AS event
          (id bigint, project int, length int, terms text, frequencies text) ORDER BY id`,
      orElse: () => sql`INSERT INTO agent_search (event_id, project_id, length, frequencies)
        SELECT value ->> 'id', value ->> 'project', value ->> 'length', unhex(value ->> 'frequencies')
        FROM json_each(${json})`
    })
    yield* sql.onDialectOrElse({
      pg: () => Effect.void,
      orElse: () => sql`INSERT INTO agent_search_terms (rowid, terms)
        SELECT value ->> 'id', value ->> 'terms' FROM json_each(${json})`
    })
  })

const isPostgres = Effect.map(SqlClient.SqlClient, (sql) =>
  sql.onDialectOrElse({ pg: () => true, orElse: () => false })
)

/** Indexes events that are not in the index. For use in the transaction that stores them. */
export const add = (events: ReadonlyArray<Indexed>): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const isPg = yield* isPostgres
    yield* insert(
      events.map((event) => {
        const { frequencies, length } = analyzed(event.project_id, textOf(event))
        return rowOf(event.id, event.project_id, length, frequencies, isPg)
      })
    )
  })

/** Removes events from the index. The deletion of an event does so too. */
export const remove = (ids: ReadonlyArray<number>): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    if (ids.length === 0) return
    const sql = yield* SqlClient.SqlClient
    yield* sql`DELETE FROM agent_search WHERE ${sql.in("event_id", ids)}`
  })

const select = (condition: (sql: SqlClient.SqlClient) => Statement.Fragment) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const files = sql.onDialectOrElse({
      pg: () => sql`array_to_json(e.context_files)::text AS files`,
      orElse: () => sql`e.context_files AS files`
    })
    const rows = yield* sql<Omit<Indexed, "context_files"> & { readonly files: string | null }>`
      SELECT ${Rows.integer(sql, "e.id")} AS id, e.project_id, e.content, e.outcome, e.worktree_path, ${files}
      FROM episodic_events e WHERE ${condition(sql)}`
    return rows.map(
      ({ files, ...row }) => ({ ...row, context_files: Rows.stringList(files) }) satisfies Indexed as Indexed
    )
  })

/** Indexes events again after a change of their content. */
export const refresh = (ids: ReadonlyArray<number>): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    if (ids.length === 0) return
    yield* remove(ids)
    yield* add(yield* select((sql) => sql.in("e.id", ids)))
  })

/** How many of the newest events may lack an index row because another program stored them. */
const recent = 1_000

/**
 * Indexes up to `limit` events that are not indexed: those before the index was made, and new ones of other programs.
 * Returns their number, 0 when all is indexed. For use in a transaction.
 */
export const addMissing = (limit: number): Effect.Effect<number, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    // The update locks the row, so two processes do not index the same events.
    const [backlog] = yield* sql<{ below: number }>`UPDATE agent_search_backlog SET below = below
      RETURNING ${Rows.integer(sql, "below")} AS below`
    const below = backlog?.below ?? 0
    const missing = (range: Statement.Fragment) => () =>
      sql`${range} AND NOT EXISTS (SELECT 1 FROM agent_search s WHERE s.event_id = e.id)
        ORDER BY e.id DESC LIMIT ${limit}`
    const newest = yield* select(
      missing(sql`e.id > (SELECT max(id) - ${recent} FROM episodic_events) AND e.id >= ${below}`)
    )
    const older = newest.length === 0 && below > 0 ? yield* select(missing(sql`e.id < ${below}`)) : []
    yield* add([...newest, ...older])
    if (newest.length === 0 && below > 0) {
      yield* sql`UPDATE agent_search_backlog SET below = ${older.length < limit ? 0 : older.at(-1)!.id}`
    }
    return newest.length + older.length
  })

/** How many rows are moved by one statement. */
const moved = 1_000

/** Moves the index rows of one project to another. For use in the transaction of the merge. */
export const move = (from: number, into: number): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const isPg = yield* isPostgres
    const hashOf = TermHash.between(from, into)
    for (;;) {
      const rows = yield* sql<{ id: number; length: number; frequencies: Uint8Array }>`SELECT
        ${Rows.integer(sql, "event_id")} AS id, length, frequencies FROM agent_search
        WHERE project_id = ${from} ORDER BY event_id LIMIT ${moved}`
      if (rows.length === 0) return
      yield* remove(rows.map(({ id }) => id))
      yield* insert(
        rows.map(({ frequencies, id, length }) => {
          const changed = new Map<number, number>()
          TermHash.forEach(frequencies, (hash, count) => changed.set(hashOf(hash), count))
          return rowOf(id, into, length, changed, isPg)
        })
      )
    }
  })
