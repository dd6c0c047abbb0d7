import { assert, describe, it } from "@effect/vitest"
import * as Histogram from "../../src/profiler/internal/histogram.ts"
import * as Generator from "../utils/Generator.ts"

const quantiles = [0.5, 0.9, 0.95, 0.99]

/** The bound of the error between a bucket's middle and any value in it. */
const bound = 1 / 64 + 1e-12

const of = (values: ReadonlyArray<number>): Histogram.Histogram => {
  const histogram = Histogram.make()
  for (const value of values) Histogram.record(histogram, value)
  return histogram
}

const exact = (values: ReadonlyArray<number>, quantile: number): number =>
  values.toSorted((a, b) => a - b)[Math.ceil(quantile * values.length) - 1]!

/** Values as operations take them: near each other, over many powers of ten, in two heaps, all alike. */
const shapes: Readonly<Record<string, (random: () => number) => number>> = {
  uniform: (random) => random() * 100,
  "log-normal": (random) => Math.exp(2 * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())),
  "from nanoseconds to years": (random) => 10 ** (random() * 16 - 6),
  "two heaps": (random) => (random() < 0.9 ? 0.01 + random() * 0.001 : 900 + random()),
  constant: () => 7.3,
  "powers of two": (random) => 2 ** Math.floor(random() * 40 - 10)
}

describe("the profiler's histogram", () => {
  it.each(Object.keys(shapes))("has a percentile error of at most 1.6 %%: %s", (name) => {
    const seed = Date.now() % 2 ** 32
    const random = Generator.make(seed).number
    for (let round = 0; round < 20; round++) {
      const values = Array.from({ length: 300 + Math.floor(random() * 3_000) }, () => shapes[name]!(random))
      const histogram = of(values)
      for (const quantile of quantiles) {
        const expected = exact(values, quantile)
        const found = Histogram.percentile(histogram, quantile)!
        assert.isAtMost(Math.abs(found - expected) / expected, bound, `seed ${seed}, p${quantile * 100}`)
      }
      assert.strictEqual(histogram.count, values.length)
      assert.strictEqual(histogram.max, Math.max(...values))
      assert.strictEqual(histogram.min, Math.min(...values))
      assert.strictEqual(
        histogram.sum,
        values.reduce((sum, value) => sum + value, 0)
      )
    }
  })

  it("merges exactly in any order", () => {
    const seed = Date.now() % 2 ** 32
    const random = Generator.make(seed).number
    const parts = Array.from({ length: 8 }, (_, part) =>
      Array.from({ length: part * 50 }, () => 10 ** (random() * 12 - 5) * (random() < 0.05 ? 0 : 1))
    )
    const forwards = Histogram.make()
    const backwards = Histogram.make()
    for (const part of parts) Histogram.merge(forwards, Histogram.encode(of(part)))
    for (const part of parts.toReversed()) Histogram.merge(backwards, Histogram.encode(of(part)))
    const whole = Histogram.encode(of(parts.flat()))
    for (const merged of [forwards, backwards].map(Histogram.encode)) {
      assert.deepStrictEqual({ ...merged, sum: 0 }, { ...whole, sum: 0 }, `seed ${seed}`)
      assert.closeTo(merged.sum, whole.sum, whole.sum * 1e-12)
    }
  })

  it("survives encoding and decoding", () => {
    const histogram = of([0, 0.001, 3, 3, 3e9])
    const written = JSON.parse(JSON.stringify(Histogram.encode(histogram))) as Histogram.Encoded
    assert.deepStrictEqual(Histogram.encode(Histogram.decode(written)), Histogram.encode(histogram))
    assert.deepStrictEqual(Histogram.encode(Histogram.decode(Histogram.encode(Histogram.make()))).buckets, [])
  })

  it("returns no percentile for too few values", () => {
    assert.deepStrictEqual(quantiles.map(Histogram.needed), [6, 30, 60, 300])
    for (const quantile of quantiles) {
      const values = Array.from({ length: Histogram.needed(quantile) }, (_, i) => i + 1)
      assert.isUndefined(Histogram.percentile(of(values.slice(1)), quantile))
      assert.isDefined(Histogram.percentile(of(values), quantile))
    }
  })

  it("accepts any number within bounded memory", () => {
    const histogram = of([0, -5, Number.NaN, Infinity, Number.MAX_VALUE, Number.MIN_VALUE, 1e-300, 1e300, 1])
    assert.strictEqual(histogram.count, 9)
    assert.strictEqual(histogram.zeros, 5)
    assert.strictEqual(histogram.max, 2 ** 44)
    assert.isTrue(Number.isFinite(histogram.sum))
    assert.isAtMost(histogram.buckets.byteLength, 16 * 1024)
    assert.strictEqual(Histogram.estimate(histogram, 0.5), 0)
  })

  it("counts values up to a bound", () => {
    const histogram = of([0, 1, 2, 3, 100, 1000])
    assert.deepStrictEqual(Histogram.cumulative(histogram, [0.5, 10, 500, 1000, Infinity]), [1, 4, 5, 6, 6])
  })
})
