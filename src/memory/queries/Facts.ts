/**
 * Queries and mutations of facts, and of the progress of the consolidation.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { storable } from "../../internal/text.ts"
import * as Dependency from "../../query/Dependency.ts"
import * as Mutation from "../../query/Mutation.ts"
import * as Query from "../../query/Query.ts"
import { confidence, type Evidence, Fact, FactKind, Observation } from "../facts/Fact.ts"
import { wordsOf } from "../facts/SessionEvent.ts"
import * as Rows from "../internal/rows.ts"
import { MemoryId } from "../Memory.ts"
import { ProjectId } from "../Project.ts"
import { SessionId } from "../Session.ts"

/**
 * The most facts of a project, current and ended: 2,000.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxFacts = 2_000

/** The sessions in the evidence of a fact, the newest ones. */
const maxEvidence = 20

const table = "agent_facts"

const columns = (sql: SqlClient.SqlClient) => {
  const number = (column: string, name: string) => sql`${Rows.integer(sql, column)} AS ${sql(name)}`
  return sql`${number("id", "id")}, project_id AS "projectId", kind, subject, text, confidence, evidence, proofs,
    ${number("valid_from", "validFrom")}, ${number("valid_to", "validTo")}, ${number("recorded_at", "recordedAt")},
    ${number("ended_at", "endedAt")}, ${number("ended_by", "endedBy")}, source, ${number("last_shown", "lastShown")},
    shown, useful`
}

const decode = Rows.decode(Schema.Array(Fact))

/**
 * The facts of a project, newest first.
 *
 * @category queries
 * @since 0.1.0
 */
export const list = Query.make({
  name: "memory.facts",
  input: Schema.Struct({
    projectId: ProjectId,
    /** Of any kind when empty. */
    kinds: Schema.Array(FactKind),
    /** Whether to include facts that ended, and candidates. */
    all: Schema.Boolean,
    limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxFacts }))
  }),
  result: Schema.toType(Schema.Array(Fact)),
  dependencies: ({ projectId }) => [Dependency.make(table, projectId)],
  timeToLive: 0,
  run: Effect.fnUntraced(function* ({ all, kinds, limit, projectId }) {
    const sql = yield* SqlClient.SqlClient
    const ofKind = Arr.isReadonlyArrayNonEmpty(kinds) ? sql` AND ${sql.in("kind", kinds)}` : sql``
    const shown = all ? sql`` : sql` AND ended_at IS NULL AND confidence > 0`
    return yield* decode(
      yield* sql`SELECT ${columns(sql)} FROM agent_facts WHERE project_id = ${projectId}${ofKind}${shown}
        ORDER BY valid_from DESC, id DESC LIMIT ${limit}`
    )
  })
})

/**
 * Ends a fact on request of the user: later evidence does not restore it, nor does a rebuild. `false` if the project has
 * no such current fact.
 *
 * @category mutations
 * @since 0.1.0
 */
export const end = Mutation.make({
  name: "memory.endFact",
  input: Schema.Struct({ projectId: ProjectId, factId: MemoryId }),
  changes: ({ projectId }) => [Dependency.make(table, projectId)],
  run: Effect.fnUntraced(function* ({ factId, projectId }) {
    const sql = yield* SqlClient.SqlClient
    const now = yield* Clock.currentTimeMillis
    const rows = yield* sql`UPDATE agent_facts SET ended_at = ${now}, valid_to = ${now}, ended_by = id
      WHERE id = ${factId} AND project_id = ${projectId} AND ended_at IS NULL RETURNING 1`
    return rows.length > 0
  })
})

/**
 * Deletes the facts that rest on the sessions of some events, and has the consolidation derive them again. For use inside
 * a mutation that edits, forgets, restores or deletes these events, before a deletion.
 *
 * @category programs
 * @since 0.1.0
 */
