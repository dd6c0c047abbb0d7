/**
 * Empty databases with a memory, on SQLite and on Postgres.
 */
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import * as MemoryBridge from "../../src/memory/MemoryBridge.ts"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as PostgresServer from "../PostgresServer.ts"

const memoryOver = <E>(database: Layer.Layer<SqlClient.SqlClient, E>) =>
  MemoryBridge.layerSql.pipe(
    Layer.provideMerge(database),
    Layer.provideMerge(NodeServices.layer),
    Layer.fresh,
    Layer.orDie
  )

export type Memory = ReturnType<typeof memoryOver>

/** A kind of database. */
export interface Databases {
  readonly name: "SQLite" | "Postgres"
  /** Creates an empty database with each build. */
  readonly memory: Memory
}

let created = 0

/** Files in a folder. */
export const sqlite = (folder: string): Databases => ({
  name: "SQLite",
  memory: memoryOver(Layer.suspend(() => Sqlite.layer({ filename: path.join(folder, `recall-${++created}.db`) })))
})

/** Databases of a running server. */
export const postgres = ({ port }: PostgresServer.Server): Databases => {
  const connect = (database: string) =>
    ConnectionPool.layer({
      host: "127.0.0.1",
      port,
      username: PostgresServer.username,
      password: Redacted.make(PostgresServer.password),
      database,
      deadline: "60 seconds"
    })
  const create = Effect.gen(function* () {
    const database = `recall_${++created}`
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE DATABASE ${sql(database)}`
    return database
  }).pipe(Effect.provide(connect(PostgresServer.database)))
  return { name: "Postgres", memory: memoryOver(Layer.unwrap(Effect.map(create, connect))) }
}
