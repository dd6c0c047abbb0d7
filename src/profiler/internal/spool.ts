/**
 * A file that many short processes append to, one line each, and that a reader takes away as a whole.
 *
 * A line is written by one call, so that lines of processes that write at the same time do not mix. The file has a bound:
 * when it is reached the file takes the place of the one before, so that the newest lines are kept, in at most twice the
 * bound. Whatever fails, fails in silence: the caller's work goes first.
 */
import type * as NodeFs from "node:fs"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"

/** Taken without `import`, for which a bundle would copy every function of the module. */
const fs: typeof NodeFs = process.getBuiltinModule("node:fs")

/** From this size on the file is exchanged, in bytes. */
export const maxBytes = 1024 * 1024

const name = "profile.jsonl"
const before = "profile.old.jsonl"
const taken = /^profile\.taken-.*\.jsonl$/

/** A taken file that is older was left behind by a reader that was killed, in milliseconds. */
const abandonedMs = 60_000

/** Whether there is a folder to write to and to read from. */
export const exists = (folder: string): boolean => fs.existsSync(folder)

/** Appends a line, and says whether that went well. */
export const append = (folder: string, line: string): boolean => {
  const file = `${folder}/${name}`
  try {
    const stats = fs.statSync(file, { throwIfNoEntry: false })
    if (stats !== undefined && stats.size >= maxBytes) fs.renameSync(file, `${folder}/${before}`)
    fs.appendFileSync(file, `${line}\n`, { mode: 0o600 })
    return true
  } catch {
    return false
  }
}

/** A file that was taken away, under a name that no other one ever has. */
export interface Taken {
  readonly name: string
  readonly lines: ReadonlyArray<string>
}

const take = (folder: string, from: string, to: string): void => {
  try {
    fs.renameSync(`${folder}/${from}`, `${folder}/${to}`)
  } catch {
    // There is none, or another reader was first.
  }
}

/** Takes away what has been written, and what readers that were killed have left. */
export const takeAll = (folder: string, now: number): Effect.Effect<ReadonlyArray<Taken>> =>
  Effect.try(() => {
    const unique = Buffer.from(SecureRandom.randomBytesUnsafe(12)).toString("hex")
    const ours = [`profile.taken-${unique}-1.jsonl`, `profile.taken-${unique}-2.jsonl`] as const
    take(folder, before, ours[0])
    take(folder, name, ours[1])
    return fs
      .readdirSync(folder)
      .filter((file) => taken.test(file))
      .filter(
        (file) => ours.some((own) => own === file) || now - fs.statSync(`${folder}/${file}`).mtimeMs > abandonedMs
      )
      .map((file) => {
        const lines = fs.readFileSync(`${folder}/${file}`, "utf8").split("\n")
        return { name: file, lines: lines.filter((line) => line !== "") }
      })
  }).pipe(Effect.orElseSucceed(() => []))

/** Removes a file whose lines are safe elsewhere. */
export const remove = (folder: string, file: string): Effect.Effect<void> =>
  Effect.ignore(Effect.try(() => fs.unlinkSync(`${folder}/${file}`)))