export const retract = (
  projectId: number,
  ids: ReadonlyArray<number>
): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    if (!Arr.isReadonlyArrayNonEmpty(ids)) return
    const sql = yield* SqlClient.SqlClient
    const sessions = yield* sql<{ id: string }>`SELECT DISTINCT session_id AS id FROM episodic_events
      WHERE ${sql.in("id", ids)} AND event_type <> 'note'`
    const changed = new Set(sessions.map(({ id }) => id))
    if (changed.size === 0) return
    const facts = yield* decode(yield* sql`SELECT ${columns(sql)} FROM agent_facts WHERE project_id = ${projectId}`)
    const resting = facts.filter(({ evidence }) => evidence.some(({ sessionId }) => changed.has(sessionId)))
    if (Arr.isReadonlyArrayNonEmpty(resting)) {
      yield* sql`DELETE FROM agent_facts WHERE ${sql.in(
        "id",
        Arr.map(resting, ({ id }) => id)
      )}`
    }
    const first = Math.min(...ids, ...resting.flatMap(({ evidence }) => evidence.flatMap((one) => one.ids)))
    yield* sql`UPDATE agent_consolidation SET last_event_id = ${first - 1} WHERE last_event_id >= ${first}`
  })

const combined = (one: Evidence, other: Evidence): Evidence => ({
  ...one,
  ids: [...new Set([...one.ids, ...other.ids])].slice(-10),
  from: Math.min(one.from, other.from),
  at: Math.max(one.at, other.at)
})

/** One observation of each subject. */
const distinct = (observations: ReadonlyArray<Observation>): ReadonlyArray<Observation> => {
  const bySubject = new Map<string, Observation>()
  for (const one of observations) {
    const key = `${one.kind} ${one.subject}`
    const before = bySubject.get(key)
    bySubject.set(key, before === undefined ? one : { ...one, evidence: combined(one.evidence, before.evidence) })
  }
  return [...bySubject.values()]
}

const minSimilarity = 0.9

/** Jaccard's index of the words of two texts (Jaccard 1901). */
const similarity = (one: string, other: string): number => {
  const [a, b] = [wordsOf(one), wordsOf(other)]
  const common = [...a].filter((word) => b.has(word)).length
  return common / Math.max(1, a.size + b.size - common)
}

const newest = (evidence: ReadonlyArray<Evidence>): ReadonlyArray<Evidence> =>
  evidence.toSorted((a, b) => a.at - b.at).slice(-maxEvidence)

/** All kinds, so that the index of current facts finds a subject. */
const kinds = FactKind.literals

/** Kinds whose text follows the newest evidence; another text of the other kinds is another fact. */
const followsEvidence: ReadonlySet<FactKind> = new Set(["digest", "task", "command", "error"])

/** The rows that an observation changes. */
const applyOne = (projectId: number, now: number, known: ReadonlyArray<Fact>, observation: Observation) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { evidence, kind, source, subject, text } = observation
    const isSame = (fact: Fact) => fact.kind === kind && fact.subject === subject
    // A user has ended it.
    if (known.some((fact) => isSame(fact) && fact.endedBy === fact.id)) return
    const current = known.find((fact) => fact.endedAt === null && isSame(fact))
    const isReplaced =
      current !== undefined &&
      !followsEvidence.has(kind) &&
      current.text !== text &&
      // The two sides of a choice have the same words.
      (subject.startsWith("choice ") || similarity(current.text, text) < minSimilarity)
    if (isReplaced && evidence.at <= current.validFrom) return
    if (current !== undefined && !isReplaced) {
      const all = newest([...current.evidence.filter(({ sessionId }) => sessionId !== evidence.sessionId), evidence])
      yield* sql`UPDATE agent_facts SET text = ${followsEvidence.has(kind) ? storable(text) : current.text},
        confidence = ${confidence(kind, current.source, all)}, evidence = ${JSON.stringify(all)}, proofs = ${all.length},
        valid_from = ${Math.min(current.validFrom, evidence.from)} WHERE id = ${current.id}`
      return
    }
    if (current !== undefined) {
      yield* sql`UPDATE agent_facts SET ended_at = ${now}, valid_to = ${evidence.from} WHERE id = ${current.id}`
    }
    const rows = yield* sql<{
      id: number
    }>`INSERT INTO agent_facts (project_id, kind, subject, text, confidence, evidence,
        proofs, valid_from, recorded_at, source)
      VALUES (${projectId}, ${kind}, ${storable(subject)}, ${storable(text)}, ${confidence(kind, source, [evidence])},
        ${JSON.stringify([evidence])}, 1, ${evidence.from}, ${now}, ${source})
      RETURNING ${Rows.integer(sql, "id")} AS id`
    if (current !== undefined) {
      yield* sql`UPDATE agent_facts SET ended_by = ${rows[0]!.id} WHERE id = ${current.id}`
    }
  })

