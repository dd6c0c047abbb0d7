/**
 * All checks of `athena doctor`.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as MemoryError from "../memory/MemoryError.ts"
import * as Database from "../sql/Database.ts"
import { failed, ok } from "./check.ts"
import * as DatabaseChecks from "./databaseChecks.ts"
import * as HookChecks from "./hookChecks.ts"
import * as SpoolChecks from "./spoolChecks.ts"

const hostChecks = Effect.gen(function* () {
  const database = yield* DatabaseChecks.of(yield* Database.settings)
  return [ok("node", process.version), ...database, ...(yield* SpoolChecks.of(yield* Database.home))]
}).pipe(
  Effect.catchCause((cause) => {
    const detail = MemoryError.describe(Cause.squash(cause))
    return Effect.succeed([failed("settings", detail, "correct the ATHENA_ variables")])
  })
)

/** Runs all checks: this host and its database first, then the installed hooks. It never fails. */
export const run = Effect.gen(function* () {
  return [...(yield* hostChecks), ...(yield* HookChecks.all)]
})
