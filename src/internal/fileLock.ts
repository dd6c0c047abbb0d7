/**
 * An exclusive lock that the operating system frees with the process, however that ends: the lock of an open transaction
 * of SQLite on an empty file of its own.
 */
import * as fs from "node:fs"
import { DatabaseSync } from "node:sqlite"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { primaryCode, SqliteCode } from "./sqliteError.ts"

/** Another process holds the lock. */
export class Busy extends Data.TaggedError("Busy")<{}> {}

/** The file can't be opened or locked, for another reason. */
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
 * Tries once for the lock, which holds the thread for `waitMs` at most, and holds it until the scope ends. Nothing else in
 * this process may open the file meanwhile: closing it would free the lock.
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
