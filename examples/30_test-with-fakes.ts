/**
 * @title A hook tested with fakes
 *
 * The hooks' programs require a `MemoryBridge`; a test provides a fake with fixed results that collects recorded events.
 * No database, no files, no process.
 */
import * as assert from "node:assert/strict"
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Console, Effect, Layer, Ref } from "effect"
import * as HookRunner from "athena-hooks/hooks/HookRunner"
import type { MemoryEvent } from "athena-hooks/memory/MemoryEvent"
import * as MemoryBridge from "athena-hooks/memory/MemoryBridge"
import * as MemoryError from "athena-hooks/memory/MemoryError"

const session = { id: "s1", project: { id: 1, name: "shop", path: "/shop" }, worktreePath: "/shop" }

const stop = JSON.stringify({
  session_id: "s1",
  cwd: "/shop",
  hook_event_name: "Stop",
  last_assistant_message: "Deployed with TOKEN=abcdefgh12345678"
})

const recordsTheAnswer = Effect.gen(function* () {
  const recorded = yield* Ref.make<ReadonlyArray<MemoryEvent>>([])
  const fake = MemoryBridge.layerTest({
    getSession: () => Effect.succeedSome(session),
    recordEvent: (event) =>
      Effect.as(
        Ref.update(recorded, (all) => [...all, event]),
        { id: 1, key: event.key ?? "k", isNew: true }
      )
  })
  const { response } = yield* HookRunner.run(stop, { memory: () => fake })
  assert.equal(response, "{}")
  const [event] = yield* Ref.get(recorded)
  assert.equal(event?.type, "assistant_message")
  assert.equal(event.content, "Deployed with TOKEN=[redacted]")
  yield* Console.log("ok: the answer is recorded, without its secret")
})

const isHarmlessWhenTheDatabaseIsGone = Effect.gen(function* () {
  const gone = MemoryError.from("open", new MemoryError.DatabaseUnavailable({ cause: new Error("no such host") }))
  const { response, notices } = yield* HookRunner.run(stop, {
    memory: () => Layer.effect(MemoryBridge.MemoryBridge, Effect.fail(gone))
  })
  assert.equal(response, "{}")
  assert.deepEqual(notices, ["open: the memory database can't be reached or opened"])
  yield* Console.log("ok: the agent gets an empty answer when the database is gone")
})

Effect.all([recordsTheAnswer, isHarmlessWhenTheDatabaseIsGone]).pipe(
  Effect.provide(NodeServices.layer),
  NodeRuntime.runMain
)
