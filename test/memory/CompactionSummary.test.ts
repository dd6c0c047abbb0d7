import { assert, describe, it } from "@effect/vitest"
import * as CompactionSummary from "../../src/memory/CompactionSummary.ts"

const body = `1. Primary Request and Intent:
   The user wants trailing commas in lists.

2. Key Technical Concepts:
   - recursive descent

3. Files and Code Sections:
   - src/parser.ts
     \`\`\`ts
     // 7. Pending Tasks:
     parse()
     \`\`\`

4. Errors and fixes:
   - Off by one:
     1. Read it again
     2. Current work on it is done

5. Problem Solving:
   Solved.

6. All user messages:
   - "Pending Tasks: none yet"
   - "4. Errors and fixes: which?"

7. Pending Tasks:
   - Ship it

8. Current Work:
   The formatter.

9. Optional Next Step:
   Run the tests.`

const raw = `<analysis>
Let me go through it. 1. Primary Request and Intent: not this one.
The format is <analysis> and then a summary.
</analysis>

<summary>
${body}
</summary>
`

describe("CompactionSummary", () => {
  it("cuts the analysis and reads the nine sections", () => {
    const { preamble, sections, text } = CompactionSummary.parse(raw)
    assert.strictEqual(text, body)
    assert.strictEqual(preamble, "")
    assert.deepStrictEqual(Object.keys(sections), [
      "request",
      "concepts",
      "files",
      "errors",
      "problemSolving",
      "userMessages",
      "pendingTasks",
      "currentWork",
      "nextStep"
    ])
    assert.strictEqual(sections.request, "The user wants trailing commas in lists.")
    assert.include(sections.files, "// 7. Pending Tasks:\n     parse()")
    assert.include(sections.errors, "2. Current work on it is done")
    assert.include(sections.userMessages, "4. Errors and fixes: which?")
    assert.strictEqual(sections.pendingTasks, "- Ship it")
    assert.strictEqual(sections.nextStep, "Run the tests.")
  })

  it("gives the same summary for what it gave", () => {
    const once = CompactionSummary.parse(raw)
    assert.deepStrictEqual(CompactionSummary.parse(once.text), once)
  })

  it.each([
    ["## 7. Pending Tasks\n- a", "- a"],
    ["**7. Pending Tasks:**\n- a", "- a"],
    ["7. **Pending Tasks**: a", "a"],
    ["7) pending tasks: a", "a"],
    ["Pending Task:\na", "a"]
  ])("reads the heading of %j", (text, section) => {
    assert.strictEqual(CompactionSummary.parse(text).sections.pendingTasks, section)
  })

  it("returns the whole text where the headings are not those", () => {
    for (const text of [
      "Just a few words.",
      "1. Ziel:\n   fertig werden\n2. Stand:\n   offen",
      "Current work is slow today"
    ]) {
      assert.deepStrictEqual(CompactionSummary.parse(`<summary>${text}</summary>`), {
        text,
        preamble: text,
        sections: {}
      })
      assert.deepStrictEqual(CompactionSummary.parse(text), { text, preamble: text, sections: {} })
    }
  })

  it("returns what stands before the first section and after the closing tag", () => {
    const { preamble, text } = CompactionSummary.parse("<summary>\nIn short.\n7. Pending Tasks:\na\n</summary>\nGo on.")
    assert.strictEqual(preamble, "In short.")
    assert.strictEqual(text, "In short.\n7. Pending Tasks:\na\nGo on.")
  })

  it("takes the state out of the tags of Qwen Code and Gemini CLI", () => {
    assert.strictEqual(
      CompactionSummary.parse("<state_snapshot>KESTREL-7 summary</state_snapshot>").text,
      "KESTREL-7 summary"
    )
  })

  it.each([
    ["<analysis>a<summary>b</summary>", "b"],
    ["<analysis>a</analysis>b", "b"],
    ["<analysis>a", "a"],
    ["<ANALYSIS>a</ANALYSIS><SUMMARY>b</SUMMARY>", "b"],
    ["<analysis>a</analysis><summary>b", "b"],
    [
      "<summary>we strip <analysis>x</analysis> and </summary> tags</summary>",
      "we strip <analysis>x</analysis> and </summary> tags"
    ],
    ["", ""],
    ["<analysis></analysis><summary></summary>", ""]
  ])("makes of %j %j", (text, summary) => {
    assert.strictEqual(CompactionSummary.parse(text).text, summary)
  })
})
