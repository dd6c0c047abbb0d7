/**
 * Appends lines to a file, and rotates it when it is full. The files have one writer at a time, the daemon.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
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

/** Splits lines into groups that fit into one file. */
const groupsOf = (lines: ReadonlyArray<string>, maxBytes: number): ReadonlyArray<ReadonlyArray<string>> => {
  const groups: Array<Array<string>> = []
  let room = 0
  for (const line of lines) {
    const bytes = Buffer.byteLength(line) + 1
    if (groups.length === 0 || bytes > room) {
      groups.push([])
      room = maxBytes
    }
    groups.at(-1)!.push(line)
    room -= bytes
  }
  return groups
}

export const make = Effect.fnUntraced(function* (settings: WriterSettings) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const files = pathsOf(path, settings)
  const file = files[0]!
  /** Whether the last write ended inside a line: the next one starts with a newline. */
  let isTorn = false

  const sizeOf = (file: string) =>
    Effect.orElseSucceed(
      Effect.map(fs.stat(file), ({ size }) => Number(size)),
      () => 0
    )

  const shift = Effect.gen(function* () {
    for (let index = files.length - 1; index > 0; index--) {
      yield* Effect.ignore(fs.rename(files[index - 1]!, files[index]!))
    }
    if (files.length === 1) yield* Effect.ignore(fs.remove(file))
  })

  const rotate = (more: number) =>
    Effect.flatMap(sizeOf(file), (size) => (size > 0 && size + more > settings.maxBytes ? shift : Effect.void))

  /** Writes as many bytes as the disk accepts, and returns their number. */
  const write = (bytes: Uint8Array) =>
    Effect.gen(function* () {
      const open = yield* fs.open(file, { flag: "a", mode: 0o600 })
      let written = 0
      while (written < bytes.length) {
        const count = yield* Effect.orElseSucceed(open.write(bytes.subarray(written)), () => 0)
        if (count === 0) return written
        written += count
      }
      return written
    }).pipe(Effect.scoped)

  /** Returns the number of appended lines. */
  const appendGroup = (lines: ReadonlyArray<string>) =>
    Effect.gen(function* () {
      const start = isTorn ? "\n" : ""
      const bytes = Buffer.from(`${start}${lines.join("\n")}\n`)
      yield* rotate(bytes.length)
      const written = yield* write(bytes)
      if (written === 0) return 0
      isTorn = bytes[written - 1] !== 10
      return bytes.subarray(start.length, written).toString("latin1").split("\n").length - 1
    })

  /** Appends lines, and returns their number: fewer if the disk is full or the folder is unusable. */
  return (lines: ReadonlyArray<string>): Effect.Effect<number> =>
    Effect.gen(function* () {
      yield* Database.makeFolder(settings.folder).pipe(
        Effect.provideService(FileSystem.FileSystem, fs),
        Effect.provideService(Path.Path, path)
      )
      let appended = 0
      for (const group of groupsOf(lines, settings.maxBytes)) {
        const count = yield* Effect.orElseSucceed<number, PlatformError, never, number>(appendGroup(group), () => 0)
        appended += count
        if (count < group.length) break
      }
      return appended
    }).pipe(Effect.orElseSucceed(() => 0))
})
