/**
 * Full-text search over the memories of a project.
 *
 * The database's index (FTS5 with BM25, `tsvector` on Postgres) finds the best candidates by word. If it finds fewer than
 * requested, the newest memories are searched for parts of words, as `ILIKE` does. `Relevance` orders the candidates, the
 * same for both databases.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type * as Statement from "effect/sql/Statement"
import * as Dependency from "../../query/Dependency.ts"
import * as Query from "../../query/Query.ts"
import * as FullTextSqlite from "../internal/fullTextSqlite.ts"
import * as Rows from "../internal/rows.ts"
import { preview } from "../../internal/text.ts"
import { type FoundMemory, MemoryId, previewLength, SearchResult } from "../Memory.ts"
import { searchVectorPg } from "../MemorySchema.ts"
import { ProjectId } from "../Project.ts"
import * as Relevance from "../Relevance.ts"

/**
 * The most memories that one call returns: 100.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxLimit = 100

/**
 * How many of the newest memories of the project are searched for parts of words: 50,000.
 *
 * @category defaults
 * @since 0.1.0
 */
export const fragmentScan = 50_000

/** How many candidates the database ranks: enough to choose from, few enough to score one by one. */
const maxCandidates = 100

/** How many of the newest rows that match Postgres ranks: its rank reads the whole text of each. */
const maxRankedPg = 1_000

/** How much of a memory is read to see which words it has. */
const scoredLength = 4_096

const Input = Schema.Struct({
  projectId: ProjectId,
  query: Schema.String,
  limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxLimit })),
  /** Whether beginnings of words are looked for as well, and parts of words where those find too little. */
  fragments: Schema.Boolean,
  /** A session whose own events are left out. */
  exceptSession: Schema.NullOr(Schema.String)
})

const Candidate = Schema.Struct({
  id: MemoryId,
  type: Schema.String,
  content: Schema.String,
  timestamp: Schema.DateTimeUtcFromMillis,
  outcome: Schema.NullOr(Schema.String),
  importance: Schema.Finite,
  /** The database's text rank, higher is better; 0 where only a part of a word matched. */
  rank: Schema.Finite
})
type Candidate = typeof Candidate.Type
const decode = Rows.decode(Schema.Array(Candidate))

const columns = (sql: SqlClient.SqlClient, rank: Statement.Fragment) =>
  sql`${Rows.integer(sql, "e.id")} AS id, e.event_type AS type, substr(e.content, 1, ${scoredLength}) AS content,
    ${Rows.integer(sql, "e.timestamp")} AS timestamp, e.outcome, coalesce(e.importance_score, 0.5) AS importance,
    ${rank} AS rank`

const exceptSession = (sql: SqlClient.SqlClient, input: typeof Input.Type) =>
  sql` AND coalesce(e.lifecycle_status, 'active') = 'active'${
    input.exceptSession === null ? sql`` : sql` AND e.session_id <> ${input.exceptSession}`
  }`

/** Terms are letters and digits only, so they need no escape. */
const byWordPg = (sql: SqlClient.SqlClient, input: typeof Input.Type, terms: ReadonlyArray<string>) => {
  const beginnings = input.fragments ? ":*" : ""
  const query = sql`to_tsquery('english', ${terms.map((term) => `${term}${beginnings}`).join(" | ")})`
  const vector = sql.literal(searchVectorPg)
  return sql`SELECT ${columns(sql, sql`ts_rank_cd(${vector}, ${query})`)} FROM (
      SELECT * FROM episodic_events e WHERE e.project_id = ${input.projectId} AND ${vector} @@ ${query}
        ${exceptSession(sql, input)} ORDER BY e.timestamp DESC LIMIT ${maxRankedPg}) e
    ORDER BY rank DESC, e.id DESC LIMIT ${maxCandidates}`
}

