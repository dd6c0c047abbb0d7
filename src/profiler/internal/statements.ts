/** The measurements of each statement: one record per fingerprint, in a bounded table. */
import type * as Exit from "effect/Exit"
import type * as Tracer from "effect/Tracer"
import * as Fingerprint from "./sqlFingerprint.ts"
import * as Histogram from "./histogram.ts"
import { truncateName, type Outcome } from "./operations.ts"
import { NPlusOneDetector, type Repeatable } from "./nPlusOne.ts"
import type { Settings } from "./settings.ts"
import * as Size from "./resultSize.ts"

export class Statement implements Repeatable {
  readonly outcomes: Record<Outcome, number> = { success: 0, failure: 0, defect: 0, interrupted: 0 }
  /** In milliseconds: the whole, the wait for a connection, and the execution; the latter two if the wait is known. */
  readonly wall = Histogram.make()
  readonly wait = Histogram.make()
  readonly execution = Histogram.make()
  /** Calls with a known row count, and the sum of their rows. */
  countedCalls = 0
  rows = 0
  maxRows = 0
  /** Executions with an estimated size, and the sum of their bytes. */
  sizedCalls = 0
  bytes = 0
  slow = 0
  repeatedParents = 0
  maxRepeats = 0
  /** The lines of the plan; empty while the request is pending or after it failed. */
  plan: ReadonlyArray<string> | undefined = undefined
  /** The sequence number of the last execution. */
  seen = 0
  evicted = false

  readonly fingerprint: string
  /** `db.system.name`. */
  readonly system: string
  /** The text with parameters instead of values, and their number. */
  readonly text: string
  readonly parameters: number

  constructor(fingerprint: string, system: string, text: string) {
    this.fingerprint = fingerprint
    this.system = system
    ;[this.text, this.parameters] = Fingerprint.withParameters(text, system)
  }
}

export interface SlowExecution {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly statement: Statement
  readonly ms: number
  readonly waitMs: number | undefined
  readonly rows: number | undefined
  readonly parent: string | undefined
  readonly why: "limit" | "outlier"
}

/** One execution, from its span. */
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

/** An execution is an outlier at four times the statement's p95 and at least 10 ms. */
const outlierFactor = 4
const outlierMs = 10

/** The size of the rows is estimated for 1 execution of 16, starting with the first. */
const sizedEvery = 16

/** The maximum number of remembered plan requests. */
const maxPlanRequests = 1_000

const keyOf = (system: string, fingerprint: string): string => `${system}\n${fingerprint}`

const rowsOf = (exit: Exit.Exit<unknown, unknown>): number | undefined =>
  exit._tag === "Success" && Array.isArray(exit.value) ? exit.value.length : undefined

export class Statements {
  private readonly table = new Map<string, Statement>()
  /** Statements by raw text, for texts without values. */
  private readonly texts = new Map<string, Statement>()
  private readonly settings: Settings
  private readonly repeats: NPlusOneDetector
  private readonly planRequested = new Set<string>()
  private sequence = 0
  readonly slow: Array<SlowExecution> = []
  slowDropped = 0
  evicted = 0
  evictedCalls = 0
  private readonly listeners = new Set<(statement: Statement) => void>()

  constructor(settings: Settings) {
    this.settings = settings
    this.repeats = new NPlusOneDetector(settings.repeats)
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
      statement.countedCalls++
      statement.rows += rows
      if (rows > statement.maxRows) statement.maxRows = rows
      if ((statement.countedCalls - 1) % sizedEvery === 0) {
        statement.sizedCalls++
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

  private evict(): void {
    let oldest: [string, Statement] | undefined
    for (const entry of this.table) if (oldest === undefined || entry[1].seen < oldest[1].seen) oldest = entry
    if (oldest === undefined) return
    this.table.delete(oldest[0])
    oldest[1].evicted = true
    this.evicted++
    this.evictedCalls += oldest[1].wall.count
  }

  private whySlow(statement: Statement, ms: number): SlowExecution["why"] | undefined {
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
    const name = parent?._tag === "Span" ? truncateName(parent.name) : undefined
    if (this.settings.maxSlow > 0) this.slow.push({ at, statement, ms, waitMs, rows, parent: name, why })
    if (statement.plan !== undefined || this.listeners.size === 0 || !Fingerprint.isRead(statement.fingerprint)) return
    statement.plan = []
    const key = keyOf(statement.system, statement.fingerprint)
    if (this.planRequested.has(key)) return
    // An evicted statement returns without its plan and would request it again each time.
    if (this.planRequested.size >= maxPlanRequests) this.planRequested.clear()
    this.planRequested.add(key)
    for (const listener of this.listeners) listener(statement)
  }

  /** Notifies the listener of each read that is slow for the first time. */
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
    this.planRequested.clear()
    this.slow.length = 0
    this.slowDropped = 0
    this.evicted = 0
    this.evictedCalls = 0
  }
}
