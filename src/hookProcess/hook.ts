/**
 * The one-shot hook: one event in, one response on standard output, exit code 0.
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
import * as HookDeadlines from "../hooks/HookDeadlines.ts"
import * as HookRunner from "../hooks/HookRunner.ts"
import * as Sanitize from "../internal/sanitize.ts"
import * as MemoryBridge from "../memory/MemoryBridge.ts"
import * as MemoryError from "../memory/MemoryError.ts"
import * as Database from "../sql/Database.ts"
import * as HookFileSystem from "./hookFileSystem.ts"
import * as HookStreams from "./hookStreams.ts"
import { agentOf } from "./daemonRequest.ts"

const fs = process.getBuiltinModule("node:fs")

/** The maximum write-ahead log, in bytes, that a hook leaves uncheckpointed. */
const maxLogBytes = 1024 * 1024

const isShortLog = (settings: Database.Settings): boolean => {
  if (settings._tag !== "Embedded") return false
  const log = fs.statSync(`${settings.home}/${Database.filename}-wal`, { throwIfNoEntry: false })
  return log !== undefined && log.size <= maxLogBytes
}

/**
 * Leaves the embedded database open at exit. Closing it would checkpoint the log and sync four times; the next process
 * can recover from the log instead. A large log would delay that process, so the database is closed then.
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

/** A lock wait blocks the thread, so its timeout is shorter than the deadline. */
const embedded = (settings: Database.Settings, timeout: Duration.Duration) =>
  MemoryBridge.layerSql.pipe(Layer.provide(Database.layer(settings, { timeout })), leftOpen(settings))

type HookMemory = Layer.Layer<
  MemoryBridge.MemoryBridge,
  MemoryError.MemoryError | SqlError | Database.InvalidSettings | Config.ConfigError,
  FileSystem.FileSystem | Path.Path
>

/** The embedded database is durable by itself. Events for a server go to the spool first. */
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

/** Returns the adapter of the agent on the command line. */
const adapter = (args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const found = HookAdapters.find(agentOf(args))
    if (found !== undefined) return found
    const known = Object.keys(HookAdapters.byName).join(", ")
    return yield* new UnknownAgent({ message: `--agent must be one of ${known}` })
  })

/** One delivery of an event. */
export interface Event {
  readonly body: Buffer
  /** See `HookOptions`. */
  readonly deliveryId: string
  /** The time in milliseconds that the attempt to reach the daemon took. */
  readonly waitedMs?: number | undefined
  /** Responds with `{}` in any case. */
  readonly quiet?: boolean | undefined
}

/** Wraps the program of a hook, for example in a profiler. */
export type Around = <R>(
  hook: Effect.Effect<HookRunner.RunResult, never, R>,
  body: string
) => Effect.Effect<HookRunner.RunResult, never, R | Path.Path>

/** The minimum deadline after an attempt to reach the daemon. */
const leastTime = Duration.millis(300)

/** The attempt to reach the daemon counts towards the deadline. */
const deadlines = (waitedMs: number): HookDeadlines.HookDeadlines =>
  Record.map(HookDeadlines.oneShot, (deadline) =>
    Duration.max(leastTime, Duration.subtract(Duration.fromInputUnsafe(deadline), Duration.millis(waitedMs)))
  )

const program = (onHandled: (event: string) => void, event: Event, around: Around) =>
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
    process.once("exit", () => onHandled(result.event ?? "none"))
    return event.quiet === true ? { ...result, response: "{}" } : result
  }).pipe(
    Effect.catch((error) => Effect.succeed(failed(error))),
    Effect.provide([HookFileSystem.layer, NodePath.layer]),
    // Standard output is reserved for the response.
    Effect.provideService(References.MinimumLogLevel, "None"),
    Effect.withTracerEnabled(false)
  )

/** Responds to an event and ends the process. `onHandled` receives the kind of event at exit. */
export const main = (onHandled: (event: string) => void, event: Event, around: Around = (hook) => hook): void => {
  process.removeAllListeners("uncaughtException")
  process.on("uncaughtException", (error) => finish(failed(error)))
  // The last resort if the thread blocks or a fiber can't be interrupted.
  setTimeout(
    () => finish(failed(new Error(`no response within ${HookStreams.lifetimeMs} ms`))),
    HookStreams.lifeLeftMs()
  )
  Effect.runCallback(program(onHandled, event, around), {
    onExit: (exit) => finish(exit._tag === "Success" ? exit.value : failed(undefined))
  })
}