const byWordSqlite = (sql: SqlClient.SqlClient, input: typeof Input.Type, terms: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const found = yield* FullTextSqlite.candidates(sql, {
      ...input,
      terms,
      beginnings: input.fragments,
      limit: maxCandidates
    })
    return found === undefined
      ? []
      : yield* sql`SELECT ${columns(sql, sql`f.rank`)} FROM (${found}) f JOIN episodic_events e ON e.id = f.id
          WHERE coalesce(e.lifecycle_status, 'active') = 'active'`
  })

const byWord = (
  sql: SqlClient.SqlClient,
  input: typeof Input.Type,
  terms: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<unknown>, SqlError> =>
  sql.onDialectOrElse({
    pg: () => byWordPg(sql, input, terms),
    orElse: () => byWordSqlite(sql, input, terms)
  })

const escapeLike = (text: string): string => text.replace(/[\\%_]/g, (character) => `\\${character}`)

/**
 * `LIKE` folds the case of ASCII letters only in SQLite, so the usual other spellings of a fragment are tried as well.
 */
const spellings = (fragment: string): ReadonlyArray<string> => [
  ...new Set([fragment, fragment.toUpperCase(), fragment.slice(0, 1).toUpperCase() + fragment.slice(1)])
]

const contains = (sql: SqlClient.SqlClient, fragment: string): Statement.Fragment =>
  sql.onDialectOrElse({
    pg: () => sql`e.content ILIKE ${`%${escapeLike(fragment)}%`} ESCAPE '\\'`,
    orElse: () =>
      sql.or(spellings(fragment).map((spelling) => sql`e.content LIKE ${`%${escapeLike(spelling)}%`} ESCAPE '\\'`))
  })

const byFragment = (sql: SqlClient.SqlClient, input: typeof Input.Type, fragments: ReadonlyArray<string>) =>
  sql`SELECT ${columns(sql, sql`0`)} FROM (
      SELECT * FROM episodic_events WHERE project_id = ${input.projectId} ORDER BY timestamp DESC LIMIT ${fragmentScan}) e
    WHERE ${sql.or(fragments.map((fragment) => contains(sql, fragment)))}${exceptSession(sql, input)}
    ORDER BY e.timestamp DESC LIMIT ${maxCandidates}`

const ranked = (
  found: ReadonlyArray<Candidate>,
  terms: ReadonlyArray<string>,
  now: number
): ReadonlyArray<FoundMemory> => {
  const best = Math.max(...found.map((candidate) => candidate.rank), Number.MIN_VALUE)
  return found
    .map(({ content, importance, rank, ...candidate }) => {
      const matchedTerms = Relevance.matchedTerms(content, terms)
      const score = Relevance.score({
        coverage: matchedTerms / Math.max(terms.length, 1),
        textRank: Math.max(rank, 0) / best,
        ageMs: now - DateTime.toEpochMillis(candidate.timestamp),
        importance
      })
      return { ...candidate, content: preview(content, previewLength), score, matchedTerms }
    })
    .toSorted((a, b) => b.score - a.score || b.id - a.id)
}

/**
 * The memories of a project that answer a query, best first.
 *
 * @category queries
 * @since 0.1.0
 */
export const search = Query.make({
  name: "memory.search",
  input: Input,
  result: SearchResult,
  dependencies: ({ projectId }) => [Dependency.make("episodic_events", projectId)],
  // The ranking moves with the clock.
  timeToLive: "1 minute",
  run: Effect.fnUntraced(function* (input): Effect.fn.Return<SearchResult, SqlError, SqlClient.SqlClient> {
    const sql = yield* SqlClient.SqlClient
    const now = yield* Clock.currentTimeMillis
    const terms = Relevance.terms(input.query)
    const fragments = input.fragments ? Relevance.fragments(input.query) : []
    const words = terms.length === 0 ? [] : yield* decode(yield* byWord(sql, input, terms))
    const parts =
      words.length >= input.limit || fragments.length === 0
        ? []
        : yield* decode(yield* byFragment(sql, input, fragments))
    const seen = new Set(words.map((candidate) => candidate.id))
    const found = [...words, ...parts.filter((candidate) => !seen.has(candidate.id))]
    const results = ranked(found, terms, now).slice(0, input.limit)
    return { found: results.length, results }
  })
})
