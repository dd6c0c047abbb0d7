/** The error of an optional peer package that can't be loaded. */
import { ConnectionError, SqlError } from "effect/sql/SqlError"

export const missingPeer =
  (feature: string, packageName: string) =>
  (cause: unknown): SqlError =>
    new SqlError({
      reason: new ConnectionError({
        cause,
        message: `${feature} needs the package ${packageName}: install it`,
        operation: "open"
      })
    })

export const missingSqlPg: (cause: unknown) => SqlError = missingPeer("Postgres", "@effect/sql-pg")
