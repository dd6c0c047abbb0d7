/**
 * The contract of every `CacheStore` as a test suite for custom stores.
 *
 * Requires `@effect/vitest`, an optional peer dependency.
 *
 * @since 0.1.0
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as CacheStore from "../cache/CacheStore.ts"

/**
 * The bounds that the suite requires of the store: small enough to fill.
 *
 * @category models
 * @since 0.1.0
 */
export const bounds: CacheStore.Bounds = { maxBytes: 4_096, maxEntries: 20, maxEntryBytes: 1_024, maxVersions: 8 }

const later = 1_000_000

const entry = (key: string, more?: Partial<CacheStore.NewEntry>): CacheStore.NewEntry => ({
  key,
  query: "test",
  value: `value of ${key}`,
  watched: ["a"],
  stamp: "",
  storedAt: 1_000,
  freshUntil: later,
  expiresAt: later * 2,
  ...more
})

/** Stores an entry under the current stamp. */
const put = (key: string, more?: Partial<CacheStore.NewEntry>) =>
  Effect.gen(function* () {
    const store = yield* CacheStore.CacheStore
    const item = entry(key, more)
    const stamp = yield* store.stamp(item.watched, item.storedAt)
    return stamp !== undefined && (yield* store.set({ ...item, stamp }))
  })

/** The usable entry: its stamp equals the current stamp. */
const good = (key: string, watched: ReadonlyArray<string> = ["a"], now = 2_000) =>
  Effect.gen(function* () {
    const store = yield* CacheStore.CacheStore
    const { entry, stamp } = yield* store.get(key, watched, now)
    return entry !== undefined && entry.stamp === stamp ? entry.value : undefined
  })

const change = (...changed: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const store = yield* CacheStore.CacheStore
    yield* store.announce("change", changed, later)
    yield* store.resolve("change", changed, "changed", later)
  })

/**
 * Registers the tests of a store. Each test builds the Layer anew and expects an empty store with `bounds`.
 *
 * The suite passes times to the store, so a store needs no clock to pass.
 *
 * **Example**
 *
 * ```ts
 * // MyStore.test.ts
 * import * as CacheStore from "athena-hooks/cache/CacheStore"
 * import * as CacheStoreSuite from "athena-hooks/testing/CacheStoreSuite"
 *
 * CacheStoreSuite.suite("mine", CacheStore.layerMemory(CacheStoreSuite.bounds))
 * ```
 *
 * @category testing
 * @since 0.1.0
 */
