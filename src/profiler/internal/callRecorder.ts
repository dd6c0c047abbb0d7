/** Records calls: the readings at their start and end, and the cost of taking them. */
import * as Duration from "effect/Duration"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import * as Histogram from "./histogram.ts"
import { OverheadEstimator } from "./overheadEstimator.ts"
import { truncateName, type Kind, type Operation, Operations, type Outcome } from "./operations.ts"
import type { Readings } from "./processReadings.ts"
import { NPlusOneDetector } from "./nPlusOne.ts"
import { type Calls, type Sample, Sampler } from "./sampler.ts"
import { type Frame, ThreadTime } from "./threadTime.ts"
import { CallTree } from "./callTree.ts"
import type { Settings } from "./settings.ts"
import { Statements } from "./statements.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>

export interface Call {
  readonly operation: Operation
  readonly started: number
  readonly sample: Sample | undefined
  readonly frame: Frame | undefined
  /** The number of resets before the call started. */
  readonly resets: number
  /** The bookkeeping time at the start, in milliseconds, if this call was timed. */
  readonly bookkeeping: number | undefined
}

/** Bookkeeping is timed on the first 16 calls, then on 1 of 16. */
const timedEvery = 16

/** The maximum number of concurrent calls of one span object; further ones are not profiled. */
const maxCallsOfSpan = 1_000

export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome => {
  if (exit._tag === "Success") return "success"
  let outcome: Outcome = "interrupted"
  for (const reason of exit.cause.reasons) {
    if (reason._tag === "Die") return "defect"
    if (reason._tag === "Fail") outcome = "failure"
  }
  return outcome
}

export class CallRecorder {
  readonly settings: Settings
  readonly readings: Readings
  readonly operations: Operations
  readonly statements: Statements
  readonly callTree: CallTree
  readonly threadTime: ThreadTime
  private readonly nPlusOne: NPlusOneDetector
  private readonly tracers = new WeakMap<Tracer.Tracer, Tracer.Tracer>()
  private readonly wrapped = new WeakSet<Tracer.Tracer>()
  /** The calls that end with a span; several if a tracer returns one object for many spans. */
  private readonly openCalls = new WeakMap<Tracer.Span, Array<Call>>()
  private readonly isStandard: boolean
  readonly isDeep: boolean
  /**
   * The start of the measurement: in milliseconds since 1970, on the profiler's clock, and in CPU time of the process.
   */
  startedAt: number
  started = 0
  startedCpu = 0
  /** The open calls, all started calls, and the started calls without an enclosing one. */
  private open = 0
  private startedCalls = 0
  private outermost = 0
  private resets = 0
  /** The cost of bookkeeping, as far as it is visible from inside. */
  readonly bookkeeping = new OverheadEstimator(timedEvery)
  readonly sampler: Sampler
  /** Internal failures of the profiler. */
  failures = 0

  constructor(settings: Settings, readings: Readings, startedAt: number) {
    this.startedAt = startedAt
    this.settings = settings
    this.readings = readings
    this.operations = new Operations(settings.maxNames)
    this.statements = new Statements(settings)
    this.callTree = new CallTree(settings.maxCallPaths)
    this.threadTime = new ThreadTime(readings, this.callTree)
    this.nPlusOne = new NPlusOneDetector(settings.repeats)
    this.isStandard = settings.level !== "wall"
    this.isDeep = settings.level === "deep"
    this.sampler = new Sampler(readings, settings.budget, this.isDeep)
    this.restart()
  }

  private restart(): void {
    this.started = this.readings.now()
    this.startedCpu = this.cpu()
  }

  /** The cost so far, as far as it is visible from inside, in milliseconds. */
  get internalCost(): number {
    return this.bookkeeping.total + this.sampler.cost + this.threadTime.switches.total
  }

  /** CPU time of the process at level `deep`, else 0. */
  cpu(): number {
    if (!this.isDeep) return 0
    try {
      const { system, user } = this.readings.cpu()
      return user + system
    } catch {
      this.failures++
      return 0
    }
  }

  /**
   * Starts a call, or returns `undefined` on an internal failure. At level `deep` the given fiber works for the call
   * from now on.
   */
  enter(kind: Kind, name: string, fiber: AnyFiber | undefined): Call | undefined {
    try {
      return this.start(this.operations.get(kind, name), fiber, true)
    } catch {
      this.failures++
      return undefined
    }
  }

  private start(operation: Operation, fiber: AnyFiber | undefined, atOnce: boolean): Call {
    const timed = this.bookkeeping.next()
    const entered = timed ? this.readings.now() : 0
    const spent = this.sampler.cost
    const sample = this.isStandard ? this.sample(operation) : undefined
    let frame: Frame | undefined
    if (this.isDeep && fiber !== undefined) {
      frame = atOnce ? this.threadTime.enter(operation, fiber) : this.threadTime.open(operation, fiber)
      if (frame.parent === undefined) this.outermost++
    }
    this.startedCalls++
    this.open++
    if (++operation.open > operation.maxOpen) operation.maxOpen = operation.open
    const started = this.readings.now()
    const bookkeeping = timed ? started - entered - (this.sampler.cost - spent) : undefined
    return { operation, started, sample, frame, resets: this.resets, bookkeeping }
  }

  private sample(operation: Operation): Sample | undefined {
    if (!this.sampler.canPay(operation, this.readings.now() - this.started)) return undefined
    return this.attempt(() => this.sampler.begin(operation, this.calls))
  }

