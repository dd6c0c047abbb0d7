/**
 * Finds transactions in a write-ahead log that SQLite no longer reads.
 *
 * After a kill SQLite takes up the log as far as its frames are sound, and forgets what comes behind a damaged one without a
 * word: transactions that were acknowledged. A kill alone leaves none there, for a frame that ends a transaction is the
 * last that is written of it. See "WAL-mode File Format" of SQLite's documentation for the layout.
 */
import * as fs from "node:fs"
import * as Result from "effect/Result"

const headerBytes = 32
const frameHeaderBytes = 24
const pageBytes = 4_096
const frameBytes = frameHeaderBytes + pageBytes

/** Two copies of what the readers of the log go by. */
const indexBytes = 48

/** The words of the index and of the log's header have no order of their own. */
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

/** How many frames the readers of the log see; nothing where that changes at the moment. */
const framesSeen = (filename: string): number | undefined =>
  withFile(`${filename}-shm`, (file) => {
    const index = read(file, 2 * indexBytes, 0)
    if (index.length < 2 * indexBytes) return undefined
    const [one, other] = [index.subarray(0, indexBytes), index.subarray(indexBytes)]
    return one.equals(other) ? word(one, 16, isNativeBig) : undefined
  })

/** The checksum of the log over the first words of its header. */
const isSound = (header: Buffer): boolean => {
  const isBig = (header.readUInt32BE(0) & 1) === 1
  let [first, second] = [0, 0]
  for (let at = 0; at < 24; at += 8) {
    first = (first + word(header, at, isBig) + second) >>> 0
    second = (second + word(header, at + 4, isBig) + first) >>> 0
  }
  return first === header.readUInt32BE(24) && second === header.readUInt32BE(28)
}

const hasLostCommit = (log: number, size: number, seen: number): boolean => {
  const header = read(log, headerBytes, 0)
  const frames = Math.floor((size - headerBytes) / frameBytes)
  const frame = (index: number): Buffer => read(log, frameHeaderBytes, headerBytes + index * frameBytes)
  const isWhole = isSound(header)
  // A damaged header hides the whole log, whose first frame has the salt that the header had.
  if (!isWhole && seen > 0) return false
  const salt = (isWhole ? header : frame(0)).subarray(isWhole ? 16 : 8, isWhole ? 24 : 16)
  const isOfThisRun = (index: number): boolean => frame(index).subarray(8, 16).equals(salt)
  // Mostly what follows is of a run before. The damaged frame may have lost its salt, so frames behind it are looked at too.
  let step = 1
  for (let index = seen; !isOfThisRun(index); index += step, step *= 2) if (index + step >= frames) return false
  for (let index = seen; index < frames; index++) {
    const found = frame(index)
    if (found.readUInt32BE(4) !== 0 && found.subarray(8, 16).equals(salt)) return true
  }
  return false
}

const look = (filename: string): boolean => {
  const size = fs.statSync(`${filename}-wal`, { throwIfNoEntry: false })?.size ?? 0
  if (size < headerBytes + frameBytes) return false
  const seen = framesSeen(filename)
  if (seen === undefined || size < headerBytes + (seen + 1) * frameBytes) return false
  return withFile(`${filename}-wal`, (log) => hasLostCommit(log, size, seen))
}

/** Whether a file, which is open, has transactions in its log that SQLite does not read; `false` where that can't be seen. */
export const hasLost = (filename: string): boolean =>
  Result.getOrElse(
    Result.try(() => look(filename)),
    () => false
  )
