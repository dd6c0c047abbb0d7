/**
 * Who holds the thread: time is charged to the operation whose fiber runs, from the moment it gets the thread to the
 * moment it gives it up.
 *
 * A tracer may have a hook that the run loop calls for every primitive of a fiber. From there it can be seen which fiber
 * runs, in which context, and when it yields; the operation is found in the fiber's context, or by its current span. The
 * clocks are read only when the operation on the thread changes.
 *
 * What runs outside of fibers, such as a continuation of a promise, passes no hook and is charged to nobody.
 */
import * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"
import type * as Tracer from "effect/Tracer"
import * as Histogram from "./histogram.ts"
import { Meter } from "./overheadEstimator.ts"
import { type Operation, Sliced } from "./operations.ts"
import type { Readings } from "./processReadings.ts"
import type { Stack, Stacks } from "./callTree.ts"

/** One call of an operation. */
export class Frame {
  readonly operation: Operation
  parent: Frame | undefined
  readonly stack: Stack
  readonly depth: number
  open = true
  /** Time on the thread and CPU time, in milliseconds: its own, and of the calls within it that have ended. */
  self = 0
  selfCpu = 0
  inner = 0
  innerCpu = 0

  constructor(operation: Operation, parent: Frame | undefined, stack: Stack) {
    this.operation = operation
    this.parent = parent
    this.stack = stack
    this.depth = parent === undefined ? 0 : parent.depth + 1
  }
}

/** The frame of the operation that a fiber works for; forked fibers inherit it. */
export const CurrentFrame = Context.Reference<Frame | undefined>("athena-hooks/profiler/CurrentFrame", {
  defaultValue: () => undefined
})

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** A fiber that another one was started from, and that goes on when that one yields. */
interface Paused {
  readonly fiber: AnyFiber
  readonly context: Context.Context<never>
  readonly nesting: number
}

/** The answer of a primitive after which its fiber gives up the thread; any other answer is a primitive. */
const isYield = (answer: unknown): boolean => typeof answer === "symbol"

const evaluate = "~effect/Effect/evaluate"

