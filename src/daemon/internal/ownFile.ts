/**
 * A small file that is this user's alone. It is whole at every moment, and of processes that make it at once one wins.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type { PlatformError } from "effect/PlatformError"
import * as SecureRandom from "effect/crypto/SecureRandom"
import { EndpointError, ForeignFile, NotAccessible } from "../EndpointError.ts"

/** More than this is in none of them, in bytes. */
const maxBytes = 256

const notAccessible = (file: string, detail: string) =>
  new EndpointError({ reason: new NotAccessible({ file, detail }) })

export const accessError =
  (file: string, doing: string) =>
  (error: PlatformError): EndpointError =>
    notAccessible(file, `${doing} failed (${error.reason._tag}); check that you may do so, and that the disk has room`)

/** Closes a file or folder to others; one of another user is refused. Systems without users have nothing to close. */
export const close = Effect.fnUntraced(function* (file: string, { mode, uid }: FileSystem.File.Info, closed: number) {
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
    yield* close(file, info, 0o600)
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

const besides = (file: string): string =>
  `${file}.${process.pid}-${Buffer.from(SecureRandom.randomBytesUnsafe(6)).toString("hex")}`

/** Writes a file beside it that is whole on the disk, and gone with the scope. */
const draft = Effect.fnUntraced(function* (file: string, text: string) {
  const fs = yield* FileSystem.FileSystem
  const name = besides(file)
  yield* Effect.addFinalizer(() => Effect.ignore(fs.remove(name, { force: true })))
  const opened = yield* fs.open(name, { flag: "wx", mode: 0o600 })
  yield* opened.writeAll(new TextEncoder().encode(text))
  yield* opened.sync
  return name
})

const isTaken = (error: PlatformError): boolean => error.reason._tag === "AlreadyExists"

/** Gives a file a name that is free. Not every file system has links, without which the last one wins. */
const link = Effect.fnUntraced(function* (from: string, to: string) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.link(from, to).pipe(
    Effect.catchIf(
      (error) => !isTaken(error),
      () => fs.rename(from, to)
    ),
    Effect.catchIf(isTaken, () => Effect.void)
  )
})

/** Makes a file; where there is one already, nothing. */
export const create = (file: string, text: string) =>
  Effect.flatMap(draft(file, text), (name) => link(name, file)).pipe(
    Effect.scoped,
    Effect.mapError(accessError(file, "making it"))
  )

/**
 * Removes a file that is bad. Another process may have made a good one since it was looked at, so it is looked at once
 * more under a name that nobody else has, and put back.
 */
export const discard = (file: string, isBad: (text: string) => boolean) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const name = besides(file)
    yield* Effect.addFinalizer(() => Effect.ignore(fs.remove(name, { force: true })))
    const moved = yield* Effect.result(fs.rename(file, name))
    if (moved._tag === "Failure") return
    const text = yield* read(name)
    if (Option.isSome(text) && !isBad(text.value)) {
      yield* Effect.mapError(link(name, file), accessError(file, "putting it back"))
    }
  }).pipe(Effect.scoped)
