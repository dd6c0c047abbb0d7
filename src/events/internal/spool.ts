/**
 * The spool of a process: its file, opened when it is first needed, opened again when another process has put a new one
 * in its place, and saved from when it is damaged.
 *
 * A damaged file is renamed, with its log, to `<filename>.damaged-<time>`; what can be read of it goes into a new file,
 * and then its name becomes `<filename>.rescued-<time>`, of which the newest few are kept. A process that is killed on
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
const rescuedMark = ".rescued-"

/** Files that were saved from and are kept. */
const maxRescuedFiles = 3

/** After how many failures in a row the pause between two attempts to save from a file grows no more. */
const maxRescueFailures = 6

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
  private readonly failpoint: (failpoint: Failpoint) => void
  private opened: SpoolFile | undefined
  private wasOpened = false
  private checked: SpoolFile | undefined
  /** The file that could not be opened last. */
  private refused: number | undefined
  private closed = false
  private pendingDrops = 0
  private filesUnrescued = 0
  private rescueFailures = 0
  private rescuePause = 0

  constructor(settings: SpoolSettings, now: () => number, failpoint: (failpoint: Failpoint) => void) {
    this.settings = settings
    this.now = now
    this.failpoint = failpoint
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
        const aside = Result.try(() => this.quarantine())
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
        this.ensureFolder()
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
    const total = this.pendingDrops + count
    this.pendingDrops = total
    if (total > 0 && Result.isSuccess(this.use((file) => file.countDropped(total)))) this.pendingDrops = 0
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
  get uncountedDrops(): number {
    return this.pendingDrops
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
  retryRescue(): void {
    if (this.filesUnrescued === 0 || --this.rescuePause > 0) return
    const { busyTimeoutMs, filename } = this.settings
    this.use((file) => exclusively(filename, busyTimeoutMs, () => this.rescueAll(file)))
  }

  /** Damaged files from which nothing could be saved yet. */
  get unrescued(): number {
    return this.filesUnrescued
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
  private ensureFolder(): void {
    if (this.opened !== undefined || !this.wasOpened) return
    Result.try(() => fs.mkdirSync(path.dirname(this.settings.filename), { mode: 0o700 }))
  }

  private open(): SpoolFile {
    const { busyTimeoutMs, filename } = this.settings
    return exclusively(filename, busyTimeoutMs, () => {
      this.finishQuarantine()
      this.refused = inodeOf(filename)
      // SQLite would forget the log of an empty file.
      if (sizeOf(filename) === 0 && sizeOf(`${filename}-wal`) > 0) throw new Damage("the log has no file")
      // Events are nobody else's business. Where this fails, the opening says why.
      Result.try(() => fs.closeSync(fs.openSync(filename, "a", 0o600)))
      this.refused = inodeOf(filename)
      const file = this.openFile()
      this.opened = file
      this.wasOpened = true
      this.rescueAll(file)
      return file
    })
  }

  private openFile(): SpoolFile {
    try {
      return new SpoolFile(this.settings, randomId(), this.failpoint)
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
    renameAll(filename, aside, () => this.failpoint("inside quarantine"))
  }

  /** Renames the file, unless another process has done so, and closes it. */
  private quarantine(): void {
    const { busyTimeoutMs, filename } = this.settings
    const isDamagedFile = (): boolean =>
      this.opened === undefined ? inodeOf(filename) === this.refused : this.opened.isCurrent()
    exclusively(filename, busyTimeoutMs, () => {
      if (isDamagedFile()) this.rename()
    })
    this.release()
  }

  /** Renames the log and the index that a killed process left behind when it set their file aside. */
  private finishQuarantine(): void {
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
  private rescueAll(file: SpoolFile): void {
    const damaged = this.beside(damagedMark)
    // What can't be saved now is saved another time.
    this.filesUnrescued = damaged.filter((name) => Result.isFailure(Result.try(() => this.rescueFile(file, name)))).length
    this.rescueFailures = this.filesUnrescued === 0 ? 0 : Math.min(this.rescueFailures + 1, maxRescueFailures)
    this.rescuePause = 2 ** this.rescueFailures - 1
    if (damaged.length > 0) Result.try(() => this.deleteOldRescued())
  }

  private deleteOldRescued(): void {
    for (const name of this.beside(rescuedMark).slice(0, -maxRescuedFiles)) {
      for (const suffix of suffixes) fs.rmSync(`${name}${suffix}`, { force: true })
    }
  }

  private rescueFile(file: SpoolFile, damaged: string): void {
    const { deadLetters, events, lost } = rescue(damaged, this.now())
    file.adopt(events, deadLetters, lost)
    this.failpoint("inside rescue")
    renameAll(damaged, damaged.replace(damagedMark, rescuedMark), () => {})
  }
}
