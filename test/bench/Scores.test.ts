import { assert, describe, it } from "@effect/vitest"
import * as Scores from "../../bench/recall/Scores.ts"

describe("Scores", () => {
  const relevant = new Set(["a", "b", "c"])

  it("divides the discounted gain by that of an ideal ranking", () => {
    // Ranks 1 and 3 of five: (1 + 1/2) / (1 + 1/log2(3) + 1/2).
    assert.closeTo(Scores.ndcg(["a", "x", "b", "y", "z"], relevant, 10), 0.7039180890341347, 1e-12)
    assert.strictEqual(Scores.ndcg(["c", "a", "b"], relevant, 10), 1)
    assert.strictEqual(Scores.ndcg(["x", "y"], relevant, 10), 0)
  })

  it("limits the gain and the ideal gain to the depth", () => {
    // Rank 2 of two: (1/log2(3)) / (1 + 1/log2(3)).
    assert.closeTo(Scores.ndcg(["x", "a", "b"], relevant, 2), 0.38685280723454163, 1e-12)
    assert.strictEqual(Scores.ndcg(["a", "b"], relevant, 2), 1)
  })

  it("counts a repeated document once", () => {
    assert.closeTo(Scores.ndcg(["a", "a", "a"], relevant, 10), 0.46927872602275644, 1e-12)
    assert.closeTo(Scores.recall(["a", "a"], relevant, 5), 1 / 3, 1e-12)
  })

  it("measures recall among the first documents", () => {
    assert.closeTo(Scores.recall(["x", "a", "b"], relevant, 2), 1 / 3, 1e-12)
    assert.closeTo(Scores.recall(["x", "a", "b"], relevant, 3), 2 / 3, 1e-12)
  })

  it("scores 0 without relevant documents", () => {
    assert.strictEqual(Scores.ndcg(["a"], new Set(), 10), 0)
    assert.strictEqual(Scores.recall(["a"], new Set(), 10), 0)
  })

  it("takes quantiles by nearest rank", () => {
    const values = Array.from({ length: 20 }, (_, index) => 20 - index)
    assert.strictEqual(Scores.quantile(values, 0.95), 19)
    assert.strictEqual(Scores.quantile(values, 1), 20)
    assert.strictEqual(Scores.quantile([7], 0.5), 7)
    assert.isNaN(Scores.quantile([], 0.5))
  })

  it("takes the mean of no values as 0", () => {
    assert.strictEqual(Scores.mean([1, 2, 6]), 3)
    assert.strictEqual(Scores.mean([]), 0)
  })
})
