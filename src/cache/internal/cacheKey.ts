/** Keys of entries, and the text form of inputs and results. */
import { hash as digest } from "node:crypto"
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaRepresentation from "effect/SchemaRepresentation"

/** Deeper inputs are not cached. */
const maxDepth = 64

/** Encodes dates, with their zone. */
const ofValue = (value: object): string | undefined => {
  if (value instanceof Date) return `D${value.getTime()}`
  if (!DateTime.isDateTime(value)) return undefined
  const zone = DateTime.isZoned(value) ? DateTime.zoneToString(value.zone) : ""
  return `T${DateTime.toEpochMillis(value)}${JSON.stringify(zone)}`
}

const ofObject = (value: object, depth: number): string | undefined => {
  if (Array.isArray(value)) {
    let text = "["
    for (const item of value as ReadonlyArray<unknown>) {
      const part = canonical(item, depth + 1)
      if (part === undefined) return undefined
      text += `${part},`
    }
    return `${text}]`
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return ofValue(value)
  const keys = Object.keys(value)
  if (keys.length > 1) keys.sort()
  let text = "{"
  for (const key of keys) {
    const part = canonical((value as Record<string, unknown>)[key], depth + 1)
    if (part === undefined) return undefined
    text += `${JSON.stringify(key)}:${part},`
  }
  return `${text}}`
}

/**
 * Encodes plain data and dates as text; `undefined` for anything else. Equal inputs have equal texts, and different
 * inputs have different texts also where JSON has none: a date and its string, `undefined` and `null`, `1` and `1n`, `0`
 * and `-0`.
 */
export const canonical = (value: unknown, depth = 0): string | undefined => {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value)
    case "number":
      return Object.is(value, -0) ? "-0" : String(value)
    case "boolean":
      return value ? "t" : "f"
    case "bigint":
      return `${value}n`
    case "undefined":
      return "u"
    case "object":
      return value === null ? "N" : depth > maxDepth ? undefined : ofObject(value, depth)
    default:
      return undefined
  }
}

const plain = (_key: string, value: unknown): unknown =>
  typeof value === "bigint" || value instanceof RegExp || typeof value === "function" ? String(value) : value

const describe = (schema: Schema.Top): string =>
  JSON.stringify(SchemaRepresentation.toRepresentation(schema.ast), plain)

/** SHA-256 over all parts, with their boundaries. */
export const hash = (...parts: ReadonlyArray<string>): string => digest("sha256", JSON.stringify(parts), "base64url")

/**
 * A hash that changes with the schema: its types, its checks and its encoded side, but not the bodies of functions. A
 * part of the store's keys, so that a program never reads results of another schema. `undefined` if the schema has no
 * representation; results of such a query stay in memory.
 */
export const fingerprint = (schema: Schema.Codec<any, unknown>): string | undefined =>
  Result.getOrUndefined(
    Result.try(() => hash(describe(schema), describe(Schema.toEncoded(Schema.toCodecJson(schema)))))
  )

const bareZero = /(?:^|[[:,\s])0(?:[\]},\s]|$)/

/** Whether a JSON text contains a zero that may have been negative. */
const mayHaveNegativeZero = (json: string): boolean => bareZero.test(json)

const partsOf = (value: object): Iterable<unknown> => {
  if (value instanceof Map) return [...value].flat()
  if (value instanceof Set || Array.isArray(value)) return value as Iterable<unknown>
  return Object.values(value)
}

const hasNegativeZero = (value: unknown): boolean => {
  const pending: Array<unknown> = [value]
  while (pending.length > 0) {
    const next = pending.pop()
    if (Object.is(next, -0)) return true
    if (typeof next === "object" && next !== null) for (const part of partsOf(next)) pending.push(part)
  }
  return false
}

/** Encodes results as JSON text; `undefined` for a result with a negative zero, which JSON would change. */
export const resultCodec = <A>(schema: Schema.Codec<A, unknown>) => {
  const codec = Schema.fromJsonString(Schema.toCodecJson(schema)) as Schema.Codec<A, string>
  let decode: ((text: string) => A) | undefined
  let encode: ((result: A) => string) | undefined
  return {
    encode: (result: A): string | undefined => {
      encode ??= Schema.encodeSync(codec)
      const text = encode(result)
      return mayHaveNegativeZero(text) && hasNegativeZero(result) ? undefined : text
    },
    decode: (text: string): A => {
      decode ??= Schema.decodeSync(codec)
      return decode(text)
    }
  }
}
