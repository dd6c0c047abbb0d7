import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Databases from "../../bench/recall/databases.ts"
import * as History from "../../bench/recall/History.ts"
import * as Measurement from "../../bench/recall/Measurement.ts"
import * as Report from "../../bench/recall/Report.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const exchange = (id: string, at: string, prompt: string, response: string) => ({
  id,
  at,
  prompt,
  tools: [
    { name: "Bash", input: { command: "npm test" }, outcome: "failed", output: `${id} broke` },
    { name: "Edit", input: { file_path: "src/lock.ts" }, outcome: "ok", output: "updated" },
    { name: "Bash", input: { command: "rm -rf data" }, outcome: "denied", output: "denied" }
  ],
  filesChanged: ["src/lock.ts"],
  response
})

const history = Schema.decodeUnknownSync(History.History)({
  project: "shop",
  description: "a shop",
  language: "en",
  now: "2026-03-10T09:00:00.000Z",
  sessions: [
    {
      id: "s1",
      startedAt: "2026-03-01T09:00:00.000Z",
      exchanges: [
        exchange("e0", "2026-03-01T09:01:00.000Z", "zanzibar payment lock", "The zanzibar payment lock is a table."),
        exchange(
          "e1",
          "2026-03-01T09:02:00.000Z",
          "why does the zanzibar payment lock deadlock",
          "The zanzibar payment lock deadlocks because both workers order the rows differently."
        )
      ],
      notes: [{ id: "n1", at: "2026-03-01T09:05:00.000Z", text: "Releases happen on Tuesdays" }],
      goals: [{ id: "g1", at: "2026-03-01T09:06:00.000Z", status: "active", title: "Move to Valkey" }]
    },
    {
      id: "s2",
      startedAt: "2026-03-09T09:00:00.000Z",
      exchanges: [exchange("c1", "2026-03-09T09:01:00.000Z", "bump the version", "The version is 2.")]
    }
  ],
  prompts: [
    {
      text: "zanzibar payment lock deadlocks again",
      kind: "why",
      relevant: ["e1"],
      must: ["order the rows differently"]
    },
    { text: "quokka xylophone", kind: "new-topic", relevant: [], must: [] }
  ],
  start: [
    { kind: "goal", any: ["Move to Valkey"] },
    { kind: "note", any: ["of no session"] }
  ],
  superseded: ["e0"]
})

const measured = Effect.gen(function* () {
  const folder = yield* TempFolder.make
  return yield* Effect.provide(Measurement.measure(folder, history), Databases.sqlite(folder).memory)
})

describe("Measurement", () => {
  it.effect("assigns injected passages to the memories of the history, and compares the labels with the texts", () =>
    Effect.gen(function* () {
      const { prompts } = yield* measured
      const [relevant, silent] = prompts
      assert.include(relevant?.context, "order the rows differently")
      assert.isTrue(relevant?.isCovered)
      assert.isTrue(relevant?.isFound)
      assert.include(relevant?.passages, "e1")
      assert.strictEqual(relevant?.superseded, relevant?.passages.filter((id) => id === "e0").length)
      assert.strictEqual(silent?.context, "")
      assert.deepStrictEqual(silent?.passages, [])
      assert.isFalse(silent?.isFound)
    })
  )

  it.effect("measures a session start before and after the chores, with the missing facts", () =>
    Effect.gen(function* () {
      const { startAfterChores, startBeforeChores } = yield* measured
      for (const { facts, missing } of [startBeforeChores, startAfterChores]) {
        assert.strictEqual(facts, 2)
        assert.deepStrictEqual(
          missing.map(({ any }) => any[0]),
          ["of no session"]
        )
      }
      assert.notInclude(startBeforeChores.context, "The version is 2.")
      assert.include(startBeforeChores.context, "2026-03-01")
    })
  )

  it("reports shares of prompts, passages and facts, and the misses", () => {
    const [positive, negative] = history.prompts
    const prompt = { context: "", passages: [], superseded: 0, isCovered: false, isFound: false, latency: 10 }
    const start = { facts: 2, missing: history.start.slice(0, 1), context: "" }
    const outcome: Measurement.Outcome = {
      history,
      prompts: [
        {
          ...prompt,
          prompt: positive!,
          context: "text",
          passages: ["e1", "c1", undefined],
          superseded: 1,
          isCovered: true
        },
        { ...prompt, prompt: positive!, isFound: true, latency: 30 },
        { ...prompt, prompt: negative!, context: "text", passages: ["e1"], latency: 50 },
        { ...prompt, prompt: negative!, latency: 130 }
      ],
      startBeforeChores: start,
      startAfterChores: { ...start, missing: history.start }
    }
    const rows = Report.histories("half", [outcome])
    assert.deepStrictEqual(
      rows.map(({ ours, rival }) => [ours, rival]),
      [
        [1, 2],
        [1, 4],
        [1, 2],
        [1, 4],
        [1, 2],
        [1, 2],
        [0, 2],
        [40, 100],
        [130, 100]
      ]
    )
    assert.strictEqual(Report.misses(outcome).length, 5)
  })
})
