/**
 * What the store has not been told of: as long as it stands, it counts in this process as being written.
 */
import type { InvalidationTracker } from "./invalidationTracker.ts"

/** So many changed things, and more, are owed as everything. */
export const maxKeys = 10_000

/** What was owed at a moment. */
export interface PendingKeys {
  readonly what: "nothing" | "everything" | ReadonlyArray<string>
  readonly at: number
}

export interface PendingInvalidations {
  readonly add: (changed: ReadonlyArray<string>) => void
  readonly addAll: () => void
  readonly pending: () => PendingKeys
  /** Takes from the debt what the store was told of, unless it has come to be owed again since. */
  readonly published: (owed: PendingKeys) => void
  readonly size: () => number
}

export const make = (fences: InvalidationTracker): PendingInvalidations => {
  /** What is owed, and when it last came to be. */
  const keys = new Map<string, number>()
  let everythingAt: number | undefined
  let time = 0

  const addAll = (): void => {
    if (everythingAt === undefined) {
      fences.suspend()
      fences.end([...keys.keys()])
      keys.clear()
    }
    everythingAt = ++time
  }

  return {
    add: (changed) => {
      const fresh = [...new Set(changed)].filter((key) => !keys.has(key))
      if (everythingAt !== undefined || keys.size + fresh.length >= maxKeys) return addAll()
      fences.announce(fresh)
      time++
      for (const key of changed) keys.set(key, time)
    },
    addAll,
    pending: () => ({
      what: everythingAt !== undefined ? "everything" : keys.size === 0 ? "nothing" : [...keys.keys()],
      at: time
    }),
    published: ({ at, what }) => {
      if (what === "everything") {
        if (everythingAt === undefined || everythingAt > at) return
        everythingAt = undefined
        fences.resume()
      } else if (what !== "nothing") {
        const told = what.filter((key) => (keys.get(key) ?? Infinity) <= at)
        for (const key of told) keys.delete(key)
        fences.end(told)
      }
    },
    size: () => (everythingAt === undefined ? keys.size : maxKeys)
  }
}
