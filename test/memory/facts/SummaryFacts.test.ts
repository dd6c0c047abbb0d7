import { assert, describe, it } from "@effect/vitest"
import * as SummaryFacts from "../../../src/memory/facts/SummaryFacts.ts"
import { Session } from "./Session.ts"

const summary = (errors: string, pending: string) =>
  `1. Primary Request and Intent:\n   Ship it\n4. Errors and fixes:\n${errors}\n7. Pending Tasks:\n${pending}\n8. Current Work:\n   none`

const observed = (...contents: ReadonlyArray<string>) => {
  const session = new Session("s")
  for (const content of contents) session.add("compaction", content)
  return SummaryFacts.observe(session.events).map(({ kind, source, text }) => [kind, source, text])
}

describe("SummaryFacts", () => {
  it("takes errors with their fixes and pending tasks from the last summary", () => {
    assert.deepStrictEqual(
      observed(
        summary("   - an old error that is gone", "   - an old task"),
        summary(
          "   - **JPY** amounts were off:\n     divide before the sign is applied\n   - none",
          "   1. create the index\n   2) restart the backfill"
        )
      ),
      [
        ["fix", "summary", "JPY amounts were off: divide before the sign is applied"],
        ["task", "summary", "create the index"],
        ["task", "summary", "restart the backfill"]
      ]
    )
  })

  it("takes nothing from a summary without these sections, and from the beginning of a compaction", () => {
    assert.deepStrictEqual(observed("We talked about the parser."), [])
    assert.deepStrictEqual(observed("context is compacted (auto)"), [])
    assert.deepStrictEqual(observed(summary("   None.", "   - None at the moment")), [])
  })
})
