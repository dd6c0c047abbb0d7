/**
 * The key of an entry in the second level: a hash over the name of the query, its input, and the shape of its result
 * as the program that asks knows it. A program whose Schema differs therefore never reads what another one stored.
 */
import { hash as digest } from "node:crypto"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaRepresentation from "effect/SchemaRepresentation"

const plain = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" || value instanceof RegExp || typeof value === "function" ? String(value) : value

const describe = (schema: Schema.Top): string =>
  JSON.stringify(SchemaRepresentation.toRepresentation(schema.ast), plain)

/** SHA-256 over all parts, which can't run into each other. */
export const hash = (...parts: ReadonlyArray<string>): string => digest("sha256", JSON.stringify(parts), "base64url")

/**
 * A hash that changes when the Schema does: its types, its checks and its encoded side. What functions do is not seen.
 * `undefined` where the Schema can't be described; results of such a query stay in memory.
 */
export const fingerprint = (schema: Schema.Codec<any, unknown>): string | undefined =>
  Result.getOrUndefined(
    Result.try(() => hash(describe(schema), describe(Schema.toEncoded(Schema.toCodecJson(schema)))))
  )