export const suite = <E>(name: string, layer: Layer.Layer<CacheStore.CacheStore, E>): void => {
  const test = (what: string, body: Effect.Effect<void, unknown, CacheStore.CacheStore>) =>
    it.effect(what, () => Effect.provide(body, layer))

  describe(`CacheStore: ${name}`, () => {
    test(
      "returns a stored entry with its times",
      Effect.gen(function* () {
        const store = yield* CacheStore.CacheStore
        assert.isTrue(yield* put("k", { value: "größer 🎉 \u0000 end" }))
        const { entry } = yield* store.get("k", ["a"], 2_000)
        assert.strictEqual(entry?.value, "größer 🎉 \u0000 end")
        assert.deepStrictEqual([entry?.storedAt, entry?.freshUntil, entry?.expiresAt], [1_000, later, later * 2])
        assert.strictEqual((yield* store.get("other", ["a"], 2_000)).entry, undefined)
      })
    )

    test(
      "returns many keys in the order of the requests",
      Effect.gen(function* () {
        const store = yield* CacheStore.CacheStore
        yield* put("one")
        yield* put("two", { watched: ["b"] })
        const found = yield* store.getMany(
          [
            { key: "two", watched: ["b"] },
            { key: "none", watched: ["c"] },
            { key: "one", watched: ["a"] }
          ],
          2_000
        )
        assert.deepStrictEqual(
          found.map(({ entry }) => entry?.value),
          ["value of two", undefined, "value of one"]
        )
        assert.strictEqual(found[0]!.entry!.stamp, found[0]!.stamp)
        assert.deepStrictEqual(yield* store.getMany([], 2_000), [])
      })
    )

    test(
      "invalidates the entries that watch a changed key, and no others",
      Effect.gen(function* () {
        yield* put("a")
        yield* put("b", { watched: ["b", "x"] })
        yield* change("x", "y")
        assert.strictEqual(yield* good("a"), "value of a")
        assert.strictEqual(yield* good("b", ["b", "x"]), undefined)
        assert.isTrue(yield* put("b", { watched: ["b", "x"] }))
        assert.strictEqual(yield* good("b", ["b", "x"]), "value of b")
      })
    )

    test(
      "rejects a set with the stamp from before a change",
      Effect.gen(function* () {
        const store = yield* CacheStore.CacheStore
        const stamp = (yield* store.stamp(["a"], 1_000))!
        yield* change("a")
        assert.isFalse(yield* store.set(entry("k", { stamp })))
        assert.strictEqual(yield* good("k"), undefined)
      })
    )

    test(
      "serves and stores nothing during an announcement, and serves it again after a rollback",
      Effect.gen(function* () {
        const store = yield* CacheStore.CacheStore
        yield* put("k")
        const stamp = (yield* store.stamp(["a"], 1_000))!
        yield* store.announce("w", ["a", "z"], later)
        assert.strictEqual(yield* store.stamp(["a"], 2_000), undefined)
        assert.strictEqual(yield* good("k"), undefined)
        assert.isFalse(yield* store.set(entry("k", { stamp })))
        assert.isDefined(yield* store.stamp(["b"], 2_000))
        yield* store.resolve("w", ["a", "z"], "rolledBack", later)
        assert.strictEqual(yield* store.stamp(["a"], 2_000), stamp)
        assert.strictEqual(yield* good("k"), "value of k")
      })
    )

    test(
      "treats a lapsed announcement as a change, and renews one",
      Effect.gen(function* () {
        const store = yield* CacheStore.CacheStore
        yield* put("k")
        yield* store.announce("w", ["a"], 5_000)
        yield* store.announce("w", ["a"], 9_000)
        assert.strictEqual(yield* store.stamp(["a"], 8_999), undefined)
        assert.isDefined(yield* store.stamp(["a"], 9_000))
        assert.strictEqual(yield* good("k", ["a"], 9_000), undefined)
        assert.strictEqual((yield* store.stats).announcements, 0)
      })
    )

    test(
      "applies a change after its announcement lapsed",
      Effect.gen(function* () {
        const store = yield* CacheStore.CacheStore
        yield* store.announce("w", ["a"], 5_000)
        yield* store.clean(6_000)
        assert.isTrue(yield* put("k"))
        yield* store.resolve("w", ["a"], "changed", later)
        assert.strictEqual(yield* good("k"), undefined)
      })
    )

    test(
      "ends two announcements of one key independently",
      Effect.gen(function* () {
        const store = yield* CacheStore.CacheStore
        yield* store.announce("one", ["a"], later)
        yield* store.announce("two", ["a"], later)
        yield* store.resolve("one", ["a"], "changed", later)
        assert.strictEqual(yield* store.stamp(["a"], 2_000), undefined)
        yield* store.resolve("two", ["a"], "rolledBack", later)
        assert.isDefined(yield* store.stamp(["a"], 2_000))
      })
    )

    test(
      "retains an expired entry as stale, removes all on clear, and rejects a load in progress",
      Effect.gen(function* () {
        const store = yield* CacheStore.CacheStore
        yield* put("k")
        const stamp = (yield* store.stamp(["a"], 1_000))!
        yield* store.expire("k", 3_000)
        assert.strictEqual((yield* store.get("k", ["a"], 3_000)).entry?.freshUntil, 3_000)
        yield* store.clear
        assert.strictEqual((yield* store.get("k", ["a"], 3_000)).entry, undefined)
        assert.isFalse(yield* store.set(entry("k", { stamp })))
        assert.deepStrictEqual((({ bytes, entries }) => ({ bytes, entries }))(yield* store.stats), {
          bytes: 0,
          entries: 0
        })
      })
    )

    test(
      "stays within its bounds and evicts the oldest entries first",
      Effect.gen(function* () {
        const store = yield* CacheStore.CacheStore
        for (let i = 0; i < 100; i++) assert.isTrue(yield* put(`k${i}`, { storedAt: 1_000 + i }))
        const byCount = yield* store.stats
        assert.isAtMost(byCount.entries, bounds.maxEntries!)
        assert.strictEqual(yield* good("k99"), "value of k99")
        for (let i = 0; i < 20; i++) {
          assert.isTrue(yield* put(`l${i}`, { value: "x".repeat(1_000), storedAt: 2_000 + i }))
          assert.isAtMost((yield* store.stats).bytes, bounds.maxBytes!)
        }
        assert.isFalse(yield* put("huge", { value: "x".repeat(1_025) }))
        assert.strictEqual(yield* good("k99"), undefined)
      })
    )

    test(
      "grants a load lease to one owner until it is released, lapses, or the entry is stored",
      Effect.gen(function* () {
        const store = yield* CacheStore.CacheStore
        const claims = (owner: string, now: number) => store.claim("k", owner, now, now + 1_000)
        assert.isTrue(yield* claims("one", 1_000))
        assert.isTrue(yield* claims("one", 1_500))
        assert.isFalse(yield* claims("two", 2_499))
        assert.isTrue(yield* store.claim("another", "two", 2_000, 3_000))
        assert.isTrue(yield* claims("two", 2_500))
        yield* store.release("k", "one")
        assert.isFalse(yield* claims("three", 2_600))
        yield* store.release("k", "two")
        assert.isTrue(yield* claims("three", 2_600))
        yield* put("k")
        assert.isTrue(yield* claims("four", 2_600))
        yield* put("k")
        assert.isTrue(yield* claims("five", 2_600))
        yield* store.clean(3_600)
        assert.isTrue(yield* claims("six", 3_000))
      })
    )

    test(
      "removes expired entries when it cleans",
      Effect.gen(function* () {
        const store = yield* CacheStore.CacheStore
        yield* put("k", { freshUntil: 4_000, expiresAt: 5_000 })
        yield* put("l")
        yield* store.clean(5_000)
        assert.strictEqual((yield* store.stats).entries, 1)
        assert.strictEqual(yield* good("l"), "value of l")
      })
    )

    test(
      "removes old versions without revalidating an old entry",
      Effect.gen(function* () {
        const store = yield* CacheStore.CacheStore
        yield* put("k")
        const stamp = (yield* store.stamp(["a"], 1_000))!
        yield* change("a")
        for (let i = 0; i < 50; i++) yield* change(`other${i}`)
        yield* store.clean(2_000)
        assert.isAtMost((yield* store.stats).versions, bounds.maxVersions!)
        assert.notStrictEqual(yield* store.stamp(["a"], 2_000), stamp)
        assert.strictEqual(yield* good("k"), undefined)
      })
    )
  })
}
