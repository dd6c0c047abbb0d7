/**
 * The spool of a process: its file, opened when it is first needed, opened again when another process has put a new one
 * in its place, and saved from when it is damaged.
 *
 * A damaged file is renamed, with its log, to `<filename>.damaged-<time>`; what can be read of it goes into a new file,
 * and then its name becomes `<filename>.salvaged-<time>`, of which the newest few are kept. A process that is killed on
 * the way leaves the first name, and whoever opens the spool next goes on with it: to save an event twice changes nothing.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Result from "effect/Result"
import type { Failpoint } from "./failpoints.ts"
import { rescue } from "./rescue.ts"
import { inodeOf, LostLog, type Row, SpoolFile, type SpoolLimit, type SpoolSettings } from "./spoolFile.ts"
import { classify, Damage, isDamage, type SpoolFault } from "./spoolFault.ts"

/** The file goes first: then whoever has it open sees that it is gone, and writes nothing more that counts. */
const suffixes = ["", "-wal", "-shm"]
const damagedMark = ".damaged-"
const salvagedMark = ".salvaged-"

/** Files that were saved from and are kept. */
const keptSalvaged = 3

/** After how many failures in a row the pause between two attempts to save from a file grows no more. */
const maxSalvageFailures = 6

export const randomId = (): string => Buffer.from(SecureRandom.randomBytesUnsafe(12)).toString("base64url")

const sizeOf = (filename: string): number => fs.statSync(filename, { throwIfNoEntry: false })?.size ?? 0

const withoutSuffix = (name: string): string => name.replace(/-(?:wal|shm)$/, "")

/** Renames what there is of a file and of those beside it. */
const renameAll = (from: string, to: string, between: () => void): void => {
  for (const suffix of suffixes) {
    if (!fs.existsSync(`${from}${suffix}`)) continue
    fs.renameSync(`${from}${suffix}`, `${to}${suffix}`)
    between()
  }
}

/**
 * Runs while no other process opens the file or sets it aside: between two renames it would find half a file, and SQLite
 * deletes a log whose file is gone. A lock of SQLite's, because it ends with its process.
 */
const exclusively = <A>(filename: string, timeoutMs: number, run: () => A): A => {
  const lock = new DatabaseSync(`${filename}.lock`, { timeout: timeoutMs })
  try {
    try {
      lock.exec("BEGIN EXCLUSIVE")
    } catch (error) {
      if (!isDamage(error)) throw error
      // Nothing is ever written into it. Emptied and not replaced: who holds the lock holds it on this very file.
      fs.truncateSync(`${filename}.lock`, 0)
      lock.exec("BEGIN EXCLUSIVE")
    }
    return run()
  } finally {
    lock.close()
  }
}

export class Spool {
  private readonly settings: SpoolSettings
  private readonly now: () => number
  private readonly moment: (moment: Failpoint) => void
  private opened: SpoolFile | undefined
  private wasOpened = false
  private checked: SpoolFile | undefined
  /** The file that could not be opened last. */
  private refused: number | undefined
  private closed = false
  private dropsUncounted = 0
  private filesUnsaved = 0
  private salvageFailures = 0
  private salvagePause = 0

  constructor(settings: SpoolSettings, now: () => number, moment: (moment: Failpoint) => void) {
    this.settings = settings
    this.now = now
    this.moment = moment
  }

  /** Does something with the file; a damaged one is set aside and the new one used instead. */
  use<A>(run: (file: SpoolFile) => A): Result.Result<A, SpoolFault> {
    return this.attempt(() => run(this.current()))
  }

  private attempt<A>(run: () => A): Result.Result<A, SpoolFault> {
    if (this.closed) return Result.fail({ kind: "unavailable", detail: "the recorder is shut down" })
    for (let attempt = 0; ; attempt++) {
      try {
        return Result.succeed(run())
      } catch (error) {
        if (!isDamage(error) || attempt === 2) return Result.fail(classify(error, this.settings.filename))
        const aside = Result.try(() => this.setAside())
        if (Result.isFailure(aside)) return Result.fail(classify(aside.failure, this.settings.filename))
      }
    }
  }

