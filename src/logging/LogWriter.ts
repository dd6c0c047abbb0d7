/**
 * Appends lines to a file, and rotates it when it is full. The files have one writer at a time, the daemon.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Database from "../sql/Database.ts"

export interface WriterSettings {
  readonly folder: string
  readonly name: string
  readonly maxBytes: number
  readonly files: number
}

/** The paths of the files, newest first. */
export const pathsOf = (path: Path.Path, { files, folder, name }: Omit<WriterSettings, "maxBytes">) =>
  Array.from({ length: files }, (_, index) => path.join(folder, index === 0 ? name : `${name}.${index}`))

/** The number of first lines that fit, at least one. */
const fitting = (lines: ReadonlyArray<string>, maxBytes: number): number => {
  let bytes = 0
  const excess = lines.findIndex((line, index) => {
    bytes += Buffer.byteLength(line) + 1
    return bytes > maxBytes && index > 0
  })
  return excess < 0 ? lines.length : excess
}

export const make = Effect.fnUntraced(function* (settings: WriterSettings) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const paths = pathsOf(path, settings)
  const file = paths[0]!

  const rotate = Effect.gen(function* () {
    for (let index = paths.length - 1; index > 0; index--) {
      yield* Effect.ignore(fs.rename(paths[index - 1]!, paths[index]!))
    }
    if (paths.length === 1) yield* Effect.ignore(fs.remove(file))
  })

  const sizeOf = fs.stat(file).pipe(
    Effect.map(({ size }) => Number(size)),
    Effect.orElseSucceed(() => 0)
  )

  /** Appends all bytes or none. */
  const write = (bytes: Uint8Array, size: number) =>
    Effect.scoped(
      Effect.flatMap(fs.open(file, { flag: "a", mode: 0o600 }), (open) =>
        Effect.tapError(open.writeAll(bytes), () => open.truncate(size))
      )
    )

  /** Appends the lines that fit into one file, and returns their number. */
  const appendSome = (lines: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const size = yield* sizeOf
      const isFull = size > 0 && size + Buffer.byteLength(lines[0]!) + 1 > settings.maxBytes
      if (isFull) yield* rotate
      const start = isFull ? 0 : size
      const count = fitting(lines, settings.maxBytes - start)
      yield* write(Buffer.from(`${lines.slice(0, count).join("\n")}\n`), start)
      return count
    })

  /** Appends lines, and returns their number: fewer if the disk is full or the folder is unusable. */
  return (lines: ReadonlyArray<string>): Effect.Effect<number> =>
    Effect.gen(function* () {
      yield* Database.makeFolder(settings.folder).pipe(
        Effect.provideService(FileSystem.FileSystem, fs),
        Effect.provideService(Path.Path, path)
      )
      let appended = 0
      while (appended < lines.length) {
        const count = yield* Effect.orElseSucceed(appendSome(lines.slice(appended)), () => 0)
        if (count === 0) break
        appended += count
      }
      return appended
    }).pipe(Effect.orElseSucceed(() => 0))
})
