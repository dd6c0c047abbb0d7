import { assert, describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import * as ContextText from "../../src/hooks/ContextText.ts"

const Sections = Schema.Array(Schema.Struct({ title: Schema.NonEmptyString, lines: Schema.Array(Schema.String) }))

describe("ContextText", () => {
  it("renders a memory and a goal as one line each", () => {
    assert.strictEqual(
      ContextText.memoryLine({
        type: "user_question",
        content: "  two\n lines\t here ",
        timestamp: DateTime.makeUnsafe("2026-11-22T14:03:59Z")
      }),
      "- 2026-11-22 14:03 asked: two lines here"
    )
    assert.strictEqual(
      ContextText.goalLine({ id: 1, title: "Ship\nit", status: "in_progress", priority: 9 }),
      "- Ship it (in progress, priority 9 of 10)"
    )
  })

  it("uses whole lines up to the budget and counts them", () => {
    const lines = ["- aaaa", "- bbbb", "- cccc"]
    const { text, used } = ContextText.fit(
      [
        { title: "One:", lines },
        { title: "Two:", lines: ["- x"] }
      ],
      8
    )
    assert.strictEqual(text, "One:\n- aaaa\n- bbbb\n- cccc\n\nTwo:\n- x".slice(0, text.length))
    assert.isAtMost(text.length, 32)
    assert.deepStrictEqual(used, [3, 0])
  })

  it("omits a section without lines", () => {
    assert.deepStrictEqual(
      ContextText.fit(
        [
          { title: "One:", lines: [] },
          { title: "Two:", lines: ["- x"] }
        ],
        100
      ),
      {
        text: "Two:\n- x",
        used: [0, 1]
      }
    )
    assert.deepStrictEqual(ContextText.fit([], 100), { text: "", used: [] })
  })

  it.prop(
    "exceeds neither the budget nor the maximum of agents",
    { sections: Sections, tokens: Schema.Natural },
    ({ sections, tokens }) => {
      const { text, used } = ContextText.fit(sections, tokens)
      assert.isAtMost(text.length, Math.min(tokens * 4, 10_000))
      assert.strictEqual(used.length, sections.length)
    }
  )

  it("has at most 10,000 units for any budget", () => {
    const { text } = ContextText.fit([{ title: "All:", lines: Array.from({ length: 500 }, () => "x".repeat(99)) }], 1e9)
    assert.isAtMost(text.length, ContextText.maxLength)
    assert.isAbove(text.length, ContextText.maxLength - 101)
  })
})
