/**
 * @title Responding to hooks in a daemon
 *
 * `HookService` responds to the hooks of any agent behind any server, here without a server: an event is on this host's disk
 * before the response, and in the database shortly after. The next session receives what the previous one recorded.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Layer } from "effect"
import * as HookService from "athena-hooks/daemon/HookService"
import * as EventRecorder from "athena-hooks/events/EventRecorder"
import * as ClaudeCode from "athena-hooks/hooks/adapters/ClaudeCode"
import * as MemoryBridge from "athena-hooks/memory/MemoryBridge"
import * as MemoryRecorder from "athena-hooks/memory/MemoryRecorder"
import * as MemorySchema from "athena-hooks/memory/MemorySchema"
import * as Profiler from "athena-hooks/profiler/Profiler"
import * as LazyExecutor from "athena-hooks/query/LazyExecutor"
import * as QueryExecutor from "athena-hooks/query/QueryExecutor"
import * as Sqlite from "athena-hooks/sql/Sqlite"

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "athena-example-"))

/** Opened on first use. Until then, and during an outage, events wait in the spool. */
const Database = LazyExecutor.layer(
  Layer.unwrap(Effect.as(MemorySchema.migrate, QueryExecutor.layer)).pipe(
    Layer.provide(Sqlite.layer({ filename: path.join(folder, "memory.db") }))
  )
)

const Recorder = EventRecorder.layer(MemoryRecorder.MemoryRecorder, { filename: path.join(folder, "events.spool") })

const Hooks = HookService.layer({ deadlines: { Answer: "1 second", SessionStart: "2 seconds" } }).pipe(
  Layer.provide(Layer.merge(MemoryBridge.layer, Recorder)),
  Layer.provide(Database),
  Layer.provideMerge(Profiler.layer({ level: "wall" })),
  Layer.provide(NodeServices.layer)
)

const post = (event: object) =>
  HookService.HookService.use((hooks) =>
    hooks.respond({ adapter: ClaudeCode, body: JSON.stringify({ cwd: process.cwd(), ...event }) })
  )

const program = Effect.gen(function* () {
  const response = yield* post({
    hook_event_name: "Stop",
    session_id: "monday",
    prompt_id: "p-1",
    last_assistant_message: "The invoice parser crashed on umlauts; decoding as UTF-8 fixed it."
  })
  yield* Console.log(`Monday's event: ${response._tag}`)
  yield* Console.log(yield* post({ hook_event_name: "SessionStart", session_id: "tuesday", source: "startup" }))
  const { operations } = yield* Profiler.report
  for (const { name, wall } of operations.filter((operation) => operation.name.startsWith("respond "))) {
    yield* Console.log(`${name}: ${wall.max.toFixed(1)} ms`)
  }
}).pipe(Effect.ensuring(Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true }))))

program.pipe(Effect.provide(Hooks), NodeRuntime.runMain)
