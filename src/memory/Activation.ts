/**
 * The activation score: the rank of a memory in the working set.
 *
 * | term | value |
 * |---|---|
 * | recency | `-0.5 * ln(max(hours since last activation, 0.1))` |
 * | frequency | `0.1 * ln(max(activation count, 1))` |
 * | consolidation | the consolidation score |
 * | important | 1.5 if importance is above 0.7 |
 * | actionable | 1.0 if a next step exists, or actionability is above 0.7 |
 * | success | 0.5 if the outcome is `success` |
 * | worktree | 2.0 if it happened in the current worktree |
 *
 * The score is Athena's, which follows the base-level activation of ACT-R. It is computed in SQL from two indexable
 * expressions: the time of the last activation, and the *weight*, the sum of the terms that depend neither on the clock
 * nor on the reader.
 *
 * @since 0.1.0
 */
import * as SqlClient from "effect/sql/SqlClient"
import type * as Statement from "effect/sql/Statement"

/**
 * Added to a memory of the reader's own worktree.
 *
 * @category constants
 * @since 0.1.0
 */
export const worktreeBonus = 2.0

/**
 * When the memory was last active, in milliseconds. On Postgres that is the server's local time, as Athena writes it:
 * nothing else can be indexed. So there the present is taken in local time too.
 */
const activatedAt = {
  pg: "coalesce((extract(epoch from last_activation) * 1000)::float8, timestamp::float8)",
  sqlite: "coalesce(last_activation, timestamp)"
}

const weight = (max: string, float: string) =>
  [
    `0.1 * ln(${max}(coalesce(activation_count, 0), 1)${float})`,
    `coalesce(consolidation_score, 0)`,
    `CASE WHEN importance_score > 0.7 THEN 1.5 ELSE 0 END`,
    `CASE WHEN has_next_step = 1 OR actionability_score > 0.7 THEN 1.0 ELSE 0 END`,
    `CASE WHEN outcome = 'success' THEN 0.5 ELSE 0 END`
  ].join(" + ")

/**
 * The SQL expressions over a row of `episodic_events`, as the indexes have them too.
 *
 * @category sql
 * @since 0.1.0
 */
export const expressions = (
  sql: SqlClient.SqlClient
): {
  readonly activatedAt: Statement.Fragment
  readonly weight: Statement.Fragment
  /** The name of the function that gives the greater of two values. */
  readonly greatest: Statement.Fragment
  /** The recency term for a moment given as SQL text, at the bound time `now` in milliseconds. */
  readonly recency: (moment: string, now: number) => Statement.Fragment
} =>
  sql.onDialectOrElse({
    pg: () => ({
      activatedAt: sql.literal(activatedAt.pg),
      weight: sql.literal(`(${weight("greatest", "::float8")})`),
      greatest: sql.literal("greatest"),
      recency: (moment: string, now: number) =>
        sql`(-0.5 * ln(greatest((${now}::float8 + extract(timezone FROM current_timestamp)::float8 * 1000
          - ${sql.literal(moment)}) / 3600000.0, 0.1)))`
    }),
    orElse: () => ({
      activatedAt: sql.literal(activatedAt.sqlite),
      weight: sql.literal(`(${weight("max", "")})`),
      greatest: sql.literal("max"),
      recency: (moment: string, now: number) =>
        sql`(-0.5 * ln(max((${now} - ${sql.literal(moment)}) / 3600000.0, 0.1)))`
    })
  })
