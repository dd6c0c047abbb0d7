/** The store in memory: the protocol of the SQLite file, for one process. */
import * as Effect from "effect/Effect"
import type { CacheStoreShape, LookupResult, StoreBounds, StoredEntry } from "./storeModel.ts"

interface SizedEntry extends StoredEntry {
  readonly size: number
}

interface Announcement {
  readonly changed: ReadonlyArray<string>
  readonly until: number
}

export const make = (settings: StoreBounds): Effect.Effect<CacheStoreShape> =>
  Effect.sync(() => {
    const entries = new Map<string, SizedEntry>()
    const versions = new Map<string, number>()
    const announcements = new Map<string, Announcement>()
    const leases = new Map<string, { readonly owner: string; readonly until: number }>()
    let sequence = 0
    let floor = 0
    let bytes = 0
    let generation = 0

    const drop = (key: string): void => {
      const entry = entries.get(key)
      if (entry === undefined) return
      bytes -= entry.size
      entries.delete(key)
    }

    const end = (id: string, announcement: Announcement): void => {
      announcements.delete(id)
      for (const dependency of announcement.changed) {
        // Inserted anew, so that the map is ordered by version.
        versions.delete(dependency)
        versions.set(dependency, ++sequence)
      }
      for (const [dependency, version] of versions) {
        if (versions.size <= settings.maxVersions) break
        versions.delete(dependency)
        floor = Math.max(floor, version)
      }
      generation++
    }

    const endLapsed = (now: number): void => {
      for (const [id, announcement] of announcements) if (announcement.until <= now) end(id, announcement)
    }

    const stampOf = (watched: ReadonlyArray<string>, now: number): string | undefined => {
      endLapsed(now)
      for (const announcement of announcements.values())
        if (announcement.changed.some((key) => watched.includes(key))) return undefined
      return String(watched.reduce((highest, key) => Math.max(highest, versions.get(key) ?? 0), floor))
    }

    const read = (key: string, watched: ReadonlyArray<string>, now: number): LookupResult => ({
      stamp: stampOf(watched, now),
      entry: entries.get(key)
    })

    const clean = (now: number): void => {
      endLapsed(now)
      for (const [key, entry] of entries) if (entry.expiresAt <= now) drop(key)
      for (const [key, lease] of leases) if (lease.until <= now) leases.delete(key)
    }

    const set: CacheStoreShape["set"] = (item) =>
      Effect.sync(() => {
        const size = Buffer.byteLength(item.value) + item.key.length + item.query.length
        if (size > settings.maxEntryBytes || size > settings.maxBytes) return false
        if (stampOf(item.watched, item.storedAt) !== item.stamp) return false
        drop(item.key)
        for (const key of entries.keys()) {
          if (bytes + size <= settings.maxBytes && entries.size < settings.maxEntries) break
          drop(key)
        }
        const { expiresAt, freshUntil, stamp, storedAt, value } = item
        entries.set(item.key, { value, stamp, storedAt, freshUntil, expiresAt, size })
        bytes += size
        leases.delete(item.key)
        generation++
        return true
      })

    return {
      shared: true,
      clock: "monotonic",
      generation: () => generation,
      stamp: (watched, now) => Effect.sync(() => stampOf(watched, now)),
      get: (key, watched, now) => Effect.sync(() => read(key, watched, now)),
      getMany: (requests, now) => Effect.sync(() => requests.map(({ key, watched }) => read(key, watched, now))),
      set,
      expire: (key, now) =>
        Effect.sync(() => {
          const entry = entries.get(key)
          if (entry !== undefined && entry.freshUntil > now) entries.set(key, { ...entry, freshUntil: now })
        }),
      claim: (key, owner, now, until) =>
        Effect.sync(() => {
          const lease = leases.get(key)
          if (lease !== undefined && lease.owner !== owner && lease.until > now) return false
          leases.set(key, { owner, until })
          return true
        }),
      release: (key, owner) =>
        Effect.sync(() => {
          if (leases.get(key)?.owner === owner) leases.delete(key)
        }),
      announce: (id, changed, until) =>
        Effect.sync(() => {
          announcements.set(id, { changed, until })
          generation++
        }),
      isAnnounced: (id) => Effect.sync(() => announcements.has(id)),
      resolve: (id, changed, outcome) =>
        Effect.sync(() => {
          if (outcome === "rolledBack") announcements.delete(id)
          else end(id, { changed, until: 0 })
        }),
      clear: Effect.sync(() => {
        entries.clear()
        bytes = 0
        floor = ++sequence
        generation++
      }),
      clean: (now) => Effect.sync(() => clean(now)),
      stats: Effect.sync(() => ({
        entries: entries.size,
        bytes,
        versions: versions.size,
        announcements: announcements.size
      }))
    }
  })
