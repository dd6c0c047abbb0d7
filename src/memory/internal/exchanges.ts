/**
 * Exchanges of a project: a prompt with what follows it in its session, up to the next prompt. They are derived from the
 * order of the events. A note, a compaction, an end of a session and a notification are exchanges of their own, and so is
 * an event before the first prompt of its session.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type * as Statement from "effect/sql/Statement"
import * as Rows from "./rows.ts"
import * as TermHash from "./termHash.ts"

/** How many events of an exchange are read, beside those that match. */
const maxMembers = 64

/** How many of the events with the greatest weights are looked at before those of other sessions are left out. */
const maxWeighed = 2_000

const types = (...names: ReadonlyArray<string>): string => names.map((name) => `'${name}'`).join(", ")
const alone = types("note", "compaction", "notification", "session_end")

/** What the events of a search must be. */
export interface Filter {
  readonly projectId: number
  readonly exceptSession: string | null
  /** In milliseconds since 1970. */
  readonly since: number | null
  readonly until: number | null
  readonly types: ReadonlyArray<string>
}

const isActive = (sql: SqlClient.SqlClient) => sql`(e.lifecycle_status = 'active' OR e.lifecycle_status IS NULL)`

const matching = (sql: SqlClient.SqlClient, { exceptSession, projectId, since, types, until }: Filter) =>
  sql.and([
    sql`e.project_id = ${projectId}`,
    isActive(sql),
    ...(exceptSession === null ? [] : [sql`e.session_id <> ${exceptSession}`]),
    ...(since === null ? [] : [sql`e.timestamp >= ${since}`]),
    ...(until === null ? [] : [sql`e.timestamp < ${until}`]),
    ...(types.length === 0 ? [] : [sql.in("e.event_type", types)])
  ])

/** The columns that locate the exchange of an event `e`: `prompt` is null for an event that is an exchange of its own. */
const located = (sql: SqlClient.SqlClient) => {
  const prompt = sql`(SELECT max(p.id) FROM episodic_events p WHERE p.session_id = e.session_id
    AND p.event_type = 'user_question' AND p.project_id = e.project_id AND p.id <= e.id)`
  return sql`${Rows.integer(sql, "e.id")} AS id, e.session_id AS session,
    CASE WHEN e.event_type IN (${sql.literal(alone)}) THEN NULL
      ELSE ${sql.onDialectOrElse({ pg: () => sql`${prompt}::float8`, orElse: () => prompt })} END AS prompt`
}

/** An event that matches, and where its exchange begins. */
export interface Candidate {
  readonly id: number
  readonly weight: number
  readonly session: string
  /** The id of the exchange's first event. */
  readonly start: number
  /** 1 for an event that is an exchange of its own. */
  readonly alone: number
}

type CandidateRow = Pick<Candidate, "id" | "weight" | "session"> & { readonly prompt: number | null }

const candidateOf = ({ prompt, ...row }: CandidateRow): Candidate => ({
  ...row,
  start: prompt ?? row.id,
  alone: prompt === null ? 1 : 0
})

/** Terms with their weights, whole numbers, so that sums do not depend on their order. */
export type Weights = ReadonlyArray<readonly [hash: number, weight: number]>

const weighedPg = (sql: SqlClient.SqlClient, weights: Weights) =>
  sql`SELECT s.event_id AS id, sum(q.weight) AS weight
    FROM unnest(${`{${weights.map(([hash]) => hash).join()}}`}::text::bigint[],
      ${`{${weights.map(([, weight]) => weight).join()}}`}::text::int[]) AS q (term, weight)
    CROSS JOIN LATERAL (SELECT event_id FROM agent_search WHERE terms @> ARRAY[q.term]) AS s
    GROUP BY s.event_id ORDER BY weight DESC, id DESC LIMIT ${maxWeighed}`

