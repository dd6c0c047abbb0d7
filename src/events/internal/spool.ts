/**
 * The spool of a process: its file, opened when it is first needed, opened again when another process has put a new one
 * in its place, and saved from when it is damaged.
 *
 * A damaged file is renamed, with its log, to `<filename>.damaged-<time>`; what can be read of it goes into a new file,
 * and then its name becomes `<filename>.salvaged-<time>`. A process that is killed on the way leaves the first name, and
 * whoever opens the spool next goes on with it: to save an event twice changes nothing.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Result from "effect/Result"
import { carve } from "./carve.ts"
import type { Moment } from "./moments.ts"
import { ForeignFile, inodeOf, type Row, SpoolFile, type SpoolSettings, sqliteCode } from "./spoolFile.ts"

/** Why the spool could not do something. `full` is the disk: a spool at its bound takes fewer rows and does not fail. */
export interface SpoolFault {
  readonly kind: "locked" | "full" | "unavailable"
  readonly detail: string
}

const corrupt = 11
const notADatabase = 26
const isDamage = (error: unknown): boolean => [corrupt, notADatabase].includes(sqliteCode(error) ?? 0)

const faultOf = (error: unknown): SpoolFault => {
  if (error instanceof ForeignFile) return { kind: "unavailable", detail: error.message }
  switch (sqliteCode(error)) {
    case 5:
    case 6:
      return { kind: "locked", detail: "another process holds its lock" }
    case 13:
      return { kind: "full", detail: "the disk is full" }
    case 8:
      return { kind: "unavailable", detail: "the file or its folder is read-only" }
    case 10:
      return { kind: "unavailable", detail: "the disk fails" }
    case 14:
      return { kind: "unavailable", detail: "the file can't be opened: look at its folder" }
    case corrupt:
    case notADatabase:
      return { kind: "unavailable", detail: "the file is damaged and could not be set aside" }
    default:
      return { kind: "unavailable", detail: "an unexpected failure" }
  }
}

/** The database refuses to be one: thrown for damage that SQLite does not see, or mends by forgetting. */
class Damage extends Error {
  readonly errcode = corrupt
}

const suffixes = ["-wal", "-shm", ""]
const damagedMark = ".damaged-"
const salvagedMark = ".salvaged-"

export const randomId = (): string => Buffer.from(SecureRandom.randomBytesUnsafe(12)).toString("base64url")

const sizeOf = (filename: string): number => fs.statSync(filename, { throwIfNoEntry: false })?.size ?? 0

const readIfThere = (filename: string): Buffer =>
  fs.existsSync(filename) ? fs.readFileSync(filename) : Buffer.alloc(0)

/**
 * Runs while no other process opens the file or sets it aside: between two renames it would find half a file, and SQLite
 * deletes a log whose file is gone. A lock of SQLite's, because it ends with its process.
 */
const exclusively = <A>(filename: string, timeoutMs: number, run: () => A): A => {
  const lock = new DatabaseSync(`${filename}.lock`, { timeout: timeoutMs })
  try {
    lock.exec("BEGIN EXCLUSIVE")
    return run()
  } finally {
    lock.close()
  }
}

export class Spool {
  private readonly settings: SpoolSettings
  private readonly now: () => number
  private readonly moment: (moment: Moment) => void
  private opened: SpoolFile | undefined
  private checked: SpoolFile | undefined
  private dropsUncounted = 0

  constructor(settings: SpoolSettings, now: () => number, moment: (moment: Moment) => void) {
    this.settings = settings
    this.now = now
    this.moment = moment
  }

  /** Does something with the file; a damaged one is set aside and the new one used instead. */
  use<A>(run: (file: SpoolFile) => A): Result.Result<A, SpoolFault> {
    return this.attempt(() => run(this.current()))
  }

  private attempt<A>(run: () => A): Result.Result<A, SpoolFault> {
    for (let attempt = 0; ; attempt++) {
      try {
        return Result.succeed(run())
      } catch (error) {
        if (!isDamage(error) || attempt === 2) return Result.fail(faultOf(error))
        const aside = Result.try(() => this.setAside())
        if (Result.isFailure(aside)) return Result.fail(faultOf(aside.failure))
      }
    }
  }

