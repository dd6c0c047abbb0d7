/**
 * No output of the profiler holds a value that went through the program.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as ProfileExport from "../../src/profiler/ProfileExport.ts"
import * as ProfileHistory from "../../src/profiler/ProfileHistory.ts"
import * as ProfilePlans from "../../src/profiler/ProfilePlans.ts"
import * as ProfileReport from "../../src/profiler/ProfileReport.ts"
import * as ProfileText from "../../src/profiler/ProfileText.ts"
import * as Profiler from "../../src/profiler/Profiler.ts"
import * as Mutation from "../../src/query/Mutation.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const secret = "s3cr3t-9f8e7d6c"

const insert = Mutation.make({
  name: "tokens.insert",
  input: Schema.Struct({ token: Schema.String }),
  changes: () => [],
  run: Effect.fnUntraced(function* ({ token }) {
    const sql = yield* SqlClient.SqlClient
    yield* sql`INSERT INTO tokens VALUES (${token})`
    yield* sql.unsafe(`INSERT INTO tokens VALUES ('${token}')`)
    yield* sql.unsafe(`INSERT INTO tokens VALUES ('it''s ${token}'), ('${token} -- ') -- ${token}`)
  })
})

/** Puts the secret wherever a program may. */
const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const executor = yield* QueryExecutor.QueryExecutor
  yield* sql`CREATE TABLE tokens (token TEXT)`
  yield* executor.mutate(insert, { token: secret }).pipe(Effect.ignore)
  yield* sql`SELECT * FROM tokens WHERE token = ${secret} OR token = '${sql.literal(secret)}'`
  yield* sql.unsafe(`SELECT "${secret}" AS token /* ${secret} */`).pipe(Effect.ignore)
  yield* Effect.succeed(secret).pipe(
    Profiler.track("succeeds"),
    Effect.withSpan("span", { attributes: { token: secret, [secret]: 1 } })
  )
  yield* Effect.fail(secret).pipe(Profiler.track("fails"), Effect.ignore)
  yield* Effect.die(secret).pipe(Profiler.track("dies"), Effect.exit)
  yield* Effect.annotateCurrentSpan("token", secret).pipe(Effect.withSpan("annotated"))
})

describe("profiler output contains no value", () => {
  for (const level of ["wall", "standard", "deep"] as const) {
    it.live(level, () =>
      Effect.gen(function* () {
        const folder = yield* TempFolder.make
        const outputs = yield* Effect.gen(function* () {
          yield* program
          const report = yield* Profiler.report
          const history = yield* ProfileHistory.make({ folder })
          yield* history.record(report)
          return {
            json: yield* Schema.encodeEffect(ProfileReport.Json)(report),
            text: ProfileText.format(report, { top: 1_000, width: 10_000 }),
            prometheus: yield* ProfileExport.prometheus,
            folded: ProfileExport.folded(report),
            metrics: yield* Metric.dump,
            line: fs.readFileSync(path.join(folder, "profile.jsonl"), "utf8"),
            history: JSON.stringify(yield* history.read()),
            database: fs.readFileSync(path.join(folder, "profile.db"), "latin1")
          }
        }).pipe(
          Effect.provide(
            Layer.mergeAll(Profiler.layerTracer, Profiler.layerQueries, ProfilePlans.layer).pipe(
              Layer.provideMerge(QueryExecutor.layer),
              Layer.provideMerge(Sqlite.layer({ filename: ":memory:" })),
              Layer.provideMerge(Profiler.layer({ level, slowThreshold: 0 }))
            )
          )
        )
        for (const [name, output] of Object.entries(outputs)) assert.isFalse(output.includes("s3cr3t"), name)
        assert.include(outputs.text, "INSERT INTO tokens VALUES (?)")
        assert.include(outputs.text, "tokens.insert")
      })
    )
  }
})
