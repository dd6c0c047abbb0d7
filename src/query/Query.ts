/**
 * A read from the database, as a value.
 *
 * A `Query` carries everything that a middleware needs: its name, the schemas of its input and result, its dependencies
 * and its time to live. Its program requires a `SqlClient` and nothing else: no caching, tracing or pooling.
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
 * The errors of queries and mutations: the database failed, or a value did not match its schema.
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
  /** The data from which the result is computed. */
  readonly dependencies: (input: I) => ReadonlyArray<Dependency>
  /** How long a cache may store a result. `undefined` means the cache's default; zero disables caching. */
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
