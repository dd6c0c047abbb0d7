/**
 * Requests the query plan of each slow read once, in the background, and adds it to the statement's report.
 *
 * The plan has parameters instead of the values, which the profiler does not store. The statement
 * is not executed, and statements that may write are skipped. Supported databases: SQLite, and Postgres 12 and later.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { Profiler } from "./Profiler.ts"
import { recorderOf } from "./internal/callRecorder.ts"
import type { Statement } from "./internal/statements.ts"

/** The maximum number of statements that wait for their plan; the oldest is dropped. */
const maxPending = 32

/** The maximum plan size, in lines and in characters per line. */
const maxLines = 40
const maxLength = 300

/** The highest parameter number that the Postgres protocol supports. */
const maxParameters = 65_535

type Plan = Effect.Effect<ReadonlyArray<Readonly<Record<string, unknown>>>, SqlError>

const planOfSqlite = (sql: SqlClient.SqlClient, { parameters, text }: Statement): Plan =>
  sql.unsafe(`EXPLAIN QUERY PLAN ${text}`, nulls(parameters))

/**
 * A generic plan, which does not depend on the values, requires a prepared statement. The name outlives the
 * transaction, so it is always deallocated.
 */
const planOfPostgres = (sql: SqlClient.SqlClient, { parameters, text }: Statement): Plan => {
  const values =
    parameters === 0
      ? ""
      : `(${nulls(parameters)
          .map(() => "NULL")
          .join(", ")})`
  const explain: Plan = sql.unsafe(`EXPLAIN EXECUTE athena_profiler ${values}`)
  return sql.withTransaction(
    Effect.gen(function* () {
      yield* sql`SET LOCAL plan_cache_mode = force_generic_plan`
      yield* sql`SET LOCAL statement_timeout = 1000`
      yield* sql.unsafe(`PREPARE athena_profiler AS ${text}`)
      const plan = yield* Effect.exit(sql.withTransaction(explain))
      yield* sql`DEALLOCATE athena_profiler`
      return yield* plan
    })
  )
}

const nulls = (count: number): ReadonlyArray<null> => Array.from({ length: count }, () => null)

const plans: Readonly<Record<string, (sql: SqlClient.SqlClient, statement: Statement) => Plan>> = {
  sqlite: planOfSqlite,
  postgresql: planOfPostgres
}

const lineOf = (row: Readonly<Record<string, unknown>>): string =>
  String(row["detail"] ?? Object.values(row)[0]).slice(0, maxLength)

const requestPlan = (sql: SqlClient.SqlClient, statement: Statement): Effect.Effect<void> => {
  const plan = plans[statement.system]
  if (plan === undefined || statement.parameters > maxParameters) return Effect.void
  return Effect.suspend(() => plan(sql, statement)).pipe(
    Effect.timeout("5 seconds"),
    Effect.map((rows) => {
      statement.plan = rows.slice(0, maxLines).map(lineOf)
    }),
    Effect.withTracerEnabled(false),
    Effect.ignoreCause
  )
}

/**
 * Requests plans as long as the Layer is open. With a pool, each plan takes a free connection of the pool.
 *
 * **Example**
 *
 * ```ts
 * import * as ProfilePlans from "athena-hooks/profiler/ProfilePlans"
 * import * as Profiler from "athena-hooks/profiler/Profiler"
 * import * as Sqlite from "athena-hooks/sql/Sqlite"
 * import * as Layer from "effect/Layer"
 *
 * const Profiled = Layer.merge(Profiler.layerTracer, ProfilePlans.layer).pipe(
 *   Layer.provideMerge(Sqlite.layer({ filename: "memory.db" })),
 *   Layer.provideMerge(Profiler.layer({ slowThreshold: "50 millis" }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<never, never, Profiler | SqlClient.SqlClient> = Layer.effectDiscard(
  Effect.gen(function* () {
    const recorder = recorderOf(yield* Profiler)
    if (recorder === undefined) return
    const sql = yield* SqlClient.SqlClient
    const pending = yield* Queue.sliding<Statement>(maxPending)
    const stop = recorder.statements.observe((statement) => {
      Queue.offerUnsafe(pending, statement)
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))
    yield* Queue.take(pending).pipe(
      Effect.flatMap((statement) => requestPlan(sql, statement)),
      Effect.forever,
      Effect.forkScoped
    )
  })
)
