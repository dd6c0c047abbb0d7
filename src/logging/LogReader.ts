/**
 * Reads the files of a log: the last lines, and then new ones, also across rotation. Memory is bounded by the requested
 * lines, not by the size of the files.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"

/** A file as observed at one time. */
export interface Seen {
  readonly path: string
  /** Unchanged by a rename. */
  readonly id: string
  readonly size: number
}

/** The read position: a file and an offset in it. */
export interface Position {
  readonly id: string
  readonly offset: number
  /** Whether the offset is inside an oversized line. */
  readonly isAmid: boolean
}

const chunkBytes = 65_536

/** Longer data without an end of line is skipped. */
const maxLineBytes = 1_048_576

/** How much of a file is searched for the start of an oversized line. */
const maxPassedBytes = 64 * 1_048_576

const newline = 10

/** The existing files, newest first. Only regular files: reading others may never end. */
export const look = (paths: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const found = yield* Effect.forEach(paths, (path) =>
      Effect.option(Effect.map(fs.stat(path), (info) => ({ path, info })))
    )
    return found
      .flatMap(Option.toArray)
      .filter(({ info }) => info.type === "File")
      .map(({ info, path }): Seen => ({
        path,
        id: `${info.dev}:${Option.getOrElse(info.ino, () => path)}`,
        size: Number(info.size)
      }))
  })

/** Bytes of a file; fewer if it was truncated. */
const bytesOf = (file: FileSystem.File, from: number, length: number) =>
  Effect.gen(function* () {
    const buffer = Buffer.alloc(length)
    let filled = 0
    while (filled < length) {
      const count = yield* file.read(buffer.subarray(filled), { position: BigInt(from + filled) })
      if (count === 0) break
      filled += count
    }
    return buffer.subarray(0, filled)
  })

const linesOf = (bytes: Buffer): Array<string> => bytes.toString("utf8").split("\n")

/** A chunk of a file that is read backwards. */
interface Part {
  /** Complete lines, oldest first. */
  readonly lines: ReadonlyArray<string>
  /** The end of a line whose start is not read yet; `undefined` if the line is oversized. */
  readonly rest: Buffer | undefined
}

/** Splits a chunk that precedes `rest`. */
const partOf = (bytes: Buffer, rest: Buffer | undefined, isFirst: boolean): Part => {
  // Of an oversized line only the start is searched.
  const last = rest === undefined ? bytes.lastIndexOf(newline) : 0
  if (last < 0) return { lines: [], rest: undefined }
  const all = rest === undefined ? bytes.subarray(0, last) : Buffer.concat([bytes, rest])
  if (isFirst) return { lines: linesOf(all), rest: Buffer.alloc(0) }
  const first = all.indexOf(newline)
  const begun = first < 0 ? all : all.subarray(0, first)
  return {
    lines: first < 0 ? [] : linesOf(all.subarray(first + 1)),
    rest: begun.length > maxLineBytes ? undefined : begun
  }
}

/** The last matching lines of a file, newest first. */
const lastOf = ({ path, size }: Seen, limit: number, isWanted: (line: string) => boolean) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const file = yield* fs.open(path)
    const found: Array<string> = []
    let rest: Buffer | undefined = Buffer.alloc(0)
    let passed = 0
    for (let end = size; end > 0 && found.length < limit && passed <= maxPassedBytes;) {
      const start = Math.max(0, end - chunkBytes)
      const part: Part = partOf(yield* bytesOf(file, start, end - start), rest, start === 0)
      const wanted = part.lines.filter((line) => line !== "" && isWanted(line))
      found.push(...wanted.toReversed())
      rest = part.rest
      if (rest === undefined) passed += end - start
      end = start
    }
    return found.slice(0, limit)
  }).pipe(Effect.scoped)

/** The last matching lines of a log, oldest first. A file that disappears meanwhile is skipped. */
export const tail = (files: ReadonlyArray<Seen>, limit: number, isWanted: (line: string) => boolean) =>
  Effect.gen(function* () {
    const found: Array<string> = []
    for (const file of files) {
      if (found.length >= limit) break
      found.push(...(yield* Effect.orElseSucceed(lastOf(file, limit - found.length, isWanted), () => [])))
    }
    return found.toReversed()
  })

/** Emits the lines of a file from a position; returns the position after the last complete line. */
const read = <E, R>({ id, path, size }: Seen, from: Position, each: (line: string) => Effect.Effect<void, E, R>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const file = yield* fs.open(path)
    let { isAmid, offset: at } = from
    let rest = Buffer.alloc(0)
    while (at < size) {
      const bytes = yield* bytesOf(file, at, Math.min(chunkBytes, size - at))
      if (bytes.length === 0) break
      at += bytes.length
      const first = isAmid ? bytes.indexOf(newline) : -1
      if (isAmid && first < 0) continue
      isAmid = false
      const all = Buffer.concat([rest, bytes.subarray(first + 1)])
      const last = all.lastIndexOf(newline)
      const lines = last < 0 ? [] : linesOf(all.subarray(0, last))
      rest = Buffer.from(all.subarray(last + 1))
      isAmid = rest.length > maxLineBytes
      if (isAmid) rest = Buffer.alloc(0)
      for (const line of lines) if (line !== "") yield* each(line)
    }
    return { id, offset: at - rest.length, isAmid } satisfies Position
  }).pipe(Effect.scoped)

/** The position at which `follow` continues after `tail`. */
export const endOf = (files: ReadonlyArray<Seen>): Position | undefined =>
  files[0] === undefined ? undefined : { id: files[0].id, offset: files[0].size, isAmid: false }

const beginningOf = ({ id }: Seen): Position => ({ id, offset: 0, isAmid: false })

/** The unread files and their start positions, oldest first. */
const unread = (files: ReadonlyArray<Seen>, position: Position | undefined) => {
  const all = files.map((file) => ({ file, from: beginningOf(file) }))
  if (position === undefined) return all.toReversed()
  const index = files.findIndex(({ id }) => id === position.id)
  // The files were deleted; the remaining rotated ones are read already.
  if (index < 0) return all.slice(0, 1)
  const file = files[index]!
  // A shorter file was truncated.
  const from = position.offset <= file.size ? position : beginningOf(file)
  return [{ file, from }, ...all.slice(0, index).toReversed()]
}

/** Emits the lines after a position; returns the new position. */
export const follow = <E, R>(
  files: ReadonlyArray<Seen>,
  position: Position | undefined,
  each: (line: string) => Effect.Effect<void, E, R>
) =>
  Effect.gen(function* () {
    let reached = position
    for (const { file, from } of unread(files, position)) reached = yield* read(file, from, each)
    return reached
  })
