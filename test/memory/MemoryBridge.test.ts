import * as path from "node:path"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as MemoryBridge from "../../src/memory/MemoryBridge.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import { suite } from "./MemoryBridgeTest.ts"

const sqlite = Layer.unwrap(
  Effect.map(TempFolder.make, (folder) => Sqlite.layer({ filename: path.join(folder, "athena.db") }))
)

suite("SQLite", MemoryBridge.layerSql.pipe(Layer.provideMerge(sqlite)))
suite("Postgres", MemoryBridge.layerSql.pipe(Layer.provideMerge(Postgres.layerFresh)))
