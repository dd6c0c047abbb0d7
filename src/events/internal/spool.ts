/**
 * The spool of a process: opens its file on first use, reopens it after another process has replaced it, and replaces a
 * damaged one.
 *
 * A damaged file is renamed, with its log, to `<filename>.damaged-<time>`. Its readable rows are copied into a new
 * file, and then its name becomes `<filename>.rescued-<time>`; the newest three remain. If a process is killed in
 * between, the next process that opens the spool continues. Rescuing an event twice is harmless.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import * as Result from "effect/Result"
import { inodeOf } from "../../internal/fileIdentity.ts"
import { randomId } from "../../internal/randomId.ts"
import type { Failpoint } from "./failpoints.ts"
import { rescue } from "./rescue.ts"
import { LostLog, type Row, SpoolFile, type SpoolLimit, type SpoolSettings } from "./spoolFile.ts"
import { classify, Damage, isDamage, type SpoolFault } from "./spoolFault.ts"

/** The database file is renamed first, so that processes with the open file detect it, and acknowledge nothing more. */
const suffixes = ["", "-wal", "-shm"]
const damagedMark = ".damaged-"
const rescuedMark = ".rescued-"

const maxRescuedFiles = 3

/** Consecutive failures after which the pause between two rescues grows no more. */
const maxRescueFailures = 6

const sizeOf = (filename: string): number => fs.statSync(filename, { throwIfNoEntry: false })?.size ?? 0

const withoutSuffix = (name: string): string => name.replace(/-(?:wal|shm)$/, "")

const renameAll = (from: string, to: string, between: () => void): void => {
  for (const suffix of suffixes) {
    if (!fs.existsSync(`${from}${suffix}`)) continue
    fs.renameSync(`${from}${suffix}`, `${to}${suffix}`)
    between()
  }
}

/**
 * Excludes other processes from opening or renaming the file: SQLite deletes a log whose file is absent. Uses a lock of
 * SQLite, which ends with its process.
 */