  /**
   * Writes rows, and says how many there was room for. What was written into a file that another process was just setting
   * aside is written again into the one that took its place: only what is in the file of that name counts.
   */
  append(rows: ReadonlyArray<Row>): Result.Result<number, SpoolFault> {
    return this.attempt(() => {
      const file = this.opened ?? this.open()
      const written = file.append(rows)
      if (file.isCurrent()) return written
      this.close()
      const again = this.append(rows)
      if (Result.isFailure(again)) throw new Damage("the file was set aside")
      return again.success
    })
  }

  /** Adds to the count of dropped events: later, where the file can't be written now. */
  countDropped(count: number): void {
    const total = this.dropsUncounted + count
    this.dropsUncounted = total
    if (total > 0 && Result.isSuccess(this.use((file) => file.countDropped(total)))) this.dropsUncounted = 0
  }

  /** Tells the file that is open now from others that had or will have its name. */
  get epoch(): string | undefined {
    return this.opened?.epoch
  }

  /** Drops that the file does not know of. */
  get uncounted(): number {
    return this.dropsUncounted
  }

  /** Looks once at the whole of each file that is opened: SQLite itself would not miss a row that is gone. */
  check(): Result.Result<void, SpoolFault> {
    return this.use((file) => {
      if (this.checked === file) return
      if (!file.isWhole()) throw new Damage("the file is not whole")
      this.checked = file
    })
  }

  close(): void {
    this.opened?.close()
    this.opened = undefined
  }

  /** The file that has the name now. */
  private current(): SpoolFile {
    if (this.opened?.isCurrent() === true) return this.opened
    this.close()
    return this.open()
  }

  private open(): SpoolFile {
    const { busyTimeoutMs, filename } = this.settings
    return exclusively(filename, busyTimeoutMs, () => {
      // SQLite would forget the log of an empty file.
      if (sizeOf(filename) === 0 && sizeOf(`${filename}-wal`) > 0) throw new Damage("the log has no file")
      // Events are nobody else's business. Where this fails, the opening says why.
      Result.try(() => fs.closeSync(fs.openSync(filename, "a", 0o600)))
      const file = new SpoolFile(this.settings, randomId(), this.moment)
      this.opened = file
      // What can't be saved now is saved another time.
      Result.try(() => this.salvageAll(file))
      return file
    })
  }

  /** Renames the file, unless another process has done so, and closes it. */
  private setAside(): void {
    const { busyTimeoutMs, filename } = this.settings
    const before = this.opened === undefined ? inodeOf(filename) : undefined
    const isDamagedOne = (): boolean =>
      this.opened === undefined ? inodeOf(filename) === before : this.opened.isCurrent()
    exclusively(filename, busyTimeoutMs, () => {
      if (isDamagedOne()) {
        const aside = `${filename}${damagedMark}${this.now()}-${randomId()}`
        for (const suffix of suffixes) {
          if (fs.existsSync(`${filename}${suffix}`)) fs.renameSync(`${filename}${suffix}`, `${aside}${suffix}`)
        }
      }
    })
    this.close()
  }

  /** Saves what can be read of the files that were set aside, or of one whose process was killed while it did that. */
  private salvageAll(file: SpoolFile): void {
    const folder = path.dirname(this.settings.filename)
    const mark = `${path.basename(this.settings.filename)}${damagedMark}`
    const pending = fs.readdirSync(folder).filter((name) => name.startsWith(mark))
    for (const name of new Set(pending.map((name) => name.replace(/-(?:wal|shm)$/, "")))) {
      this.salvage(file, path.join(folder, name))
    }
  }

  private salvage(file: SpoolFile, damaged: string): void {
    const { dead, events } = carve(readIfThere(damaged), readIfThere(`${damaged}-wal`), this.now())
    file.adopt(events, dead)
    this.moment("inside salvage")
    const salvaged = damaged.replace(damagedMark, salvagedMark)
    for (const suffix of suffixes) {
      if (fs.existsSync(`${damaged}${suffix}`)) fs.renameSync(`${damaged}${suffix}`, `${salvaged}${suffix}`)
    }
  }
}
