/**
 * Counts committed transactions in a write-ahead log that SQLite no longer reads.
 *
 * Recovery stops silently at the first damaged frame, and the next write overwrites the acknowledged transactions behind
 * it. A kill leaves none there, because the frame that commits a transaction is written last. For the layout, see
 * "WAL-mode File Format" in SQLite's documentation.
 */
import * as fs from "node:fs"
import * as Result from "effect/Result"

const headerBytes = 32
const frameHeaderBytes = 24
const pageBytes = 4_096
const frameBytes = frameHeaderBytes + pageBytes

/** The index has two copies of its header. */
const indexBytes = 48

/** The byte order of the index and of the header depends on the host. */
const word = (bytes: Buffer, at: number, isBig: boolean): number =>
  isBig ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at)

const isNativeBig = new Uint8Array(new Uint32Array([1]).buffer)[3] === 1

const read = (file: number, length: number, at: number): Buffer => {
  const bytes = Buffer.alloc(length)
  return bytes.subarray(0, fs.readSync(file, bytes, 0, length, at))
}

const withFile = <A>(filename: string, use: (file: number) => A): A => {
  const file = fs.openSync(filename, "r")
  try {
    return use(file)
  } finally {
    fs.closeSync(file)
  }
}

/** The number of frames that readers of the log see; absent while a writer changes it. */
const framesSeen = (filename: string): number | undefined =>
  withFile(`${filename}-shm`, (file) => {
    const index = read(file, 2 * indexBytes, 0)
    if (index.length < 2 * indexBytes) return undefined
    const [one, other] = [index.subarray(0, indexBytes), index.subarray(indexBytes)]
    return one.equals(other) ? word(one, 16, isNativeBig) : undefined
  })

/** Compares the header with its checksum. */
const isSound = (header: Buffer): boolean => {
  const isBig = (header.readUInt32BE(0) & 1) === 1
  let [first, second] = [0, 0]
  for (let at = 0; at < 24; at += 8) {
    first = (first + word(header, at, isBig) + second) >>> 0
    second = (second + word(header, at + 4, isBig) + first) >>> 0
  }
  return first === header.readUInt32BE(24) && second === header.readUInt32BE(28)
}

const lostCommits = (log: number, size: number, seen: number): number => {
  const header = read(log, headerBytes, 0)
  const frames = Math.floor((size - headerBytes) / frameBytes)
  const frame = (index: number): Buffer => read(log, frameHeaderBytes, headerBytes + index * frameBytes)
  const hasSoundHeader = isSound(header)
  // A damaged header hides the whole log. Its salt is that of the first frame.
  if (!hasSoundHeader && seen > 0) return 0
  const salt = (hasSoundHeader ? header : frame(0)).subarray(hasSoundHeader ? 16 : 8, hasSoundHeader ? 24 : 16)
  const isCurrent = (index: number): boolean => frame(index).subarray(8, 16).equals(salt)
  // Most logs continue with frames of an earlier run. The damaged frame may have lost its salt, so later ones are sampled.
  let step = 1
  for (let index = seen; !isCurrent(index); index += step, step *= 2) if (index + step >= frames) return 0
  let commits = 0
  for (let index = seen; index < frames; index++) {
    const found = frame(index)
    if (found.readUInt32BE(4) !== 0 && found.subarray(8, 16).equals(salt)) commits++
  }
  return commits
}

const count = (filename: string): number => {
  const size = fs.statSync(`${filename}-wal`, { throwIfNoEntry: false })?.size ?? 0
  if (size < headerBytes + frameBytes) return 0
  const seen = framesSeen(filename)
  if (seen === undefined || size < headerBytes + (seen + 1) * frameBytes) return 0
  return withFile(`${filename}-wal`, (log) => lostCommits(log, size, seen))
}

/** Counts the committed transactions in the log of an open database that SQLite does not read; 0 if that is unknown. */
export const lostTransactions = (filename: string): number =>
  Result.getOrElse(
    Result.try(() => count(filename)),
    () => 0
  )
