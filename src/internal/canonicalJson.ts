/** Deeper values are omitted, which bounds the recursion. */
const maxDepth = 100

/** The number of values whose names are sorted, which bounds the time. */
const maxOrdered = 20_000

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

/** Unsorted; a value too deep for the stack is omitted. */
const asWritten = (value: unknown): string => {
  try {
    return JSON.stringify(value) ?? "null"
  } catch {
    return `"…"`
  }
}

const write = (value: unknown, depth: number, budget: { left: number }): string => {
  if (!isObject(value)) return JSON.stringify(value) ?? "null"
  if (depth >= maxDepth) return `"…"`
  if (Array.isArray(value)) {
    budget.left -= value.length
    return budget.left < 0 ? asWritten(value) : `[${value.map((item) => write(item, depth + 1, budget)).join()}]`
  }
  const names = Object.keys(value)
  budget.left -= names.length
  if (budget.left < 0) return asWritten(value)
  const members = names
    .filter((name) => value[name] !== undefined)
    .toSorted()
    .map((name) => `${JSON.stringify(name)}:${write(value[name], depth + 1, budget)}`)
  return `{${members.join()}}`
}

/**
 * A JSON value as text that does not depend on the order of the names in its objects, among its first 20,000 values.
 * Deeper levels than 100 are omitted. Its hashes are stored, so it must never change.
 */
export const canonicalJson = (value: unknown): string => write(value, 0, { left: maxOrdered })
