/**
 * The few file operations that a hook needs, straight on `node:fs`. The complete file system of the platform would cost
 * a hook process more time than all else it does, for the modules it loads.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
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

/** A file system that can find a path, see whether it exists, read it and make a folder; anything else dies. */
export const layer = FileSystem.layerNoop({
  realPath: (path) => attempt("realPath", path, () => fs.realpathSync(path)),
  exists: (path) => Effect.sync(() => fs.existsSync(path)),
  readFileString: (path) => attempt("readFileString", path, () => fs.readFileSync(path, "utf8")),
  makeDirectory: (path, options) =>
    attempt("makeDirectory", path, () => {
      fs.mkdirSync(path, options)
    })
})
