/**
 * All commands of `athena` but the hook.
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"
import * as MemoryError from "../memory/MemoryError.ts"
import * as Output from "./output.ts"
import { cache } from "./commands/cache.ts"
import { consolidate } from "./commands/consolidate.ts"
import { demo } from "./commands/demo.ts"
import { doctor } from "./commands/doctor.ts"
import { events } from "./commands/events.ts"
import { facts } from "./commands/facts.ts"
import { goals } from "./commands/goals.ts"
import { hook } from "./commands/hook.ts"
import { install } from "./commands/install.ts"
import { logs } from "./commands/logs.ts"
import * as Memories from "./commands/memories.ts"
import { migrate } from "./commands/migrate.ts"
import { project } from "./commands/project.ts"
import { prune } from "./commands/prune.ts"
import { remember } from "./commands/remember.ts"
import { report } from "./commands/report.ts"
import { search } from "./commands/search.ts"
import { serve } from "./commands/serve.ts"
import { status } from "./commands/status.ts"
import { stop } from "./commands/stop.ts"
import { uninstall } from "./commands/uninstall.ts"
import { why } from "./commands/why.ts"
import { version } from "../internal/version.ts"

export const athena = Command.make("athena").pipe(
  Command.withDescription("Memory for coding agents through fast and safe hooks"),
  Command.withSubcommands([
    install,
    uninstall,
    status,
    hook,
    serve,
    demo,
    search,
    why,
    goals,
    facts,
    remember,
    Memories.list,
    Memories.show,
    Memories.edit,
    Memories.pin,
    Memories.unpin,
    Memories.forget,
    Memories.restore,
    Memories.remove,
    Memories.sessions,
    project,
    events,
    cache,
    migrate,
    consolidate,
    prune,
    logs,
    doctor,
    report,
    stop
  ])
)

const fail = (error: unknown): Effect.Effect<void> =>
  Effect.andThen(
    Output.problem(`athena: ${MemoryError.describe(error)}`),
    Effect.sync(() => {
      process.exitCode = 1
    })
  )

/** Exits silently if the reader of the output, such as `head`, closes the pipe. */
const endWithReader = (): void => {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error
      process.exit()
    })
  }
}

/** Runs a command line. A failure or a defect prints one line and sets exit code 1. */
export const run = (args: ReadonlyArray<string>) =>
  Command.runWith(athena, { version })(args).pipe(
    Effect.catchIf((error) => error._tag !== "ShowHelp", fail),
    Effect.catchDefect((defect) => fail(new Error(`unexpected failure: ${MemoryError.describe(defect)}`))),
    Effect.provide(NodeServices.layer)
  )

/** Runs the command line of this process. */
export const main = (): void => {
  endWithReader()
  NodeRuntime.runMain(run(process.argv.slice(2)), { disableErrorReporting: true })
}
