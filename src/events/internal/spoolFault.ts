/** Classifies the failures of a spool: damage, a lock, a full disk, or a file that can't be used and its cause. */
import * as fs from "node:fs"
import * as path from "node:path"
import * as Result from "effect/Result"
import { isDamaged, primaryCode, SqliteCode } from "../../internal/sqliteError.ts"

/** The spool failed. A spool at its bound accepts fewer rows and does not fail. */
export interface SpoolFault {
  readonly kind: "locked" | "diskFull" | "unavailable"
  readonly detail: string
}

/** The file is SQLite, but not a spool, or the spool of another recorder. It stays unchanged. */
export class ForeignFile extends Error {}

/** Damage that SQLite does not report. */
export class Damage extends Error {
  readonly errcode = SqliteCode.corrupt
}

/** SQLite's messages for a valid statement over a damaged schema. */
const schemaDamage = /no such (?:table|column|index)|has no column|malformed|syntax error|unrecognized token/

export const isDamage = (error: unknown): boolean =>
  isDamaged(error) || (primaryCode(error) === 1 && error instanceof Error && schemaDamage.test(error.message))

export const diskFull: SpoolFault = { kind: "diskFull", detail: "the disk is full" }

/** With less free space than this, SQLite reports a full disk as an I/O error or as a file that can't be opened. */
const fullBytes = 65_536

const isDiskFull = (folder: string): boolean =>
  Result.getOrElse(
    Result.try(() => {
      const { bavail, bsize } = fs.statfsSync(folder)
      return bavail * bsize < fullBytes
    }),
    () => false
  )

/** SQLite reports no system error for a file that it can't open. */
const openProblems: Readonly<Record<string, string>> = {
  ENOENT: "its folder does not exist",
  ENOTDIR: "a part of its path is a file",
  EISDIR: "a folder has this name",
  EACCES: "this user may not open it",
  EPERM: "this user may not open it",
  EROFS: "its disk is read-only",
  EMFILE: "this process has too many files open",
  ENFILE: "this host has too many files open",
  ENAMETOOLONG: "its path is too long",
  ELOOP: "its path is a loop of links"
}

const systemCode = (error: unknown): string | undefined =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined

const openProblem = (filename: string): string => {
  for (const suffix of ["", "-wal", ".lock"]) {
    const opened = Result.try(() => fs.closeSync(fs.openSync(`${filename}${suffix}`, "a", 0o600)))
    if (Result.isFailure(opened)) {
      const code = systemCode(opened.failure)
      return code === undefined ? "unknown cause" : `${openProblems[code] ?? "the system refuses it"} (${code})`
    }
  }
  return "check its folder"
}

/** Contains SQLite's description of the code or the system's code, and no part of an event. */
const unexpectedDetail = (error: unknown): string => {
  if (typeof error === "object" && error !== null && "errcode" in error && "errstr" in error) {
    return `an unexpected failure (SQLite ${String(error.errcode)}: ${String(error.errstr)})`
  }
  const code = systemCode(error)
  return code === undefined ? "an unexpected failure" : `an unexpected failure (${code})`
}

export const classify = (error: unknown, filename: string): SpoolFault => {
  if (error instanceof ForeignFile) return { kind: "unavailable", detail: error.message }
  if (systemCode(error) === "ENOSPC" || systemCode(error) === "EDQUOT") return diskFull
  switch (primaryCode(error)) {
    case SqliteCode.busy:
    case SqliteCode.locked:
      return { kind: "locked", detail: "another process holds its lock" }
    case SqliteCode.full:
      return diskFull
    case SqliteCode.readOnly:
      return { kind: "unavailable", detail: "the file or its folder is read-only" }
    case SqliteCode.io:
      return isDiskFull(path.dirname(filename)) ? diskFull : { kind: "unavailable", detail: "the disk fails" }
    case SqliteCode.cantOpen:
      return isDiskFull(path.dirname(filename))
        ? diskFull
        : { kind: "unavailable", detail: `the file can't be opened: ${openProblem(filename)}` }
    case SqliteCode.corrupt:
    case SqliteCode.notADatabase:
      return { kind: "unavailable", detail: "the file is damaged and can't be set aside" }
    default:
      return { kind: "unavailable", detail: unexpectedDetail(error) }
  }
}
