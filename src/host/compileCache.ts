/**
 * The compile cache of Node.js versions that are no longer used: each version leaves its own.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Database from "../sql/Database.ts"

/** Age of the last write after which the code of another version is deleted. */
const expiresAfterMs = 30 * 86_400_000

/** Deletes expired code, and returns the number of deleted entries. */
export const expire = Effect.gen(function* () {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folder = path.join(yield* Database.home, "compile-cache")
  const now = yield* Clock.currentTimeMillis
  let removed = 0
  for (const name of yield* Effect.orElseSucceed(files.readDirectory(folder), () => [])) {
    const isCurrent = `-${name}-`.includes(`-${process.version}-`)
    const { mtime } = yield* files.stat(path.join(folder, name))
    if (isCurrent || !Option.exists(mtime, (at) => now - at.getTime() > expiresAfterMs)) continue
    yield* files.remove(path.join(folder, name), { recursive: true, force: true })
    removed++
  }
  return removed
})
