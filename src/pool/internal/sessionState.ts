/**
 * Derives a statement's effects on its session from its text.
 *
 * The extended protocol sends one statement at a time, so the first keyword decides, except for functions that change a
 * session from within a query. Those are found anywhere in the text, also in comments and literals: an unnecessary
 * reset costs less than a missing one. The effects of user-defined functions, and names spelled with escapes, can't be
 * derived.
 */

/** Bits of a statement's effects on its session. */
export const StatementEffects = {
  none: 0,
  begins: 1,
  ends: 2,
  /** Rolls back, or releases a savepoint: implied by the end of a session. */
  rollsBack: 4,
  settings: 8,
  advisoryLocks: 16,
  temporary: 32,
  cursors: 64,
  channels: 128,
  /** Makes changes that can't be identified and reset. */
  unknown: 256,
  savepoint: 512,
  /** Requests a read-only transaction or session. */
  readOnly: 1024
} as const

export const transactionControl =
  StatementEffects.begins | StatementEffects.ends | StatementEffects.rollsBack | StatementEffects.savepoint

/** The bits that require a reset before the next caller. */
export const dirtyMask =
  StatementEffects.settings |
  StatementEffects.advisoryLocks |
  StatementEffects.temporary |
  StatementEffects.cursors |
  StatementEffects.channels |
  StatementEffects.unknown