  private get calls(): Calls {
    return { open: this.open, startedCalls: this.startedCalls, outermost: this.outermost }
  }

  exit(
    call: Call,
    exit: Exit.Exit<unknown, unknown>,
    fiber: AnyFiber | undefined,
    ended: number = this.readings.now()
  ): void {
    try {
      const { frame, operation, sample } = call
      const spent = this.sampler.cost
      const wall = ended - call.started
      if (frame !== undefined && fiber !== undefined) this.threadTime.exit(frame, fiber)
      if (sample !== undefined) this.attempt(() => this.sampler.end(operation, sample, this.calls))
      if (this.isStandard) this.sampler.earn(operation, wall, this.bookkeeping.each)
      if (call.resets === this.resets) this.open--
      operation.open--
      operation.outcomes[outcomeOf(exit)]++
      Histogram.record(operation.wall, wall)
      if (frame !== undefined) this.threadTime.close(frame, wall)
      if (call.bookkeeping === undefined) return
      this.bookkeeping.add(call.bookkeeping + this.readings.now() - ended - (this.sampler.cost - spent))
    } catch {
      this.failures++
    }
  }

  /** Counts a failed reading and omits it; the call itself is recorded. */
  attempt<A>(read: () => A): A | undefined {
    try {
      return read()
    } catch {
      this.failures++
      return undefined
    }
  }

  record(kind: Kind, name: string, wall: Duration.Input): void {
    try {
      const operation = this.operations.get(kind, name)
      Histogram.record(operation.wall, Duration.toMillis(Duration.fromInputUnsafe(wall)))
      operation.outcomes.success++
      operation.maxOpen = Math.max(1, operation.maxOpen)
    } catch {
      this.failures++
    }
  }

  /** Counts a query under its parent span. */
  countUnderParent(kind: Kind, name: string, parent: Tracer.AnySpan | undefined): void {
    try {
      const operation = this.operations.find(kind, name)
      if (operation !== undefined) this.nPlusOne.count(operation, parent, this.readings.now())
    } catch {
      this.failures++
    }
  }

  /** Returns a tracer whose spans are also profiled. */
  tracer(inner: Tracer.Tracer): Tracer.Tracer {
    if (this.wrapped.has(inner)) return inner
    const known = this.tracers.get(inner)
    if (known !== undefined) return known
    const tracer: Tracer.Tracer = {
      span: (options) => this.profileSpan(inner.span(options)),
      ...(this.isDeep
        ? { context: this.threadTime.hook(inner.context) }
        : inner.context === undefined
          ? {}
          : { context: inner.context })
    }
    this.tracers.set(inner, tracer)
    this.wrapped.add(tracer)
    return tracer
  }

  /** Makes the span's end also end a call. A span object that can't be modified is not profiled. */
  private profileSpan(span: Tracer.Span): Tracer.Span {
    try {
      const calls = this.openCalls.get(span) ?? this.interceptEnd(span)
      if (calls.length >= maxCallsOfSpan) return span
      const fiber = this.isDeep ? Fiber.getCurrent() : undefined
      const call = this.start(this.operations.get("span", span.name), fiber, false)
      calls.push(call)
      if (call.frame !== undefined) this.threadTime.link(span, call.frame)
    } catch {
      this.failures++
    }
    return span
  }

  private interceptEnd(span: Tracer.Span): Array<Call> {
    const calls: Array<Call> = []
    const end = span.end
    span.end = (endTime, exit) => {
      const ended = this.readings.now()
      end.call(span, endTime, exit)
      const call = calls.pop()
      if (call !== undefined) this.finish(span, call, exit, ended)
    }
    this.openCalls.set(span, calls)
    return calls
  }

  private finish(span: Tracer.Span, call: Call, exit: Exit.Exit<unknown, unknown>, now: number): void {
    try {
      this.exit(call, exit, this.isDeep ? Fiber.getCurrent() : undefined, now)
      const text = span.attributes.get("db.query.text")
      if (typeof text !== "string") return
      const waited = span.attributes.get("db.client.connection.wait_time_ms")
      const { status } = span
      // The wait is measured from the span's own start, which precedes the profiled call.
      const before =
        status._tag === "Ended" ? Number(status.endTime - status.startTime) / 1e6 - (now - call.started) : 0
      this.statements.record({
        text,
        system: truncateName(String(span.attributes.get("db.system.name") ?? "sql")),
        ms: now - call.started,
        waitMs: typeof waited === "number" ? Math.max(0, waited - Math.max(0, before)) : undefined,
        exit,
        outcome: outcomeOf(exit),
        parent: Option.getOrUndefined(span.parent),
        now,
        at: this.startedAt + now - this.started
      })
    } catch {
      this.failures++
    }
  }

  /** Discards everything. Calls that are open are not counted when they end. */
  reset(): void {
    this.resets++
    this.open = 0
    this.operations.clear()
    this.statements.clear()
    this.callTree.clear()
    this.startedAt += this.readings.now() - this.started
    this.restart()
    this.bookkeeping.clear()
    this.sampler.clear()
    this.failures = 0
    this.threadTime.clear()
  }
}

const recorders = new WeakMap<object, CallRecorder>()

export const setRecorder = (profiler: object, recorder: CallRecorder): void => {
  recorders.set(profiler, recorder)
}

/** The recorder of a profiler, for modules that need more than its report. Other implementations have none. */
export const recorderOf = (profiler: object): CallRecorder | undefined => recorders.get(profiler)
