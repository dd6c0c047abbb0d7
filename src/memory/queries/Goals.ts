/**
 * Queries over goals.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Dependency from "../../query/Dependency.ts"
import * as Mutation from "../../query/Mutation.ts"
import * as Query from "../../query/Query.ts"
import { Goal, GoalId, type Goals, Goals as GoalsSchema, GoalStatus, NewGoal } from "../Goal.ts"
import * as Rows from "../internal/rows.ts"
import { storable } from "../../internal/text.ts"
import { ProjectId } from "../Project.ts"

/**
 * The most goals that one call lists: 100.
 *
 * @category defaults
 * @since 0.1.0
 */
export const maxLimit = 100

const table = "prospective_tasks"
const decode = Rows.decode(Schema.Array(Goal))

const columns = (sql: SqlClient.SqlClient) =>
  sql`${Rows.integer(sql, "id")} AS id, title, coalesce(status, 'pending') AS status, coalesce(priority, 5) AS priority`

/**
 * The goals of a project in any of some states, highest priority first, then oldest first.
 *
 * @category queries
 * @since 0.1.0
 */
export const withStatus = Query.make({
  name: "memory.goals",
  input: Schema.Struct({
    projectId: ProjectId,
    /** In any state when empty. */
    statuses: Schema.Array(GoalStatus),
    limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: maxLimit }))
  }),
  result: GoalsSchema,
  dependencies: ({ projectId }) => [Dependency.make(table, projectId)],
  run: Effect.fnUntraced(function* ({
    limit,
    projectId,
    statuses
  }): Effect.fn.Return<Goals, SqlError, SqlClient.SqlClient> {
    const sql = yield* SqlClient.SqlClient
    const wanted = statuses.length === 0 ? sql`` : sql` AND ${sql.in("status", statuses)}`
    const goals = yield* decode(
      yield* sql`SELECT ${columns(sql)} FROM prospective_tasks WHERE project_id = ${projectId}${wanted}
        ORDER BY priority DESC, id ASC LIMIT ${limit}`
    )
    return { count: goals.length, goals }
  })
})

/**
 * Adds a goal.
 *
 * @category mutations
 * @since 0.1.0
 */
export const add = Mutation.make({
  name: "memory.addGoal",
  input: NewGoal,
  changes: ({ projectId }) => [Dependency.make(table, projectId)],
  run: Effect.fnUntraced(function* (goal): Effect.fn.Return<Goal, SqlError, SqlClient.SqlClient> {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`INSERT INTO prospective_tasks (project_id, title, description, status, priority) VALUES (
        ${goal.projectId}, ${storable(goal.title)},
        ${goal.description === undefined ? null : storable(goal.description)},
        ${goal.status ?? "in_progress"}, ${goal.priority ?? 5})
      RETURNING ${columns(sql)}`
    return (yield* decode(rows))[0]!
  })
})

/**
 * Sets the state of a goal of a project; `null` where the project has no goal with this id.
 *
 * @category mutations
 * @since 0.1.0
 */
export const setStatus = Mutation.make({
  name: "memory.setGoalStatus",
  input: Schema.Struct({ projectId: ProjectId, goalId: GoalId, status: GoalStatus }),
  changes: ({ projectId }) => [Dependency.make(table, projectId)],
  run: Effect.fnUntraced(function* ({
    goalId,
    projectId,
    status
  }): Effect.fn.Return<Goal | null, SqlError, SqlClient.SqlClient> {
    const sql = yield* SqlClient.SqlClient
    const completedAt = status === "completed" ? sql`CURRENT_TIMESTAMP` : sql`NULL`
    const rows = yield* sql`UPDATE prospective_tasks SET status = ${status}, completed_at = ${completedAt}
      WHERE id = ${goalId} AND project_id = ${projectId} RETURNING ${columns(sql)}`
    return (yield* decode(rows))[0] ?? null
  })
})

/**
 * Changes the title or the priority of a goal of a project; `null` if the project has no goal with this id.
 *
 * @category mutations
 * @since 0.1.0
 */
export const edit = Mutation.make({
  name: "memory.editGoal",
  input: Schema.Struct({
    projectId: ProjectId,
    goalId: GoalId,
    title: Schema.NullOr(NewGoal.fields.title),
    priority: Schema.NullOr(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10 })))
  }),
  changes: ({ projectId }) => [Dependency.make(table, projectId)],
  run: Effect.fnUntraced(function* ({
    goalId,
    priority,
    projectId,
    title
  }): Effect.fn.Return<Goal | null, SqlError, SqlClient.SqlClient> {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql`UPDATE prospective_tasks
      SET title = coalesce(${title === null ? null : storable(title)}, title), priority = coalesce(${priority}, priority)
      WHERE id = ${goalId} AND project_id = ${projectId} RETURNING ${columns(sql)}`
    return (yield* decode(rows))[0] ?? null
  })
})

/**
 * Deletes a goal of a project; `false` if the project has no goal with this id.
 *
 * @category mutations
 * @since 0.1.0
 */
export const remove = Mutation.make({
  name: "memory.deleteGoal",
  input: Schema.Struct({ projectId: ProjectId, goalId: GoalId }),
  changes: ({ projectId }) => [Dependency.make(table, projectId)],
  run: Effect.fnUntraced(function* ({ goalId, projectId }) {
    const sql = yield* SqlClient.SqlClient
    const rows =
      yield* sql`DELETE FROM prospective_tasks WHERE id = ${goalId} AND project_id = ${projectId} RETURNING 1`
    return rows.length > 0
  })
})