const blank = /[\s(;]+/y
const lineComment = /--[^\n]*/y
const commentMark = /\/\*|\*\//g

/** The end of a comment that begins at `start`; comments nest. */
const endOfComment = (sql: string, start: number): number => {
  commentMark.lastIndex = start
  let depth = 0
  for (let mark = commentMark.exec(sql); mark !== null; mark = commentMark.exec(sql)) {
    depth += mark[0] === "/*" ? 1 : -1
    if (depth === 0) return commentMark.lastIndex
  }
  return sql.length
}

/** The end of a match of a sticky expression at `at`, or `at` itself. */
const skip = (pattern: RegExp, sql: string, at: number): number => {
  pattern.lastIndex = at
  return pattern.test(sql) ? pattern.lastIndex : at
}

/** The text from its first keyword, without leading spaces, comments, parentheses and semicolons. */
const fromKeyword = (sql: string): string => {
  let at = 0
  for (let before = -1; before !== at;) {
    before = at
    at = skip(lineComment, sql, skip(blank, sql, at))
    if (sql.startsWith("/*", at)) at = endOfComment(sql, at)
  }
  return sql.slice(at)
}

/** The effects of built-in functions, in any statement. */
const functionEffects = (sql: string): number =>
  (/\bset_config\b/i.test(sql) ? StatementEffects.settings : 0) |
  (/\bpg_(?:try_)?advisory_lock/i.test(sql) ? StatementEffects.advisoryLocks : 0)

const mentionsTemporary = (sql: string): boolean => /\b(?:pg_temp\w*|temp|temporary)\b/i.test(sql)

const selectEffects = (sql: string): number =>
  /\binto\b/i.test(sql) && mentionsTemporary(sql) ? StatementEffects.temporary : StatementEffects.none

const readOnlyEffects = (sql: string): number =>
  /\bread\s+only\b|_read_only\b/i.test(sql) ? StatementEffects.readOnly : StatementEffects.none

const setEffects = (sql: string): number =>
  readOnlyEffects(sql) |
  (/^set\s+(?:local|constraints|transaction)\b/i.test(sql) ? StatementEffects.none : StatementEffects.settings)

const beginEffects = (sql: string): number => StatementEffects.begins | readOnlyEffects(sql)

const createEffects = (sql: string): number =>
  mentionsTemporary(sql) ? StatementEffects.temporary : StatementEffects.none

/** `AND CHAIN` ends a transaction and begins the next. */
const chains = (sql: string): boolean => /\bchain\b/i.test(sql) && !/\bno\b/i.test(sql)

const commitEffects = (sql: string): number =>
  chains(sql)
    ? StatementEffects.begins
    : /^commit\s+prepared\b/i.test(sql)
      ? StatementEffects.none
      : StatementEffects.ends

const rollbackEffects = (sql: string): number => {
  if (chains(sql)) return StatementEffects.begins
  return /^rollback\s+prepared\b/i.test(sql)
    ? StatementEffects.none
    : /\bto\b/i.test(sql)
      ? StatementEffects.rollsBack
      : StatementEffects.rollsBack | StatementEffects.ends
}

/** The possible effects of code in the server. */
const procedureEffects =
  StatementEffects.settings |
  StatementEffects.advisoryLocks |
  StatementEffects.temporary |
  StatementEffects.cursors |
  StatementEffects.channels

const prepareEffects = (sql: string): number =>
  /^prepare\s+transaction\b/i.test(sql) ? StatementEffects.ends : StatementEffects.unknown

const byKeyword: Readonly<Record<string, (sql: string) => number>> = {
  select: selectEffects,
  with: selectEffects,
  explain: createEffects,
  set: setEffects,
  reset: () => StatementEffects.settings,
  create: createEffects,
  rollback: rollbackEffects,
  prepare: prepareEffects,
  release: () => StatementEffects.rollsBack,
  begin: beginEffects,
  start: beginEffects,
  savepoint: () => StatementEffects.savepoint,
  commit: commitEffects,
  end: commitEffects,
  abort: rollbackEffects,
  listen: () => StatementEffects.channels,
  declare: () => StatementEffects.cursors,
  do: () => procedureEffects,
  call: () => procedureEffects,
  execute: () => StatementEffects.unknown,
  load: () => StatementEffects.unknown,
  deallocate: () => StatementEffects.unknown,
  discard: () => StatementEffects.unknown
}

/** A text without a first word may have any effect; a keyword that is not in the table has none. */
const classify = (text: string): number => {
  const sql = fromKeyword(text)
  const keyword = /^[a-z]+/i.exec(sql)?.[0].toLowerCase()
  if (keyword === undefined) return sql === "" ? StatementEffects.none : procedureEffects
  return functionEffects(sql) | (Object.hasOwn(byKeyword, keyword) ? byKeyword[keyword]!(sql) : StatementEffects.none)
}

const cacheCapacity = 1_000

/** The longest cached text, in UTF-16 units; longer ones are mostly unique bulk writes. */
const maxCachedLength = 4_096

const cache = new Map<string, number>()

/** The effects of a statement, cached because texts repeat. */
export const effectsOf = (sql: string): number => {
  const known = cache.get(sql)
  if (known !== undefined) return known
  const effects = classify(sql)
  if (sql.length > maxCachedLength) return effects
  if (cache.size >= cacheCapacity) cache.clear()
  cache.set(sql, effects)
  return effects
}

/** A reset with one of these bits may also revert `initSql`. */
const revertedByReset = dirtyMask & ~StatementEffects.unknown

/** The statements that reset a session: an open transaction first, `initSql` after the settings. */
export const resetStatements = (
  state: { readonly inTransaction: boolean; readonly dirtyBits: number },
  initSql: ReadonlyArray<string>
): Array<string> => {
  const statements: Array<string> = []
  if (state.inTransaction) statements.push("ROLLBACK")
  if ((state.dirtyBits & StatementEffects.cursors) !== 0) statements.push("CLOSE ALL")
  if ((state.dirtyBits & StatementEffects.settings) !== 0)
    statements.push("SET SESSION AUTHORIZATION DEFAULT", "RESET ALL")
  if ((state.dirtyBits & StatementEffects.advisoryLocks) !== 0) statements.push("SELECT pg_advisory_unlock_all()")
  if ((state.dirtyBits & StatementEffects.channels) !== 0) statements.push("UNLISTEN *")
  if ((state.dirtyBits & StatementEffects.temporary) !== 0) statements.push("DISCARD TEMP")
  if ((state.dirtyBits & revertedByReset) !== 0) statements.push(...initSql)
  return statements
}
