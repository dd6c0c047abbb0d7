/**
 * Asks the database for the plan of each read that was slow, once, beside the program and not in its way. The plan is in the
 * report with the statement.
 *
 * The plan is made without the values, which the profiler does not keep: parameters stand in their places. Nothing is run,
 * and of what may write no plan is asked for. Databases are SQLite, and Postgres from version 12 on.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { Profiler } from "./Profiler.ts"
import * as Recorders from "./internal/callRecorders.ts"
import type { Statement } from "./internal/statements.ts"

/** How many statements may wait for their plan; the oldest gives way. */
const maxWaiting = 32

/** The longest plan that is kept, in lines and in characters of each. */
const maxLines = 40
const maxLength = 300

/** As many parameters as the protocol of Postgres can number. */
const maxParameters = 65_535

type Plan = Effect.Effect<ReadonlyArray<Readonly<Record<string, unknown>>>, SqlError>

const planOfSqlite = (sql: SqlClient.SqlClient, { parameters, text }: Statement): Plan =>
  sql.unsafe(`EXPLAIN QUERY PLAN ${text}`, nulls(parameters))

/**
 * A plan that does not depend on the values is that of a prepared statement which the server is told to plan so. The name
 * goes whatever happens; it is not bound to the transaction.
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

const ask = (sql: SqlClient.SqlClient, statement: Statement): Effect.Effect<void> => {
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
 * Asks for plans while the Layer is there, by a client of its own choice: with a pool, it takes a connection for each plan
 * when one is free.
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
 *   Layer.provideMerge(Profiler.layer({ slow: "50 millis" }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<never, never, Profiler | SqlClient.SqlClient> = Layer.effectDiscard(
  Effect.gen(function* () {
    const recorder = Recorders.get(yield* Profiler)
    if (recorder === undefined) return
    const sql = yield* SqlClient.SqlClient
    const waiting = yield* Queue.sliding<Statement>(maxWaiting)
    const stop = recorder.statements.observe((statement) => {
      Queue.offerUnsafe(waiting, statement)
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))
    yield* Queue.take(waiting).pipe(
      Effect.flatMap((statement) => ask(sql, statement)),
      Effect.forever,
      Effect.forkScoped
    )
  })
)