  /**
   * Writes rows, and says how many there was room for. What was written into a file that another process was just setting
   * aside is written again into the one that took its place: only what is in the file of that name counts.
   */
  append(rows: ReadonlyArray<Row>): Result.Result<number, SpoolFault> {
    for (let attempt = 0; ; attempt++) {
      const done = this.attempt(() => {
        this.keepFolder()
        const file = this.opened ?? this.open()
        const written = file.append(rows)
        return { written, counts: file.isCurrent() }
      })
      if (Result.isFailure(done)) return Result.fail(done.failure)
      if (done.success.counts) return Result.succeed(done.success.written)
      this.release()
      if (attempt === 2) return Result.fail({ kind: "unavailable", detail: "its file is replaced again and again" })
    }
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

  /** The sequence numbers of the rows that were appended last. */
  get sequences(): ReadonlyArray<number> {
    return this.opened?.sequences ?? []
  }

  /** Why the rows that were not written last were not. */
  get reached(): SpoolLimit {
    return this.opened?.reached ?? "bound"
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

  /** Saves what could not be saved when the file was opened; less and less often where it fails again. */
  retrySalvage(): void {
    if (this.filesUnsaved === 0 || --this.salvagePause > 0) return
    const { busyTimeoutMs, filename } = this.settings
    this.use((file) => exclusively(filename, busyTimeoutMs, () => this.salvageAll(file)))
  }

  /** Damaged files from which nothing could be saved yet. */
  get unsaved(): number {
    return this.filesUnsaved
  }

  /** Closes the file for good. */
  close(): void {
    this.closed = true
    this.release()
  }

  private release(): void {
    this.opened?.close()
    this.opened = undefined
  }

  /** The file that has the name now. */
  private current(): SpoolFile {
    if (this.opened?.isCurrent() === true) return this.opened
    this.release()
    return this.open()
  }

  /** A folder that was there and is gone was deleted with all that was in it; only new events are a reason to make it. */
  private keepFolder(): void {
    if (this.opened !== undefined || !this.wasOpened) return
    Result.try(() => fs.mkdirSync(path.dirname(this.settings.filename), { mode: 0o700 }))
  }

  private open(): SpoolFile {
    const { busyTimeoutMs, filename } = this.settings
    return exclusively(filename, busyTimeoutMs, () => {
      this.finishSetAside()
      this.refused = inodeOf(filename)
      // SQLite would forget the log of an empty file.
      if (sizeOf(filename) === 0 && sizeOf(`${filename}-wal`) > 0) throw new Damage("the log has no file")
      // Events are nobody else's business. Where this fails, the opening says why.
      Result.try(() => fs.closeSync(fs.openSync(filename, "a", 0o600)))
      this.refused = inodeOf(filename)
      const file = this.openFile()
      this.opened = file
      this.wasOpened = true
      this.salvageAll(file)
      return file
    })
  }

  private openFile(): SpoolFile {
    try {
      return new SpoolFile(this.settings, randomId(), this.moment)
    } catch (error) {
      if (!(error instanceof LostLog)) throw error
      this.rename()
      error.db.close()
      throw new Damage(error.message)
    }
  }

  private rename(): void {
    const { filename } = this.settings
    const aside = `${filename}${damagedMark}${this.now()}-${randomId()}`
    renameAll(filename, aside, () => this.moment("inside set-aside"))
  }

  /** Renames the file, unless another process has done so, and closes it. */
  private setAside(): void {
    const { busyTimeoutMs, filename } = this.settings
    const isDamagedOne = (): boolean =>
      this.opened === undefined ? inodeOf(filename) === this.refused : this.opened.isCurrent()
    exclusively(filename, busyTimeoutMs, () => {
      if (isDamagedOne()) this.rename()
    })
    this.release()
  }

  /** Renames the log and the index that a killed process left behind when it set their file aside. */
  private finishSetAside(): void {
    const { filename } = this.settings
    if (fs.existsSync(filename)) return
    for (const suffix of ["-wal", "-shm"]) {
      if (!fs.existsSync(`${filename}${suffix}`)) continue
      const aside = this.beside(damagedMark).findLast((name) => fs.existsSync(name) && !fs.existsSync(`${name}${suffix}`))
      if (aside !== undefined) renameAll(filename, aside, () => {})
    }
  }

  /** The files beside the spool whose names have a mark, oldest first, without those of their logs. */
  private beside(mark: string): ReadonlyArray<string> {
    const folder = path.dirname(this.settings.filename)
    const start = `${path.basename(this.settings.filename)}${mark}`
    const names = fs.readdirSync(folder).filter((name) => name.startsWith(start))
    const time = (name: string): number => Number.parseInt(name.slice(start.length), 10) || 0
    return [...new Set(names.map(withoutSuffix))]
      .toSorted((a, b) => time(a) - time(b))
      .map((name) => path.join(folder, name))
  }

  /** Saves what can be read of the files that were set aside, or of one whose process was killed while it did that. */
  private salvageAll(file: SpoolFile): void {
    const damaged = this.beside(damagedMark)
    // What can't be saved now is saved another time.
    this.filesUnsaved = damaged.filter((name) => Result.isFailure(Result.try(() => this.salvage(file, name)))).length
    this.salvageFailures = this.filesUnsaved === 0 ? 0 : Math.min(this.salvageFailures + 1, maxSalvageFailures)
    this.salvagePause = 2 ** this.salvageFailures - 1
    if (damaged.length > 0) Result.try(() => this.forgetSalvaged())
  }

  private forgetSalvaged(): void {
    for (const name of this.beside(salvagedMark).slice(0, -keptSalvaged)) {
      for (const suffix of suffixes) fs.rmSync(`${name}${suffix}`, { force: true })
    }
  }

  private salvage(file: SpoolFile, damaged: string): void {
    const { deadLetters, events, lost } = rescue(damaged, this.now())
    file.adopt(events, deadLetters, lost)
    this.moment("inside salvage")
    renameAll(damaged, damaged.replace(damagedMark, salvagedMark), () => {})
  }
}
