import { assert, layer } from "@effect/vitest"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as History from "../../bench/recall/History.ts"

/** The length of a matching passage: a prompt's strings fit into one. */
const passage = 420

const millis = DateTime.toEpochMillis

const count = <A>(items: ReadonlyArray<A>, predicate: (item: A) => boolean) => items.filter(predicate).length

const isSilent = ({ kind }: History.Prompt) => History.silentKinds.some((silent) => silent === kind)

const duplicates = (ids: ReadonlyArray<string>) => ids.filter((id, index) => ids.indexOf(id) !== index)

const idsOf = ({ sessions }: History.History) =>
  sessions.flatMap(({ compactions, exchanges, goals, id, notes }) => [
    id,
    ...[...exchanges, ...compactions, ...notes, ...goals].map((memory) => memory.id)
  ])

/** Whether one passage of the text contains all strings. */
const fits = (text: string, strings: ReadonlyArray<string>) => {
  const starts = strings.map((string) => text.indexOf(string))
  const ends = strings.map((string, index) => (starts[index] ?? 0) + string.length)
  return !starts.includes(-1) && Math.max(...ends) - Math.min(...starts) <= passage
}

layer(NodeServices.layer)("histories", (it) => {
  it.effect("has as many histories, prompts and facts in each half as the bench promises", () =>
    Effect.gen(function* () {
      const all = yield* History.load
      for (const half of ["tuning", "validation"] as const) {
        const histories = all.filter((labelled) => labelled.half === half).map(({ history }) => history)
        const prompts = histories.flatMap((history) => history.prompts)
        assert.isAtLeast(histories.length, 8)
        assert.isAtLeast(
          count(histories, ({ language }) => language === "en"),
          4
        )
        assert.isAtLeast(new Set(histories.map(({ language }) => language)).size, 4)
        assert.isAtLeast(
          count(prompts, ({ relevant }) => relevant.length > 0),
          85
        )
        assert.isAtLeast(count(prompts, isSilent), 90)
        assert.isAtLeast(histories.flatMap(({ start }) => start).length, 50)
      }
    })
  )

  it.effect("uses each id once and labels only ids that exist", () =>
    Effect.gen(function* () {
      for (const { file, history } of yield* History.load) {
        const ids = idsOf(history)
        assert.deepStrictEqual(duplicates(ids), [], file)
        const labelled = [...history.superseded, ...history.prompts.flatMap(({ relevant }) => relevant)]
        assert.deepStrictEqual(
          labelled.filter((id) => !ids.includes(id)),
          [],
          file
        )
        for (const { relevant, text } of history.prompts)
          assert.isFalse(
            relevant.some((id) => history.superseded.includes(id)),
            `${file}: ${text}`
          )
      }
    })
  )

  it.effect("has in each relevant memory one passage with every required string, and none in the prompt", () =>
    Effect.gen(function* () {
      for (const { file, history } of yield* History.load) {
        const texts = History.textsById(history)
        for (const { must, relevant, text } of history.prompts)
          for (const id of relevant) {
            assert.isTrue(texts.get(id)?.some((memory) => fits(memory, must)) ?? false, `${file}: ${id} for ${text}`)
            assert.deepStrictEqual(
              must.filter((string) => text.includes(string)),
              [],
              `${file}: ${text}`
            )
          }
      }
    })
  )

  it.effect("requires strings exactly of the prompts that have a relevant memory", () =>
    Effect.gen(function* () {
      for (const { file, history } of yield* History.load)
        for (const prompt of history.prompts) {
          assert.strictEqual(prompt.relevant.length > 0, !isSilent(prompt), `${file}: ${prompt.text}`)
          assert.strictEqual(prompt.must.length > 0, !isSilent(prompt), `${file}: ${prompt.text}`)
        }
    })
  )

  it.effect("labels facts of a session start that occur in the history", () =>
    Effect.gen(function* () {
      for (const { file, history } of yield* History.load) {
        const texts = [...History.textsById(history).values()].flat()
        for (const { any } of history.start)
          for (const string of any)
            assert.isTrue(
              texts.some((text) => text.includes(string)),
              `${file}: ${string}`
            )
      }
    })
  )

  it.effect("orders sessions and exchanges by time, all before the labelled prompts", () =>
    Effect.gen(function* () {
      for (const { file, history } of yield* History.load) {
        const times = history.sessions.flatMap(({ exchanges, startedAt }) => [
          millis(startedAt),
          ...exchanges.map(({ at }) => millis(at))
        ])
        const sorted = times.toSorted((a, b) => a - b)
        assert.deepStrictEqual(times, sorted, file)
        assert.isBelow(sorted.at(-1) ?? 0, millis(history.now), file)
      }
    })
  )
})
