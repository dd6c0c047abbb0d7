/**
 * Rows and misses of measured histories and public sets. A row divides a count by the count of all, so that its ratio is
 * the share.
 */
import * as Row from "../Row.ts"
import type * as Measurement from "./Measurement.ts"
import type { SearchScores } from "./publicSearch.ts"
import * as Scores from "./Scores.ts"

const bench = "recall"

const count = <A>(items: ReadonlyArray<A>, predicate: (item: A) => boolean) => items.filter(predicate).length

const sum = (values: ReadonlyArray<number>) => values.reduce((total, value) => total + value, 0)

const isPositive = ({ prompt }: Measurement.PromptOutcome) => prompt.relevant.length > 0

/** A row of a part and the whole; nothing of nothing reaches no minimum. */
const share = (row: string, part: number, whole: number, target?: Row.Target, unit = ""): Row.Row =>
  Row.make({ bench, row, ours: [part], rival: [whole], unit, ...(target === undefined ? {} : { target }) })

/** The rows of some histories. */
export const histories = (label: string, outcomes: ReadonlyArray<Measurement.Outcome>): ReadonlyArray<Row.Row> => {
  const prompts = outcomes.flatMap((outcome) => outcome.prompts)
  const positive = prompts.filter(isPositive)
  const negative = prompts.filter((prompt) => !isPositive(prompt))
  const passages = sum(prompts.map((prompt) => prompt.passages.length))
  const relevant = sum(prompts.map(relevantPassages))
  const superseded = sum(prompts.map((prompt) => prompt.superseded))
  const latencies = prompts.map(({ latency }) => latency)
  return [
    share(
      `${label}: covered prompts / with a memory`,
      count(positive, ({ isCovered }) => isCovered),
      positive.length,
      {
        atLeast: 0.75
      }
    ),
    share(`${label}: relevant passages / injected`, relevant, passages, { atLeast: 0.75 }),
    share(`${label}: injections / prompts without a memory`, count(negative, isInjected), negative.length, {
      atMost: 0.05
    }),
    share(`${label}: superseded passages / injected`, superseded, passages, { atMost: 0 }),
    share(
      `${label}: found by search, recall@5 / all`,
      count(positive, ({ isFound }) => isFound),
      positive.length
    ),
    start(
      `${label}: facts at a start before chores / all`,
      outcomes.map(({ startBeforeChores }) => startBeforeChores)
    ),
    start(
      `${label}: facts at a start after chores / all`,
      outcomes.map(({ startAfterChores }) => startAfterChores)
    ),
    share(`${label}: prompt hook, median / deadline`, Row.median(latencies), deadline, { atMost: 1 }, "ms"),
    share(`${label}: prompt hook, p95 / deadline`, Scores.quantile(latencies, 0.95), deadline, { atMost: 1 }, "ms")
  ]
}

/** The daemon's deadline of a prompt, in milliseconds. */
const deadline = 100

const isInjected = ({ context }: Measurement.PromptOutcome) => context !== ""

const relevantPassages = ({ passages, prompt }: Measurement.PromptOutcome) =>
  count(passages, (id) => id !== undefined && prompt.relevant.includes(id))

const start = (row: string, starts: ReadonlyArray<Measurement.StartOutcome>) => {
  const facts = sum(starts.map((one) => one.facts))
  return share(row, facts - sum(starts.map(({ missing }) => missing.length)), facts, { atLeast: 0.85 })
}

/** A paragraph for each prompt and each start that misses its labels. */
export const misses = ({ history, prompts, startAfterChores, startBeforeChores }: Measurement.Outcome) => [
  ...prompts
    .filter((prompt) => !isCorrect(prompt))
    .map(({ context, passages, prompt }) =>
      [
        `${history.project}, ${prompt.kind}: ${prompt.text.slice(0, 300)}`,
        `  relevant: ${prompt.relevant.join(", ") || "none"}; required: ${prompt.must.join(" | ") || "nothing"}`,
        `  injected: ${passages.map(String).join(", ") || "none"}`,
        context
      ].join("\n")
    ),
  ...Object.entries({ "before chores": startBeforeChores, "after chores": startAfterChores })
    .filter(([, { missing }]) => missing.length > 0)
    .map(([when, { context, missing }]) =>
      [
        `${history.project}, session start ${when}, missing:`,
        ...missing.map(({ any, kind }) => `  ${kind}: ${any.join(" | ")}`),
        context
      ].join("\n")
    )
]

const isCorrect = (outcome: Measurement.PromptOutcome) =>
  isPositive(outcome)
    ? outcome.isCovered && relevantPassages(outcome) === outcome.passages.length
    : !isInjected(outcome)

/** The least nDCG@10 of each public set. */
const targets: Readonly<Record<string, number>> = { Cranfield: 0.38, CISI: 0.37, CoSQA: 0.38 }

/** The rows of a public set on one database. */
export const publicSet = (label: string, set: string, scores: SearchScores): ReadonlyArray<Row.Row> => [
  share(`${label}: nDCG@10 / target`, scores.ndcg10, targets[set] ?? 1, { atLeast: 1 }),
  share(`${label}: recall@5 / 1`, scores.recall5, 1),
  share(`${label}: recall@10 / 1`, scores.recall10, 1),
  share(
    `${label}: search, p95 / median`,
    Scores.quantile(scores.latencies, 0.95),
    Row.median(scores.latencies),
    undefined,
    "ms"
  )
]

/** Both databases rank alike. */
export const difference = (set: string, sqlite: SearchScores, postgres: SearchScores): Row.Row =>
  share(`${set}: difference of nDCG@10 / limit`, Math.abs(sqlite.ndcg10 - postgres.ndcg10), 0.01, { atMost: 1 })
