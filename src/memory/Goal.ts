/**
 * A goal of a project, stored in the table `prospective_tasks`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as Redaction from "../redaction/Redaction.ts"
import { ProjectId } from "./Project.ts"

/**
 * Identifies a row of the `prospective_tasks` table: a positive safe integer.
 *
 * @category schemas
 * @since 0.1.0
 */
export const GoalId = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }))

/**
 * The states of a goal. Goals that are `active` or `in_progress` are injected at session start.
 *
 * @category schemas
 * @since 0.1.0
 */
export const GoalStatus = Schema.Literals(["pending", "active", "in_progress", "blocked", "completed", "cancelled"])

/**
 * The states of a goal.
 *
 * @category models
 * @since 0.1.0
 */
export type GoalStatus = typeof GoalStatus.Type

/**
 * A goal as stored.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Goal = Schema.Struct({
  id: GoalId,
  title: Schema.String,
  /** One of `GoalStatus`; a database written by another program may hold others, which are read as they are. */
  status: Schema.String,
  /** From 1 to 10, 10 first. */
  priority: Schema.Int
})

/**
 * A goal as stored.
 *
 * @category models
 * @since 0.1.0
 */
export type Goal = typeof Goal.Type

/**
 * Goals, highest priority first.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Goals = Schema.Struct({
  count: Schema.Natural,
  goals: Schema.Array(Goal)
})

/**
 * Goals, highest priority first.
 *
 * @category models
 * @since 0.1.0
 */
export type Goals = typeof Goals.Type

/**
 * A goal to add.
 *
 * @category schemas
 * @since 0.1.0
 */
export const NewGoal = Schema.Struct({
  projectId: ProjectId,
  /** 1 to 255 characters. */
  title: Redaction.RedactedText.check(Schema.isBetweenLength(1, 255)),
  /** At most 4,096 characters. */
  description: Schema.optional(Redaction.RedactedText.check(Schema.isMaxLength(4096))),
  /** From 1 to 10; 5 when absent. */
  priority: Schema.optional(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 10 }))),
  /** `in_progress` when absent. */
  status: Schema.optional(GoalStatus)
})

/**
 * A goal to add.
 *
 * @category models
 * @since 0.1.0
 */
export type NewGoal = typeof NewGoal.Type

/** A placeholder may be longer than the secret that it stands for. */
const within = (text: string, length: number): Redaction.RedactedText =>
  text.length <= length ? Redaction.truncate(Redaction.redact(text), length) : Redaction.redact(text)

/**
 * Makes a goal to add of plain values: every text goes through the redactor.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ description, title, ...rest }: Redaction.Unredacted<NewGoal>): NewGoal => ({
  ...rest,
  title: within(title, 255),
  ...(description === undefined ? {} : { description: within(description, 4096) })
})

/**
 * Changes of a goal; an absent field stays as it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface GoalChanges {
  /** 1 to 255 characters, redacted. */
  readonly title?: string | undefined
  /** From 1 to 10. */
  readonly priority?: number | undefined
}