/** Ends the tasks of a session that its last summary no longer contains. */
const endDone = (sessionId: string, now: number, known: ReadonlyArray<Fact>, tasks: ReadonlyArray<Observation>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const open = new Set(tasks.map(({ subject }) => subject))
    const done = known.filter(
      (fact) =>
        fact.kind === "task" &&
        fact.endedAt === null &&
        !open.has(fact.subject) &&
        fact.evidence.every((one) => one.sessionId === sessionId)
    )
    for (const { id } of done) {
      yield* sql`UPDATE agent_facts SET ended_at = ${now}, valid_to = ${now} WHERE id = ${id}`
    }
  })

/**
 * Applies the observations of one session to the facts of its project: adds evidence, replaces contradicted facts, ends
 * pending tasks that are done. Applying the same observations again changes nothing.
 *
 * @category mutations
 * @since 0.1.0
 */
export const apply = Mutation.make({
  name: "memory.applyObservations",
  input: Schema.Struct({ projectId: ProjectId, sessionId: Schema.String, observations: Schema.Array(Observation) }),
  changes: ({ projectId }) => [Dependency.make(table, projectId)],
  run: Effect.fnUntraced(function* ({ observations, projectId, sessionId }) {
    const sql = yield* SqlClient.SqlClient
    const now = yield* Clock.currentTimeMillis
    const all = distinct(observations).map((one) => ({ ...one, subject: storable(one.subject) }))
    if (!Arr.isReadonlyArrayNonEmpty(all)) return
    const subjects = [...new Set(Arr.map(all, ({ subject }) => subject))]
    const current = sql`SELECT ${columns(sql)} FROM agent_facts WHERE project_id = ${projectId}`
    const known = yield* decode(
      yield* sql`${current} AND ended_at IS NULL AND kind IN ${sql.in(kinds)} AND ${sql.in("subject", subjects)}
        UNION ALL ${current} AND ended_by = id`
    )
    for (const one of all) yield* applyOne(projectId, now, known, one)
    const tasks = all.filter(({ kind }) => kind === "task")
    if (tasks.length > 0) {
      const open = yield* decode(yield* sql`${current} AND ended_at IS NULL AND kind = 'task'`)
      yield* endDone(sessionId, now, open, tasks)
    }
  })
})

/**
 * Deletes the facts of a project beyond `maxFacts`: ended ones first, then candidates, then the oldest.
 *
 * @category mutations
 * @since 0.1.0
 */
export const prune = Mutation.make({
  name: "memory.pruneFacts",
  input: Schema.Struct({ projectId: ProjectId }),
  changes: ({ projectId }) => [Dependency.make(table, projectId)],
  run: Effect.fnUntraced(function* ({ projectId }) {
    const sql = yield* SqlClient.SqlClient
    yield* sql`DELETE FROM agent_facts WHERE id IN (SELECT id FROM agent_facts
      WHERE project_id = ${projectId} AND (ended_by IS NULL OR ended_by <> id)
      ORDER BY CASE WHEN ended_at IS NULL THEN 0 ELSE 1 END, CASE WHEN confidence > 0 THEN 0 ELSE 1 END, valid_from DESC
      LIMIT 1000000 OFFSET ${maxFacts})`
  })
})

/**
 * The facts that a session received.
 *
 * @category queries
 * @since 0.1.0
 */
export const injected = Query.make({
  name: "memory.injectedFacts",
  input: Schema.Struct({ sessionId: SessionId }),
  result: Schema.Array(MemoryId),
  dependencies: ({ sessionId }) => [Dependency.make("agent_session_facts", sessionId)],
  run: Effect.fnUntraced(function* ({ sessionId }) {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ id: number }>`SELECT ${Rows.integer(sql, "fact_id")} AS id FROM agent_session_facts
      WHERE session_id = ${sessionId}`
    return rows.map(({ id }) => id)
  })
})

/**
 * Marks facts as injected into a session.
 *
 * @category mutations
 * @since 0.1.0
 */
