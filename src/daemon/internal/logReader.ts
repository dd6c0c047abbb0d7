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
}

const chunkBytes = 65_536

/** What has no end of line for so long is no line; the rest of it is passed over. */
const maxLineBytes = 1_048_576

const newline = 10

/** The files that are there, newest first. */
export const look = (paths: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const found = yield* Effect.forEach(paths, (path) =>
      Effect.option(Effect.map(fs.stat(path), (info) => ({ path, info })))
    )
    return found.flatMap(Option.toArray).map(({ info, path }): Seen => ({
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

/** The last lines of a file that are wanted, newest first, at most so many. */
const lastOf = ({ path, size }: Seen, limit: number, isWanted: (line: string) => boolean) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const file = yield* fs.open(path)
    const found: Array<string> = []
    /** The end of a line whose beginning was not read yet. */
    let rest = Buffer.alloc(0)
    for (let end = size; end > 0 && found.length < limit;) {
      const start = Math.max(0, end - chunkBytes)
      const bytes = Buffer.concat([yield* bytesOf(file, start, end - start), rest])
      const first = start === 0 ? -1 : bytes.indexOf(newline)
      rest = Buffer.from(first < 0 ? bytes : bytes.subarray(0, first)).subarray(0, maxLineBytes)
      if (start === 0) rest = Buffer.alloc(0)
      const whole = start === 0 ? bytes : first < 0 ? Buffer.alloc(0) : bytes.subarray(first + 1)
      found.push(
        ...linesOf(whole)
          .toReversed()
          .filter((line) => line !== "" && isWanted(line))
      )
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

/** Gives the lines of a file from a byte on; gives how far the last whole line goes. */
const read = <E, R>({ path, size }: Seen, from: number, each: (line: string) => Effect.Effect<void, E, R>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const file = yield* fs.open(path)
    let rest = Buffer.alloc(0)
    let at = from
    while (at < size) {
      const bytes = yield* bytesOf(file, at, Math.min(chunkBytes, size - at))
      if (bytes.length === 0) break
      at += bytes.length
      const all = Buffer.concat([rest, bytes])
      const last = all.lastIndexOf(newline)
      const lines = last < 0 ? [] : linesOf(all.subarray(0, last))
      rest = Buffer.from(all.subarray(last + 1))
      if (rest.length > maxLineBytes) rest = Buffer.alloc(0)
      for (const line of lines) if (line !== "") yield* each(line)
    }
    return at - rest.length
  }).pipe(Effect.scoped)

/** Where the reading of a log goes on after `tail`. */
export const endOf = (files: ReadonlyArray<Seen>): Position | undefined =>
  files[0] === undefined ? undefined : { id: files[0].id, offset: files[0].size }

/** What has not been read yet, oldest first: from which file, and from which byte on. */
const unread = (files: ReadonlyArray<Seen>, position: Position | undefined) => {
  const all = files.map((file) => ({ file, from: 0 }))
  if (position === undefined) return all.toReversed()
  const index = files.findIndex(({ id }) => id === position.id)
  // The files were removed; the rotated ones that are left have been read.
  if (index < 0) return all.slice(0, 1)
  const file = files[index]!
  // A file that is shorter than it was has been emptied.
  const from = position.offset <= file.size ? position.offset : 0
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
    for (const { file, from } of unread(files, position)) {
      reached = { id: file.id, offset: yield* read(file, from, each) }
    }
    return reached
  })
