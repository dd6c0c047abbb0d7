/**
 * Measures calls: what is read when one begins and when it ends, and what that costs.
 */
import * as Duration from "effect/Duration"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import * as Histogram from "./histogram.ts"
import { Meter } from "./overheadEstimator.ts"
import { cut, type Kind, type Operation, Operations, type Outcome } from "./operations.ts"
import type { Readings } from "./processReadings.ts"
import { Repeats } from "./nPlusOne.ts"
import { type Calls, type Sample, Sampler } from "./sampler.ts"
import { type Frame, Slices } from "./threadTime.ts"
import { Stacks } from "./callTree.ts"
import { type Settings as StatementSettings, Statements } from "./statements.ts"

export type Level = "wall" | "standard" | "deep"

export interface Settings extends StatementSettings {
  readonly level: Level
  readonly maxNames: number
  readonly maxStacks: number
  /** The part of the time that samples may cost. */
  readonly budget: number
}

type AnyFiber = Fiber.Fiber<unknown, unknown>

export interface Call {
  readonly operation: Operation
  readonly started: number
  readonly sample: Sample | undefined
  readonly frame: Frame | undefined
  /** How often everything had been forgotten when it began. */
  readonly resets: number
  /** What keeping the books took at its beginning, in milliseconds, where that was timed. */
  readonly books: number | undefined
}

/** The first so many calls, and then each so many, are timed for what keeping the books takes. */
const timedEvery = 16

/** How many calls one span object is open for at most; further ones are not profiled. */
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

export class Recorder {
  readonly settings: Settings
  readonly readings: Readings
  readonly operations: Operations
  readonly statements: Statements
  readonly stacks: Stacks
  readonly slices: Slices
  private readonly repeats: Repeats
  private readonly tracers = new WeakMap<Tracer.Tracer, Tracer.Tracer>()
  private readonly ours = new WeakSet<Tracer.Tracer>()
  /** Calls that the end of a span ends; more than one where a tracer hands out one object for many spans. */
  private readonly watched = new WeakMap<Tracer.Span, Array<Call>>()
  private readonly isStandard: boolean
  readonly isDeep: boolean
  /** When it began: milliseconds since 1970, and as its own clock and the CPU time of the process say. */
  startedAt: number
  started = 0
  startedCpu = 0
  /** Calls that are open, that have begun, and of the latter those with no other around them. */
  private open = 0
  private begun = 0
  private outermost = 0
  private resets = 0
  /** What keeping the books costs, as far as that can be seen from inside. */
  readonly books = new Meter(timedEvery)
  readonly sampler: Sampler
  /** What went wrong in the profiler itself. */
  failures = 0

  constructor(settings: Settings, readings: Readings, startedAt: number) {
    this.startedAt = startedAt
    this.settings = settings
    this.readings = readings
    this.operations = new Operations(settings.maxNames)
    this.statements = new Statements(settings)
    this.stacks = new Stacks(settings.maxStacks)
    this.slices = new Slices(readings, this.stacks)
    this.repeats = new Repeats(settings.repeats)
    this.isStandard = settings.level !== "wall"
    this.isDeep = settings.level === "deep"
    this.sampler = new Sampler(readings, settings.budget, this.isDeep)
    this.begin()
  }

  private begin(): void {
    this.started = this.readings.now()
    this.startedCpu = this.cpu()
  }

  /** What it has cost until now as far as that can be seen from inside, in milliseconds. */
  get seenCost(): number {
    return this.books.total + this.sampler.cost + this.slices.changes.total
  }

  /** CPU time of the process, where it matters and can be had. */
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

  /** Begins a call; nothing where that went wrong. With a fiber, at the level `deep`, the fiber works for it at once. */
  enter(kind: Kind, name: string, fiber: AnyFiber | undefined): Call | undefined {
    try {
      return this.start(this.operations.get(kind, name), fiber, true)
    } catch {
      this.failures++
      return undefined
    }
  }

  private start(operation: Operation, fiber: AnyFiber | undefined, atOnce: boolean): Call {
    const timed = this.books.next()
    const entered = timed ? this.readings.now() : 0
    const spent = this.sampler.cost
    const sample = this.isStandard ? this.sample(operation) : undefined
    let frame: Frame | undefined
    if (this.isDeep && fiber !== undefined) {
      frame = atOnce ? this.slices.enter(operation, fiber) : this.slices.open(operation, fiber)
      if (frame.parent === undefined) this.outermost++
    }
    this.begun++
    this.open++
    if (++operation.open > operation.openMost) operation.openMost = operation.open
    const started = this.readings.now()
    const books = timed ? started - entered - (this.sampler.cost - spent) : undefined
    return { operation, started, sample, frame, resets: this.resets, books }
  }

