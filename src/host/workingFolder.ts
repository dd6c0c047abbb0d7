/**
 * The folder that a command is called in.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"

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
