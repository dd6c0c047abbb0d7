/**
 * Removal of deleted texts from the files of a home.
 *
 * A deletion leaves bytes in free pages, in logs, and in the files that a rescue retains. An erasure writes the database
 * and the cache anew and truncates the logs. On a Postgres server, the server's own vacuum frees the rows.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as SqlClient from "effect/sql/SqlClient"
import * as Database from "../sql/Database.ts"
import * as Sqlite from "../sql/Sqlite.ts"
import * as SqliteSpace from "../sql/SqliteSpace.ts"
import * as HostCache from "./sharedCache.ts"

const exists = (file: string) =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.orElseSucceed(fs.exists(file), () => false))

/** Runs an effect on a SQLite file, if it exists. */
const onFile = <A, E>(file: string, use: Effect.Effect<A, E, SqlClient.SqlClient>) =>
  Effect.when(
    Effect.scoped(Effect.provide(use, Sqlite.layer({ filename: file, busyTimeout: "5 seconds" }))),
    exists(file)
  )

/** The spools of the home, and the damaged files whose events were rescued. */
const spoolFiles = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const home = yield* Database.home
  const path = yield* Path.Path
  const names = yield* Effect.orElseSucceed(fs.readDirectory(home), () => [])
  const of = (pattern: RegExp) => names.filter((name) => pattern.test(name)).map((name) => path.join(home, name))
  return { spools: of(/^events(?:-[0-9a-f]+)?\.spool$/), rescued: of(/\.spool\.rescued-/) }
})

/**
 * Removes the bytes of deleted memories from the files of the home: the database, the cache, the logs of the spools, and
 * rescued spools. Hooks wait meanwhile, some seconds per gigabyte.
 */
export const erase = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const home = yield* Database.home
  const { rescued, spools } = yield* spoolFiles
  yield* Effect.forEach(rescued, (file) => Effect.ignore(fs.remove(file)), { discard: true })
  yield* Effect.forEach(spools, (file) => onFile(file, SqliteSpace.truncateLog), { discard: true })
  yield* onFile(path.join(home, Database.filename), SqliteSpace.rewrite(home))
  yield* onFile(
    path.join(home, HostCache.filename),
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql`VACUUM`).pipe(Effect.andThen(SqliteSpace.truncateLog))
  )
})
