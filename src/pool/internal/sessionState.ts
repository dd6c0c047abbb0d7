/**
 * What a statement leaves behind in its session, read from its text.
 *
 * The extended protocol carries one statement at a time, so the first keyword decides for all but the functions that
 * change a session from inside a query. Words are looked for anywhere behind it, in comments and literals too: a session
 * that is put back in vain costs less than one that is not. What a function of the user's own does, and a name that is
 * spelled with escapes, can't be seen from here.
 */

/** Bits of what a statement does to its session. */
export const StatementEffects = {
  none: 0,
  /** Opens a transaction. */
  begins: 1,
  /** Ends a transaction. */
  ends: 2,
  /** Rolls back or lets go of a savepoint: on a session that is gone, both have happened already. */
  rollsBack: 4,
  settings: 8,
  advisoryLocks: 16,
  temporary: 32,
  cursors: 64,
  channels: 128,
  /** Leaves something that can't be named and put back. */
  unknown: 256,
  /** Sets a savepoint. */
  savepoint: 512,
  /** Asks that nothing be written. */
  readOnly: 1024
} as const

/** The bits of statements that control a transaction. */
export const transactionControl =
  StatementEffects.begins | StatementEffects.ends | StatementEffects.rollsBack | StatementEffects.savepoint

/** The bits that must be put back before somebody else gets the session. */
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

/** Where a comment that begins here ends; they nest. */
const endOfComment = (sql: string, start: number): number => {
  commentMark.lastIndex = start
  let depth = 0
  for (let mark = commentMark.exec(sql); mark !== null; mark = commentMark.exec(sql)) {
    depth += mark[0] === "/*" ? 1 : -1
    if (depth === 0) return commentMark.lastIndex
  }
  return sql.length
}

/** Where an expression that only matches at a place ends there, or the place itself. */
const skip = (pattern: RegExp, sql: string, at: number): number => {
  pattern.lastIndex = at
  return pattern.test(sql) ? pattern.lastIndex : at
}

/** The text from its first keyword on, without what may stand before: spaces, comments, parentheses, semicolons. */
const fromKeyword = (sql: string): string => {
  let at = 0
  for (let before = -1; before !== at;) {
    before = at
    at = skip(lineComment, sql, skip(blank, sql, at))
    if (sql.startsWith("/*", at)) at = endOfComment(sql, at)
  }
  return sql.slice(at)
}

/** What functions of the server do, in whatever statement they stand. */
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

/** What code in the server can leave behind: its text, or that of a procedure, says nothing certain. */
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

/** A text that begins with no word may be anything; a word that is not in the table leaves nothing behind. */
const classify = (text: string): number => {
  const sql = fromKeyword(text)
  const keyword = /^[a-z]+/i.exec(sql)?.[0].toLowerCase()
  if (keyword === undefined) return sql === "" ? StatementEffects.none : procedureEffects
  return functionEffects(sql) | (Object.hasOwn(byKeyword, keyword) ? byKeyword[keyword]!(sql) : StatementEffects.none)
}

/** How many statement texts are remembered with their effects. */
const cacheCapacity = 1_000

/** The longest text that is remembered, in UTF-16 units; longer ones are mostly made once, for one bulk write. */
const maxCachedLength = 4_096

const cache = new Map<string, number>()

/** The effects of a statement. Texts repeat, so they are remembered. */
export const effectsOf = (sql: string): number => {
  const known = cache.get(sql)
  if (known !== undefined) return known
  const effects = classify(sql)
  if (sql.length > maxCachedLength) return effects
  if (cache.size >= cacheCapacity) cache.clear()
  cache.set(sql, effects)
  return effects
}

/** What goes with a reset that the first statements of a session may have made. */
const revertedByReset = dirtyMask & ~StatementEffects.unknown

/**
 * The statements that put a session back, given what was left behind. An open transaction goes first; what every session
 * begins with comes again after its settings.
 */
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
