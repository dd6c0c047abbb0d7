/**
 * The environment of the process: whether the daemon is enabled, and the working folder.
 */
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { isOff } from "../internal/offSwitch.ts"

const isDisabled = (variable: string): Effect.Effect<boolean> =>
  Config.withDefault(Config.String(variable), "").pipe(
    Effect.map(isOff),
    Effect.orElseSucceed(() => false)
  )

/** Whether `ATHENA_DAEMON` switches the daemon off. */
export const isDaemonDisabled: Effect.Effect<boolean> = isDisabled("ATHENA_DAEMON")

/** Whether `ATHENA_CONSOLIDATE` switches the consolidation of the daemon off. */
export const isConsolidationDisabled: Effect.Effect<boolean> = isDisabled("ATHENA_CONSOLIDATE")

/** The folder was deleted, or can't be looked at. */
export class WorkingFolderGone extends Data.TaggedError("WorkingFolderGone")<{ readonly cause: unknown }> {
  override get message(): string {
    return "the working directory was deleted or can't be read: change to a folder that exists, and try again"
  }
}

/** Its absolute path. */
export const workingFolder: Effect.Effect<string, WorkingFolderGone> = Effect.try({
  try: () => process.cwd(),
  catch: (cause) => new WorkingFolderGone({ cause })
})
