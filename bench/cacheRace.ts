/**
 * A change during a load: the load has read, the value changes and the cache is invalidated, the load ends, and another
 * read follows. The bench counts stale results.
 */
import { setTimeout as delay } from "node:timers/promises"
import { createCache as createDedupe } from "async-cache-dedupe"
import { bentostore, BentoCache } from "bentocache"
import { memoryDriver } from "bentocache/drivers/memory"
import { createCache } from "cache-manager"
import { Cacheable } from "cacheable"
import * as Cache from "effect/Cache"
import * as Effect from "effect/Effect"
import { LRUCache } from "lru-cache"
import * as CacheStore from "../src/cache/CacheStore.ts"
import * as Dependency from "../src/query/Dependency.ts"
import * as Items from "./cacheItems.ts"
import * as Persisted from "./persistedCache.ts"
import * as Row from "./Row.ts"

type Value = typeof Items.Items.Type

type Load = () => Promise<Value>

/** One key of a cache over a loader, and its invalidation. */
interface Side {
  readonly get: () => Promise<Value | undefined>
  readonly changed: () => Promise<unknown>
}

type Make = (load: Load) => Promise<Side>

const tag = "items"
const ttl = 300_000

const run = Effect.runPromise

const ours =
  (store: () => ReturnType<typeof CacheStore.layerSqlite>, by: "mutation" | "invalidation"): Make =>
  async (load) => {
    const { cache, executor } = await Items.cacheOver(
      store(),
      {},
      Items.source(() => Effect.promise(load))
    )
    const input = { projectId: 1 }
    return {
      get: () => run(executor.query(Items.query, input)),
      changed: () =>
        run(
          by === "mutation"
            ? executor.mutate(Items.mutation, input)
            : cache.invalidateDependencies([Dependency.make("items", 1)])
        )
    }
  }

const bento = (by: "delete" | "deleteByTag"): Make => {
  return (load) => {
    const store = bentostore().useL1Layer(memoryDriver({ serialize: false }))
    const cache = new BentoCache({ default: "one", stores: { one: store } })
    return Promise.resolve({
      get: () => cache.getOrSet({ key: "k", ttl, tags: [tag], factory: load }),
      changed: () => (by === "delete" ? cache.delete({ key: "k" }) : cache.deleteByTag({ tags: [tag] }))
    })
  }
}

/** Tags can only be passed to `set`. */
const cacheable = (by: "delete" | "invalidateTag"): Make => {
  return (load) => {
    const cache = new Cacheable({ ttl, tags: true })
    const getOrSet = async () => {
      const found = await cache.get<Value>("k")
      if (found !== undefined) return found
      const value = await load()
      await cache.set("k", value, { ttl, tags: [tag] })
      return value
    }
    return Promise.resolve({
      get: () => (by === "delete" ? cache.getOrSet("k", load, { ttl }) : getOrSet()),
      changed: () => (by === "delete" ? cache.delete("k") : cache.tags.invalidateTag(tag))
    })
  }
}

const dedupe = (by: "clear" | "invalidateAll"): Make => {
  return (load) => {
    const storage = { type: "memory", options: { invalidation: true } } as const
    const cache = createDedupe({ ttl: ttl / 1_000, storage }).define("k", { references: () => [tag] }, load)
    return Promise.resolve({
      get: () => cache.k(),
      changed: async () => (by === "clear" ? cache.clear("k") : cache.invalidateAll(tag))
    })
  }
}

const rivals: Readonly<Record<string, Make>> = {
  "bentocache delete": bento("delete"),
  "bentocache deleteByTag": bento("deleteByTag"),
  "cacheable delete": cacheable("delete"),
  "cacheable invalidateTag": cacheable("invalidateTag"),
  "cache-manager del": (load) => {
    const cache = createCache({ ttl })
    return Promise.resolve({ get: () => cache.wrap("k", load), changed: () => cache.del("k") })
  },
  "async-cache-dedupe clear": dedupe("clear"),
  "async-cache-dedupe invalidateAll": dedupe("invalidateAll"),
  "lru-cache fetch and delete": (load) => {
    const cache = new LRUCache<string, Value>({ max: 10, ttl, fetchMethod: load })
    return Promise.resolve({ get: () => cache.fetch("k"), changed: async () => cache.delete("k") })
  },
  "PersistedCache invalidate": async (load) => {
    const cache = await Persisted.make(Persisted.layerMemory, () => Effect.promise(load))
    return {
      get: () => run(cache.get(Persisted.key(1))),
      changed: () => run(cache.invalidate(Persisted.key(1)))
    }
  },
  "Cache invalidate, one tier": async (load) => {
    const cache = await run(Cache.make({ capacity: 10, timeToLive: ttl, lookup: (_: string) => Effect.promise(load) }))
    return { get: () => run(Cache.get(cache, "k")), changed: () => run(Cache.invalidate(cache, "k")) }
  }
}

/** Whether the read after the change returns the former value. */
const isStale = async (make: Make): Promise<boolean> => {
  const before: Value = []
  let value = before
  const hasRead = Promise.withResolvers<void>()
  const mayEnd = Promise.withResolvers<void>()
  const side = await make(async () => {
    const read = value
    hasRead.resolve()
    await mayEnd.promise
    return read
  })
  // Some caches reject a load that was invalidated.
  const first = side.get().catch(() => undefined)
  await hasRead.promise
  value = Items.items
  await side.changed()
  // Some caches order by the clock, and a realistic load takes longer than one millisecond.
  await delay(3)
  mayEnd.resolve()
  await first
  return (await side.get())?.length === before.length
}

const rounds = 20

const staleReads = async (make: Make): Promise<number> => {
  let stale = 0
  for (let round = 0; round < rounds; round++) if (await isStale(make)) stale++
  return stale
}

/** Stale reads of ours and of each rival, and of all rounds. */
export default async function* (filename: () => string): AsyncGenerator<Row.Row> {
  const file = () => CacheStore.layerSqlite({ filename: filename() })
  const counts = [
    await staleReads(ours(() => CacheStore.layerNoop, "mutation")),
    await staleReads(ours(() => CacheStore.layerNoop, "invalidation")),
    await staleReads(ours(file, "mutation")),
    await staleReads(ours(file, "invalidation"))
  ]
  const stale = Math.max(...counts)
  const row = (name: string, rival: number, target?: Row.Target) =>
    Row.make({
      bench: "cache",
      row: `stale after a change in a load / ${name}`,
      ours: [stale],
      rival: [rival],
      unit: `of ${rounds}`,
      target
    })
  yield row("all reads", rounds, { atMost: 0 })
  for (const [name, make] of Object.entries(rivals)) yield row(name, await staleReads(make))
}
