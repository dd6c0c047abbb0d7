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

/** The inode of the file to which a path resolves; absent where it does not exist or is inaccessible. */
export const inodeOf = (path: string): number | undefined => {
  try {
    return fs.statSync(path, { throwIfNoEntry: false })?.ino
  } catch {
    return undefined
  }
}

/**
 * The inodes of a SQLite database and its write-ahead log; absent without the file. A connection to a renamed or deleted
 * file or log misses the writes of others, and its own are lost.
 */
export const databaseIdentity = (filename: string): string | undefined => {
  const inode = inodeOf(filename)
  return inode === undefined ? undefined : `${inode}/${inodeOf(`${filename}-wal`)}`
}

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
