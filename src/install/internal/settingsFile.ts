/**
 * Reads and atomically replaces a settings file, unless another program has changed it.
 */
import { rmdir } from "node:fs/promises"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import {
  ChangedMeanwhile,
  InstallError,
  type InstallErrorReason,
  InvalidSettings,
  NotAccessible,
  OutsideProject
} from "../InstallError.ts"
import * as Problem from "./syntaxProblem.ts"

/** The maximum size of a settings file in bytes. */
export const maxBytes = 4 * 1024 * 1024

/** The maximum number of symbolic links to follow. */
const maxLinks = 40

export interface Snapshot {
  /** The path as given; it may be a symbolic link. */
  readonly file: string
  /** The path behind all symbolic links. */
  readonly target: string
  /** The folder that symbolic links must not leave. */
  readonly within: string | undefined
  readonly content: Content | undefined
}

export interface Content {
  readonly bytes: Uint8Array
  readonly text: string
  readonly mode: number
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
}

export const fail = (reason: InstallErrorReason) => Effect.fail(new InstallError({ reason }))

const isMissing = (error: PlatformError): boolean => error.reason._tag === "NotFound"

export const accessError =
  (file: string, doing: string) =>
  (error: PlatformError): InstallError =>
    new InstallError({
      reason: new NotAccessible({
        file,
        detail: `${doing} failed (${error.reason._tag}); check that you may do so, and that the disk has room`
      })
    })

const follow = (file: string, links: number): Effect.Effect<string, InstallError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    if (links > maxLinks)
      return yield* fail(new NotAccessible({ file, detail: "it is a circular symbolic link; remove the link" }))
    const link = yield* Effect.option(fs.readLink(file))
    if (Option.isNone(link)) return file
    // A parent folder may be a symbolic link too; `..` is relative to its target.
    const folder = yield* realPath(path.dirname(file))
    return yield* follow(path.resolve(folder, link.value), links + 1)
  })

/** Resolves the existing part of a path. */
const realPath = (name: string): Effect.Effect<string, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const real = yield* Effect.option(fs.realPath(name))
    const above = path.dirname(name)
    if (Option.isSome(real) || above === name) return Option.getOrElse(real, () => name)
    return path.join(yield* realPath(above), path.basename(name))
  })

/** Fails if symbolic links leave a folder: the author of that folder chose their target. */
const checkWithin = Effect.fnUntraced(function* (file: string, target: string, folder: string) {
  const path = yield* Path.Path
  const real = yield* realPath(target)
  const way = path.relative(yield* realPath(folder), real)
  const isOutside = way === ".." || way.startsWith(`..${path.sep}`) || path.isAbsolute(way)
  if (isOutside) return yield* fail(new OutsideProject({ file, target: real }))
})

const decode = (file: string, bytes: Uint8Array) =>
  Effect.try({
    try: () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes),
    catch: () => {
      const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes)
      const { column, line } = Problem.at(text, Math.max(text.indexOf("\uFFFD"), 0), "")
      return new InstallError({ reason: new InvalidSettings({ file, detail: "it is not UTF-8 text", line, column }) })
    }
  })

/** Reads a file; its content is `undefined` if it does not exist. */
export const read = Effect.fnUntraced(function* (file: string, within?: string) {
  const fs = yield* FileSystem.FileSystem
  const target = yield* follow(file, 0)
  if (within !== undefined) yield* checkWithin(file, target, within)
  const stat = yield* fs.stat(target).pipe(
    Effect.asSome,
    Effect.catchIf(isMissing, () => Effect.succeedNone),
    Effect.mapError(accessError(file, "reading it"))
  )
  if (Option.isNone(stat)) return { file, target, within, content: undefined } satisfies Snapshot
  const { gid, mode, size, type, uid } = stat.value
  if (type !== "File") return yield* fail(new NotAccessible({ file, detail: "it is not a file" }))
  if (size > maxBytes) return yield* fail(new NotAccessible({ file, detail: `it is larger than ${maxBytes} bytes` }))
  const bytes = yield* Effect.mapError(fs.readFile(target), accessError(file, "reading it"))
  const owner = Option.all({ uid, gid })
  const content: Content = {
    bytes,
    text: yield* decode(file, bytes),
    mode: mode & 0o7777,
    owner: Option.getOrUndefined(owner)
  }
  return { file, target, within, content } satisfies Snapshot as Snapshot
})

const isSame = (left: Uint8Array | undefined, right: Uint8Array | undefined): boolean =>
  left === undefined || right === undefined ? left === right : Buffer.compare(left, right) === 0

/** Fails for a read-only file, even if this process may override its mode. */
export const checkWritable = Effect.fnUntraced(function* ({ content, file, target }: Snapshot) {
  const fs = yield* FileSystem.FileSystem
  if (content === undefined) return
  const writable = yield* Effect.orElseSucceed(Effect.as(fs.access(target, { writable: true }), true), () => false)
  if (writable && (content.mode & 0o200) !== 0) return
  return yield* fail(new NotAccessible({ file, detail: "it is read-only: allow writing (chmod u+w) and try again" }))
})

