/**
 * What to say where the driver of Postgres can't be loaded: it is installed by those who need it.
 */
import { ConnectionError, SqlError } from "effect/sql/SqlError"

export const missingPeer = (cause: unknown): SqlError =>
  new SqlError({
    reason: new ConnectionError({
      cause,
      message: "Postgres needs the package @effect/sql-pg: install it",
      operation: "open"
    })
  })