  private sample(operation: Operation): Sample | undefined {
    if (!this.sampler.canPay(operation, this.readings.now() - this.started)) return undefined
    return this.attempt(() => this.sampler.begin(operation, this.calls))
  }

  private get calls(): Calls {
    return { open: this.open, begun: this.begun, outermost: this.outermost }
  }

  /** Ends a call. */
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
      if (frame !== undefined && fiber !== undefined) this.slices.exit(frame, fiber)
      if (sample !== undefined) this.attempt(() => this.sampler.end(operation, sample, this.calls))
      if (this.isStandard) this.sampler.earn(operation, wall, this.books.each)
      if (call.resets === this.resets) this.open--
      operation.open--
      operation.outcomes[outcomeOf(exit)]++
      Histogram.record(operation.wall, wall)
      if (frame !== undefined) this.slices.close(frame, wall)
      if (call.books === undefined) return
      this.books.add(call.books + this.readings.now() - ended - (this.sampler.cost - spent))
    } catch {
      this.failures++
    }
  }

  /** What fails is left out, such as a sample whose reading fails, and not the call. */
  attempt<A>(read: () => A): A | undefined {
    try {
      return read()
    } catch {
      this.failures++
      return undefined
    }
  }

  /** Counts a call that was timed by something else. */
  record(kind: Kind, name: string, wall: Duration.Input): void {
    try {
      const operation = this.operations.get(kind, name)
      Histogram.record(operation.wall, Duration.toMillis(Duration.fromInputUnsafe(wall)))
      operation.outcomes.success++
      operation.openMost = Math.max(1, operation.openMost)
    } catch {
      this.failures++
    }
  }

  /** Counts a query under the span that it runs in. */
  repeat(kind: Kind, name: string, parent: Tracer.AnySpan | undefined): void {
    try {
      const operation = this.operations.find(kind, name)
      if (operation !== undefined) this.repeats.count(operation, parent, this.readings.now())
    } catch {
      this.failures++
    }
  }

  /** The same tracer, whose spans are profiled as well. */
  tracer(inner: Tracer.Tracer): Tracer.Tracer {
    if (this.ours.has(inner)) return inner
    const known = this.tracers.get(inner)
    if (known !== undefined) return known
    const tracer: Tracer.Tracer = {
      span: (options) => this.watch(inner.span(options)),
      ...(this.isDeep
        ? { context: this.slices.hook(inner.context) }
        : inner.context === undefined
          ? {}
          : { context: inner.context })
    }
    this.tracers.set(inner, tracer)
    this.ours.add(tracer)
    return tracer
  }

  /** Has the end of a span end a call as well. A span that can't be changed is not profiled. */
  private watch(span: Tracer.Span): Tracer.Span {
    try {
      const calls = this.watched.get(span) ?? this.wrap(span)
      if (calls.length >= maxCallsOfSpan) return span
      const fiber = this.isDeep ? Fiber.getCurrent() : undefined
      const call = this.start(this.operations.get("span", span.name), fiber, false)
      calls.push(call)
      if (call.frame !== undefined) this.slices.link(span, call.frame)
    } catch {
      this.failures++
    }
    return span
  }

  private wrap(span: Tracer.Span): Array<Call> {
    const calls: Array<Call> = []
    const end = span.end
    span.end = (endTime, exit) => {
      const ended = this.readings.now()
      end.call(span, endTime, exit)
      const call = calls.pop()
      if (call !== undefined) this.finish(span, call, exit, ended)
    }
    this.watched.set(span, calls)
    return calls
  }

  private finish(span: Tracer.Span, call: Call, exit: Exit.Exit<unknown, unknown>, now: number): void {
    try {
      this.exit(call, exit, this.isDeep ? Fiber.getCurrent() : undefined, now)
      const text = span.attributes.get("db.query.text")
      if (typeof text !== "string") return
      const waited = span.attributes.get("db.client.connection.wait_time_ms")
      const { status } = span
      // The wait is counted from the span's own start, which was before the profiler began to look.
      const before =
        status._tag === "Ended" ? Number(status.endTime - status.startTime) / 1e6 - (now - call.started) : 0
      this.statements.record({
        text,
        system: cut(String(span.attributes.get("db.system.name") ?? "sql")),
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

  /** Forgets everything. Calls that are open are not counted when they end. */
  reset(): void {
    this.resets++
    this.open = 0
    this.operations.clear()
    this.statements.clear()
    this.stacks.clear()
    this.startedAt += this.readings.now() - this.started
    this.begin()
    this.books.clear()
    this.sampler.clear()
    this.failures = 0
    this.slices.clear()
  }
}
