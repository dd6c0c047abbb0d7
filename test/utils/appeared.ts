/**
 * Waits for what another process makes.
 */
import * as fs from "node:fs"
import * as Effect from "effect/Effect"

/** The names in a folder that match, once there is one. The folder is there already. */
export const appeared = (folder: string, pattern: RegExp): Effect.Effect<ReadonlyArray<string>> =>
  Effect.callback<ReadonlyArray<string>>((resume) => {
    const look = () => {
      const found = fs.readdirSync(folder).filter((name) => pattern.test(name))
      if (found.length === 0) return
      watcher.close()
      resume(Effect.succeed(found))
    }
    const watcher = fs.watch(folder, look)
    look()
    return Effect.sync(() => watcher.close())
  }).pipe(Effect.timeout("30 seconds"), Effect.orDie)
