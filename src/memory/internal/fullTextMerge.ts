/**
 * Takes out of SQLite's full-text index what stands in it for rows that are gone. A deletion only adds to the index; the
 * space comes back when its parts are merged, and the oldest part, where the oldest rows are, is merged last.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"

/** How many pages of the index a step writes: about two milliseconds. */
const stepPages = 16

/** One step; says whether there is more to do. The first step puts all parts in line to be merged into one. */
export const step = (isFirst: boolean): Effect.Effect<boolean, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const changes = Effect.map(sql<{ n: number }>`SELECT total_changes() AS n`, (rows) => rows[0]!.n)
    return yield* sql.withTransaction(
      Effect.gen(function* () {
        const before = yield* changes
        yield* sql`INSERT INTO agent_search_terms (agent_search_terms, rank)
          VALUES ('merge', ${isFirst ? -stepPages : stepPages})`
        // The statement itself is one change.
        return (yield* changes) - before > 1
      })
    )
  })
