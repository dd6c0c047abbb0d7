/**
 * Fresh databases on the test run's Postgres server.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { inject } from "vitest"

/** Connects to `database` on the test server. */
export const layerDatabase = (database: string): Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, SqlError> => {
  const server = inject("postgres")
  return PgClient.layer({ ...server, password: Redacted.make(server.password), database, maxConnections: 5 })
}

let created = 0

/** Creates an empty database on the test server and returns its name. */
export const createDatabase: Effect.Effect<string, SqlError> = Effect.gen(function* () {
  const database = `test_${process.pid}_${++created}`
  const sql = yield* PgClient.PgClient
  yield* sql`CREATE DATABASE ${sql(database)}`
  return database
}).pipe(Effect.provide(Layer.suspend(() => layerDatabase("postgres"))))

/** Makes an empty database on the test server and connects to it. */
export const layerFresh: Layer.Layer<PgClient.PgClient | SqlClient.SqlClient, SqlError> = Layer.unwrap(
  Effect.map(createDatabase, layerDatabase)
)
