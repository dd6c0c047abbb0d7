import type { DatabaseSync } from "node:sqlite"

/** Runs a synchronous transaction. It commits the result, and rolls back on an exception or on the result `false`. */
export const transaction = <A>(database: DatabaseSync, begin: "BEGIN" | "BEGIN IMMEDIATE", run: () => A): A => {
  database.exec(begin)
  try {
    const result = run()
    if (result !== false) database.exec("COMMIT")
    return result
  } finally {
    if (database.isTransaction) database.exec("ROLLBACK")
  }
}
