/**
 * Brings a database's schema up to date: forward only, safe when many processes start in the same instant.
 *
 * The work is done by `effect/sql/Migrator`. What is added here is for programs that live for a few milliseconds: a
 * schema that is up to date costs one read and no lock, processes that meet while one of them migrates wait for it, and
 * a database that a newer version of the program has migrated is refused instead of being written to.
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
 * The database was migrated by a newer version of the program than this one.
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
 * A migration did not complete. The transaction it ran in was rolled back.
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
 * Migrations by name, `<number>_<what>`: `{ "0001_schema": effect }`. An entry never changes once it was released.
 *
 * @category models
 * @since 0.1.0
 */
export type Migrations = Readonly<Record<string, Effect.Effect<void, SqlError, SqlClient.SqlClient>>>

/**
 * The number of the newest of some migrations, `0` where there is none.
 *
 * @category accessors
 * @since 0.1.0
 */
export const newest = (migrations: Migrations): number =>
  Object.keys(migrations).reduce((max, name) => Math.max(max, Number.parseInt(name, 10)), 0)

/**
 * The number of the newest migration in the database, `0` where there is none.
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
 * Runs the migrations that the database does not have yet, in one transaction.
 *
 * @category combinators
 * @since 0.1.0
 */
export const run = <E = never>(options: {
  readonly migrations: Migrations
  /** The table that remembers what has run. */
  readonly table: string
  /** Runs first where something is missing, with the newest migration that the database has; it may refuse. */
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
    // Two processes that create the migrations table together collide in Postgres's catalogue; the loser tries again.
    Effect.retry({
      while: (error) => error._tag === "SqlError" && error.isRetryable,
      schedule: Schedule.exponential(10).pipe(Schedule.jittered, Schedule.upTo({ times: 8 }))
    }),
    Effect.asVoid,
    Effect.catchTag("MigrationError", (error) =>
      Effect.fail(new MigrationFailed({ detail: error.message, cause: error.cause ?? error }))
    )
  )
