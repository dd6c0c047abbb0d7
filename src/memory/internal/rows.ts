/**
 * Reading rows: columns that both dialects give in the same type, and rows that must fit a schema.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import type * as Statement from "effect/sql/Statement"

/** An integer column as a JavaScript number; Postgres would give a 64-bit one as a `bigint`. */
export const integer = (sql: SqlClient.SqlClient, column: string): Statement.Fragment =>
  sql.onDialectOrElse({
    pg: () => sql.literal(`${column}::float8`),
    orElse: () => sql.literal(column)
  })

/**
 * Decodes what came out of the database. A row that does not fit is the database's fault and not the caller's, so it is
 * a `SqlError` and no `SchemaError`.
 */
export const decode = <A>(schema: Schema.Codec<A, unknown>) => {
  const decodeUnknown = Schema.decodeUnknownEffect(schema)
  return (input: unknown): Effect.Effect<A, SqlError> =>
    Effect.mapError(
      decodeUnknown(input),
      (cause) => new SqlError({ reason: new UnknownError({ cause, message: "a row does not fit its schema" }) })
    )
}

const decodeStrings = Schema.decodeUnknownOption(Schema.fromJsonString(Schema.Array(Schema.String)))

/** The texts of a JSON array; another program may have stored anything. */
export const stringList = (json: string | null): ReadonlyArray<string> | null =>
  json === null ? null : Option.getOrNull(decodeStrings(json))
