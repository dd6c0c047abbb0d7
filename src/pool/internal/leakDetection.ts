/** Records the holders of a connection and where in the program they acquired it. */
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"

/** A holder of a connection; `acquiredAt` is in monotonic milliseconds. */
export interface Holder {
  readonly acquiredAt: number
  /** The location in the program that acquired the connection. */
  readonly describe: () => string
  reported: boolean
}

/** The holders of one connection. A `Set` would cost several times as much per statement. */
export class Holders {
  private readonly slots: Array<Holder | undefined> = []
  private readonly empty: Array<number> = []

  /** Returns the slot for `remove`. */
  add(holder: Holder): number {
    const slot = this.empty.pop() ?? this.slots.length
    this.slots[slot] = holder
    return slot
  }

  remove(slot: number): Holder | undefined {
    const holder = this.slots[slot]
    this.slots[slot] = undefined
    this.empty.push(slot)
    return holder
  }

  get unreported(): Array<Holder> {
    return this.slots.filter((holder) => holder !== undefined).filter(({ reported }) => !reported)
  }
}

/** The maximum number of spans and stack frames in a description. */
const depth = 8

const spanNames = (span: Tracer.AnySpan | undefined): Array<string> => {
  const names: Array<string> = []
  let current = span
  while (current !== undefined && current._tag === "Span" && names.length < depth) {
    names.push(current.name)
    current = Option.getOrUndefined(current.parent)
  }
  return names.toReversed()
}

type Frame = Fiber.Fiber.Cache["stackFrame"]

const frameNames = (frame: Frame): Array<string> => {
  const names: Array<string> = []
  let current = frame
  while (current !== undefined && names.length < depth) {
    const at = current.stack()?.split("\n", 1)[0]?.trim()
    names.push(at === undefined || at === "" ? current.name : `${current.name} (${at})`)
    current = current.parent
  }
  return names
}

const describe = (id: number, span: Tracer.AnySpan | undefined, frame: Frame): string => {
  const spans = spanNames(span)
  const frames = frameNames(frame)
  const where = [
    ...(spans.length > 0 ? [`span ${spans.join(" > ")}`] : []),
    ...(frames.length > 0 ? [`at ${frames.join(", ")}`] : [])
  ]
  return [`fiber #${id}`, ...where].join(", ")
}

/** The location of a waiting fiber. */
export const describeWaiting = (fiber: Fiber.Fiber<unknown, unknown>): string =>
  describe(fiber.id, fiber.cache.span, fiber.cache.stackFrame)

/** Stores two references and reads them only for a report, so that acquiring a connection costs nothing. */
export const make = (fiber: Fiber.Fiber<unknown, unknown>, acquiredAt: number): Holder => {
  const { span, stackFrame } = fiber.cache
  const id = fiber.id
  return { acquiredAt, reported: false, describe: () => describe(id, span, stackFrame) }
}
