import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Relevance from "../../src/memory/Relevance.ts"

const Ratio = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 }))

describe("Relevance", () => {
  it("looks for the words that say something, each once, the longest first", () => {
    assert.deepStrictEqual(Relevance.terms("Please fix THE payment-client, the payment client!"), [
      "payment",
      "client",
      "fix"
    ])
    assert.deepStrictEqual(Relevance.terms("what is it?"), [])
    assert.deepStrictEqual(Relevance.terms("größe ÜBER señor"), ["größe", "señor", "über"])
    assert.deepStrictEqual(Relevance.terms('"; DROP -- (x:*)'), ["drop", "x"])
  })

  it("bounds what it looks for, however long the query is", () => {
    const many = Relevance.terms(Array.from({ length: 5_000 }, (_, index) => `word${index}`).join(" "))
    assert.strictEqual(many.length, Relevance.maxTerms)
    assert.deepStrictEqual(Relevance.terms("x".repeat(100_000)), [])
    assert.strictEqual(Relevance.fragments("a b c d e").length, 3)
  })

  it("counts the terms that a content has at the beginning of a word, in any form", () => {
    assert.strictEqual(Relevance.matchedTerms("Testing the caches", ["tests", "cache", "retry"]), 2)
    assert.strictEqual(Relevance.matchedTerms("recache", ["cache"]), 0)
    assert.strictEqual(Relevance.matchedTerms("recache src/cache.ts", ["cache"]), 1)
    assert.strictEqual(Relevance.matchedTerms("", ["cache"]), 0)
  })

  it.prop(
    "scores from 0 to 1, and never lower for a better, newer or more important match",
    { coverage: Ratio, textRank: Ratio, importance: Ratio, days: Ratio },
    ({ coverage, days, importance, textRank }) => {
      const match = { coverage, textRank, importance, ageMs: days * 100 * 24 * 3_600_000 }
      const score = Relevance.score(match)
      assert.isAtLeast(score, 0)
      assert.isAtMost(score, 1 + 1e-9)
      assert.isAtLeast(Relevance.score({ ...match, coverage: 1 }), score)
      assert.isAtLeast(Relevance.score({ ...match, textRank: 1 }), score)
      assert.isAtLeast(Relevance.score({ ...match, importance: 1 }), score)
      assert.isAtLeast(Relevance.score({ ...match, ageMs: 0 }), score)
    }
  )
})
