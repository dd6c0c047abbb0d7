/**
 * What is kept of each statement that went to a database: one record a fingerprint, in a bounded table.
 */
import type * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import * as Fingerprint from "./sqlFingerprint.ts"
import * as Histogram from "./histogram.ts"
import { cut, type Outcome } from "./operations.ts"
import { Repeats, type Repeated } from "./nPlusOne.ts"
import * as Size from "./resultSize.ts"

export class Statement implements Repeated {
  readonly outcomes: Record<Outcome, number> = { success: 0, failure: 0, defect: 0, interrupted: 0 }
  /** In milliseconds: all of it, the wait for a connection, and the rest; the latter two where the wait is known. */
  readonly wall = Histogram.make()
  readonly wait = Histogram.make()
  readonly execution = Histogram.make()
  /** Calls whose rows could be counted, and these rows. */
  counted = 0
  rows = 0
  rowsMost = 0
  /** Executions whose rows' size was estimated, and that size in bytes. */
  sized = 0
  bytes = 0
  slow = 0
  repeatedUnder = 0
  repeatedMost = 0
  /** The lines of the plan; empty while it is asked for, and where it could not be had. */
  plan: ReadonlyArray<string> | undefined = undefined
  /** When it was last seen, by a count of all statements. */
  seen = 0
  evicted = false

  readonly fingerprint: string
  /** `db.system.name`. */
  readonly system: string
  /** Its text with parameters for values, and how many they are. */
  readonly text: string
  readonly parameters: number

  constructor(fingerprint: string, system: string, text: string) {
    this.fingerprint = fingerprint
    this.system = system
    ;[this.text, this.parameters] = Fingerprint.withParameters(text, system)
  }
}

export interface Slow {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly statement: Statement
  readonly ms: number
  readonly waitMs: number | undefined
  readonly rows: number | undefined
  /** The span it ran in. */
  readonly parent: string | undefined
  readonly why: "limit" | "outlier"
}

export interface Settings {
  readonly maxStatements: number
  readonly slowMs: number
  readonly maxSlow: number
  readonly repeats: number
}

/** One execution, as its span tells it. */
export interface Execution {
  readonly text: string
  readonly system: string
  readonly ms: number
  readonly waitMs: number | undefined
  readonly exit: Exit.Exit<unknown, unknown>
  readonly outcome: Outcome
  readonly parent: Tracer.AnySpan | undefined
  readonly now: number
  /** Milliseconds since 1970. */
  readonly at: number
}

/** A statement is an outlier when it takes so many times its own p95, and is no trifle. */
const outlierFactor = 4
const outlierMs = 10

/** The size of the rows is estimated for the first execution and then for each so many. */
const sizedEvery = 16

/** How many statements are known to have been asked for their plan. */
const maxAsked = 1_000

const keyOf = (system: string, fingerprint: string): string => `${system}\n${fingerprint}`

const rowsOf = (exit: Exit.Exit<unknown, unknown>): number | undefined =>
  exit._tag === "Success" && Array.isArray(exit.value) ? exit.value.length : undefined

export class Statements {
  private readonly table = new Map<string, Statement>()
  /** By text, for texts that hold no value. */
  private readonly texts = new Map<string, Statement>()
  private readonly settings: Settings
  private readonly repeats: Repeats
  private readonly asked = new Set<string>()
  private sequence = 0
  readonly slow: Array<Slow> = []
  slowDropped = 0
  evicted = 0
  evictedCalls = 0
  private readonly listeners = new Set<(statement: Statement) => void>()

  constructor(settings: Settings) {
    this.settings = settings
    this.repeats = new Repeats(settings.repeats)
  }

  record(execution: Execution): void {
    const statement = this.find(execution.text, execution.system)
    const { exit, ms, now, outcome, parent, waitMs } = execution
    const rows = rowsOf(exit)
    this.noteSlow(statement, execution, rows)
    statement.seen = ++this.sequence
    statement.outcomes[outcome]++
    Histogram.record(statement.wall, ms)
    if (waitMs !== undefined) {
      Histogram.record(statement.wait, waitMs)
      Histogram.record(statement.execution, ms - waitMs)
    }
    if (rows !== undefined) {
      statement.counted++
      statement.rows += rows
      if (rows > statement.rowsMost) statement.rowsMost = rows
      if ((statement.counted - 1) % sizedEvery === 0) {
        statement.sized++
        statement.bytes += Size.ofRows((exit as Exit.Success<ReadonlyArray<unknown>>).value)
      }
    }
    this.repeats.count(statement, parent, now)
  }

  private find(text: string, system: string): Statement {
    const known = this.texts.get(text)
    if (known !== undefined && !known.evicted && known.system === system) return known
    const parameterised = Fingerprint.isParameterised(text, system)
    const fingerprint = Fingerprint.fingerprint(text, system)
    const key = keyOf(system, fingerprint)
    let statement = this.table.get(key)
    if (statement === undefined) {
      if (this.table.size >= this.settings.maxStatements) this.evict()
      statement = new Statement(fingerprint, system, text)
      this.table.set(key, statement)
    }
    if (parameterised) {
      if (this.texts.size >= 2 * this.settings.maxStatements) this.texts.clear()
      this.texts.set(text, statement)
    }
    return statement
  }

  /** Drops the statement that was not seen for the longest time. */
  private evict(): void {
    let oldest: [string, Statement] | undefined
    for (const entry of this.table) if (oldest === undefined || entry[1].seen < oldest[1].seen) oldest = entry
    if (oldest === undefined) return
    this.table.delete(oldest[0])
    oldest[1].evicted = true
    this.evicted++
    this.evictedCalls += oldest[1].wall.count
  }

  private whySlow(statement: Statement, ms: number): Slow["why"] | undefined {
    if (ms >= this.settings.slowMs) return "limit"
    if (ms < outlierMs) return undefined
    const usual = Histogram.percentile(statement.wall, 0.95)
    return usual !== undefined && ms > outlierFactor * usual ? "outlier" : undefined
  }

  private noteSlow(statement: Statement, execution: Execution, rows: number | undefined): void {
    const { at, ms, parent, waitMs } = execution
    const why = this.whySlow(statement, ms)
    if (why === undefined) return
    statement.slow++
    if (this.slow.length >= this.settings.maxSlow) {
      this.slow.shift()
      this.slowDropped++
    }
    const name = parent?._tag === "Span" ? cut(parent.name) : undefined
    if (this.settings.maxSlow > 0) this.slow.push({ at, statement, ms, waitMs, rows, parent: name, why })
    if (statement.plan !== undefined || this.listeners.size === 0 || !Fingerprint.isRead(statement.fingerprint)) return
    statement.plan = []
    const key = keyOf(statement.system, statement.fingerprint)
    if (this.asked.has(key)) return
    // A statement that had to make room comes again without its plan, and would be asked for each time.
    if (this.asked.size >= maxAsked) this.asked.clear()
    this.asked.add(key)
    for (const listener of this.listeners) listener(statement)
  }

  /** Calls back for each read that was slow for the first time. */
  observe(listener: (statement: Statement) => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  all(): ReadonlyArray<Statement> {
    return [...this.table.values()]
  }

  clear(): void {
    this.table.clear()
    this.texts.clear()
    this.asked.clear()
    this.slow.length = 0
    this.slowDropped = 0
    this.evicted = 0
    this.evictedCalls = 0
  }
}
