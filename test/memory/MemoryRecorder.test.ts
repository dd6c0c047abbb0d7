/**
 * The memory's events through a recorder, into either database.
 */
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as EventRecorder from "../../src/events/EventRecorder.ts"
import * as MemoryBridge from "../../src/memory/MemoryBridge.ts"
import * as MemoryEvent from "../../src/memory/MemoryEvent.ts"
import { PlainMemory } from "../utils/PlainMemory.ts"
import { MemoryRecorder, placed, stamp } from "../../src/memory/MemoryRecorder.ts"
import * as QueryExecutor from "../../src/query/QueryExecutor.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const inFolder = <A, E, R>(layer: (folder: string) => Layer.Layer<A, E, R>) =>
  Layer.unwrap(Effect.map(TempFolder.make, layer))

const spooled = inFolder((folder) =>
  EventRecorder.layer(MemoryRecorder, { filename: path.join(folder, "events.spool"), drain: false })
)
const sqlite = inFolder((folder) => Sqlite.layer({ filename: path.join(folder, "athena.db") }))

const over = <E>(
  recorder: Layer.Layer<MemoryRecorder, E, QueryExecutor.QueryExecutor>,
  database: Layer.Layer<SqlClient, SqlError>
) =>
  recorder.pipe(
    Layer.provide(QueryExecutor.layer),
    Layer.provideMerge(MemoryBridge.layerSql),
    Layer.provideMerge(database)
  )

const place = { project: { path: "/home/me/shop", name: "shop" }, worktreePath: "/home/me/shop/wt" }
const note = { type: "note", timestamp: undefined }

const layers = {
  "SQLite, spooled": over(spooled, sqlite),
  "SQLite, direct": over(EventRecorder.layerDirect(MemoryRecorder), sqlite),
  "Postgres, spooled": over(spooled, Postgres.layerFresh)
}

for (const [name, layer] of Object.entries(layers)) {
  describe(`MemoryRecorder: ${name}`, () => {
    it.live("stores events of known projects and of places, once", () =>
      Effect.gen(function* () {
        const memory = yield* PlainMemory
        const recorder = yield* MemoryRecorder
        const project = yield* memory.ensureProject({ path: "/home/me/blog", name: "blog" })
        const events = yield* Effect.forEach(
          [
            MemoryEvent.make({
              ...note,
              sessionId: "s-1",
              content: "In the blog \u0000",
              projectId: project.id,
              files: ["a.ts"]
            }),
            placed({ ...note, sessionId: "s-2", content: "In the shop", place, importance: 0.9 }),
            placed({
              ...note,
              sessionId: "s-2",
              content: "Still in the shop",
              place: { ...place, worktreePath: "/elsewhere" }
            })
          ],
          stamp
        )
        yield* recorder.recordAll(events, { ack: "committed" })
        yield* recorder.recordAll(events, { ack: "committed" })

        const blog = yield* memory.getActiveMemories(project.id)
        assert.deepStrictEqual(
          blog.items.map(({ content }) => content),
          ["In the blog \uFFFD"]
        )
        const session = Option.getOrThrow(yield* memory.getSession("s-2"))
        assert.strictEqual(session.project.path, place.project.path)
        const shop = yield* memory.getActiveMemories(session.project.id)
        assert.deepStrictEqual(shop.items.map(({ content }) => content).toSorted(), [
          "In the shop",
          "Still in the shop"
        ])
        // Where a session began is where all of it happened.
        assert.deepStrictEqual([...new Set(shop.items.map(({ worktreePath }) => worktreePath))], [place.worktreePath])
      }).pipe(Effect.provide(layer))
    )

    it.live("keeps the project of a session that is known", () =>
      Effect.gen(function* () {
        const memory = yield* PlainMemory
        const recorder = yield* MemoryRecorder
        const session = yield* memory.openSession({
          id: "s-1",
          project: { path: "/home/me/first", name: "first" },
          worktreePath: "/home/me/first"
        })
        yield* recorder.record(yield* stamp(placed({ ...note, sessionId: "s-1", content: "Wandered off", place })), {
          ack: "committed"
        })
        assert.strictEqual((yield* memory.getActiveMemories(session.project.id)).count, 1)
        assert.isTrue(Option.isNone(yield* memory.getProjectByPath(place.project.path)))
      }).pipe(Effect.provide(layer))
    )
  })
}
