/**
 * Migrates the schema of a database: forward only, and safe when many processes start concurrently.
 *
 * It extends `effect/sql/Migrator` for short-lived programs: a current schema costs one read and no lock, concurrent
 * processes wait for the one that migrates, and a schema of a newer version is refused.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Migrator from "effect/sql/Migrator"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"

/**
 * A newer version of the program has migrated the database.
 *
 * @category errors
 * @since 0.1.0
 */
export class NewerSchema extends Schema.TaggedError<NewerSchema>("athena-hooks/sql/Migrations/NewerSchema")(
  "NewerSchema",
  {
    /** The newest migration in the database. */
    found: Schema.Int,
    /** The newest migration that this program knows. */
    known: Schema.Int
  }
) {
  override get message(): string {
    return `the database schema has version ${this.found}, this program knows ${this.known}: upgrade athena-hooks`
  }
}

/**
 * A migration failed. Its transaction was rolled back.
 *
 * @category errors
 * @since 0.1.0
 */
export class MigrationFailed extends Schema.TaggedError<MigrationFailed>("athena-hooks/sql/Migrations/MigrationFailed")(
  "MigrationFailed",
  { detail: Schema.String, cause: Schema.Defect() }
) {
  override get message(): string {
    return `the database schema could not be brought up to date: ${this.detail}`
  }
}

/**
 * Migrations by name, a number and a description: `{ "0001_schema": effect }`. Released entries never change.
 *
 * @category models
 * @since 0.1.0
 */
export type Migrations = Readonly<Record<string, Effect.Effect<void, SqlError, SqlClient.SqlClient>>>

/**
 * The number of the newest migration; 0 without one.
 *
 * @category accessors
 * @since 0.1.0
 */
export const newest = (migrations: Migrations): number =>
  Object.keys(migrations).reduce((max, name) => Math.max(max, Number.parseInt(name, 10)), 0)

/**
 * The number of the newest migration in the database; 0 without one.
 *
 * @category accessors
 * @since 0.1.0
 */
export const version = (table: string): Effect.Effect<number, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const exists = yield* sql.onDialectOrElse({
      pg: () => sql`SELECT 1 WHERE to_regclass(${table}) IS NOT NULL`,
      orElse: () => sql`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ${table}`
    })
    if (exists.length === 0) return 0
    const rows = yield* sql<{ version: number | null }>`SELECT max(migration_id) AS version FROM ${sql(table)}`
    return rows[0]?.version ?? 0
  })

/**
 * Runs the missing migrations in one transaction.
 *
 * @category combinators
 * @since 0.1.0
 */
export const run = <E = never>(options: {
  readonly migrations: Migrations
  /** The table of the migrations that have run. */
  readonly table: string
  /** Runs before missing migrations, with the number of the database's newest one; its failure prevents them. */
  readonly before?: ((version: number) => Effect.Effect<void, E | SqlError, SqlClient.SqlClient>) | undefined
}): Effect.Effect<void, E | NewerSchema | MigrationFailed | SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const known = newest(options.migrations)
    const found = yield* version(options.table)
    if (found > known) return yield* new NewerSchema({ found, known })
    if (found === known) return
    if (options.before !== undefined) yield* options.before(found)
    yield* migrate(options)
  })

const migrate = (options: {
  readonly migrations: Migrations
  readonly table: string
}): Effect.Effect<void, MigrationFailed | SqlError, SqlClient.SqlClient> =>
  Migrator.make({})({ loader: Migrator.fromRecord(options.migrations), table: options.table }).pipe(
    // Two processes that create the migrations table concurrently conflict in Postgres's catalogue.
    Effect.retry({
      while: (error) => error._tag === "SqlError" && error.isRetryable,
      schedule: Schedule.exponential(10).pipe(Schedule.jittered, Schedule.upTo({ times: 8 }))
    }),
    Effect.asVoid,
    Effect.catchTag("MigrationError", (error) =>
      Effect.fail(new MigrationFailed({ detail: error.message, cause: error.cause ?? error }))
    )
  )
