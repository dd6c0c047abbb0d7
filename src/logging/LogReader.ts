/**
 * Reads the files of a log: the last lines, and then new ones, also across rotation.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/** A file as observed at one time. */
export interface ObservedFile {
  readonly path: string
  /** Unchanged by a rename. */
  readonly id: string
  readonly size: number
}

/** The read position: a file and an offset in it. */
export interface Position {
  readonly id: string
  readonly offset: number
}

/** The existing files, newest first. Only regular files: reading others may never end. */
export const observe = (paths: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const found = yield* Effect.forEach(paths, (path) =>
      Effect.option(Effect.map(fs.stat(path), (info) => ({ path, info })))
    )
    return found
      .flatMap(Option.toArray)
      .filter(({ info }) => info.type === "File")
      .map(({ info, path }): ObservedFile => ({
        path,
        id: `${info.dev}:${Option.getOrElse(info.ino, () => path)}`,
        size: Number(info.size)
      }))
  })

const linesOf = (fs: FileSystem.FileSystem, path: string) =>
  fs.stream(path).pipe(
    Stream.decodeText,
    Stream.splitLines,
    Stream.filter((line) => line !== "")
  )

/** The last matching lines of a log, oldest first. A file that disappears meanwhile is skipped. */
export const tail = (files: ReadonlyArray<ObservedFile>, limit: number, isWanted: (line: string) => boolean) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    let found: ReadonlyArray<string> = []
    for (const { path } of files) {
      if (found.length >= limit) break
      const lines = linesOf(fs, path).pipe(Stream.filter(isWanted), Stream.takeRight(limit - found.length))
      found = (yield* Effect.orElseSucceed(Stream.runCollect(lines), (): Array<string> => [])).concat(found)
    }
    return found
  })

/** The position at which `follow` continues after `tail`. */
export const endOf = (files: ReadonlyArray<ObservedFile>): Position | undefined =>
  files[0] === undefined ? undefined : { id: files[0].id, offset: files[0].size }

const startOf = ({ id }: ObservedFile): Position => ({ id, offset: 0 })

/** The unread files and their start positions, oldest first. */
const unread = (files: ReadonlyArray<ObservedFile>, position: Position | undefined) => {
  const all = files.map((file) => ({ file, from: startOf(file) }))
  if (position === undefined) return all.toReversed()
  const index = files.findIndex(({ id }) => id === position.id)
  // The file was deleted; the remaining rotated ones are read already.
  if (index < 0) return all.slice(0, 1)
  const file = files[index]!
  // A shorter file was truncated.
  const from = position.offset <= file.size ? position : startOf(file)
  return [{ file, from }, ...all.slice(0, index).toReversed()]
}

/** Emits the complete lines of a file from a position; returns the position after them. */
const read = <E, R>(
  { id, path, size }: ObservedFile,
  { offset }: Position,
  each: (line: string) => Effect.Effect<void, E, R>
) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const chunks = yield* Stream.runCollect(fs.stream(path, { offset, bytesToRead: size - offset }))
    const bytes = Buffer.concat(chunks)
    const end = bytes.lastIndexOf("\n") + 1
    for (const line of bytes.toString("utf8", 0, end).split("\n")) if (line !== "") yield* each(line)
    return { id, offset: offset + end } satisfies Position
  })

/** Emits the lines after a position; returns the new position. */
export const follow = <E, R>(
  files: ReadonlyArray<ObservedFile>,
  position: Position | undefined,
  each: (line: string) => Effect.Effect<void, E, R>
) =>
  Effect.gen(function* () {
    let reached = position
    for (const { file, from } of unread(files, position)) {
      reached = from.offset === file.size ? from : yield* read(file, from, each)
    }
    return reached
  })