const weighedSqlite = (sql: SqlClient.SqlClient, weights: Weights) =>
  sql`SELECT agent_search_terms.rowid AS id, sum(q.value ->> 1) AS weight
    FROM json_each(${JSON.stringify(weights.map(([hash, weight]) => [`"${TermHash.token(hash)}"`, weight]))}) AS q
    CROSS JOIN agent_search_terms WHERE agent_search_terms MATCH (q.value ->> 0)
    GROUP BY agent_search_terms.rowid ORDER BY weight DESC, agent_search_terms.rowid DESC LIMIT ${maxWeighed}`

const select = (sql: SqlClient.SqlClient, weighed: Statement.Fragment, filter: Filter, limit: number) =>
  Effect.map(
    sql<CandidateRow>`SELECT ${Rows.integer(sql, "c.weight")} AS weight, ${located(sql)}
      FROM (${weighed}) AS c JOIN episodic_events e ON e.id = c.id
      WHERE ${matching(sql, filter)} ORDER BY c.weight DESC, e.id DESC LIMIT ${limit}`,
    (rows) => rows.map(candidateOf)
  )

/** The events with the greatest sums of weights. */
export const candidates = (
  weights: Weights,
  filter: Filter,
  limit: number
): Effect.Effect<ReadonlyArray<Candidate>, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    if (weights.length === 0) return []
    const sql = yield* SqlClient.SqlClient
    return yield* select(
      sql,
      sql.onDialectOrElse({ pg: () => weighedPg(sql, weights), orElse: () => weighedSqlite(sql, weights) }),
      filter,
      limit
    )
  })

/** The newest events that have a term, however frequent it is. */
export const newest = (
  hash: number,
  filter: Filter,
  limit: number
): Effect.Effect<ReadonlyArray<Candidate>, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* select(
      sql,
      sql.onDialectOrElse({
        pg: () => sql`SELECT event_id AS id, 1 AS weight FROM agent_search
          WHERE project_id = ${filter.projectId} AND terms @> ARRAY[${hash}::bigint]
          ORDER BY event_id DESC LIMIT ${maxWeighed}`,
        orElse: () => sql`SELECT rowid AS id, 1 AS weight FROM agent_search_terms
          WHERE agent_search_terms MATCH ${`"${TermHash.token(hash)}"`} ORDER BY rowid DESC LIMIT ${maxWeighed}`
      }),
      filter,
      limit
    )
  })

/** The newest events whose content fits a condition; `scan` events are looked at. */
export const scanned = (
  condition: Statement.Fragment,
  filter: Filter,
  scan: number,
  limit: number
): Effect.Effect<ReadonlyArray<Candidate>, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<CandidateRow>`SELECT 0 AS weight, ${located(sql)} FROM (
        SELECT * FROM episodic_events WHERE project_id = ${filter.projectId} ORDER BY timestamp DESC LIMIT ${scan}) AS e
      WHERE ${matching(sql, filter)} AND ${condition} ORDER BY e.timestamp DESC, e.id DESC LIMIT ${limit}`
    return rows.map(candidateOf)
  })

/** An exchange of which events match. */
export interface Matched {
  readonly start: number
  readonly session: string
  readonly alone: number
  /** The greatest weight of its events. */
  readonly weight: number
  readonly events: ReadonlyArray<number>
}

/** The exchanges of the candidates, greatest weight first. */
export const grouped = (candidates: ReadonlyArray<Candidate>): ReadonlyArray<Matched> => {
  const found = new Map<number, Matched & { readonly events: Array<number> }>()
  for (const { id, ...candidate } of candidates) {
    const known = found.get(candidate.start)
    if (known === undefined) found.set(candidate.start, { ...candidate, events: [id] })
    else known.events.push(id)
  }
  return [...found.values()]
}

/** An event of an exchange, with the terms that it has. */
export interface Member {
  readonly start: number
  readonly id: number
  readonly type: string
  readonly timestamp: number
  readonly outcome: string | null
  readonly importance: number
  readonly length: number
  readonly frequencies: ReadonlyMap<number, number>
}

type MemberRow = Omit<Member, "frequencies" | "length"> & {
  readonly length: number | null
  readonly frequencies: Uint8Array | null
}

