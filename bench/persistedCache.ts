/**
 * Effect's own cache of two tiers, as a rival.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Persistable from "effect/persistence/Persistable"
import * as PersistedCache from "effect/persistence/PersistedCache"
import * as Persistence from "effect/persistence/Persistence"
import * as Schema from "effect/Schema"
import * as Items from "./cacheItems.ts"

class Key extends Persistable.Class<{ payload: { readonly projectId: number } }>()("bench.items", {
  primaryKey: ({ projectId }) => String(projectId),
  success: Items.Items,
  error: Schema.Never
}) {}

export const key = (projectId: number): Key => new Key({ projectId })

export const layerMemory = Persistence.layerMemory
export const layerSql = Persistence.layerSql

class Cached extends Context.Service<Cached, PersistedCache.PersistedCache<Key>>()("bench/Cached") {}

export const make = async (
  persistence: Layer.Layer<Persistence.Persistence, unknown>,
  lookup: () => Effect.Effect<typeof Items.Items.Type>
): Promise<PersistedCache.PersistedCache<Key>> => {
  const options = { storeId: "bench", timeToLive: () => Duration.hours(1), inMemoryTTL: () => Duration.minutes(5) }
  const layer = Layer.effect(Cached, PersistedCache.make(lookup, options)).pipe(Layer.provide(persistence))
  return Context.get(await Items.build(layer), Cached)
}
