/**
 * The file operations of a hook, on `node:fs`. Loading the platform's file system would take longer than the hook.
 */
import type { Stats } from "node:fs"
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as PlatformError from "effect/PlatformError"

/** An `import` would make the bundle copy every function of the module. */
const fs = process.getBuiltinModule("node:fs")

const attempt = <A>(method: string, path: string, run: () => A): Effect.Effect<A, PlatformError.PlatformError> =>
  Effect.try({
    try: run,
    catch: (cause) =>
      PlatformError.systemError({
        _tag: (cause as NodeJS.ErrnoException).code === "ENOENT" ? "NotFound" : "Unknown",
        module: "FileSystem",
        method,
        pathOrDescriptor: path,
        cause
      })
  })

/** Converts the members that hooks read. */
const infoOf = (stats: Stats): FileSystem.File.Info => ({
  type: stats.isFile() ? "File" : stats.isDirectory() ? "Directory" : "Unknown",
  size: ByteSize.bytes(stats.size),
  mode: stats.mode,
  dev: BigInt(stats.dev),
  mtime: Option.some(stats.mtime),
  atime: Option.none(),
  birthtime: Option.some(stats.birthtime),
  ino: Option.some(BigInt(stats.ino)),
  nlink: Option.none(),
  uid: Option.some(stats.uid),
  gid: Option.none(),
  rdev: Option.none(),
  blksize: Option.none(),
  blocks: Option.none()
})

/** An open file that supports only `readAlloc`. */
const opened = (path: string, fd: number) =>
  ({
    [FileSystem.FileTypeId]: FileSystem.FileTypeId,
    readAlloc: (size: number, { position }: FileSystem.File.ReadOptions = {}) =>
      attempt("readAlloc", path, () => {
        const buffer = new Uint8Array(size)
        const count = fs.readSync(fd, buffer, { position: position ?? null })
        return count === 0 ? Option.none() : Option.some(buffer.subarray(0, count))
      })
  }) as unknown as FileSystem.File

/** A file system with the operations that hooks use; any other is a defect. */
export const layer = FileSystem.layerNoop({
  realPath: (path) => attempt("realPath", path, () => fs.realpathSync(path)),
  stat: (path) => attempt("stat", path, () => infoOf(fs.statSync(path))),
  open: (path) =>
    Effect.acquireRelease(
      attempt("open", path, () => fs.openSync(path, "r")),
      (fd) => Effect.sync(() => fs.closeSync(fd))
    ).pipe(Effect.map((fd) => opened(path, fd))),
  readDirectory: (path) => attempt("readDirectory", path, () => fs.readdirSync(path)),
  exists: (path) => Effect.sync(() => fs.existsSync(path)),
  readFileString: (path) => attempt("readFileString", path, () => fs.readFileSync(path, "utf8")),
  makeDirectory: (path, options) =>
    attempt("makeDirectory", path, () => {
      fs.mkdirSync(path, options)
    })
})
