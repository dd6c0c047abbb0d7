/**
 * The one number that JSON makes another one of: what has it in it can't be stored as text.
 */

const bareZero = /(?:^|[[:,\s])0(?:[\]},\s]|$)/

/** Whether a text has a zero that may have been negative. */
export const mayBeIn = (json: string): boolean => bareZero.test(json)

const partsOf = (value: object): Iterable<unknown> => {
  if (value instanceof Map) return [...value].flat()
  if (value instanceof Set || Array.isArray(value)) return value as Iterable<unknown>
  return Object.values(value)
}

export const isIn = (value: unknown): boolean => {
  const pending: Array<unknown> = [value]
  while (pending.length > 0) {
    const next = pending.pop()
    if (Object.is(next, -0)) return true
    if (typeof next === "object" && next !== null) for (const part of partsOf(next)) pending.push(part)
  }
  return false
}
