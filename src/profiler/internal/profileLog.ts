/**
 * An append-only log shared by many short processes, one record per line. Readers rotate, merge and remove it.
 *
 * Each line is written by one call, so concurrent writers do not interleave, and starts with a line break, so that half
 * a line of a killed process damages no other. A file that reaches its maximum size is rotated to a unique name. The
 * newest rotated files remain; a line records how many records were dropped with the others. Every failure is silent:
 * the program comes first.
 */
import type * as NodeFs from "node:fs"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"

/** Loaded without `import`, for which a bundle would copy every function of the module. */
const fs: typeof NodeFs = process.getBuiltinModule("node:fs")

/** The size in bytes from which the file is rotated. */
export const maxBytes = 1024 * 1024

/** The maximum number of rotated files. */
export const maxRotatedFiles = 15

const current = "profile.jsonl"
const rotated = /^profile\..+\.jsonl$/

/** The number of attempts when the file is removed during a write. */
const maxAttempts = 3

export const exists = (folder: string): boolean => fs.existsSync(folder)

/** Creates a file readable only by its owner, or restricts an existing one. */
export const makePrivate = (file: string): Effect.Effect<void> =>
  Effect.ignore(
    Effect.try(() => {
      fs.closeSync(fs.openSync(file, "a", 0o600))
      fs.chmodSync(file, 0o600)
    })
  )

/** The rotated files, oldest first. */
const listRotated = (folder: string): ReadonlyArray<string> =>
  fs
    .readdirSync(folder)
    .filter((file) => rotated.test(file))
    .toSorted()

const rotateFile = (folder: string, stats: NodeFs.Stats): void => {
  const unique = Buffer.from(SecureRandom.randomBytesUnsafe(8)).toString("hex")
  const name = `profile.${String(Math.floor(stats.mtimeMs)).padStart(14, "0")}-${unique}.jsonl`
  try {
    fs.renameSync(`${folder}/${current}`, `${folder}/${name}`)
  } catch {
    // Another process was first.
  }
}

const linesOf = (content: string): ReadonlyArray<string> => content.split("\n").filter((line) => line !== "")

/** The prefix of a line that counts dropped records. */
const droppedPrefix = '{"dropped":'

/** The number of dropped records that the line counts, or `undefined` for any other line. */
export const droppedOf = (line: string): number | undefined => {
  if (!line.startsWith(droppedPrefix)) return undefined
  const count = Number(line.slice(droppedPrefix.length, -1))
  return Number.isSafeInteger(count) && count > 0 ? count : undefined
}

/** Removes the oldest files over the limit and counts their lines. */
const dropOldest = (folder: string): number => {
  let dropped = 0
  for (const file of listRotated(folder).slice(0, -maxRotatedFiles)) {
    try {
      const lines = linesOf(fs.readFileSync(`${folder}/${file}`, "utf8"))
      fs.unlinkSync(`${folder}/${file}`)
      for (const line of lines) dropped += droppedOf(line) ?? 1
    } catch {
      // Another process was first.
    }
  }
  return dropped
}

const write = (folder: string, text: string): boolean => {
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const file = fs.openSync(`${folder}/${current}`, "a", 0o600)
    try {
      fs.appendFileSync(file, `\n${text}\n`)
      // A reader may have taken, merged and removed the file since it was opened.
      if (fs.fstatSync(file).nlink > 0) return true
    } finally {
      fs.closeSync(file)
    }
  }
  return false
}

/** Appends a line and returns whether that succeeded. */
export const append = (folder: string, line: string): boolean => {
  try {
    const stats = fs.statSync(`${folder}/${current}`, { throwIfNoEntry: false })
    if (stats === undefined || stats.size < maxBytes) return write(folder, line)
    rotateFile(folder, stats)
    const dropped = dropOldest(folder)
    return write(folder, dropped === 0 ? line : `${droppedPrefix}${dropped}}\n${line}`)
  } catch {
    return false
  }
}

/** Rotates the file, unless the maximum number of rotated files is waiting to be merged. */
export const rotate = (folder: string): Effect.Effect<void> =>
  Effect.ignore(
    Effect.try(() => {
      const stats = fs.statSync(`${folder}/${current}`, { throwIfNoEntry: false })
      if (stats !== undefined && listRotated(folder).length < maxRotatedFiles) rotateFile(folder, stats)
    })
  )

export const rotatedFiles = (folder: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.try(() => listRotated(folder)).pipe(Effect.orElseSucceed(() => []))

/** A rotated file with its content at the time of reading. */
export interface RotatedFile {
  readonly name: string
  readonly bytes: number
  readonly lines: ReadonlyArray<string>
}

/** Reads a rotated file; `gone` if another reader has removed it. */
export const read = (folder: string, name: string): Effect.Effect<RotatedFile | "gone" | "unreadable"> =>
  Effect.sync(() => {
    try {
      const content = fs.readFileSync(`${folder}/${name}`)
      return { name, bytes: content.length, lines: linesOf(content.toString("utf8")) }
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "ENOENT" ? "gone" : "unreadable"
    }
  })

/** Removes a merged file. Lines that a slow process has appended since go back to the log. */
export const remove = (folder: string, { bytes, name }: RotatedFile): Effect.Effect<void> =>
  Effect.ignore(
    Effect.try(() => {
      const file = `${folder}/${name}`
      if (fs.statSync(file).size > bytes) write(folder, fs.readFileSync(file).subarray(bytes).toString("utf8"))
      fs.unlinkSync(file)
    })
  )
