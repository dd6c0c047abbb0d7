/**
 * One process records a thousand events while the database is down; the next process stores them.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as EventRecorder from "../../events/EventRecorder.ts"
import { MemoryRecorder, placed, stamp } from "../../memory/MemoryRecorder.ts"
import * as Output from "../output.ts"
import * as QueryExecutor from "../../query/QueryExecutor.ts"

const total = 1_000
const sessionId = "demo-events"

const count = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ n: number }>`SELECT count(*) AS n FROM episodic_events WHERE session_id = ${sessionId}`
  return rows[0]!.n
})

/** Every second event waits for the spool. The others are only accepted; the recorder writes them before it closes. */
const record = (project: string) =>
  Effect.gen(function* () {
    const recorder = yield* MemoryRecorder
    const place = { project: { path: project, name: "shop" }, worktreePath: project }
    for (let n = 1; n <= total; n++) {
      const event = yield* stamp(placed({ sessionId, type: "note", content: `event ${n}`, place }))
      yield* recorder.record(event, { ack: n % 2 === 0 ? "spooled" : "accepted" })
    }
  })

/** Shows that accepted = spooled = stored, and returns whether this holds. The tables must exist. */
export const demonstrate = <E, R>(
  filename: string,
  project: string,
  database: Layer.Layer<SqlClient.SqlClient, SqlError | E, R>
) =>
  Effect.gen(function* () {
    const away = EventRecorder.layerSpool(MemoryRecorder, { filename })
    yield* Effect.provide(record(project), away)
    const { spooled } = yield* MemoryRecorder.use((recorder) => recorder.stats).pipe(Effect.provide(away))
    const stored = yield* Effect.gen(function* () {
      yield* MemoryRecorder.use((recorder) => recorder.flush({ timeout: "30 seconds" }))
      return yield* count
    }).pipe(
      Effect.provide(
        EventRecorder.layer(MemoryRecorder, { filename, drain: false }).pipe(
          Layer.provide(QueryExecutor.layer),
          Layer.provideMerge(database)
        )
      )
    )
    yield* Output.text("\nEvents while the database is away: one process records them, the next one stores them")
    yield* Output.text(`  ${total} accepted = ${spooled} spooled = ${stored} stored`)
    return spooled === total && stored === total
  })
