/**
 * Eviction from a full memory tier.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Eviction from "../../src/cache/internal/s3Fifo.ts"
import * as Generator from "../utils/Generator.ts"

const node = (key: string, size = 1): Eviction.Node => ({ key, size, uses: 0 })

const use = (kept: Eviction.S3Fifo<Eviction.Node>, key: string): boolean => {
  const found = kept.get(key)
  if (found !== undefined && found.uses < Eviction.maxUses) found.uses++
  return found !== undefined
}

const read = (kept: Eviction.S3Fifo<Eviction.Node>, key: string): boolean =>
  use(kept, key) || (kept.set(node(key)), false)

const keysOf = (kept: Eviction.S3Fifo<Eviction.Node>) => [...kept.nodes()].map(({ key }) => key).toSorted()

describe("a full memory", () => {
  it("retains a reused entry through a scan", () => {
    const kept = Eviction.make<Eviction.Node>(10, Infinity)
    for (const key of ["a", "b", "a", "b"]) read(kept, key)
    for (let i = 0; i < 1_000; i++) {
      read(kept, `once ${i}`)
      if (i % 5 === 0) assert.deepStrictEqual([read(kept, "a"), read(kept, "b")], [true, true])
    }
    assert.strictEqual(kept.count(), 10)
  })

  it("retains an entry that returns soon after its eviction", () => {
    const kept = Eviction.make<Eviction.Node>(10, Infinity)
    for (let i = 0; i < 12; i++) read(kept, `${i}`)
    assert.isFalse(read(kept, "0"))
    for (let i = 12; i < 40; i++) read(kept, `${i}`)
    assert.isTrue(read(kept, "0"))
    assert.isFalse(read(kept, "20"))
  })

  it("hits in a loop that exceeds its capacity", () => {
    const kept = Eviction.make<Eviction.Node>(100, Infinity)
    let hits = 0
    for (let i = 0; i < 12_000; i++) if (read(kept, String(i % 120))) hits++
    assert.isAbove(hits, 6_000)
  })

  it("returns evicted nodes, replaces a node, and rejects one beyond its capacity", () => {
    const kept = Eviction.make<Eviction.Node>(100, 10)
    const first = node("a", 4)
    assert.deepStrictEqual(kept.set(first), [])
    const second = node("a", 5)
    assert.deepStrictEqual(kept.set(second), [first])
    assert.strictEqual(kept.bytes(), 5)
    assert.deepStrictEqual(kept.set(node("b", 6)), [second])
    assert.deepStrictEqual(kept.set(node("c", 11)), [])
    assert.deepStrictEqual(keysOf(kept), ["b"])
    assert.isFalse(kept.remove(second))
    assert.isTrue(kept.remove(kept.get("b")!))
    assert.deepStrictEqual([kept.count(), kept.bytes()], [0, 0])
  })

  const seed = Math.floor(performance.timeOrigin) % 1_000_000
  it(`stays within its bounds under random operations: seed ${seed}`, () => {
    const generator = Generator.make(seed)
    const kept = Eviction.make<Eviction.Node>(20, 200)
    const model = new Map<string, Eviction.Node>()
    for (let i = 0; i < 20_000; i++) {
      const key = String(generator.int(60))
      if (generator.chance(0.4)) use(kept, key)
      else if (generator.chance(0.1)) {
        const found = model.get(key)
        assert.strictEqual(found !== undefined && kept.remove(found), found !== undefined)
        model.delete(key)
      } else {
        const added = node(key, generator.int(40) + 1)
        model.set(key, added)
        for (const gone of kept.set(added)) if (model.get(gone.key) === gone) model.delete(gone.key)
      }
      assert.isAtMost(kept.count(), 20)
      assert.isAtMost(kept.bytes(), 200)
      assert.strictEqual(kept.count(), model.size)
    }
    assert.deepStrictEqual(keysOf(kept), [...model.keys()].toSorted())
    assert.strictEqual(
      kept.bytes(),
      [...model.values()].reduce((sum, { size }) => sum + size, 0)
    )
  })
})
