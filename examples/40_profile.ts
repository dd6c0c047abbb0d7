/**
 * @title Profiling an unchanged program
 *
 * Three pages are rendered concurrently: each queries the database and computes. They share one thread, and the report
 * separates each page's CPU time from its waits, lists its statements, and marks those that one batched statement could
 * replace.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import * as ProfileText from "athena-hooks/profiler/ProfileText"
import * as Profiler from "athena-hooks/profiler/Profiler"
import * as Sqlite from "athena-hooks/sql/Sqlite"

const work = (items: number) =>
  Effect.sync(
    () => JSON.stringify(Array.from({ length: items * 2_000 }, (_, id) => ({ id, name: `item ${id}` }))).length
  )

/** The program has spans, as for any tracer, and no reference to the profiler. */
const page = (name: string, items: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    for (let id = 0; id < items; id++) yield* sql`SELECT name FROM items WHERE id = ${id}`
    yield* Effect.sleep("20 millis")
    yield* work(items)
  }).pipe(Effect.withSpan(`page ${name}`))

const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)`
  yield* Effect.all([page("small", 2), page("middle", 12), page("large", 30)], { concurrency: "unbounded" })
  yield* Console.log(ProfileText.format(yield* Profiler.report, { colors: process.stdout.isTTY }))
})

const Profiled = Profiler.layerTracer.pipe(
  Layer.provideMerge(Sqlite.layer({ filename: ":memory:" })),
  Layer.provideMerge(Profiler.layer({ level: "deep" }))
)

program.pipe(Effect.provide(Profiled), NodeRuntime.runMain)
