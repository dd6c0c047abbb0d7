/**
 * A recorder over its own table: small events, and a target with controlled failures.
 */
import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as EventRecorder from "../../src/events/EventRecorder.ts"
import * as Dependency from "../../src/query/Dependency.ts"
import * as Mutation from "../../src/query/Mutation.ts"
import type { QueryError } from "../../src/query/Query.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as TempFolder from "../utils/TempFolder.ts"

export const Tick = Schema.Struct({
  id: Schema.String,
  session: Schema.String,
  n: Schema.Int,
  note: Schema.optional(Schema.String)
})
export type Tick = typeof Tick.Type

/** Steers the target of the kit's recorder. */
export interface Control {
  /** Runs before each batch is stored, inside its transaction. */
  before: (ticks: ReadonlyArray<Tick>) => Effect.Effect<void, QueryError>
  /** The batches that were begun. */
  readonly batches: Array<ReadonlyArray<Tick>>
}

export const control: Control = { before: () => Effect.void, batches: [] }

export const reset = Effect.sync(() => {
  control.before = () => Effect.void
  control.batches.length = 0
})

export const store = Mutation.make({
  name: "ticks.store",
  input: Schema.Array(Tick),
  changes: () => [Dependency.make("ticks")],
  run: Effect.fnUntraced(function* (ticks) {
    control.batches.push(ticks)
    const sql = yield* SqlClient.SqlClient
    yield* control.before(ticks)
    const rows = JSON.stringify(ticks)
    yield* sql.onDialectOrElse({
      pg: () => sql`INSERT INTO ticks (id, session, n)
        SELECT id, session, n FROM jsonb_to_recordset(${rows}::text::jsonb) AS tick (id text, session text, n int)
        ON CONFLICT (id) DO NOTHING`,
      orElse: () => sql`INSERT INTO ticks (id, session, n)
        SELECT value ->> 'id', value ->> 'session', value ->> 'n' FROM json_each(${rows}) WHERE true
        ON CONFLICT (id) DO NOTHING`
    })
  })
})

export class Ticks extends EventRecorder.Service<Ticks, Tick>()("test/Ticks", {
  name: "ticks",
  event: Tick,
  id: ({ id }) => id,
  order: ({ session }) => session,
  target: store
}) {}

/** Postgres rejects a negative number as SQLite does; `place` records the order. */
export const table: Effect.Effect<void, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql.onDialectOrElse({
    pg: () =>
      sql`CREATE TABLE IF NOT EXISTS ticks (place bigserial, id text PRIMARY KEY, session text NOT NULL,
        n int NOT NULL CHECK (n >= 0))`,
    orElse: () =>
      sql`CREATE TABLE IF NOT EXISTS ticks (place INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, session TEXT NOT NULL,
        n INTEGER NOT NULL CHECK (n >= 0))`
  })
})

export const tick = (n: number, session = "s"): Tick => ({ id: `${session}-${n}`, session, n })

/** The stored events in order. */
export const stored = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return yield* sql<Tick>`SELECT id, session, n FROM ticks ORDER BY place`
})

export const storedNumbers = Effect.map(stored, (rows) => rows.map(({ n }) => n))

/** A database with the table, in a folder. */
export const database = (folder: string): Layer.Layer<SqlClient.SqlClient, SqlError> =>
  Layer.effectDiscard(table).pipe(
    Layer.provideMerge(Sqlite.layer({ filename: path.join(folder, "target.db"), busyTimeout: "2 seconds" }))
  )

export const spoolOf = (folder: string): string => path.join(folder, "events.spool")

/** The recorder with a spool over a database. */
export const recorder = (folder: string, options: Partial<EventRecorder.SpoolOptions> = {}) =>
  EventRecorder.layer(Ticks, { filename: spoolOf(folder), ...options }).pipe(Layer.provide(QueryExecutor.layer))

/** A recorder with a spool, over SQLite, in a folder of its own. */
export const scratch = (options: Partial<EventRecorder.SpoolOptions> = {}) =>
  Effect.gen(function* () {
    yield* reset
    const folder = yield* TempFolder.make
    const context = yield* Layer.build(recorder(folder, options).pipe(Layer.provideMerge(database(folder))))
    return { folder, context }
  })
