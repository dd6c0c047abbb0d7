/**
 * A small file that only this user can read. Readers always see a complete file, and one of several concurrent writers
 * wins.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type { PlatformError } from "effect/PlatformError"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import { EndpointError, ForeignFile, NotAccessible } from "../EndpointError.ts"
import * as FileLock from "../../internal/fileLock.ts"

/** Upper bound of their size, in bytes. */
const maxBytes = 256

const notAccessible = (file: string, detail: string) =>
  new EndpointError({ reason: new NotAccessible({ file, detail }) })

export const accessError =
  (file: string, doing: string) =>
  (error: PlatformError): EndpointError =>
    notAccessible(file, `${doing} failed (${error.reason._tag}); check that you may do so, and that the disk has room`)

/** Restricts a file or folder to its owner; fails if it belongs to another user. No effect on systems without users. */
export const restrict = Effect.fnUntraced(function* (
  file: string,
  { mode, uid }: FileSystem.File.Info,
  closed: number
) {
  const own = process.getuid?.()
  if (own === undefined) return
  if (Option.isSome(uid) && uid.value !== own) {
    return yield* new EndpointError({ reason: new ForeignFile({ file }) })
  }
  if ((mode & 0o077) === 0) return
  const fs = yield* FileSystem.FileSystem
  yield* Effect.mapError(fs.chmod(file, closed), accessError(file, "closing it to other users"))
})

/** The content of a file; none if it is absent. */
export const read = (file: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const opened = yield* fs.open(file, { flag: "r" })
    const info = yield* opened.stat
    if (info.type !== "File") return yield* notAccessible(file, "it is not a file: move it away")
    yield* restrict(file, info, 0o600)
    const bytes = yield* opened.readAlloc(maxBytes)
    return Option.some(new TextDecoder().decode(Option.getOrElse(bytes, () => new Uint8Array())))
  }).pipe(
    Effect.scoped,
    Effect.catchIf(
      (error) => error._tag === "PlatformError" && error.reason._tag === "NotFound",
      () => Effect.succeed(Option.none<string>())
    ),
    Effect.mapError((error) => (error._tag === "PlatformError" ? accessError(file, "reading it")(error) : error))
  )

/**
 * Writes a complete file beside `file`; the scope removes it. Its name is fixed, because one process at a time writes (see
 * `exclusively`): the next writer replaces one that a killed process left.
 */
const writeTemporary = Effect.fnUntraced(function* (file: string, text: string) {
  const fs = yield* FileSystem.FileSystem
  const name = `${file}.new`
  yield* fs.remove(name, { force: true })
  yield* Effect.addFinalizer(() => Effect.ignore(fs.remove(name, { force: true })))
  const opened = yield* fs.open(name, { flag: "wx", mode: 0o600 })
  yield* opened.writeAll(new TextEncoder().encode(text))
  yield* opened.sync
  return name
})

/** Replaces the file atomically. */
export const replace = (file: string, text: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    yield* fs.rename(yield* writeTemporary(file, text), file)
  }).pipe(Effect.scoped, Effect.mapError(accessError(file, "making it")))

/** Orders the fibers of this process. Other processes retry for the file lock. */
const mutex = Semaphore.makeUnsafe(1)

const retryEvery = "10 millis"
const attempts = 500

/** Runs an effect while this process holds the file lock. */
export const exclusively = <A, E, R>(
  lock: string,
  run: Effect.Effect<A, E, R>
): Effect.Effect<A, E | EndpointError, R> =>
  FileLock.acquire(lock, 0).pipe(
    Effect.retry({
      while: ({ _tag }) => _tag === "Busy",
      schedule: Schedule.spaced(retryEvery),
      times: attempts
    }),
    Effect.mapError((error) =>
      notAccessible(
        lock,
        error._tag === "Busy" ? "another process holds its lock: end that process" : "it can't be locked: remove it"
      )
    ),
    Effect.andThen(run),
    Effect.scoped,
    (taken) => mutex.withPermit(taken)
  )
