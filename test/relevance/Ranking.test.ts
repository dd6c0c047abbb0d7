import { assert, describe, it } from "@effect/vitest"
import * as Analyzer from "../../src/relevance/Analyzer.ts"
import * as Bm25 from "../../src/relevance/Bm25.ts"
import * as Feedback from "../../src/relevance/Feedback.ts"
import * as Gate from "../../src/relevance/Gate.ts"
import * as Passage from "../../src/relevance/Passage.ts"
import * as Rarity from "../../src/relevance/Rarity.ts"

const document = (text: string) => Bm25.document(Analyzer.frequencies(text))

describe("Bm25", () => {
  it("ranks rare terms, repetitions and short documents higher", () => {
    const query = new Map([
      ["lock", Bm25.idf(100, 2)],
      ["cach", Bm25.idf(100, 50)]
    ])
    const score = (text: string) => Bm25.score(query, document(text), 4)
    assert.isAbove(score("the lock is held"), score("the cache is cold"))
    assert.isAbove(score("lock lock is held"), score("the lock is held"))
    assert.isAbove(score("the lock is held"), score("the lock is held by a process of another host"))
    assert.strictEqual(score("nothing of it"), 0)
    assert.isAtLeast(Bm25.idf(10, 10), 0)
  })
})

describe("Feedback", () => {
  it("adds what the best documents share, and retains the sum of the weights", () => {
    const best = ["lock mutex", "lock mutex deadlock"].map((text) => ({ ...document(text), score: 1 }))
    const query = new Map([["lock", 2]])
    const expanded = Feedback.expand(query, best, () => 1)
    assert.isAbove(expanded.get("mutex")!, expanded.get("deadlock")!)
    assert.closeTo(
      [...expanded.values()].reduce((a, b) => a + b, 0),
      2,
      1e-9
    )
    assert.deepStrictEqual(
      Feedback.expand(query, best, () => 0),
      query
    )
    assert.deepStrictEqual(
      Feedback.expand(query, [], () => 1),
      query
    )
  })
})

describe("Passage", () => {
  const filler = "Nothing of interest happens in this sentence. ".repeat(20)

  it("finds the sentences with the rare terms in a long text", () => {
    const text = `${filler}The lock is acquired twice by the retry job. ${filler}`
    const { score, text: passage } = Passage.find(text, new Map([["lock", 3]]))
    assert.include(passage, "The lock is acquired twice by the retry job.")
    assert.isAtMost(passage.length, Passage.defaultLength)
    assert.isTrue(passage.startsWith("…") && passage.endsWith("…"))
    assert.isAbove(score, 0)
  })

  it("returns a short text whole and the beginning of a text without the terms", () => {
    assert.strictEqual(Passage.find(" short ", new Map([["lock", 1]])).text, "short")
    assert.isTrue(Passage.find(filler, new Map([["lock", 1]])).text.startsWith("Nothing"))
  })

  it("limits a text without any bound, never inside a character", () => {
    for (const text of ["\u{1F600}".repeat(1_000), "x".repeat(5_000), "a".repeat(300).concat("\n").repeat(9)]) {
      const { text: passage } = Passage.find(text, new Map([["lock", 1]]))
      assert.isAtMost(passage.length, Passage.defaultLength)
      assert.isTrue(passage.isWellFormed())
    }
  })
})

describe("Rarity", () => {
  it("takes short words for frequent in a small collection, and counts in a large one", () => {
    assert.isBelow(Rarity.idf("the", 2, 1), Rarity.idf("staging", 2, 1))
    assert.isBelow(Rarity.idf("staging", 100_000, 90_000), Rarity.idf("db", 100_000, 5))
  })
})

describe("Gate", () => {
  const clear = { score: 0.4, rarity: 0.8, coverage: 0.7, matchedTerms: 5 }

  it("injects a result that shares rare terms and leads the others", () => {
    const [first, second] = Gate.decide([clear, { score: 0.1, rarity: 0.2, coverage: 0.1, matchedTerms: 2 }])
    assert.isTrue(first!.inject)
    assert.isFalse(second!.inject)
  })

  it("injects nothing for a prompt that many results repeat, or that shares frequent terms only", () => {
    const chores = Array.from({ length: 10 }, () => ({ score: 0.7, rarity: 0.5, coverage: 1, matchedTerms: 2 }))
    assert.isFalse(Gate.decide(chores).some(({ inject }) => inject))
    assert.isFalse(Gate.decide([{ score: 0.2, rarity: 0.2, coverage: 0.3, matchedTerms: 3 }])[0]!.inject)
    assert.deepStrictEqual(Gate.decide([]), [])
  })
})
