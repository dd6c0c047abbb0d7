/**
 * A read from the database, as a value.
 *
 * A `Query` carries everything a middleware needs to know about a read (its name, the schemas of its input and result,
 * the data it depends on, how long a result may be kept) beside the program that performs it. The program asks for a
 * `SqlClient` and nothing else: it never mentions caching, tracing or pooling.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Dependency } from "./Dependency.ts"

const TypeId = "~athena-hooks/query/Query"

/**
 * What running a query or a mutation can fail with: the database failed, or a value did not fit its schema.
 *
 * @category errors
 * @since 0.1.0
 */
export type QueryError = SqlError | Schema.SchemaError

/**
 * A named read with input `I` and result `A`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Query<in out I, in out A> {
  readonly [TypeId]: typeof TypeId
  /** Identifies the query in keys, spans, metrics and tests. Unique in a program, for example `memory.activeGoals`. */
  readonly name: string
  readonly input: Schema.Codec<I, unknown>
  readonly result: Schema.Codec<A, unknown>
  /** The data that the result is computed from. */
  readonly dependencies: (input: I) => ReadonlyArray<Dependency>
  /** How long a cache may keep a result. `undefined` leaves it to the cache; zero says never. */
  readonly timeToLive: Duration.Input | undefined
  readonly run: (input: I) => Effect.Effect<A, QueryError, SqlClient>
}

/**
 * Constructs a `Query`.
 *
 * **Example**
 *
 * ```ts
 * import * as Dependency from "athena-hooks/query/Dependency"
 * import * as Query from "athena-hooks/query/Query"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
 * import * as SqlClient from "effect/sql/SqlClient"
 *
 * const Count = Schema.Struct({ n: Schema.Number })
 *
 * const openTasks = Query.make({
 *   name: "tasks.open",
 *   input: Schema.Struct({ projectId: Schema.Int }),
 *   result: Count,
 *   dependencies: ({ projectId }) => [Dependency.make("tasks", projectId)],
 *   run: Effect.fnUntraced(function* ({ projectId }) {
 *     const sql = yield* SqlClient.SqlClient
 *     const rows = yield* sql`SELECT count(*) AS n FROM tasks WHERE project_id = ${projectId}`
 *     return yield* Schema.decodeUnknownEffect(Count)(rows[0])
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
  readonly result: Schema.Codec<A, unknown>
  readonly dependencies: (input: I) => ReadonlyArray<Dependency>
  readonly timeToLive?: Duration.Input | undefined
  readonly run: (input: I) => Effect.Effect<A, QueryError, SqlClient>
}): Query<I, A> => ({ ...options, [TypeId]: TypeId, timeToLive: options.timeToLive })
