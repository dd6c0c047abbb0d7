/**
 * A worker that holds the lock of a database until it is killed. Argument: the file.
 */
import { DatabaseSync } from "node:sqlite"
import * as Effect from "effect/Effect"
import * as Worker from "../utils/Worker.ts"

const db = new DatabaseSync(process.argv[2]!, { timeout: 10_000 })
db.exec("BEGIN EXCLUSIVE")
await Effect.runPromise(Worker.ready)
