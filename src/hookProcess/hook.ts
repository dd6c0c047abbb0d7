/**
 * A hook in its own process: an event, an answer on standard output, and always exit code 0.
 */
import * as NodePath from "@effect/platform-node/NodePath"
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import * as Record from "effect/Record"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import * as HookAdapters from "../hooks/HookAdapters.ts"
import * as HookRunner from "../hooks/HookRunner.ts"
import * as Sanitize from "../internal/sanitize.ts"
import * as MemoryBridge from "../memory/MemoryBridge.ts"
import * as MemoryError from "../memory/MemoryError.ts"
import * as Database from "../sql/Database.ts"
import * as HookFileSystem from "./hookFileSystem.ts"
import * as HookStreams from "./hookStreams.ts"
import { agentOf } from "./daemonRequest.ts"

const fs = process.getBuiltinModule("node:fs")

/** How much of SQLite's log a hook leaves to the next process, in bytes. */
const maxLogBytes = 1024 * 1024

const isShortLog = (settings: Database.Settings): boolean => {
  if (settings._tag !== "Embedded") return false
  const log = fs.statSync(`${settings.home}/${Database.filename}-wal`, { throwIfNoEntry: false })
  return log !== undefined && log.size <= maxLogBytes
}

/**
 * Leaves the embedded database open when the process ends, as a kill would. To close it is to write the log back into
 * the file and to wait for the disk four times, where the next process can take the log up. A log that has grown long
 * would take that process too much time, so then the database is closed.
 */
const leftOpen =
  (settings: Database.Settings) =>
  <A, E, R>(layer: Layer.Layer<A, E, R>): Layer.Layer<A, E, R> =>
    Layer.effectContext(
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        yield* Effect.addFinalizer((exit) => (isShortLog(settings) ? Effect.void : Scope.close(scope, exit)))
        return yield* Layer.buildWithScope(layer, scope)
      })
    )

/** Waiting for a lock holds the thread, so it must end before the deadline does. */
const embedded = (settings: Database.Settings, timeout: Duration.Duration) =>
  MemoryBridge.layerSql.pipe(Layer.provide(Database.layer(settings, { timeout })), leftOpen(settings))

type HookMemory = Layer.Layer<
  MemoryBridge.MemoryBridge,
  MemoryError.MemoryError | SqlError | Database.InvalidSettings | Config.ConfigError,
  FileSystem.FileSystem | Path.Path
>

/** What is in the embedded database is safe; what goes to another host is kept on this one first. */
const memory = (deadline: Duration.Duration): HookMemory =>
  Layer.unwrap(
    Effect.flatMap(Database.settings, (settings): Effect.Effect<HookMemory> =>
      settings._tag === "Embedded"
        ? Effect.succeed(embedded(settings, Duration.times(deadline, 2 / 3)))
        : Effect.map(
            Effect.promise(() => import("../host/spooledMemory.ts")),
            (HookSpool) => HookSpool.layer(settings, deadline)
          )
    )
  )

class UnknownAgent extends Data.TaggedError("UnknownAgent")<{ readonly message: string }> {}

const finish = ({ notices, response }: HookRunner.RunResult): never =>
  HookStreams.finish(response, notices.map(Sanitize.line))

const failed = (error: unknown): HookRunner.RunResult => ({
  event: undefined,
  response: "{}",
  notices: [MemoryError.describe(error)]
})

/** The agent that the command line names. */
const adapter = (args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const found = HookAdapters.find(agentOf(args))
    if (found !== undefined) return found
    const known = Object.keys(HookAdapters.byName).join(", ")
    return yield* new UnknownAgent({ message: `--agent must be one of ${known}` })
  })

/** An event, as it was told. */
export interface Event {
  readonly body: Buffer
  /** Names the delivery, see `HookOptions`. */
  readonly deliveryId: string
  /** How much of the time for the event is gone, in milliseconds, since somebody else was asked first. */
  readonly waitedMs?: number | undefined
  /** Answers with nothing, whatever there is to say. */
  readonly quiet?: boolean | undefined
}

/** Something that a hook runs in, such as a profiler: it gives the answer of the hook. */
export type Around = <R>(
  hook: Effect.Effect<HookRunner.RunResult, never, R>,
  body: string
) => Effect.Effect<HookRunner.RunResult, never, R | Path.Path>

/** The least time for an event in process, however long it took to ask somebody else. */
const leastTime = Duration.millis(300)

/** The agent waits no longer for an event that somebody else was asked to answer first. */
const deadlines = (waitedMs: number): HookRunner.Deadlines =>
  Record.map(HookRunner.defaultDeadlines, (deadline) =>
    Duration.max(leastTime, Duration.subtract(Duration.fromInputUnsafe(deadline), Duration.millis(waitedMs)))
  )

const program = (answered: (event: string) => void, event: Event, around: Around) =>
  Effect.gen(function* () {
    const body = event.body.toString("utf8")
    const agent = yield* adapter(process.argv.slice(2))
    const folder =
      agent.projectVariable === undefined ? "" : yield* Config.withDefault(Config.String(agent.projectVariable), "")
    const options = {
      adapter: agent,
      memory,
      projectFolder: folder === "" ? undefined : folder,
      deliveryId: event.deliveryId,
      deadlines: deadlines(event.waitedMs ?? 0)
    }
    const result = yield* around(HookRunner.run(body, options), body)
    process.once("exit", () => answered(result.event ?? "none"))
    return event.quiet === true ? { ...result, response: "{}" } : result
  }).pipe(
    Effect.catch((error) => Effect.succeed(failed(error))),
    Effect.provide([HookFileSystem.layer, NodePath.layer]),
    // Standard output belongs to the answer.
    Effect.provideService(References.MinimumLogLevel, "None"),
    Effect.withTracerEnabled(false)
  )

/** Answers an event, says which it was and ends the process. */
export const main = (answered: (event: string) => void, event: Event, around: Around = (hook) => hook): void => {
  process.removeAllListeners("uncaughtException")
  process.on("uncaughtException", (error) => finish(failed(error)))
  // The last resort, for what no fiber can be interrupted in: so it is no fiber's own time-out.
  setTimeout(() => finish(failed(new Error(`no answer within ${HookStreams.lifetimeMs} ms`))), HookStreams.lifeLeftMs())
  Effect.runCallback(program(answered, event, around), {
    onExit: (exit) => finish(exit._tag === "Success" ? exit.value : failed(undefined))
  })
}
