/**
 * The few file operations that a hook needs, straight on `node:fs`. The complete file system of the platform would cost
 * a hook process more time than all else it does, for the modules it loads.
 */
import type { Stats } from "node:fs"
import * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as PlatformError from "effect/PlatformError"

/** Taken without `import`, for which the bundle would copy every function of the module. */
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

/** Of what is known of a path only what a hook asks for. */
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

/** An open file of which the beginning can be read; anything else is a defect. */
const opened = (path: string, fd: number) =>
  ({
    [FileSystem.FileTypeId]: FileSystem.FileTypeId,
    readAlloc: (size: number) =>
      attempt("readAlloc", path, () => {
        const buffer = new Uint8Array(size)
        const count = fs.readSync(fd, buffer)
        return count === 0 ? Option.none() : Option.some(buffer.subarray(0, count))
      })
  }) as unknown as FileSystem.File

/** A file system that can find a path, see what it is, read it and make a folder; anything else dies. */
export const layer = FileSystem.layerNoop({
  realPath: (path) => attempt("realPath", path, () => fs.realpathSync(path)),
  stat: (path) => attempt("stat", path, () => infoOf(fs.statSync(path))),
  open: (path) =>
    Effect.acquireRelease(
      attempt("open", path, () => fs.openSync(path, "r")),
      (fd) => Effect.sync(() => fs.closeSync(fd))
    ).pipe(Effect.map((fd) => opened(path, fd))),
  exists: (path) => Effect.sync(() => fs.existsSync(path)),
  readFileString: (path) => attempt("readFileString", path, () => fs.readFileSync(path, "utf8")),
  makeDirectory: (path, options) =>
    attempt("makeDirectory", path, () => {
      fs.mkdirSync(path, options)
    })
})
