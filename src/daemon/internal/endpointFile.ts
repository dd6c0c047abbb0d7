/**
 * A small file that is this user's alone. It is whole at every time, and of processes that make it at once one wins.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type { PlatformError } from "effect/PlatformError"
import * as Schedule from "effect/Schedule"
import * as Semaphore from "effect/Semaphore"
import * as SecureRandom from "effect/crypto/SecureRandom"
import { EndpointError, ForeignFile, NotAccessible } from "../EndpointError.ts"
import * as FileLock from "../../internal/fileLock.ts"

/** More than this is in none of them, in bytes. */
const maxBytes = 256

const notAccessible = (file: string, detail: string) =>
  new EndpointError({ reason: new NotAccessible({ file, detail }) })

export const accessError =
  (file: string, doing: string) =>
  (error: PlatformError): EndpointError =>
    notAccessible(file, `${doing} failed (${error.reason._tag}); check that you may do so, and that the disk has room`)

/** Closes a file or folder to others; one of another user is refused. Systems without users have nothing to close. */
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

/** What a file says; nothing where there is none. */
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

const temporaryName = (file: string): string =>
  `${file}.${process.pid}-${Buffer.from(SecureRandom.randomBytesUnsafe(6)).toString("hex")}`

/** Writes a file beside it that is whole on the disk, and gone with the scope. */
const writeTemporary = Effect.fnUntraced(function* (file: string, text: string) {
  const fs = yield* FileSystem.FileSystem
  const name = temporaryName(file)
  yield* Effect.addFinalizer(() => Effect.ignore(fs.remove(name, { force: true })))
  const opened = yield* fs.open(name, { flag: "wx", mode: 0o600 })
  yield* opened.writeAll(new TextEncoder().encode(text))
  yield* opened.sync
  return name
})

/** Puts what is whole in the place of whatever has the name. */
export const replace = (file: string, text: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    yield* fs.rename(yield* writeTemporary(file, text), file)
  }).pipe(Effect.scoped, Effect.mapError(accessError(file, "making it")))

/** The fibers of this process take turns here; between processes the lock is tried for again and again. */
const mutex = Semaphore.makeUnsafe(1)

const retryEvery = "10 millis"
const attempts = 500

/** Runs while no other process does the same with the file of a lock. */
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
