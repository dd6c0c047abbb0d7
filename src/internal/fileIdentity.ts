/**
 * The identity of a file, its device and inode: it survives a rename, and distinguishes a file from its replacement.
 */
import * as fs from "node:fs"
import * as Effect from "effect/Effect"

const identity = (path: string, stat: typeof fs.statSync | typeof fs.lstatSync): string | undefined => {
  try {
    const { dev, ino } = stat(path, { bigint: true })
    return `${dev}:${ino}`
  } catch {
    return undefined
  }
}

/** The identity of the directory entry itself, links included; absent where it does not exist or is unreadable. */
export const fileIdentity = (path: string): string | undefined => identity(path, fs.lstatSync)

/** The identity of the file to which a path resolves. */
export const targetIdentity = (path: string): string | undefined => identity(path, fs.statSync)

/**
 * Watches whether the path of a SQLite database still resolves to the open file and its write-ahead log. Writes to a
 * deleted or replaced file are lost.
 *
 * Run it before the file is opened, and the resulting effect after. Opening creates a missing file and the log; the log
 * exists while any process has the database open.
 */
export const watchDatabase = (filename: string): Effect.Effect<Effect.Effect<boolean>> =>
  Effect.sync(() => {
    let file = targetIdentity(filename)
    let log: string | undefined
    return Effect.sync(() => {
      const current = targetIdentity(filename)
      const currentLog = targetIdentity(`${filename}-wal`)
      file ??= current
      log ??= currentLog
      return current !== undefined && current === file && currentLog === log
    })
  })
