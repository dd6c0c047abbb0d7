/**
 * The text of a file of settings, wherever it lies. A repository may have anything in the place of one.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"

/** The largest file that is taken for settings, in bytes. */
const maxBytes = 4 * 1024 * 1024

/** The text; empty where there is none, it can't be read, or it is no file of settings. */
export const read = Effect.fnUntraced(
  function* (file: string) {
    const files = yield* FileSystem.FileSystem
    const { size, type } = yield* files.stat(file)
    return type === "File" && size <= maxBytes ? yield* files.readFileString(file) : ""
  },
  Effect.orElseSucceed(() => "")
)
