import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { inject } from "vitest"
import * as CachedMemory from "../../src/memory/CachedMemory.ts"
import * as MemoryBridge from "../../src/memory/MemoryBridge.ts"
import * as ConnectionPool from "../../src/pool/ConnectionPool.ts"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import { suite } from "./MemoryBridgeTest.ts"

const sqlite = Layer.unwrap(
  Effect.map(TempFolder.make, (folder) => Sqlite.layer({ filename: path.join(folder, "athena.db") }))
)

suite("SQLite", MemoryBridge.layerSql.pipe(Layer.provideMerge(sqlite)))

suite("SQLite, cached", CachedMemory.layer().pipe(Layer.provide(CacheStore.layerMemory()), Layer.provideMerge(sqlite)))

const cacheFile = Layer.unwrap(
  Effect.map(TempFolder.make, (folder) => CacheStore.layerSqlite({ filename: path.join(folder, "cache.db") }))
)

suite("Postgres, cached", CachedMemory.layer().pipe(Layer.provide(cacheFile), Layer.provideMerge(Postgres.layerFresh)))

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