export const markInjected = Mutation.make({
  name: "memory.markInjectedFacts",
  input: Schema.Struct({ sessionId: SessionId, factIds: Schema.Array(MemoryId).check(Schema.isMaxLength(100)) }),
  changes: ({ sessionId }) => [Dependency.make("agent_session_facts", sessionId)],
  run: Effect.fnUntraced(function* ({ factIds, sessionId }) {
    if (!Arr.isReadonlyArrayNonEmpty(factIds)) return
    const sql = yield* SqlClient.SqlClient
    yield* sql`INSERT INTO agent_session_facts (session_id, fact_id)
      SELECT ${sessionId}, id FROM agent_facts WHERE ${sql.in("id", factIds)} ON CONFLICT DO NOTHING`
  })
})

/** The only row of `agent_consolidation`. */
const progressId = 1

/** The clock of the server, which several hosts share, in milliseconds. */
const serverNow = (sql: SqlClient.SqlClient, now: number) =>
  sql.onDialectOrElse({
    pg: () => sql`(extract(epoch FROM clock_timestamp()) * 1000)::bigint`,
    orElse: () => sql`${now}`
  })

/**
 * Takes or renews the lease of the consolidation, and returns the last consolidated event; `null` if another owner has
 * the lease. Facts of other rules are deleted, and the consolidation begins with the first event.
 *
 * @category mutations
 * @since 0.1.0
 */
export const lease = Mutation.make({
  name: "memory.leaseConsolidation",
  input: Schema.Struct({
    owner: Schema.String,
    milliseconds: Schema.Int,
    rulesVersion: Schema.Int,
    rebuild: Schema.Boolean
  }),
  changes: ({ rebuild }) => (rebuild ? [Dependency.make(table)] : []),
  run: Effect.fnUntraced(function* ({ milliseconds, owner, rebuild, rulesVersion }) {
    const sql = yield* SqlClient.SqlClient
    const now = serverNow(sql, yield* Clock.currentTimeMillis)
    yield* sql`INSERT INTO agent_consolidation (id, last_event_id, rules_version)
      VALUES (${progressId}, 0, ${rulesVersion}) ON CONFLICT DO NOTHING`
    const rows = yield* sql<{ last: number; version: number }>`UPDATE agent_consolidation
      SET owner = ${owner}, lease_until = ${now} + ${milliseconds}
      WHERE id = ${progressId} AND (owner IS NULL OR owner = ${owner} OR lease_until < ${now})
      RETURNING ${Rows.integer(sql, "last_event_id")} AS last, rules_version AS version`
    const row = rows[0]
    if (row === undefined) return null
    if (!rebuild && row.version === rulesVersion) return row.last
    yield* sql`DELETE FROM agent_facts WHERE ended_by IS NULL OR ended_by <> id`
    yield* sql`UPDATE agent_consolidation SET last_event_id = 0, rules_version = ${rulesVersion} WHERE id = ${progressId}`
    return 0
  })
})

/**
 * Stores the progress of the owner of the lease, and releases the lease at the end.
 *
 * @category mutations
 * @since 0.1.0
 */
export const saveProgress = Mutation.make({
  name: "memory.saveConsolidation",
  input: Schema.Struct({ owner: Schema.String, lastEventId: Schema.Finite, isDone: Schema.Boolean }),
  changes: () => [],
  run: Effect.fnUntraced(function* ({ isDone, lastEventId, owner }) {
    const sql = yield* SqlClient.SqlClient
    const release = isDone ? sql`, owner = NULL, lease_until = NULL` : sql``
    yield* sql`UPDATE agent_consolidation SET last_event_id = ${lastEventId}${release}
      WHERE id = ${progressId} AND owner = ${owner}`
  })
})

/** Names that identify an item in a call: files, identifiers of several parts, and quoted commands. */
const marksOf = (text: string): ReadonlyArray<string> => [
  ...new Set(text.match(/[\p{L}\p{N}_@-]*[./_-][\p{L}\p{N}_./@-]{3,}|[a-z]+[A-Z]\w{3,}|[A-Z][a-z]+[A-Z]\w{3,}/gu))
]

