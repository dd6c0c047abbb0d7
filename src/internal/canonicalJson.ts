/** Values that lie deeper are left out: no stack has to hold them. */
const maxDepth = 100

/** So many values of one text are put in order: more would take longer than an agent waits. */
const maxOrdered = 20_000

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

/** As it was written; a value that no stack holds is left out. */
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
 * A JSON value as text that does not depend on the order of the names in its objects, at least among its first 20,000
 * values. What lies deeper than 100 levels is left out. It is hashed for what is stored, so it must never change.
 */
export const canonicalJson = (value: unknown): string => write(value, 0, { left: maxOrdered })