const exclusively = <A>(filename: string, timeoutMs: number, run: () => A): A => {
  const lock = new DatabaseSync(`${filename}.lock`, { timeout: timeoutMs })
  try {
    try {
      lock.exec("BEGIN EXCLUSIVE")
    } catch (error) {
      if (!isDamage(error)) throw error
      // The lock file has no content. It is truncated and not replaced, because the lock belongs to the inode.
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
  /** The inode of the file that failed to open last. */
  private failedInode: number | undefined
  private closed = false
  private pendingDrops = 0
  private filesUnrescued = 0
  private rescueFailures = 0
  private rescuePause = 0
  private filesRescued = 0

  constructor(settings: SpoolSettings, now: () => number, failpoint: (failpoint: Failpoint) => void) {
    this.settings = settings
    this.now = now
    this.failpoint = failpoint
  }

  /** Runs an operation on the file. A damaged file is replaced first. */
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
   * Appends rows, up to the limit, and returns their number. Rows written into a file that another process renamed
   * meanwhile are appended again to its replacement.
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
      if (attempt === 2) return Result.fail({ kind: "unavailable", detail: "its file is replaced repeatedly" })
    }
  }

  /** Counts dropped events, later if the file can't be written now. */
  countDropped(count: number): void {
    const total = this.pendingDrops + count
    this.pendingDrops = total
    if (total > 0 && Result.isSuccess(this.use((file) => file.countDropped(total)))) this.pendingDrops = 0
  }

  /** Identifies the open file among those that have had its name. */
  get epoch(): string | undefined {
    return this.opened?.epoch
  }

  /** The sequence numbers of the last appended rows. */
  get sequences(): ReadonlyArray<number> {
    return this.opened?.sequences ?? []
  }

  /** The limit that the last append reached. */
  get reached(): SpoolLimit {
    return this.opened?.reached ?? "bound"
  }

  get uncountedDrops(): number {
    return this.pendingDrops
  }

  /** Verifies each opened file once and completely, because SQLite does not detect a missing row. */
  check(): Result.Result<void, SpoolFault> {
    return this.use((file) => {
      if (this.checked === file) return
      if (!file.isIntact()) throw new Damage("the file fails its integrity check")
      this.checked = file
    })
  }

  /** Retries failed rescues, with growing pauses. */
  retryRescue(): void {
    if (this.filesUnrescued === 0 || --this.rescuePause > 0) return
    const { busyTimeoutMs, filename } = this.settings
    this.use((file) => exclusively(filename, busyTimeoutMs, () => this.rescueAll(file)))
  }

  /** Rescued files: each may have appended events. */
  get rescued(): number {
    return this.filesRescued
  }

  get unrescued(): number {
    return this.filesUnrescued
  }

  close(): void {
    this.closed = true
    this.release()
  }

  private release(): void {
    this.opened?.close()
    this.opened = undefined
  }

  private current(): SpoolFile {
    if (this.opened?.isCurrent() === true) return this.opened
    this.release()
    return this.open()
  }

  /** Only new events recreate a folder that was deleted with its contents. */
  private ensureFolder(): void {
    if (this.opened !== undefined || !this.wasOpened) return
    Result.try(() => fs.mkdirSync(path.dirname(this.settings.filename), { mode: 0o700 }))
  }

  private open(): SpoolFile {
    const { busyTimeoutMs, filename } = this.settings
    return exclusively(filename, busyTimeoutMs, () => {
      this.finishQuarantine()
      this.failedInode = inodeOf(filename)
      // SQLite would delete the log of an empty file.
      if (sizeOf(filename) === 0 && sizeOf(`${filename}-wal`) > 0) throw new Damage("the file of the log is empty")
      // Only the owner may read events. If this fails, the open below reports the cause.
      Result.try(() => fs.closeSync(fs.openSync(filename, "a", 0o600)))
      this.failedInode = inodeOf(filename)
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

  /** Renames the damaged file, unless another process has done so, and closes it. */
  private quarantine(): void {
    const { busyTimeoutMs, filename } = this.settings
    const isDamagedFile = (): boolean =>
      this.opened === undefined ? inodeOf(filename) === this.failedInode : this.opened.isCurrent()
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
      const aside = this.siblings(damagedMark).findLast(
        (name) => fs.existsSync(name) && !fs.existsSync(`${name}${suffix}`)
      )
      if (aside !== undefined) renameAll(filename, aside, () => {})
    }
  }

  /** The renamed files with a mark, oldest first, without their logs. */
  private siblings(mark: string): ReadonlyArray<string> {
    const folder = path.dirname(this.settings.filename)
    const start = `${path.basename(this.settings.filename)}${mark}`
    const names = fs.readdirSync(folder).filter((name) => name.startsWith(start))
    const time = (name: string): number => Number.parseInt(name.slice(start.length), 10) || 0
    return [...new Set(names.map(withoutSuffix))]
      .toSorted((a, b) => time(a) - time(b))
      .map((name) => path.join(folder, name))
  }

  /** Rescues all renamed files, including those that a killed process left behind. */
  private rescueAll(file: SpoolFile): void {
    const damaged = this.siblings(damagedMark)
    // Failed rescues are retried later.
    this.filesUnrescued = damaged.filter((name) =>
      Result.isFailure(Result.try(() => this.rescueFile(file, name)))
    ).length
    this.rescueFailures = this.filesUnrescued === 0 ? 0 : Math.min(this.rescueFailures + 1, maxRescueFailures)
    this.rescuePause = 2 ** this.rescueFailures - 1
    if (damaged.length > 0) Result.try(() => this.deleteOldRescued())
  }

  private deleteOldRescued(): void {
    for (const name of this.siblings(rescuedMark).slice(0, -maxRescuedFiles)) {
      for (const suffix of suffixes) fs.rmSync(`${name}${suffix}`, { force: true })
    }
  }

  private rescueFile(file: SpoolFile, damaged: string): void {
    const { deadLetters, events, lost } = rescue(damaged, this.now())
    file.adopt(events, deadLetters, lost)
    this.failpoint("inside rescue")
    renameAll(damaged, damaged.replace(damagedMark, rescuedMark), () => {})
    this.filesRescued++
  }
}
