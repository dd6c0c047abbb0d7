/**
 * Invalidation keys: which entries and loads of this process watch them, and which are announced.
 *
 * A change of a scope affects the reads of that scope and of the whole table; a change of a table affects the reads of
 * the table and of every scope. To compare sets of keys without their scopes, a table has two keys: a change of the
 * whole table changes `table:`, and any change in it changes `any:`. All keys start with the namespace, so that several
 * databases can share a store.
 */
import * as Dependency from "../../query/Dependency.ts"

export interface InvalidationKeys {
  /** The keys that every result watches: none, or the key of all changes by other hosts. */
  readonly always: ReadonlyArray<string>
  /** The keys that a result with these dependencies watches. */
  readonly watched: (dependencies: ReadonlyArray<Dependency.Dependency>) => Array<string>
  /** The keys that a write to these dependencies changes. */
  readonly changed: (dependencies: ReadonlyArray<Dependency.Dependency>) => Array<string>
  readonly entry: (key: string) => string
  readonly tag: (tag: string) => string
}

export const makeKeys = (namespace: string, hasFeed: boolean): InvalidationKeys => {
  const prefix = namespace === "" ? "" : `${JSON.stringify(namespace)} `
  const scope = (dependency: Dependency.Dependency): string => `${prefix}scope:${Dependency.toKey(dependency)}`
  const table = (name: string): string => `${prefix}table:${name}`
  const any = (name: string): string => `${prefix}any:${name}`
  return {
    always: hasFeed ? [`${prefix}hosts`] : [],
    watched: (dependencies) =>
      dependencies.flatMap((dependency) =>
        dependency.scope === undefined ? [any(dependency.table)] : [scope(dependency), table(dependency.table)]
      ),
    changed: (dependencies) => [
      ...new Set(
        dependencies.flatMap((dependency) =>
          dependency.scope === undefined
            ? [table(dependency.table), any(dependency.table)]
            : [scope(dependency), any(dependency.table)]
        )
      )
    ],
    entry: (key) => `${prefix}entry:${key}`,
    tag: (tag) => `${prefix}tag:${tag}`
  }
}

/** An entry in memory, or a load in progress. */
export interface Watcher {
  readonly watched: ReadonlyArray<string>
  /** The number of open announcements of watched keys. */
  blocked: number
  /** A watched key was announced. */
  readonly announced: () => void
  /** A watched key was changed, or may have been. */
  readonly changed: () => void
}

export interface InvalidationTracker {
  readonly add: (watcher: Watcher) => void
  readonly remove: (watcher: Watcher) => void
  readonly watchers: (key: string) => number
  readonly isAnyPending: () => boolean
  readonly isPending: (watched: ReadonlyArray<string>) => boolean
  readonly announce: (changed: ReadonlyArray<string>) => void
  /** Notifies the watchers of a change. The announcement remains. */
  readonly change: (changed: ReadonlyArray<string>) => void
  readonly end: (changed: ReadonlyArray<string>) => void
  /** Treats every key as announced until `resume` has been called as often. */
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
      // A copy: a watcher removes itself on a change.
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
