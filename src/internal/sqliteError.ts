/**
 * Result codes of SQLite, as `node:sqlite` reports them in `errcode`.
 *
 * A primary code is the lowest byte of an extended one. See https://www.sqlite.org/rescode.html.
 */

/** Primary result codes. */
export const SqliteCode = {
  busy: 5,
  locked: 6,
  readOnly: 8,
  interrupted: 9,
  io: 10,
  corrupt: 11,
  full: 13,
  cantOpen: 14,
  protocol: 15,
  schema: 17,
  tooBig: 18,
  constraint: 19,
  mismatch: 20,
  outOfRange: 25,
  notADatabase: 26
} as const

/** Extended result codes. */
export const SqliteExtendedCode = {
  /** The transaction has read data that another one changed since, so waiting is useless. */
  busySnapshot: 517,
  /** The file, or its log, is shorter than its header states. */
  ioShortRead: 522,
  constraintForeignKey: 787
} as const

/** The extended result code of an error of `node:sqlite`; absent for other errors. */
export const extendedCode = (error: unknown): number | undefined => {
  if (typeof error !== "object" || error === null || !("errcode" in error)) return undefined
  return typeof error.errcode === "number" ? error.errcode : undefined
}

/** The primary result code of an error of `node:sqlite`; absent for other errors. */
export const primaryCode = (error: unknown): number | undefined => {
  const code = extendedCode(error)
  return code === undefined ? undefined : code & 0xff
}

const hasCode = (error: unknown, codes: ReadonlyArray<number>): boolean => codes.includes(primaryCode(error) ?? 0)

/** Whether another connection holds a lock. */
export const isLocked = (error: unknown): boolean => hasCode(error, [SqliteCode.busy, SqliteCode.locked])

/** Whether the file is damaged, or not a database. */
export const isDamaged = (error: unknown): boolean => hasCode(error, [SqliteCode.corrupt, SqliteCode.notADatabase])

/** Whether another connection holds the lock and waiting can help. */
export const isBusy = (error: unknown): boolean =>
  primaryCode(error) === SqliteCode.busy && extendedCode(error) !== SqliteExtendedCode.busySnapshot
