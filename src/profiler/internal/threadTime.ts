/**
 * Attributes thread time: each interval is charged to the operation whose fiber runs, from taking the thread to
 * yielding it.
 *
 * A tracer can have a hook that the run loop calls for every primitive of a fiber. The hook sees the running fiber, its
 * context and its yields; the operation comes from the fiber's context or its current span. The clocks are read only
 * when the operation on the thread changes.
 *
 * Work outside fibers, such as a promise continuation, does not pass the hook and is not attributed.
 */
import * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"
import type * as Tracer from "effect/Tracer"
import * as Histogram from "./histogram.ts"
import { OverheadEstimator } from "./overheadEstimator.ts"
import { type Operation, ThreadTotals } from "./operations.ts"
import type { Readings } from "./processReadings.ts"
import type { CallPath, CallTree } from "./callTree.ts"

export class Frame {
  readonly operation: Operation
  parent: Frame | undefined
  readonly callPath: CallPath
  readonly depth: number
  open = true
  /** Thread and CPU time in milliseconds: its own, and that of its ended callees. */
  self = 0
  selfCpu = 0
  inner = 0
  innerCpu = 0

  constructor(operation: Operation, parent: Frame | undefined, callPath: CallPath) {
    this.operation = operation
    this.parent = parent
    this.callPath = callPath
    this.depth = parent === undefined ? 0 : parent.depth + 1
  }
}

/** The frame of the operation that a fiber works for; forked fibers inherit it. */
export const CurrentFrame = Context.Reference<Frame | undefined>("athena-hooks/profiler/CurrentFrame", {
  defaultValue: () => undefined
})

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** A fiber that started another one synchronously and resumes when that one yields. */
interface Paused {
  readonly fiber: AnyFiber
  readonly context: Context.Context<never>
  readonly nesting: number
}

/** A primitive's result is a symbol when its fiber yields, and the next primitive otherwise. */
const isYield = (result: unknown): boolean => typeof result === "symbol"

const evaluate = "~effect/Effect/evaluate"

const nearestOpen = (frame: Frame | undefined): Frame | undefined => {
  let found = frame
  while (found !== undefined && !found.open) found = found.parent
  return found
}

const isWithin = (frame: Frame, outer: Frame | undefined): boolean => {
  if (outer === undefined) return true
  let at: Frame | undefined = frame
  while (at !== undefined && at.depth > outer.depth) at = at.parent
  return at === outer
}

/** The first 64 switches are timed, then 1 of 64. */
const timedEvery = 64

export class ThreadTime {
  private readonly readings: Readings
  private readonly callTree: CallTree
  private readonly spans = new WeakMap<Tracer.AnySpan, Frame>()
  private readonly tracers = new WeakMap<Tracer.Tracer, Tracer.Tracer>()
  private readonly hooks = new WeakSet<object>()
  /**
   * The innermost call that a fiber has entered. It applies whatever the fiber's context says, which may be an earlier
   * one.
   */
  private readonly entered = new WeakMap<AnyFiber, Frame>()
  /** The running fiber and its context at the last hook call. */
  private fiber: AnyFiber | undefined = undefined
  private context: Context.Context<never> | undefined = undefined
  private frame: Frame | undefined = undefined
  private since = 0
  private sinceCpu = 0
  private nesting = 0
  private readonly paused: Array<Paused> = []
  /** Thread and CPU time of fibers outside every open operation, in milliseconds. */
  unattributed = 0
  unattributedCpu = 0
  /** CPU time charged so far, in milliseconds. */
  charged = 0
  primitives = 0
  /** Switches whose readings failed. */
  failures = 0
  readonly switches = new OverheadEstimator(timedEvery)

  constructor(readings: Readings, callTree: CallTree) {
    this.readings = readings
    this.callTree = callTree
  }

  /** Charges the elapsed interval to the current operation and makes another one current; `undefined` for none. */
  private switchTo(fiber: AnyFiber | undefined, frame: Frame | undefined): void {
    try {
      this.read()
    } catch {
      // The run loop would treat an exception as a defect of the program.
      this.failures++
    }
    this.fiber = fiber
    this.frame = frame
  }

  private read(): void {
    const now = this.readings.now()
    const { system, user } = this.readings.cpu()
    const cpu = user + system
    if (this.fiber !== undefined) this.charge(nearestOpen(this.frame), now - this.since, cpu - this.sinceCpu)
    this.since = now
    this.sinceCpu = cpu
    // A switch costs about the time between two clock readings with one CPU reading in between.
    if (this.switches.next()) this.switches.add(this.readings.now() - now)
  }

  private charge(frame: Frame | undefined, time: number, cpu: number): void {
    this.charged += cpu
    if (frame === undefined) {
      this.unattributed += time
      this.unattributedCpu += cpu
      return
    }
    frame.self += time
    frame.selfCpu += cpu
    frame.callPath.self += time
    const sliced = frame.operation.thread!
    sliced.self += time
    sliced.selfCpu += cpu
  }

  /** The innermost open operation that a fiber works for. */
  private frameOf(fiber: AnyFiber): Frame | undefined {
    const entered = nearestOpen(this.entered.get(fiber))
    const contextual = this.contextFrame(fiber)
    return entered !== undefined && isWithin(entered, contextual) ? entered : contextual
  }

