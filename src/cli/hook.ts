/**
 * `athena hook`: an event on standard input, an answer on standard output, and always exit code 0.
 */
import * as NodePath from "@effect/platform-node/NodePath"
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import type * as Path from "effect/Path"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type { SqlError } from "effect/sql/SqlError"
import * as ClaudeCode from "../hooks/ClaudeCode.ts"
import * as HookAdapters from "../hooks/HookAdapters.ts"
import * as HookRunner from "../hooks/HookRunner.ts"
import * as MemoryBridge from "../memory/MemoryBridge.ts"
import * as MemoryError from "../memory/MemoryError.ts"
import * as Database from "../sql/Database.ts"
import * as HookFileSystem from "./HookFileSystem.ts"

const fs = process.getBuiltinModule("node:fs")

/** The longest that a hook process lives, whatever holds it up: input that never ends, a socket that never closes. */
const lifetimeMs = 6_000

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
            Effect.promise(() => import("./hookSpool.ts")),
            (HookSpool) => HookSpool.layer(settings, deadline)
          )
    )
  )

class InputUnreadable extends Data.TaggedError("InputUnreadable")<{ readonly message: string }> {}

class UnknownAgent extends Data.TaggedError("UnknownAgent")<{ readonly message: string }> {}

/** Whether a read of standard input is under way. */
let reading = false

/** What comes next on standard input; nothing at its end. */
const readChunk: Effect.Effect<Buffer, NodeJS.ErrnoException> = Effect.callback((resume) => {
  const buffer = Buffer.allocUnsafe(64 * 1024)
  reading = true
  fs.read(0, buffer, 0, buffer.length, null, (error, count) => {
    reading = false
    if (error === null) resume(Effect.succeed(buffer.subarray(0, count)))
    else resume(error.code === "EOF" ? Effect.succeed(Buffer.alloc(0)) : Effect.fail(error))
  })
})

/** Standard input may be a pipe that has nothing yet. */
const nextChunk = readChunk.pipe(
  Effect.retry({ while: (error) => error.code === "EAGAIN", schedule: Schedule.spaced("5 millis") }),
  Effect.mapError((error) => new InputUnreadable({ message: `the event could not be read: ${error.message}` }))
)

/** Reads standard input to its end. What is over the limit is read too, so that the sender can finish, and dropped. */
const readInput = Effect.gen(function* () {
  const chunks: Array<Buffer> = []
  let size = 0
  for (let chunk = yield* nextChunk; chunk.length > 0; chunk = yield* nextChunk) {
    size += chunk.length
    if (size <= HookRunner.maxPayloadBytes) chunks.push(chunk)
  }
  if (size <= HookRunner.maxPayloadBytes) return Buffer.concat(chunks).toString("utf8")
  return yield* new InputUnreadable({ message: `the event is larger than ${HookRunner.maxPayloadBytes} bytes` })
})

/** Standard output may be a pipe that is full for a moment; after a second it is given up. */
const write = (fd: number, text: string): void => {
  const bytes = Buffer.from(text)
  for (let at = 0, pauses = 0; at < bytes.length && pauses < 1_000;) {
    try {
      at += fs.writeSync(fd, bytes, at)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return
      pauses += 1
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
    }
  }
}

/**
 * Ends the process. While a read of standard input waits in a thread, an ordinary end would wait for it as well; becoming
 * another program that ends at once does not.
 */
const leave = (): never => {
  if (reading && process.execve !== undefined) process.execve("/bin/sh", ["sh", "-c", "exit 0"], {})
  process.exit(0)
}

const finish = (result: HookRunner.RunResult): never => {
  for (const notice of result.notices) write(2, `athena hook: ${notice}\n`)
  write(1, `${result.answer}\n`)
  return leave()
}

const failed = (error: unknown): HookRunner.RunResult => ({
  event: undefined,
  answer: "{}",
  notices: [MemoryError.describe(error)]
})

/** `--agent NAME` of the command line, Claude Code without it. Other arguments are for others. */
const adapter = (args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const at = args.findIndex((arg) => arg === "--agent" || arg.startsWith("--agent="))
    if (at < 0) return ClaudeCode
    const name = args[at]?.slice("--agent=".length) || (args[at + 1] ?? "")
    const found = HookAdapters.find(name)
    if (found !== undefined) return found
    const known = Object.keys(HookAdapters.byName).join(", ")
    return yield* new UnknownAgent({ message: `--agent must be one of ${known}` })
  })

/** Something that a hook runs in, such as a profiler: it gives the answer of the hook. */
export type Around = <R>(
  hook: Effect.Effect<HookRunner.RunResult, never, R>,
  body: string
) => Effect.Effect<HookRunner.RunResult, never, R | Path.Path>

const program = (answered: (event: string) => void, around: Around) =>
  Effect.gen(function* () {
    const body = yield* readInput
    const agent = yield* adapter(process.argv.slice(2))
    const folder =
      agent.projectVariable === undefined ? "" : yield* Config.withDefault(Config.String(agent.projectVariable), "")
    const projectFolder = folder === "" ? undefined : folder
    const result = yield* around(HookRunner.run(body, { adapter: agent, memory, projectFolder }), body)
    process.once("exit", () => answered(result.event ?? "none"))
    return result
  }).pipe(
    Effect.catch((error) => Effect.succeed(failed(error))),
    Effect.provide([HookFileSystem.layer, NodePath.layer]),
    // Standard output belongs to the answer.
    Effect.provideService(References.MinimumLogLevel, "None"),
    Effect.withTracerEnabled(false)
  )

/** Runs the hook, says which event was answered and ends the process. */
export const main = (answered: (event: string) => void, around: Around = (hook) => hook): void => {
  process.on("uncaughtException", (error) => finish(failed(error)))
  // The last resort, for what no fiber can be interrupted in: so it is no fiber's own time-out.
  setTimeout(() => finish(failed(new Error(`no answer within ${lifetimeMs} ms`))), lifetimeMs)
  Effect.runCallback(program(answered, around), {
    onExit: (exit) => finish(exit._tag === "Success" ? exit.value : failed(undefined))
  })
}
