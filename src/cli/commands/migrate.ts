/**
 * `athena migrate`: upgrades the schema of a large database without a deadline.
 */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as MemorySchema from "../../memory/MemorySchema.ts"
import * as Database from "../../sql/Database.ts"
import * as Output from "../output.ts"

export const migrate = Command.make(
  "migrate",
  { json: Output.json },
  Effect.fnUntraced(function* ({ json }) {
    yield* MemorySchema.migrateInteractively
    yield* Output.print(json, { upToDate: true }, ["the database is up to date"])
  })
).pipe(
  Command.withDescription("Upgrade the database schema; this takes a while for many events"),
  Command.provide(Database.layerConfig())
)
