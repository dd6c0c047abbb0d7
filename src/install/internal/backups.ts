/**
 * Backups of a settings file, beside it, with a timestamp in their names.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { accessError, type Snapshot } from "./settingsFile.ts"

/** The maximum number of backups per file. */
export const maxBackups = 3

const infix = ".athena-backup-"

/** Returns the backups of a file, oldest first: their names sort by time. */
const list = Effect.fnUntraced(function* (target: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const prefix = path.basename(target) + infix
  const names = yield* Effect.orElseSucceed(fs.readDirectory(path.dirname(target)), () => [])
  return names
    .filter((name) => name.startsWith(prefix) && /^\d{8}T\d{9}Z$/.test(name.slice(prefix.length)))
    .toSorted()
    .map((name) => path.join(path.dirname(target), name))
})

const write = Effect.fnUntraced(function* ({ content, file, target }: Snapshot, redact: (text: string) => string) {
  if (content === undefined) return undefined
  const fs = yield* FileSystem.FileSystem
  const time = DateTime.formatIso(yield* DateTime.now).replace(/[-:.]/g, "")
  const name = `${target}${infix}${time}`
  yield* fs.writeFileString(name, redact(content.text), { flag: "wx", mode: content.mode & 0o700 }).pipe(
    // Another run in the same millisecond has written the same backup.
    Effect.catchIf(
      (error) => error.reason._tag === "AlreadyExists",
      () => Effect.void
    ),
    Effect.mapError(accessError(file, "writing a backup beside it"))
  )
  return name
})

const prune = Effect.fnUntraced(function* (target: string) {
  const fs = yield* FileSystem.FileSystem
  const old = (yield* list(target)).slice(0, -maxBackups)
  yield* Effect.forEach(old, (backup) => Effect.ignore(fs.remove(backup)), { discard: true })
})

/**
 * Backs up a file around a change and returns the path of the backup; `undefined` if there was no file. A failed change
 * removes its backup. At most `maxBackups` remain. `redact` removes secrets from the text.
 */
export const around = <A, E, R>(snapshot: Snapshot, redact: (text: string) => string, change: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const name = yield* write(snapshot, redact)
    yield* Effect.onError(change, () => (name === undefined ? Effect.void : Effect.ignore(fs.remove(name))))
    yield* prune(snapshot.target)
    return name
  })
