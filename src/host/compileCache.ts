/**
 * The compiled code of versions of Node.js that are no longer used: each leaves its own, and nobody else removes it.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Database from "../sql/Database.ts"

/** Code of another version is removed when nothing was written into it for so long. */
const expiresAfterMs = 30 * 86_400_000

/** Removes it, and says how many files and folders that were. */
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
