/**
 * How many events of a project have each term of a query, at a bounded cost: frequent terms by a sample of the newest
 * events, the others by counting up to a cap. Both databases give the same numbers for the same rows.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Rows from "./rows.ts"
import * as TermHash from "./termHash.ts"

/** The newest events that are looked at. */
const sampleSize = 500

/** Events of the sample that have a frequent term: 2 %. */
const frequent = 10

/** How far a term that is not frequent is counted. */
export const maxCount = 4_000

/** How many terms are counted, those with the smallest share in the sample first. */
const maxCounted = 192

/** How many events of a project are counted; from more, the number is estimated by the range of their ids. */
const maxEvents = 10_000

export interface Statistics {
  /** About how many events of the project are indexed. */
  readonly events: number
  /** The average number of terms of an event. */
  readonly length: number
  /** How many events have each term. */
  readonly frequencies: ReadonlyMap<number, number>
}

const array = (hashes: Iterable<number>): string => `{${[...hashes].join()}}`

interface Sample {
  readonly size: number
  readonly length: number
  readonly shares: ReadonlyMap<number, number>
}

const samplePg = (sql: SqlClient.SqlClient, projectId: number, hashes: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const rows = yield* sql<{ term: number; n: number; size: number; length: number }>`
      WITH sample AS MATERIALIZED (SELECT length, terms FROM agent_search WHERE project_id = ${projectId}
        ORDER BY event_id DESC LIMIT ${sampleSize})
      SELECT 0::float8 AS term, 0::float8 AS n, count(*)::float8 AS size, coalesce(avg(length), 0)::float8 AS length FROM sample
      UNION ALL SELECT term::float8, count(*)::float8, 0, 0 FROM sample, unnest(terms) AS term
        WHERE term = ANY (${array(hashes)}::text::bigint[]) GROUP BY term`
    const [{ length, size }, ...shares] = rows as [(typeof rows)[0], ...typeof rows]
    return { size, length, shares: new Map(shares.map(({ n, term }) => [term, n])) } satisfies Sample as Sample
  })

const sampleSqlite = (sql: SqlClient.SqlClient, projectId: number, hashes: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const rows = yield* sql<{ length: number; frequencies: Uint8Array }>`SELECT length, frequencies FROM agent_search
      WHERE project_id = ${projectId} ORDER BY event_id DESC LIMIT ${sampleSize}`
    const shares = new Map(hashes.map((hash) => [hash, 0]))
    let length = 0
    for (const row of rows) {
      length += row.length
      TermHash.forEach(row.frequencies, (hash) => {
        const share = shares.get(hash)
        if (share !== undefined) shares.set(hash, share + 1)
      })
    }
    return { size: rows.length, length: length / Math.max(1, rows.length), shares } satisfies Sample as Sample
  })

const eventsOf = (sql: SqlClient.SqlClient, projectId: number) =>
  Effect.gen(function* () {
    const [row] = yield* sql<{ n: number; first: number; last: number; oldest: number }>`
      SELECT ${Rows.integer(sql, "count(*)")} AS n, ${Rows.integer(sql, "min(event_id)")} AS first,
        ${Rows.integer(sql, "max(event_id)")} AS last,
        (SELECT ${Rows.integer(sql, "min(event_id)")} FROM agent_search WHERE project_id = ${projectId}) AS oldest
      FROM (SELECT event_id FROM agent_search WHERE project_id = ${projectId}
        ORDER BY event_id DESC LIMIT ${maxEvents}) AS newest`
    const { first, last, n, oldest } = row!
    return n < maxEvents ? n : Math.round((n * (last - oldest + 1)) / (last - first + 1))
  })

/** Counts up to one more than the cap. */
const count = (sql: SqlClient.SqlClient, hashes: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    if (hashes.length === 0) return []
    return yield* sql.onDialectOrElse({
      pg: () => sql<{ term: number; n: number }>`SELECT term::float8 AS term, (SELECT count(*) FROM (
          SELECT 1 FROM agent_search WHERE terms @> ARRAY[term] LIMIT ${maxCount + 1}) AS found)::float8 AS n
        FROM unnest(${array(hashes)}::text::bigint[]) AS term`,
      orElse: () =>
        Effect.map(
          sql<{ term: string; n: number }>`SELECT value AS term, (SELECT count(*) FROM (
              SELECT 1 FROM agent_search_terms WHERE agent_search_terms MATCH '"' || value || '"' LIMIT ${maxCount + 1})) AS n
            FROM json_each(${JSON.stringify(hashes.map(TermHash.token))})`,
          (rows) => rows.map(({ n, term }) => ({ term: Number.parseInt(term, 36), n }))
        )
    })
  })

/** The statistics of a project for some terms. */
export const read = (
  projectId: number,
  hashes: ReadonlyArray<number>
): Effect.Effect<Statistics, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const sample = yield* sql.onDialectOrElse({
      pg: () => samplePg(sql, projectId, hashes),
      orElse: () => sampleSqlite(sql, projectId, hashes)
    })
    const shareOf = (hash: number) => sample.shares.get(hash) ?? 0
    if (sample.size < sampleSize) {
      return {
        events: sample.size,
        length: sample.length,
        frequencies: new Map(hashes.map((hash) => [hash, shareOf(hash)]))
      }
    }
    const events = yield* eventsOf(sql, projectId)
    const frequencies = new Map(
      hashes.map((hash) => [hash, Math.round((Math.max(1, shareOf(hash)) * events) / sampleSize)])
    )
    const counted = hashes
      .filter((hash) => shareOf(hash) < frequent)
      .toSorted((a, b) => shareOf(a) - shareOf(b))
      .slice(0, maxCounted)
    for (const { n, term } of yield* count(sql, counted)) {
      frequencies.set(term, n <= maxCount ? n : Math.max(n, frequencies.get(term)!))
    }
    return { events, length: sample.length, frequencies }
  })