/** Fails if the file has changed since it was read. */
const checkUnchanged = Effect.fnUntraced(function* (snapshot: Snapshot) {
  const now = yield* read(snapshot.file, snapshot.within)
  if (now.target !== snapshot.target || !isSame(now.content?.bytes, snapshot.content?.bytes)) {
    return yield* fail(new ChangedMeanwhile({ file: snapshot.file }))
  }
})

/** Creates the missing folders of a path and returns them, the outermost first. */
export const makeFolders = (
  folder: string,
  mode: number
): Effect.Effect<ReadonlyArray<string>, PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    if (yield* fs.exists(folder)) return []
    const above = path.dirname(folder) === folder ? [] : yield* makeFolders(path.dirname(folder), mode)
    const made = yield* Effect.andThen(fs.makeDirectory(folder, { mode }), fs.chmod(folder, mode)).pipe(
      Effect.as(true),
      Effect.catch((error) =>
        Effect.flatMap(fs.exists(folder), (exists) => (exists ? Effect.succeed(false) : Effect.fail(error)))
      )
    )
    return made ? [...above, folder] : above
  })

/** Writes and syncs a draft beside the target. */
const draft = Effect.fnUntraced(function* (snapshot: Snapshot, bytes: Uint8Array, mode: number) {
  const fs = yield* FileSystem.FileSystem
  const name = `${snapshot.target}.athena-${process.pid}-${yield* Clock.currentTimeNanos}`
  yield* Effect.acquireRelease(Effect.void, () => Effect.ignore(fs.remove(name, { force: true })))
  const file = yield* fs.open(name, { flag: "wx", mode: 0o600 })
  yield* file.writeAll(bytes)
  yield* file.sync
  yield* fs.chmod(name, mode)
  const owner = snapshot.content?.owner
  // Only a privileged process can preserve another owner.
  if (owner !== undefined) yield* Effect.ignore(fs.chown(name, owner.uid, owner.gid))
  return name
})

/** Deletes the drafts that killed installations left an hour ago or earlier. */
const removeStaleDrafts = Effect.fnUntraced(
  function* (target: string) {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const folder = path.dirname(target)
    const now = yield* Clock.currentTimeMillis
    for (const name of yield* fs.readDirectory(folder)) {
      if (!name.startsWith(`${path.basename(target)}.athena-`) || !/-\d+-\d+$/.test(name)) continue
      const { mtime } = yield* fs.stat(path.join(folder, name))
      if (Option.exists(mtime, (at) => now - at.getTime() > 3_600_000)) yield* fs.remove(path.join(folder, name))
    }
  },
  (effect) => Effect.ignore(effect)
)

const isTaken = (error: PlatformError): boolean => error.reason._tag === "AlreadyExists"

/** A hard link does not replace a file that another program has just created. Some file systems lack hard links. */
const create = Effect.fnUntraced(function* (name: string, target: string) {
  const fs = yield* FileSystem.FileSystem
  yield* Effect.catchIf(
    fs.link(name, target),
    (error) => !isTaken(error),
    () => fs.rename(name, target)
  )
})

export interface Modes {
  readonly mode: number
  /** The mode of new folders. */
  readonly folderMode: number
}

/** Replaces the file atomically, preserves its owner, and returns the folders that it created. */
export const replace = Effect.fnUntraced(function* (snapshot: Snapshot, text: string, { folderMode, mode }: Modes) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { content, file, target } = snapshot
  return yield* Effect.gen(function* () {
    const folders = yield* makeFolders(path.dirname(target), folderMode)
    const name = yield* draft(snapshot, new TextEncoder().encode(text), mode)
    yield* checkUnchanged(snapshot)
    yield* content === undefined ? create(name, target) : fs.rename(name, target)
    yield* removeStaleDrafts(target)
    return folders
  }).pipe(
    Effect.scoped,
    Effect.catchIf(
      (error) => error._tag === "PlatformError" && isTaken(error),
      () => fail(new ChangedMeanwhile({ file }))
    ),
    Effect.mapError((error) => (error._tag === "PlatformError" ? accessError(file, "writing it")(error) : error))
  )
})

/** Removes the file, and the given folders if they are empty, the innermost first. */
export const remove = Effect.fnUntraced(function* (snapshot: Snapshot, folders: ReadonlyArray<string>) {
  const fs = yield* FileSystem.FileSystem
  yield* checkUnchanged(snapshot)
  yield* Effect.mapError(fs.remove(snapshot.target), accessError(snapshot.file, "removing it"))
  // `rmdir` fails for a folder that is not empty.
  yield* Effect.forEach(folders.toReversed(), (folder) => Effect.ignore(Effect.tryPromise(() => rmdir(folder))), {
    discard: true
  })
})

/** Reads the text of a settings file; empty if the file is absent, unreadable, too large, or not a regular file. */
export const readText = Effect.fnUntraced(
  function* (file: string) {
    const fs = yield* FileSystem.FileSystem
    const { size, type } = yield* fs.stat(file)
    return type === "File" && size <= maxBytes ? yield* fs.readFileString(file) : ""
  },
  Effect.orElseSucceed(() => "")
)
