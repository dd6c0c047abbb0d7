/**
 * The second level in memory: the same protocol as the SQLite file, for one process.
 */
import * as Effect from "effect/Effect"
import type { CacheStoreShape, Found, StoredEntry } from "../CacheStore.ts"

export interface Settings {
  readonly maxBytes: number
  readonly maxEntries: number
  readonly maxEntryBytes: number
  readonly maxVersions: number
}

interface Kept extends StoredEntry {
  readonly size: number
}

interface Intent {
  readonly changed: ReadonlyArray<string>
  readonly until: number
}

export const make = (settings: Settings): Effect.Effect<CacheStoreShape> =>
  Effect.sync(() => {
    const entries = new Map<string, Kept>()
    const versions = new Map<string, number>()
    const intents = new Map<string, Intent>()
    const claims = new Map<string, { readonly owner: string; readonly until: number }>()
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

    const end = (id: string, intent: Intent): void => {
      intents.delete(id)
      for (const dependency of intent.changed) {
        // Set anew, so that the order of the map is the order of the versions.
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
      for (const [id, intent] of intents) if (intent.until <= now) end(id, intent)
    }

    const stampOf = (watched: ReadonlyArray<string>, now: number): string | undefined => {
      endLapsed(now)
      for (const intent of intents.values()) if (intent.changed.some((key) => watched.includes(key))) return undefined
      return String(watched.reduce((highest, key) => Math.max(highest, versions.get(key) ?? 0), floor))
    }

    const read = (key: string, watched: ReadonlyArray<string>, now: number): Found => ({
      stamp: stampOf(watched, now),
      entry: entries.get(key)
    })

    const clean = (now: number): void => {
      endLapsed(now)
      for (const [key, entry] of entries) if (entry.expiresAt <= now) drop(key)
      for (const [key, claim] of claims) if (claim.until <= now) claims.delete(key)
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
        claims.delete(item.key)
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
          const claim = claims.get(key)
          if (claim !== undefined && claim.owner !== owner && claim.until > now) return false
          claims.set(key, { owner, until })
          return true
        }),
      release: (key, owner) =>
        Effect.sync(() => {
          if (claims.get(key)?.owner === owner) claims.delete(key)
        }),
      announce: (id, changed, until) =>
        Effect.sync(() => {
          intents.set(id, { changed, until })
          generation++
        }),
      isAnnounced: (id) => Effect.sync(() => intents.has(id)),
      resolve: (id, changed, outcome) =>
        Effect.sync(() => {
          if (outcome === "rolledBack") intents.delete(id)
          else end(id, { changed, until: 0 })
        }),
      clear: Effect.sync(() => {
        entries.clear()
        bytes = 0
        floor = ++sequence
        generation++
      }),
      clean: (now) => Effect.sync(() => clean(now)),
      stats: Effect.sync(() => ({ entries: entries.size, bytes, versions: versions.size, intents: intents.size }))
    }
  })
