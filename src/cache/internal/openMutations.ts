/**
 * The mutations of this process that are under way, found by what they change.
 */
import type { Exit } from "effect/Exit"
import type { InvalidationTracker } from "./invalidationTracker.ts"
import type { Outer } from "./transaction.ts"

export interface OpenMutation {
  readonly id: string
  readonly changed: ReadonlyArray<string>
  /** When it began, and when the store last heard of it, in milliseconds. */
  readonly beganAt: number
  announcedAt: number
  ended: boolean
  /** Whether the end of the transaction will be told. */
  enlisted: boolean
  /** How the program of the mutation ended, where it ran. */
  ran: Exit<unknown, unknown> | undefined
  /** The transaction that the mutation is a part of, where the caller opened one around it. */
  outer: Outer | undefined
}

export interface OpenMutations {
  /** From here on what it changes counts as being written. */
  readonly begin: (id: string, changed: ReadonlyArray<string>, now: number) => OpenMutation
  /** Takes it from those that are open; `false` where it was not among them. Its fences stay. */
  readonly close: (write: OpenMutation) => boolean
  readonly all: () => ReadonlyArray<OpenMutation>
  /** Those that change some of this. */
  readonly touching: (watched: ReadonlyArray<string>) => ReadonlySet<OpenMutation>
}

export const make = (fences: InvalidationTracker): OpenMutations => {
  const open = new Set<OpenMutation>()
  const byKey = new Map<string, Set<OpenMutation>>()

  return {
    begin: (id, changed, now) => {
      const write: OpenMutation = {
        id,
        changed: [...new Set(changed)],
        beganAt: now,
        announcedAt: -Infinity,
        ended: false,
        enlisted: false,
        ran: undefined,
        outer: undefined
      }
      open.add(write)
      for (const key of write.changed) {
        const found = byKey.get(key)
        if (found === undefined) byKey.set(key, new Set([write]))
        else found.add(write)
      }
      fences.announce(write.changed)
      return write
    },
    close: (write) => {
      if (!open.delete(write)) return false
      write.ended = true
      for (const key of write.changed) {
        const found = byKey.get(key)
        if (found?.delete(write) === true && found.size === 0) byKey.delete(key)
      }
      return true
    },
    all: () => [...open],
    touching: (watched) => new Set(watched.flatMap((key) => [...(byKey.get(key) ?? [])]))
  }
}
