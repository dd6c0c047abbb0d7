/**
 * Reads the files of a log: the last lines from the end, and then what comes, also while files are moved. Memory is bounded
 * by what is asked for, and not by the size of the files.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"

/** A file as it was at one moment. */
export interface Seen {
  readonly path: string
  /** Stays the same when the file is renamed. */
  readonly id: string
  readonly size: number
}

/** How far a log has been read: in which file, and up to which byte. */
export interface Position {
  readonly id: string
  readonly offset: number
  /** Whether that is amid a line that is too long to be one. */
  readonly isAmid: boolean
}

const chunkBytes = 65_536

/** What has no end of line for so long is no line, and is passed over. */
const maxLineBytes = 1_048_576

/** For how many bytes of a file the beginnings of such lines are looked for; what is before them is passed over too. */
const maxPassedBytes = 64 * 1_048_576

const newline = 10

/** The files that are there, newest first; what is no regular file may never end, or never begin. */
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

/** Some bytes of a file; fewer where it has become shorter. */
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

/** The parts of a file that are read backwards: where its lines begin. */
interface Part {
  /** Whole lines, the oldest first. */
  readonly lines: ReadonlyArray<string>
  /** The end of a line whose beginning was not read yet; `undefined` where that line is too long to be one. */
  readonly rest: Buffer | undefined
}

/** What comes of some bytes, which end where a rest begins. */
const partOf = (bytes: Buffer, rest: Buffer | undefined, isFirst: boolean): Part => {
  // Of a line that is too long nothing is kept, so its beginning is all that is looked for.
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

/** The last lines of a file that are wanted, newest first, at most so many. */
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

/** The last lines of a log that are wanted, oldest first, at most so many. A file that is gone meanwhile is passed over. */
export const tail = (files: ReadonlyArray<Seen>, limit: number, isWanted: (line: string) => boolean) =>
  Effect.gen(function* () {
    const found: Array<string> = []
    for (const file of files) {
      if (found.length >= limit) break
      found.push(...(yield* Effect.orElseSucceed(lastOf(file, limit - found.length, isWanted), () => [])))
    }
    return found.toReversed()
  })

/** Gives the lines of a file from a position on; gives how far the last whole line goes. */
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

/** Where the reading of a log goes on after `tail`. */
export const endOf = (files: ReadonlyArray<Seen>): Position | undefined =>
  files[0] === undefined ? undefined : { id: files[0].id, offset: files[0].size, isAmid: false }

const beginningOf = ({ id }: Seen): Position => ({ id, offset: 0, isAmid: false })

/** What has not been read yet, oldest first: from which file, and from where on. */
const unread = (files: ReadonlyArray<Seen>, position: Position | undefined) => {
  const all = files.map((file) => ({ file, from: beginningOf(file) }))
  if (position === undefined) return all.toReversed()
  const index = files.findIndex(({ id }) => id === position.id)
  // The files were removed; the rotated ones that are left have been read.
  if (index < 0) return all.slice(0, 1)
  const file = files[index]!
  // A file that is shorter than it was has been emptied.
  const from = position.offset <= file.size ? position : beginningOf(file)
  return [{ file, from }, ...all.slice(0, index).toReversed()]
}

/** Gives the lines that came since a position, and the position after them. */
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
