/**
 * Who watches what in this process, and what is being written by it right now.
 */

/** An entry in memory, or a load that is under way. */
export interface Watcher {
  readonly watched: ReadonlyArray<string>
  /** How many announced writes touch what is watched. */
  blocked: number
  /** A write that touches what is watched was announced. */
  readonly announced: () => void
  /** A write that touches what is watched was committed, or may have been. */
  readonly changed: () => void
}

export interface InvalidationTracker {
  readonly add: (watcher: Watcher) => void
  readonly remove: (watcher: Watcher) => void
  /** How many watch something. */
  readonly watchers: (key: string) => number
  /** Whether anything is being written. */
  readonly isAnyPending: () => boolean
  readonly isPending: (watched: ReadonlyArray<string>) => boolean
  readonly announce: (changed: ReadonlyArray<string>) => void
  /** Tells the watchers of a change. The announcement stays. */
  readonly change: (changed: ReadonlyArray<string>) => void
  /** Takes an announcement back. */
  readonly end: (changed: ReadonlyArray<string>) => void
  /** Holds everything for being written, until it is taken back as often. */
  readonly suspend: () => void
  readonly resume: () => void
  readonly isSuspended: () => boolean
}

export const make = (): InvalidationTracker => {
  const watchers = new Map<string, Set<Watcher>>()
  const pending = new Map<string, number>()
  let suspended = 0

  const eachWatcher = (changed: ReadonlyArray<string>, use: (watcher: Watcher) => void): void => {
    for (const key of changed) {
      const found = watchers.get(key)
      // A copy: whoever is told of a change takes itself out.
      if (found !== undefined) for (const watcher of Array.from(found)) use(watcher)
    }
  }

  return {
    add: (watcher) => {
      for (const key of watcher.watched) {
        watcher.blocked += pending.get(key) ?? 0
        const found = watchers.get(key)
        if (found === undefined) watchers.set(key, new Set([watcher]))
        else found.add(watcher)
      }
    },
    remove: (watcher) => {
      for (const key of watcher.watched) {
        const found = watchers.get(key)
        if (found?.delete(watcher) === true && found.size === 0) watchers.delete(key)
      }
    },
    watchers: (key) => watchers.get(key)?.size ?? 0,
    isAnyPending: () => suspended > 0 || pending.size > 0,
    isPending: (watched) => suspended > 0 || (pending.size > 0 && watched.some((key) => pending.has(key))),
    announce: (changed) => {
      for (const key of changed) pending.set(key, (pending.get(key) ?? 0) + 1)
      eachWatcher(changed, (watcher) => {
        watcher.blocked++
        watcher.announced()
      })
    },
    change: (changed) => eachWatcher(changed, (watcher) => watcher.changed()),
    end: (changed) => {
      for (const key of changed) {
        const count = pending.get(key) ?? 0
        if (count <= 1) pending.delete(key)
        else pending.set(key, count - 1)
      }
      eachWatcher(changed, (watcher) => {
        watcher.blocked--
      })
    },
    suspend: () => {
      suspended++
      for (const found of watchers.values()) for (const watcher of found) watcher.announced()
    },
    resume: () => {
      suspended--
    },
    isSuspended: () => suspended > 0
  }
}
