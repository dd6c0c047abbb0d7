/**
 * @title A first hook program
 *
 * A hook of your own for the start of a session: it injects the project's goals and its memories about deployments. It
 * reads the agent's payload from standard input and prints the response that the agent expects.
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

  const { text } = ContextText.framed(
    [
      { title: "Goals:", lines: goals.goals.map(ContextText.goalLine) },
      { title: "Deployments:", lines: deploys.results.map(ContextText.memoryLine) }
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
  // A hook must never block the agent: a failure or a timeout gives the empty response, also while the Layers are built.
  Effect.timeout("500 millis"),
  Effect.catchCause((cause) => Effect.as(Console.error(`my hook: ${Cause.squash(cause)}`), {})),
  Effect.flatMap((response) => Console.log(JSON.stringify(response))),
  NodeRuntime.runMain
)
