import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as Migrations from "../../src/sql/Migrations.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const statement = (text: string) => Effect.asVoid(SqlClient.SqlClient.use((sql) => sql.unsafe(text)))

const migrations: Migrations.Migrations = {
  "0001_numbers": statement("CREATE TABLE numbers (n INTEGER)"),
  "0002_first": statement("INSERT INTO numbers VALUES (1)")
}
const table = "test_migrations"
const numbers = SqlClient.SqlClient.use((sql) => sql<{ n: number }>`SELECT n FROM numbers`)

type Client = Effect.Effect<SqlClient.SqlClient, SqlError, Scope.Scope>

/** The clients of one fresh database, as in separate processes. */
type Fresh = Effect.Effect<Client, SqlError, Scope.Scope>

const clientOf = (layer: Layer.Layer<SqlClient.SqlClient, SqlError>): Client =>
  Effect.map(Layer.build(Layer.fresh(layer)), (context) => Context.get(context, SqlClient.SqlClient))

const sqlite: Fresh = Effect.map(TempFolder.make, (folder) =>
  clientOf(Sqlite.layer({ filename: path.join(folder, "a.db") }))
)
const postgres: Fresh = Effect.map(Postgres.createDatabase, (name) => clientOf(Postgres.layerDatabase(name)))

const on = (client: SqlClient.SqlClient) => Effect.provideService(SqlClient.SqlClient, client)

for (const [name, fresh] of [
  ["SQLite", sqlite],
  ["Postgres", postgres]
] as const) {
  describe(`Migrations on ${name}`, () => {
    it.live("runs missing migrations once", () =>
      Effect.gen(function* () {
        const client = yield* yield* fresh
        assert.strictEqual(yield* on(client)(Migrations.version(table)), 0)
        yield* on(client)(Migrations.run({ migrations, table }))
        yield* on(client)(Migrations.run({ migrations, table }))
        assert.strictEqual(yield* on(client)(Migrations.version(table)), 2)
        assert.strictEqual((yield* on(client)(numbers)).length, 1)
        yield* on(client)(
          Migrations.run({
            migrations: { ...migrations, "0003_second": statement("INSERT INTO numbers VALUES (2)") },
            table
          })
        )
        assert.strictEqual((yield* on(client)(numbers)).length, 2)
      })
    )

    it.live("runs two reads and no transaction when up to date", () =>
      Effect.gen(function* () {
        const client = yield* yield* fresh
        yield* on(client)(Migrations.run({ migrations, table }))
        const statements: Array<string> = []
        yield* on(client)(Migrations.run({ migrations, table })).pipe(
          Effect.provideService(Statement.CurrentTransformer, (statement) =>
            Effect.sync(() => {
              statements.push(statement.compile()[0])
              return statement
            })
          )
        )
        assert.strictEqual(statements.length, 2)
        assert.isTrue(statements.every((text) => text.startsWith("SELECT")))
      })
    )

    it.live("refuses a newer schema without writing", () =>
      Effect.gen(function* () {
        const client = yield* yield* fresh
        yield* on(client)(Migrations.run({ migrations, table }))
        const older = { "0001_numbers": migrations["0001_numbers"]! }
        const error = yield* Effect.flip(on(client)(Migrations.run({ migrations: older, table })))
        assert.strictEqual(error._tag, "NewerSchema")
        assert.include(error.message, "version 2")
        assert.strictEqual((yield* on(client)(numbers)).length, 1)
      })
    )

    it.live("rolls back all migrations when one fails", () =>
      Effect.gen(function* () {
        const client = yield* yield* fresh
        const broken = { ...migrations, "0003_broken": statement("INSERT INTO no_such_table VALUES (1)") }
        const error = yield* Effect.flip(on(client)(Migrations.run({ migrations: broken, table })))
        assert.strictEqual(error._tag, "MigrationFailed")
        assert.include(error.message, "broken")
        assert.strictEqual(yield* on(client)(Migrations.version(table)), 0)
        yield* on(client)(Migrations.run({ migrations, table }))
        assert.strictEqual((yield* on(client)(numbers)).length, 1)
      })
    )

    it.live("runs once under concurrent starts", () =>
      Effect.gen(function* () {
        const connect = yield* fresh
        const clients = yield* Effect.all(Array.from({ length: 8 }, () => connect))
        yield* Effect.forEach(clients, (client) => on(client)(Migrations.run({ migrations, table })), {
          concurrency: "unbounded"
        })
        assert.strictEqual((yield* on(clients[0]!)(numbers)).length, 1)
      })
    )
  })
}