const decoded = (encoded: Uint8Array | null): ReadonlyMap<number, number> => {
  const frequencies = new Map<number, number>()
  if (encoded !== null) TermHash.forEach(encoded, (hash, count) => frequencies.set(hash, count))
  return frequencies
}

/** The events of exchanges, by exchange and in their order. */
export const members = (
  exchanges: ReadonlyArray<Matched>,
  projectId: number
): Effect.Effect<ReadonlyArray<Member>, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    if (exchanges.length === 0) return []
    const sql = yield* SqlClient.SqlClient
    const json = JSON.stringify(exchanges)
    const listed = sql.onDialectOrElse({
      pg: () => sql`SELECT * FROM jsonb_to_recordset(${json}::text::jsonb)
        AS listed (start bigint, session text, alone int, events jsonb)`,
      orElse: () => sql`SELECT value ->> 'start' AS start, value ->> 'session' AS session, value ->> 'alone' AS alone,
        value -> 'events' AS events FROM json_each(${json})`
    })
    const matchedIds = sql.onDialectOrElse({
      pg: () => sql`jsonb_array_elements_text(l.events) AS m (value)`,
      orElse: () => sql`json_each(l.events) AS m`
    })
    const id = sql.onDialectOrElse({ pg: () => sql`m.value::bigint`, orElse: () => sql`m.value` })
    const max = sql.literal("9007199254740991")
    const rows = yield* sql<MemberRow>`WITH listed AS MATERIALIZED (${listed}),
      bounds AS MATERIALIZED (SELECT l.start, l.session, CASE WHEN l.alone = 1 THEN l.start + 1 ELSE coalesce(
          (SELECT min(p.id) FROM episodic_events p WHERE p.session_id = l.session AND p.event_type = 'user_question'
            AND p.id > l.start), ${max}) END AS next,
        CASE WHEN l.alone = 1 THEN l.start ELSE coalesce((SELECT p.id FROM episodic_events p WHERE p.session_id = l.session
          AND p.id >= l.start ORDER BY p.id LIMIT 1 OFFSET ${maxMembers - 1}), ${max}) END AS last
        FROM listed l),
      member AS (SELECT b.start, e.id FROM bounds b CROSS JOIN episodic_events e
          WHERE e.session_id = b.session AND e.id >= b.start AND e.id < b.next AND e.id <= b.last
            AND (e.id = b.start OR e.event_type NOT IN (${sql.literal(alone)}))
        UNION SELECT l.start, ${id} FROM listed l CROSS JOIN ${matchedIds})
      SELECT ${Rows.integer(sql, "member.start")} AS start, ${Rows.integer(sql, "e.id")} AS id, e.event_type AS type,
        ${Rows.integer(sql, "e.timestamp")} AS timestamp, e.outcome, coalesce(e.importance_score, 0.5) AS importance,
        s.length, s.frequencies
      FROM member JOIN episodic_events e ON e.id = member.id LEFT JOIN agent_search s ON s.event_id = e.id
      WHERE e.project_id = ${projectId} AND ${isActive(sql)} ORDER BY member.start, e.id`
    return rows.map(({ frequencies, length, ...row }) => ({
      ...row,
      length: length ?? 0,
      frequencies: decoded(frequencies)
    }))
  })

/** The text of an event, and its files. */
export interface Text {
  readonly id: number
  readonly content: string
  readonly files: ReadonlyArray<string>
}

/** The texts of events by id. */
export const texts = (
  ids: ReadonlyArray<number>
): Effect.Effect<ReadonlyMap<number, Text>, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    if (ids.length === 0) return new Map()
    const sql = yield* SqlClient.SqlClient
    const files = sql.onDialectOrElse({
      pg: () => sql`array_to_json(context_files)::text AS files`,
      orElse: () => sql`context_files AS files`
    })
    const rows = yield* sql<{ id: number; content: string; files: string | null }>`SELECT
      ${Rows.integer(sql, "id")} AS id, content, ${files} FROM episodic_events WHERE ${sql.in("id", ids)}`
    return new Map(rows.map(({ content, files, id }) => [id, { id, content, files: Rows.stringList(files) ?? [] }]))
  })
