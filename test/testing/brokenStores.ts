/**
 * The suite of the stores, run on stores that break one promise each. `CacheStoreSuite.test.ts` runs this file in a
 * process of its own and expects it to fail.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as CacheStore from "../../src/cache/CacheStore.ts"
import * as CacheStoreSuite from "../../src/testing/CacheStoreSuite.ts"

const broken = (
  name: string,
  breaks: (store: CacheStore.CacheStoreShape) => Partial<CacheStore.CacheStoreShape>,
  bounds: CacheStore.Bounds = CacheStoreSuite.bounds
) =>
  CacheStoreSuite.suite(
    name,
    Layer.effect(
      CacheStore.CacheStore,
      Effect.map(CacheStore.CacheStore, (store) => ({ ...store, ...breaks(store) }))
    ).pipe(Layer.provide(CacheStore.layerMemory(bounds)))
  )

broken("nothing", () => ({}))
broken("forgets a change", ({ resolve }) => ({
  resolve: (id, changed, _, until) => resolve(id, changed, "rolledBack", until)
}))
broken("takes a rollback for a change", ({ resolve }) => ({
  resolve: (id, changed, _, until) => resolve(id, changed, "changed", until)
}))
broken("announces nothing", () => ({ announce: () => Effect.void }))
broken("never lets an announcement lapse", ({ announce }) => ({
  announce: (id, changed) => announce(id, changed, Infinity)
}))
broken("keeps what was read before a change", ({ set, stamp }) => ({
  set: (entry) =>
    Effect.flatMap(stamp(entry.watched, entry.storedAt), (now) => set({ ...entry, stamp: now ?? entry.stamp }))
}))
broken("mixes up many keys", ({ getMany }) => ({
  getMany: (requests, now) => Effect.map(getMany(requests, now), (found) => found.toReversed())
}))
broken("loses characters", ({ set }) => ({
  set: (entry) => set({ ...entry, value: Buffer.from(entry.value, "latin1").toString("latin1") })
}))
broken("gives a claim to everybody", () => ({ claim: () => Effect.succeed(true) }))
broken("never gives a claim back", () => ({ release: () => Effect.void }))
broken("does not expire", () => ({ expire: () => Effect.void }))
broken("clears nothing", () => ({ clear: Effect.void }))
broken("cleans nothing", () => ({ clean: () => Effect.void }))
broken("has no bounds", () => ({}), {})
broken("watches one thing only", ({ get }) => ({
  get: (key, watched, now) => get(key, watched.slice(0, 1), now)
}))
