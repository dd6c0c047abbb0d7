/**
 * The environment of the process: whether the daemon is enabled, and the working folder.
 */
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import { isOff } from "../internal/offSwitch.ts"

/** Whether `ATHENA_DAEMON` switches the daemon off. */
export const isDaemonDisabled: Effect.Effect<boolean> = Config.withDefault(Config.String("ATHENA_DAEMON"), "").pipe(
  Effect.map(isOff),
  Effect.orElseSucceed(() => false)
)

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
