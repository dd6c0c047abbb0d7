/**
 * A file that many short processes append to, a line each, and that readers set aside, merge and remove.
 *
 * A line is written by one call, so that lines of processes that write at the same time do not mix, and behind a line
 * break, so that half a line of a process that was killed spoils no other one. A file that has reached its bound is set
 * aside under a name that no other one ever has. Of these the newest are kept; how many lines went with the others is
 * written down as a line. Whatever fails, fails in silence: the caller's work goes first.
 */
import type * as NodeFs from "node:fs"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"

/** Taken without `import`, for which a bundle would copy every function of the module. */
const fs: typeof NodeFs = process.getBuiltinModule("node:fs")

/** From this size on the file is set aside, in bytes. */
export const maxBytes = 1024 * 1024

/** How many files are kept that were set aside. */
export const maxAside = 15

const current = "profile.jsonl"
const aside = /^profile\..+\.jsonl$/

/** How often a line is written again whose file was removed meanwhile. */
const maxAttempts = 3

/** Whether there is a folder to write to and to read from. */
export const exists = (folder: string): boolean => fs.existsSync(folder)

/** Makes a file that its owner alone can read, and one of others so. */
export const makePrivate = (file: string): Effect.Effect<void> =>
  Effect.ignore(
    Effect.try(() => {
      fs.closeSync(fs.openSync(file, "a", 0o600))
      fs.chmodSync(file, 0o600)
    })
  )

/** The files that were set aside, the oldest first. */
const listAside = (folder: string): ReadonlyArray<string> =>
  fs
    .readdirSync(folder)
    .filter((file) => aside.test(file))
    .toSorted()

const setAside = (folder: string, stats: NodeFs.Stats): void => {
  const unique = Buffer.from(SecureRandom.randomBytesUnsafe(8)).toString("hex")
  const name = `profile.${String(Math.floor(stats.mtimeMs)).padStart(14, "0")}-${unique}.jsonl`
  try {
    fs.renameSync(`${folder}/${current}`, `${folder}/${name}`)
  } catch {
    // Another process was first.
  }
}

const linesOf = (content: string): ReadonlyArray<string> => content.split("\n").filter((line) => line !== "")

/** What a line that tells of dropped ones begins with. */
const droppedPrefix = '{"dropped":'

/** How many lines a line tells of that were dropped; `undefined`: it is another one. */
export const droppedOf = (line: string): number | undefined => {
  if (!line.startsWith(droppedPrefix)) return undefined
  const count = Number(line.slice(droppedPrefix.length, -1))
  return Number.isSafeInteger(count) && count > 0 ? count : undefined
}

/** Removes the oldest of too many files, and counts the lines that go with them. */
const dropOldest = (folder: string): number => {
  let dropped = 0
  for (const file of listAside(folder).slice(0, -maxAside)) {
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

/** Appends a line, and says whether that went well. */
export const append = (folder: string, line: string): boolean => {
  try {
    const stats = fs.statSync(`${folder}/${current}`, { throwIfNoEntry: false })
    if (stats === undefined || stats.size < maxBytes) return write(folder, line)
    setAside(folder, stats)
    const dropped = dropOldest(folder)
    return write(folder, dropped === 0 ? line : `${droppedPrefix}${dropped}}\n${line}`)
  } catch {
    return false
  }
}

/** Sets aside what has been written, unless as many files wait to be merged as there may be. */
export const take = (folder: string): Effect.Effect<void> =>
  Effect.ignore(
    Effect.try(() => {
      const stats = fs.statSync(`${folder}/${current}`, { throwIfNoEntry: false })
      if (stats !== undefined && listAside(folder).length < maxAside) setAside(folder, stats)
    })
  )

/** The names of the files that wait to be merged. */
export const waiting = (folder: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.try(() => listAside(folder)).pipe(Effect.orElseSucceed(() => []))

/** A file that was set aside, as far as it was written when it was read. */
export interface Aside {
  readonly name: string
  readonly bytes: number
  readonly lines: ReadonlyArray<string>
}

/** Reads a file that was set aside; `gone`: another reader has removed it. */
export const read = (folder: string, name: string): Effect.Effect<Aside | "gone" | "unreadable"> =>
  Effect.sync(() => {
    try {
      const content = fs.readFileSync(`${folder}/${name}`)
      return { name, bytes: content.length, lines: linesOf(content.toString("utf8")) }
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === "ENOENT" ? "gone" : "unreadable"
    }
  })

/** Removes a file whose lines are safe elsewhere. What a slow process has written to it since goes where new lines go. */
export const remove = (folder: string, { bytes, name }: Aside): Effect.Effect<void> =>
  Effect.ignore(
    Effect.try(() => {
      const file = `${folder}/${name}`
      if (fs.statSync(file).size > bytes) write(folder, fs.readFileSync(file).subarray(bytes).toString("utf8"))
      fs.unlinkSync(file)
    })
  )