  /** The innermost open operation according to the fiber's context. */
  private contextFrame(fiber: AnyFiber): Frame | undefined {
    const tracked = nearestOpen(fiber.getRef(CurrentFrame))
    const span = fiber.cache.span
    const traced = span === undefined ? undefined : nearestOpen(this.spans.get(span))
    if (tracked === undefined || traced === undefined) return tracked ?? traced
    return tracked.depth >= traced.depth ? tracked : traced
  }

  /** Drops paused fibers whose primitive has ended: the fibers they started ended unobserved. */
  private dropEnded(): void {
    while (this.paused.length > 0 && this.paused.at(-1)!.nesting > this.nesting) this.paused.pop()
  }

  /** Pauses the running fiber if it starts another one within a primitive; it resumes when that one yields. */
  private pauseFor(fiber: AnyFiber): void {
    this.dropEnded()
    if (this.nesting === 0 || this.fiber === undefined || this.fiber === fiber) return
    this.paused.push({ fiber: this.fiber, context: this.context!, nesting: this.nesting })
  }

  /** A different fiber, or the same one in a different context, runs now. */
  private arrive(fiber: AnyFiber): void {
    this.pauseFor(fiber)
    const frame = this.frameOf(fiber)
    if (this.fiber === undefined || frame !== this.frame) this.switchTo(fiber, frame)
    this.fiber = fiber
    this.context = fiber.context
  }

  /** The running fiber yields, to the fiber that started it or to the scheduler. */
  private leave(): void {
    this.dropEnded()
    const outer = this.paused.at(-1)
    if (outer === undefined || outer.nesting !== this.nesting) {
      this.switchTo(undefined, undefined)
      this.context = undefined
      return
    }
    this.paused.pop()
    this.switchTo(outer.fiber, this.frameOf(outer.fiber))
    this.context = outer.context
  }

  /** Returns the tracer with the hook; an existing hook is still called. */
  tracer(inner: Tracer.Tracer): Tracer.Tracer {
    const known = this.tracers.get(inner)
    if (known !== undefined) return known
    const tracer: Tracer.Tracer = { span: (options) => inner.span(options), context: this.hook(inner.context) }
    this.tracers.set(inner, tracer)
    return tracer
  }

  hook(inner: Tracer.Tracer["context"]): NonNullable<Tracer.Tracer["context"]> {
    if (inner !== undefined && this.hooks.has(inner)) return inner
    const hook: NonNullable<Tracer.Tracer["context"]> = (primitive, fiber) => {
      this.primitives++
      if (fiber !== this.fiber || fiber.context !== this.context) this.arrive(fiber)
      this.nesting++
      let result
      try {
        result = inner === undefined ? primitive[evaluate](fiber) : inner(primitive, fiber)
      } finally {
        this.nesting--
      }
      // Under another tracer neither primitives nor yields are visible, so that time is not attributed.
      if (isYield(result) || (fiber.context !== this.context && !this.isHook(fiber.cache.tracerContext))) this.leave()
      return result
    }
    this.hooks.add(hook)
    return hook
  }

  isHook(hook: Tracer.Tracer["context"]): boolean {
    return hook !== undefined && this.hooks.has(hook)
  }

  /** Opens a call within the one that the fiber works for. */
  open(operation: Operation, fiber: AnyFiber | undefined): Frame {
    operation.thread ??= new ThreadTotals()
    const parent = fiber === undefined ? undefined : this.frameOf(fiber)
    // Calls that outlive their callers would otherwise retain the whole chain in memory.
    if (parent !== undefined) parent.parent = nearestOpen(parent.parent)
    return new Frame(operation, parent, this.callTree.child(parent?.callPath, operation.name))
  }

  /** Opens a call that the running fiber works for from now on. */
  enter(operation: Operation, fiber: AnyFiber): Frame {
    const frame = this.open(operation, fiber)
    this.entered.set(fiber, frame)
    this.pauseFor(fiber)
    this.switchTo(fiber, frame)
    this.context = fiber.context
    return frame
  }

  /** Assigns fibers whose current span this is to a call. */
  link(span: Tracer.AnySpan, frame: Frame): void {
    this.spans.set(span, frame)
  }

  /** Takes the thread from a call before it is closed. Its fiber may run without the hook around it. */
  exit(frame: Frame, fiber: AnyFiber): void {
    if (this.entered.get(fiber) === frame) {
      const outer = nearestOpen(frame.parent)
      if (outer === undefined) this.entered.delete(fiber)
      else this.entered.set(fiber, outer)
    }
    if (nearestOpen(this.frame) !== frame) return
    if (this.isHook(fiber.cache.tracerContext)) this.switchTo(this.fiber, nearestOpen(frame.parent))
    else this.leave()
  }

  /** Closes a call with this wall time, in milliseconds. */
  close(frame: Frame, wall: number): void {
    frame.open = false
    const active = frame.self + frame.inner
    const parent = nearestOpen(frame.parent)
    if (parent !== undefined) {
      parent.inner += active
      parent.innerCpu += frame.selfCpu + frame.innerCpu
    }
    const sliced = frame.operation.thread!
    sliced.activeCpu += frame.selfCpu + frame.innerCpu
    Histogram.record(sliced.active, active)
    Histogram.record(sliced.waiting, Math.max(0, wall - active))
  }

  /** Charges the interval since the last switch, for a report made in the middle of one. */
  settle(): void {
    this.switchTo(this.fiber, this.frame)
  }

  clear(): void {
    this.settle()
    this.unattributed = this.unattributedCpu = this.charged = this.primitives = this.failures = 0
    this.switches.clear()
  }
}
