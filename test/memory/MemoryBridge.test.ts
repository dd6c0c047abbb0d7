import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { inject } from "vitest"
import * as MemoryBridge from "../../src/memory/MemoryBridge.ts"
import * as ConnectionPool from "../../src/sql/ConnectionPool.ts"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as QueryCache from "../../src/cache/QueryCache.ts"
import * as MemorySchema from "../../src/memory/MemorySchema.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import { suite } from "./MemoryBridgeTest.ts"

const sqlite = Layer.unwrap(
  Effect.map(TempFolder.make, (folder) => Sqlite.layer({ filename: path.join(folder, "athena.db") }))
)

suite("SQLite", MemoryBridge.layerSql.pipe(Layer.provideMerge(sqlite)))

const cached = MemoryBridge.layer.pipe(
  Layer.provide(QueryCache.layer()),
  Layer.provide(CacheStore.layerMemory()),
  Layer.provide(QueryExecutor.layer),
  Layer.provideMerge(Layer.effectDiscard(MemorySchema.migrate).pipe(Layer.provideMerge(sqlite)))
)
suite("SQLite, cached", cached)

suite("Postgres", MemoryBridge.layerSql.pipe(Layer.provideMerge(Postgres.layerFresh)))

for (const multiplex of [false, true]) {
  const pool = Layer.unwrap(
    Effect.map(Postgres.createDatabase, (database) => {
      const server = inject("postgres")
      return ConnectionPool.layer({ ...server, password: Redacted.make(server.password), database, multiplex })
    })
  )
  suite(
    `Postgres through the pool${multiplex ? ", multiplexed" : ""}`,
    MemoryBridge.layerSql.pipe(Layer.provideMerge(pool))
  )
}
