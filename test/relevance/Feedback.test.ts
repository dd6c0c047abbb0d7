/**
 * Pseudo-relevance feedback.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Feedback from "../../src/relevance/Feedback.ts"

const query = new Map([["lock", 2]])
const scored = (score: number, ...terms: ReadonlyArray<string>): Feedback.Scored<string> => ({
  frequencies: new Map(terms.map((term) => [term, 1])),
  length: terms.length,
  score
})

describe("Feedback.expand", () => {
  it("adds the terms of the best documents and retains the sum of the weights", () => {
    const extended = Feedback.expand(query, [scored(2, "lock", "gateway"), scored(1, "lock", "retry")], () => 1)
    assert.isAbove(extended.get("gateway")!, extended.get("retry")!)
    assert.isAbove(extended.get("lock")!, extended.get("gateway")!)
    assert.closeTo(
      [...extended.values()].reduce((sum, weight) => sum + weight, 0),
      2,
      1e-9
    )
  })

  it("retains the query if no document or no term has a weight", () => {
    assert.deepStrictEqual(
      Feedback.expand(query, [], () => 1),
      query
    )
    assert.deepStrictEqual(
      Feedback.expand(query, [scored(0, "lock")], () => 1),
      query
    )
    assert.deepStrictEqual(
      Feedback.expand(query, [scored(1, "lock", "gateway")], () => 0),
      query
    )
  })
})
