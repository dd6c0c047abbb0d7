/**
 * Inputs as texts: equal inputs give equal texts, and inputs that differ give texts that differ, also where JSON would
 * not tell them apart: a date from its string, `undefined` from `null`, `1` from `1n`, `0` from `-0`.
 */
import * as DateTime from "effect/DateTime"

/** Deeper inputs have no text, and so are not cached. */
const maxDepth = 64

/** A text for the objects that are values: dates, with their zone. */
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

/** The text of a value made of plain data and dates; `undefined` for anything else. */
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
