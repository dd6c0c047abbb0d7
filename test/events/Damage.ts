/**
 * Damages the file of a spool.
 */
import * as fs from "node:fs"
import { DatabaseSync } from "node:sqlite"

/** Overwrites the first page of a table, after all of the log is written back. */
export const tableOf = (filename: string, table: string): void => {
  const db = new DatabaseSync(filename)
  db.exec("PRAGMA wal_checkpoint(TRUNCATE)")
  const { rootpage } = db.prepare("SELECT rootpage FROM sqlite_master WHERE name = ?").get(table) as {
    rootpage: number
  }
  db.close()
  const file = fs.openSync(filename, "r+")
  fs.writeSync(file, Buffer.alloc(4_096, 0xee), 0, 4_096, (rootpage - 1) * 4_096)
  fs.closeSync(file)
}
