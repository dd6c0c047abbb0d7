/**
 * The rows of SQLite's full-text index that match a search, at a cost independent of the number of rows.
 *
 * BM25 reads every row with any of the words, so a common word would make a search slow without distinguishing rows.
 * Therefore the frequency of each word is estimated first, from the age of its newest rows. The rarest words then rank the
 * rows, as many words as a bound on the rows allows.
 */
import * as Effect from "effect/Effect"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type * as Statement from "effect/sql/Statement"

/** How many rows BM25 may read. */
const maxRanked = 10_000

/** How many of the newest rows of a word are looked at to estimate how many there are. */
const sample = 100

/** How many rows are taken, newest first, where even the rarest word is too common to rank by. */
const maxNewest = 300

interface Search {
  readonly projectId: number
  /** Letters and digits only, so they need no escape; at least one. */
  readonly terms: ReadonlyArray<string>
  /** Whether a term stands for every word that begins with it. */
  readonly beginnings: boolean
  readonly exceptSession: string | null
  /** How many rows at most. */
  readonly limit: number
}

interface Word {
  /** As the index's query language writes it. */
  readonly pattern: string
  /** How many rows have it, about. */
  readonly rows: number
}

/** The word's newest rows: how many there are up to `sample`, and the oldest of them. */
const newestOf = (sql: SqlClient.SqlClient, pattern: string) =>
  sql`SELECT ${pattern} AS pattern, count(*) AS found, min(rowid) AS oldest FROM (
    SELECT rowid FROM episodic_events_fts WHERE episodic_events_fts MATCH ${`content : ${pattern}`}
    ORDER BY rowid DESC LIMIT ${sample})`

const countWords = (
  sql: SqlClient.SqlClient,
  patterns: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Word>, SqlError> =>
  Effect.gen(function* () {
    const samples = sql.join(" UNION ALL ", false)(patterns.map((pattern) => newestOf(sql, pattern)))
    const rows = yield* sql<{ pattern: string; found: number; oldest: number; newest: number }>`
      SELECT *, (SELECT max(id) FROM episodic_events) AS newest FROM (${samples})`
    return rows
      .filter((row) => row.found > 0)
      .map(({ found, newest, oldest, pattern }) => ({
        pattern,
        rows: found < sample ? found : (found * newest) / (newest - oldest + 1)
      }))
      .toSorted((a, b) => a.rows - b.rows)
  })

/** The rarest words that together have no more rows than may be ranked. */
const rarest = (words: ReadonlyArray<Word>): ReadonlyArray<Word> => {
  let rows = 0
  return words.filter((word) => (rows += word.rows) <= maxRanked)
}

const ranked = (sql: SqlClient.SqlClient, search: Search, words: ReadonlyArray<Word>) => {
  const match = `content : (${words.map((word) => word.pattern).join(" OR ")})`
  const others = search.exceptSession === null ? sql`` : sql` AND o.session_id <> ${search.exceptSession}`
  return sql`SELECT i.rowid AS id, -bm25(episodic_events_fts, 1.0, 0.0) AS rank
    FROM episodic_events_fts i JOIN episodic_events o ON o.id = i.rowid
    WHERE episodic_events_fts MATCH ${match} AND o.project_id = ${search.projectId}${others}
    ORDER BY rank DESC LIMIT ${search.limit}`
}

const newest = (sql: SqlClient.SqlClient, search: Search, word: Word) => {
  const match = `project_id : "${search.projectId}" AND content : ${word.pattern}`
  const others =
    search.exceptSession === null
      ? sql``
      : sql` AND rowid NOT IN (SELECT id FROM episodic_events WHERE session_id = ${search.exceptSession})`
  return sql`SELECT rowid AS id, 0 AS rank FROM episodic_events_fts
    WHERE episodic_events_fts MATCH ${match}${others} ORDER BY rowid DESC LIMIT ${maxNewest}`
}

/** A subquery that gives the `id` and the `rank` of the rows, higher is better; none where no row has any term. */
export const candidates = (
  sql: SqlClient.SqlClient,
  search: Search
): Effect.Effect<Statement.Fragment | undefined, SqlError> =>
  Effect.gen(function* () {
    const words = yield* countWords(
      sql,
      search.terms.map((term) => (search.beginnings ? `"${term}"*` : `"${term}"`))
    )
    const first = words[0]
    if (first === undefined) return undefined
    const few = rarest(words)
    return few.length > 0 ? ranked(sql, search, few) : newest(sql, search, first)
  })
