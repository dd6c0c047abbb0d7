/**
 * Whether the file of a SQLite database that is open is still the one that has its name. What is written into a file that
 * was deleted or replaced, or into a log that was, is never seen by anybody.
 */
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"

const identityOf = (filename: string): string | undefined =>
  Result.getOrUndefined(
    Result.try(() => {
      const stats = fs.statSync(filename, { throwIfNoEntry: false })
      return stats === undefined ? undefined : `${stats.dev} ${stats.ino}`
    })
  )

/**
 * Begins before the file is opened, and gives what is asked first when it is open. A file that is not there is made by
 * opening it, and so is the log, which stays for as long as anybody has it open.
 */
export const watch = (filename: string): Effect.Effect<Effect.Effect<boolean>> =>
  Effect.sync(() => {
    let file = identityOf(filename)
    let log: string | undefined
    return Effect.sync(() => {
      const current = identityOf(filename)
      const currentLog = identityOf(`${filename}-wal`)
      file ??= current
      log ??= currentLog
      return current !== undefined && current === file && currentLog === log
    })
  })
