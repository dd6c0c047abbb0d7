/**
 * @title A first hook program
 *
 * A hook of your own for the start of a session: it tells the agent the goals of the project, and what was said of the
 * word "deploy". It reads the event that the agent sends on standard input, and answers as the agent expects.
 *
 * Run it as an agent would:
 * echo '{"session_id":"s1","cwd":".","hook_event_name":"SessionStart"}' | node examples/10_first-hook.ts
 */
import { NodeRuntime, NodeServices } from "@effect/platform-node"
import { Cause, Console, Effect, Layer, Schema, Stdio, Stream } from "effect"
import * as ContextText from "athena-hooks/hooks/ContextText"
import * as Repository from "athena-hooks/hooks/Repository"
import * as MemoryBridge from "athena-hooks/memory/MemoryBridge"
import * as Project from "athena-hooks/memory/Project"
import * as Database from "athena-hooks/sql/Database"

const Event = Schema.fromJsonString(Schema.Struct({ session_id: Schema.String, cwd: Schema.String }))

const hook = Effect.gen(function* () {
  const stdio = yield* Stdio.Stdio
  const event = yield* Schema.decodeEffect(Event)(yield* Stream.mkString(Stream.decodeText(stdio.stdin)))

  const memory = yield* MemoryBridge.MemoryBridge
  const repository = yield* Repository.find(event.cwd)
  const project = yield* memory.ensureProject(Project.make(repository.project))
  const goals = yield* memory.getActiveGoals(project.id)
  const deploys = yield* memory.searchMemories(project.id, "deploy", { limit: 3 })

  const { text } = ContextText.fit(
    [
      { title: "Goals:", lines: goals.goals.map(ContextText.goalLine) },
      { title: "On deploying:", lines: deploys.results.map(ContextText.memoryLine) }
    ],
    500
  )
  return text === "" ? {} : { hookSpecificOutput: { hookEventName: "SessionStart", additionalContext: text } }
})

// Postgres where ATHENA_DATABASE_URL is set, else the embedded database in ATHENA_HOME.
const Memory = MemoryBridge.layerSql.pipe(
  Layer.provide(Database.layerConfig({ timeout: "250 millis" })),
  Layer.provideMerge(NodeServices.layer)
)

hook.pipe(
  Effect.provide(Memory),
  // A hook must never hold the agent up: whatever goes wrong, and whatever takes too long, is answered by nothing. So
  // these stand around the Layers too.
  Effect.timeout("500 millis"),
  Effect.catchCause((cause) => Effect.as(Console.error(`my hook: ${Cause.squash(cause)}`), {})),
  Effect.flatMap((answer) => Console.log(JSON.stringify(answer))),
  NodeRuntime.runMain
)
