/**
 * A write to the database, as a value.
 *
 * A `Mutation` names the data it changes in the same key space in which queries name the data they read. A cache can
 * therefore invalidate the affected results and no others.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { SqlClient } from "effect/sql/SqlClient"
import type { Dependency } from "./Dependency.ts"
import type { QueryError } from "./Query.ts"

const TypeId = "~athena-hooks/query/Mutation"

/**
 * A named write with input `I` and result `A`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Mutation<in out I, out A> {
  readonly [TypeId]: typeof TypeId
  /** Identifies the mutation in spans, metrics and tests. Unique in a program, for example `memory.recordEvents`. */
  readonly name: string
  readonly input: Schema.Codec<I, unknown>
  /**
   * The data that the write changes. Computed before it runs, so that the change can be announced in the same
   * transaction.
   */
  readonly changes: (input: I) => ReadonlyArray<Dependency>
  /** Runs inside a transaction, which rolls back on failure. */
  readonly run: (input: I) => Effect.Effect<A, QueryError, SqlClient>
}

/**
 * Constructs a `Mutation`.
 *
 * **Example**
 *
 * ```ts
 * import * as Dependency from "athena-hooks/query/Dependency"
 * import * as Mutation from "athena-hooks/query/Mutation"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import * as SqlClient from "effect/sql/SqlClient"
 *
 * const closeTasks = Mutation.make({
 *   name: "tasks.close",
 *   input: Schema.Struct({ projectId: Schema.Int }),
 *   changes: ({ projectId }) => [Dependency.make("tasks", projectId)],
 *   run: Effect.fnUntraced(function* ({ projectId }) {
 *     const sql = yield* SqlClient.SqlClient
 *     yield* sql`UPDATE tasks SET open = 0 WHERE project_id = ${projectId}`
 *   })
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <I, A>(options: {
  readonly name: string
  readonly input: Schema.Codec<I, unknown>
  readonly changes: (input: I) => ReadonlyArray<Dependency>
  readonly run: (input: I) => Effect.Effect<A, QueryError, SqlClient>
}): Mutation<I, A> => ({ ...options, [TypeId]: TypeId })
