/**
 * The working set of a project: the memories of highest activation.
 *
 * The score of a memory changes as time passes, so no index can hold it. But it is the sum of a part that falls with
 * the time since the memory was last active and a part, its weight, that does not depend on time. The best few by each
 * part come out of an index; every other memory is at most as recent as the last of the one list and at most as heavy as
 * the last of the other, which bounds its score. Where that bound does not exceed the worst score that is returned, the
 * result is exact; otherwise longer lists are read. The cost therefore depends on the number of requested memories and not
 * on the number of stored ones.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Dependency from "../../query/Dependency.ts"
import * as Query from "../../query/Query.ts"
import * as Activation from "../Activation.ts"
import * as Rows from "../internal/rows.ts"
import { preview } from "../../internal/text.ts"
import { ActiveMemories, ActiveMemory, previewLength } from "../Memory.ts"
import { ProjectId } from "../Project.ts"

/**
 * The most memories that one call returns: 100.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxLimit = 100

const Input = Schema.Struct({
  projectId: ProjectId,
  limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxLimit })),
  /** The worktree whose memories rank higher. */
  worktreePath: Schema.NullOr(Schema.String),
  /** A session whose own events are left out. */
  exceptSession: Schema.NullOr(Schema.String)
})

const Candidate = Schema.Struct({
  ...ActiveMemory.fields,
  /** The highest score that a memory which was not read can have; `null` where all were read. */
  unread: Schema.NullOr(Schema.Finite)
})
const decode = Rows.decode(Schema.Array(Candidate))

/** Reads `depth` memories by each order and ranks those. */
const candidates = (input: typeof Input.Type, now: number, depth: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const { activatedAt, greatest, recency, weight } = Activation.expressions(sql)
    const bonus = sql.literal(String(Activation.worktreeBonus))
    const others = input.exceptSession === null ? sql`` : sql` AND session_id <> ${input.exceptSession}`
    const active = sql`project_id = ${input.projectId} AND lifecycle_status = 'active'${others}`
    const rows = yield* sql`WITH
      by_time AS (SELECT id, ${activatedAt} AS at FROM episodic_events
        WHERE ${active} ORDER BY ${activatedAt} DESC LIMIT ${depth}),
      by_weight AS (SELECT id, ${weight} AS weight FROM episodic_events
        WHERE ${active} ORDER BY ${weight} DESC, ${activatedAt} DESC LIMIT ${depth}),
      by_worktree AS (SELECT id, ${activatedAt} AS at FROM episodic_events
        WHERE ${active} AND worktree_path = ${input.worktreePath} ORDER BY ${activatedAt} DESC LIMIT ${depth}),
      last AS (SELECT
        (SELECT count(*) FROM by_time) AS read, (SELECT min(at) FROM by_time) AS at,
        (SELECT min(weight) FROM by_weight) AS weight,
        (SELECT count(*) FROM by_worktree) AS worktree_read, (SELECT min(at) FROM by_worktree) AS worktree_at),
      candidate AS (SELECT id FROM by_time UNION SELECT id FROM by_weight UNION SELECT id FROM by_worktree),
      ranked AS (SELECT id, event_type, content, timestamp, outcome, importance_score, worktree_path,
          ${activatedAt} AS at, ${weight} AS weight
        FROM episodic_events WHERE id IN (SELECT id FROM candidate))
      SELECT ${Rows.integer(sql, "id")} AS id, event_type AS type,
        substr(content, 1, ${previewLength + 1}) AS content, ${Rows.integer(sql, "timestamp")} AS timestamp, outcome,
        coalesce(importance_score, 0.5) AS importance, worktree_path AS "worktreePath",
        ${recency("ranked.at", now)} + ranked.weight
          + CASE WHEN worktree_path = ${input.worktreePath} THEN ${bonus} ELSE 0 END
          AS activation,
        CASE
          WHEN last.read < ${depth} THEN NULL
          WHEN last.worktree_read < ${depth} THEN ${recency("last.at", now)} + last.weight
          ELSE last.weight + ${greatest}(${recency("last.at", now)}, ${recency("last.worktree_at", now)} + ${bonus})
        END AS unread
      FROM ranked, last
      ORDER BY activation DESC, timestamp DESC, id DESC LIMIT ${input.limit}`
    return yield* decode(rows)
  })

const search = (
  input: typeof Input.Type,
  now: number,
  depth: number
): Effect.Effect<ReadonlyArray<typeof Candidate.Type>, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(candidates(input, now, depth), (found) => {
    const worst = found.at(-1)
    return worst === undefined || worst.unread === null || worst.activation >= worst.unread
      ? Effect.succeed(found)
      : search(input, now, depth * 8)
  })

/**
 * The memories of highest activation in a project, best first. Equal ones: newest first.
 *
 * @category queries
 * @since 0.1.0
 */
export const activeMemories = Query.make({
  name: "memory.activeMemories",
  input: Input,
  result: ActiveMemories,
  dependencies: ({ projectId }) => [Dependency.make("episodic_events", projectId)],
  // The ranking moves with the clock.
  timeToLive: "1 minute",
  run: Effect.fnUntraced(function* (input): Effect.fn.Return<ActiveMemories, SqlError, SqlClient.SqlClient> {
    const now = yield* Clock.currentTimeMillis
    const found = yield* search(input, now, Math.max(64, input.limit))
    const items = found.map(({ unread: _, ...item }) => ({ ...item, content: preview(item.content, previewLength) }))
    return {
      count: items.length,
      items,
      activationRange: [items.at(-1)?.activation ?? 0, items[0]?.activation ?? 1],
      currentWorktree: input.worktreePath
    }
  })
})
