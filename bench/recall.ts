/**
 * Recall: what hooks inject and what searches find, on labelled session histories and on public retrieval sets.
 *
 * Options: `--half tuning` or `--half validation`, `--history NAME`, `--verbose` for the misses with their texts. The
 * variable `ATHENA_RECALL_SETS` names the folder of the public sets.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as PostgresServer from "./PostgresServer.ts"
import * as Databases from "./recall/databases.ts"
import * as History from "./recall/History.ts"
import * as Measurement from "./recall/Measurement.ts"
import * as PublicSearch from "./recall/publicSearch.ts"
import * as PublicSets from "./recall/publicSets.ts"
import * as Report from "./recall/Report.ts"
import type * as Row from "./Row.ts"

export interface Options {
  readonly half?: string | undefined
  readonly history?: string | undefined
  readonly verbose?: boolean | undefined
}

const isSelected =
  ({ half, history }: Options) =>
  (labelled: History.Labelled) =>
    (half === undefined || labelled.half === half) && (history === undefined || labelled.file.includes(history))

/** Measures each history in a database of its own. */
const measureHistories = async (
  root: string,
  histories: ReadonlyArray<History.Labelled>,
  databases: Databases.Databases
) => {
  const folder = path.join(root, databases.name)
  const outcomes: Array<Measurement.Outcome> = []
  for (const { history } of histories)
    outcomes.push(await Effect.runPromise(Effect.provide(Measurement.measure(folder, history), databases.memory)))
  return outcomes
}

const histories = async function* (
  root: string,
  options: Options,
  databases: ReadonlyArray<Databases.Databases>
): AsyncGenerator<Row.Row> {
  const all = await Effect.runPromise(Effect.provide(History.load, NodeServices.layer))
  const selected = all.filter(isSelected(options))
  if (selected.length === 0) throw new Error("no history has this half and this name")
  for (const half of ["tuning", "validation"] as const) {
    const ofHalf = selected.filter((labelled) => labelled.half === half)
    if (ofHalf.length === 0) continue
    for (const database of databases) {
      const outcomes = await measureHistories(root, ofHalf, database)
      if (options.verbose === true) for (const line of outcomes.flatMap(Report.misses)) console.error(line)
      yield* Report.histories(`${half}, ${database.name}`, outcomes)
    }
  }
}

const publicSets = async function* (databases: ReadonlyArray<Databases.Databases>): AsyncGenerator<Row.Row> {
  const folder = process.env["ATHENA_RECALL_SETS"]
  if (folder === undefined) {
    console.error("recall: ATHENA_RECALL_SETS is not set, so the public sets are skipped")
    return
  }
  for (const set of PublicSets.load(folder)) {
    const scores: Array<PublicSearch.SearchScores> = []
    for (const { memory, name } of databases) {
      const measured = await Effect.runPromise(Effect.provide(PublicSearch.measure(set), memory))
      scores.push(measured)
      yield* Report.publicSet(`${set.name}, ${name}`, set.name, measured)
    }
    const [sqlite, postgres] = scores
    if (sqlite !== undefined && postgres !== undefined) yield Report.difference(set.name, sqlite, postgres)
  }
}

export default async function* (options: Options = {}): AsyncGenerator<Row.Row> {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), "dev-"))
  const server = await PostgresServer.start()
  const databases = [Databases.sqlite(root), Databases.postgres(server)]
  try {
    yield* histories(root, options, databases)
    yield* publicSets(databases)
  } finally {
    await server.stop()
    fs.rmSync(root, { recursive: true, force: true })
  }
}