const Item = Schema.Struct({ kind: Schema.String, factId: Schema.NullOr(Schema.Finite), text: Schema.String })
const decodeItems = Rows.decode(Schema.Array(Item))

/** The most calls of a session that are compared with what it received. */
const maxCalls = 1_000

/**
 * Counts the use of what a session received: an item was useful if a file, a command or an identifier of it appears in a
 * later call of the session. Counting again replaces the former counts.
 *
 * @category mutations
 * @since 0.1.0
 */
export const measureUse = Mutation.make({
  name: "memory.measureUse",
  input: Schema.Struct({ sessionId: Schema.String }),
  changes: () => [],
  run: Effect.fnUntraced(function* ({ sessionId }) {
    const sql = yield* SqlClient.SqlClient
    const items = yield* decodeItems(
      yield* sql`SELECT f.kind, ${Rows.integer(sql, "f.id")} AS "factId", f.text FROM agent_session_facts s
        JOIN agent_facts f ON f.id = s.fact_id WHERE s.session_id = ${sessionId}
      UNION ALL SELECT CASE WHEN e.event_type = 'note' THEN 'note' ELSE 'memory' END AS kind, NULL AS "factId",
        substr(e.content, 1, 2000) AS text FROM agent_session_memories m JOIN episodic_events e ON e.id = m.memory_id
        WHERE m.session_id = ${sessionId} AND e.session_id <> ${sessionId}`
    )
    if (items.length === 0) return
    const calls = yield* sql<{ content: string }>`SELECT substr(content, 1, 600) AS content FROM episodic_events
      WHERE session_id = ${sessionId} AND event_type = 'tool_execution' ORDER BY id DESC LIMIT ${maxCalls}`
    const text = calls.map(({ content }) => content).join("\n")
    const counts = new Map<string, { shown: number; useful: number }>()
    for (const { factId, kind, text: own } of items) {
      const command = kind === "command" ? [own.slice(own.indexOf(": ") + 2)] : []
      const isUseful = [...marksOf(own), ...command].some((mark) => text.includes(mark))
      const count = counts.get(kind) ?? { shown: 0, useful: 0 }
      counts.set(kind, { shown: count.shown + 1, useful: count.useful + (isUseful ? 1 : 0) })
      if (factId !== null) {
        yield* sql`UPDATE agent_session_facts SET useful = ${isUseful ? 1 : 0}
          WHERE session_id = ${sessionId} AND fact_id = ${factId}`
        yield* sql`UPDATE agent_facts SET
            shown = (SELECT count(*) FROM agent_session_facts s WHERE s.fact_id = ${factId}),
            useful = (SELECT count(*) FROM agent_session_facts s WHERE s.fact_id = ${factId} AND s.useful = 1),
            last_shown = (SELECT max(a.started_at) FROM agent_session_facts s
              JOIN agent_sessions a ON a.session_id = s.session_id WHERE s.fact_id = ${factId})
          WHERE id = ${factId}`
      }
    }
    yield* sql`DELETE FROM agent_usefulness WHERE session_id = ${sessionId}`
    for (const [kind, { shown, useful }] of counts) {
      yield* sql`INSERT INTO agent_usefulness (session_id, kind, shown, useful)
        VALUES (${sessionId}, ${kind}, ${shown}, ${useful})`
    }
  })
})

/**
 * The use of injected items of a kind.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Usefulness = Schema.Struct({
  kind: Schema.String,
  /** The number of injections. */
  shown: Schema.Int,
  /** The number of those of which a file, a command or an identifier appeared in a later call. */
  useful: Schema.Int
})

const decodeUsefulness = Rows.decode(Schema.Array(Usefulness))

/**
 * The use of injected items by kind, over all consolidated sessions.
 *
 * @category queries
 * @since 0.1.0
 */
export const usefulness = Query.make({
  name: "memory.usefulness",
  input: Schema.Struct({}),
  result: Schema.Array(Usefulness),
  dependencies: () => [],
  timeToLive: 0,
  run: Effect.fnUntraced(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* decodeUsefulness(
      yield* sql`SELECT kind, ${Rows.integer(sql, "sum(shown)")} AS shown, ${Rows.integer(sql, "sum(useful)")} AS useful
        FROM agent_usefulness GROUP BY kind ORDER BY kind`
    )
  })
})