const openOne = (frame: Frame | undefined): Frame | undefined => {
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

/** The first so many changes, and then each so many, are timed for what they cost. */
const timedEvery = 64

export class Slices {
  private readonly readings: Readings
  private readonly stacks: Stacks
  private readonly spans = new WeakMap<Tracer.AnySpan, Frame>()
  private readonly tracers = new WeakMap<Tracer.Tracer, Tracer.Tracer>()
  private readonly hooks = new WeakSet<object>()
  /** The innermost call that a fiber has entered: it is within that one in whatever context, such as one of earlier. */
  private readonly entered = new WeakMap<AnyFiber, Frame>()
  /** The fiber on the thread and its context when it was last seen. */
  private fiber: AnyFiber | undefined = undefined
  private context: Context.Context<never> | undefined = undefined
  private frame: Frame | undefined = undefined
  private since = 0
  private sinceCpu = 0
  private nesting = 0
  private readonly paused: Array<Paused> = []
  /** Time on the thread of fibers that work for no open operation, and their CPU time, in milliseconds. */
  unowned = 0
  unownedCpu = 0
  /** CPU time charged to anyone, in milliseconds. */
  charged = 0
  primitives = 0
  /** Changes whose time could not be read. */
  failures = 0
  readonly changes = new Meter(timedEvery)

  constructor(readings: Readings, stacks: Stacks) {
    this.readings = readings
    this.stacks = stacks
  }

  /** Charges what has passed to the operation on the thread, and puts another one there; `undefined`: none. */
  private change(fiber: AnyFiber | undefined, frame: Frame | undefined): void {
    try {
      this.read()
    } catch {
      // The run loop would take it for a defect of the program.
      this.failures++
    }
    this.fiber = fiber
    this.frame = frame
  }

  private read(): void {
    const now = this.readings.now()
    const { system, user } = this.readings.cpu()
    const cpu = user + system
    if (this.fiber !== undefined) this.charge(openOne(this.frame), now - this.since, cpu - this.sinceCpu)
    this.since = now
    this.sinceCpu = cpu
    // A change is about as long as two readings of the clock are apart that have one of the CPU between them.
    if (this.changes.next()) this.changes.add(this.readings.now() - now)
  }

  private charge(frame: Frame | undefined, time: number, cpu: number): void {
    this.charged += cpu
    if (frame === undefined) {
      this.unowned += time
      this.unownedCpu += cpu
      return
    }
    frame.self += time
    frame.selfCpu += cpu
    frame.stack.self += time
    const sliced = frame.operation.sliced!
    sliced.self += time
    sliced.selfCpu += cpu
  }

  /** The innermost open operation that a fiber works for. */
  private frameOf(fiber: AnyFiber): Frame | undefined {
    const entered = openOne(this.entered.get(fiber))
    const told = this.toldBy(fiber)
    return entered !== undefined && isWithin(entered, told) ? entered : told
  }

  /** What the context of a fiber says that it works for. */
  private toldBy(fiber: AnyFiber): Frame | undefined {
    const tracked = openOne(fiber.getRef(CurrentFrame))
    const span = fiber.cache.span
    const traced = span === undefined ? undefined : openOne(this.spans.get(span))
    if (tracked === undefined || traced === undefined) return tracked ?? traced
    return tracked.depth >= traced.depth ? tracked : traced
  }

  /** Forgets fibers whose own primitive is over: what they started ended in a way that was not seen. */
  private forgetOver(): void {
    while (this.paused.length > 0 && this.paused.at(-1)!.nesting > this.nesting) this.paused.pop()
  }

  /** A fiber that has another one started in one of its primitives goes on when that one yields. */
  private pauseFor(fiber: AnyFiber): void {
    this.forgetOver()
    if (this.nesting === 0 || this.fiber === undefined || this.fiber === fiber) return
    this.paused.push({ fiber: this.fiber, context: this.context!, nesting: this.nesting })
  }

  /** A fiber is on the thread that was not, or not in this context. */
  private arrive(fiber: AnyFiber): void {
    this.pauseFor(fiber)
    const frame = this.frameOf(fiber)
    if (this.fiber === undefined || frame !== this.frame) this.change(fiber, frame)
    this.fiber = fiber
    this.context = fiber.context
  }

  /** The fiber on the thread gives it up: to the fiber that it was started from, or to nobody. */
  private leave(): void {
    this.forgetOver()
    const outer = this.paused.at(-1)
    if (outer === undefined || outer.nesting !== this.nesting) {
      this.change(undefined, undefined)
      this.context = undefined
      return
    }
    this.paused.pop()
    this.change(outer.fiber, this.frameOf(outer.fiber))
    this.context = outer.context
  }

  /** The same tracer with the hook; what hook it had is still called. */
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
      let answer
      try {
        answer = inner === undefined ? primitive[evaluate](fiber) : inner(primitive, fiber)
      } finally {
        this.nesting--
      }
      // Under another tracer no primitive is seen, nor that the fiber yields: that is charged to nobody.
      if (isYield(answer) || (fiber.context !== this.context && !this.isHook(fiber.cache.tracerContext))) this.leave()
      return answer
    }
    this.hooks.add(hook)
    return hook
  }

  isHook(hook: Tracer.Tracer["context"]): boolean {
    return hook !== undefined && this.hooks.has(hook)
  }

  /** Opens a call of an operation within the one that a fiber works for. */
  open(operation: Operation, fiber: AnyFiber | undefined): Frame {
    operation.sliced ??= new Sliced()
    const parent = fiber === undefined ? undefined : this.frameOf(fiber)
    // A call that outlives what called it, and whose own calls outlive it, must not keep all of them in memory.
    if (parent !== undefined) parent.parent = openOne(parent.parent)
    return new Frame(operation, parent, this.stacks.child(parent?.stack, operation.name))
  }

  /** Opens a call that the fiber on the thread works for from now on. */
  enter(operation: Operation, fiber: AnyFiber): Frame {
    const frame = this.open(operation, fiber)
    this.entered.set(fiber, frame)
    this.pauseFor(fiber)
    this.change(fiber, frame)
    this.context = fiber.context
    return frame
  }

  /** Has the fibers whose current span this is work for a call. */
  link(span: Tracer.AnySpan, frame: Frame): void {
    this.spans.set(span, frame)
  }

  /** Takes the thread from a call that is about to be closed. Around it its fiber may run without the hook. */
  exit(frame: Frame, fiber: AnyFiber): void {
    if (this.entered.get(fiber) === frame) {
      const outer = openOne(frame.parent)
      if (outer === undefined) this.entered.delete(fiber)
      else this.entered.set(fiber, outer)
    }
    if (openOne(this.frame) !== frame) return
    if (this.isHook(fiber.cache.tracerContext)) this.change(this.fiber, openOne(frame.parent))
    else this.leave()
  }

  /** Ends a call that took so long, in milliseconds. */
  close(frame: Frame, wall: number): void {
    frame.open = false
    const active = frame.self + frame.inner
    const parent = openOne(frame.parent)
    if (parent !== undefined) {
      parent.inner += active
      parent.innerCpu += frame.selfCpu + frame.innerCpu
    }
    const sliced = frame.operation.sliced!
    sliced.activeCpu += frame.selfCpu + frame.innerCpu
    Histogram.record(sliced.active, active)
    Histogram.record(sliced.waiting, Math.max(0, wall - active))
  }

  /** Charges what has passed since the last change, for a report that is made in the middle of a slice. */
  settle(): void {
    this.change(this.fiber, this.frame)
  }

  clear(): void {
    this.settle()
    this.unowned = this.unownedCpu = this.charged = this.primitives = this.failures = 0
    this.changes.clear()
  }
}
