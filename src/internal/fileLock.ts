/**
 * An exclusive lock that the operating system releases with the process, however it ends: an open exclusive transaction
 * of SQLite on a dedicated empty file.
 */
import * as fs from "node:fs"
import { DatabaseSync } from "node:sqlite"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { primaryCode, SqliteCode } from "./sqliteError.ts"

/** Another process holds the lock. */
export class Busy extends Data.TaggedError("Busy")<{}> {}

/** The file can't be opened or locked. */
export class Unusable extends Data.TaggedError("Unusable")<{ readonly cause: unknown }> {}

const open = (file: string, waitMs: number): DatabaseSync => {
  const db = new DatabaseSync(file, { timeout: waitMs })
  try {
    fs.chmodSync(file, 0o600)
    db.exec("BEGIN EXCLUSIVE")
    return db
  } catch (cause) {
    db.close()
    throw cause
  }
}

/**
 * Attempts once to acquire the lock, blocking the thread for `waitMs` at most, and holds it until the scope closes.
 * Nothing else in this process may open the file meanwhile: closing it would release the lock.
 */
export const acquire = (file: string, waitMs: number): Effect.Effect<void, Busy | Unusable, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      Effect.try({
        try: () => open(file, waitMs),
        catch: (cause) => (primaryCode(cause) === SqliteCode.busy ? new Busy() : new Unusable({ cause }))
      }),
      (db) => Effect.sync(() => db.close())
    )
  )
