/**
 * Says where a program was when it took a connection.
 */
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import type { Holder } from "./pooledConnection.ts"

/** Spans and frames named at most. */
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

/** Keeps two references and reads them only when a report is due, so that it costs nothing to take a connection. */
export const make = (fiber: Fiber.Fiber<unknown, unknown>, since: number): Holder => {
  const { span, stackFrame } = fiber.cache
  const id = fiber.id
  return {
    since,
    reported: false,
    describe: () => {
      const spans = spanNames(span)
      const frames = frameNames(stackFrame)
      const where = [
        ...(spans.length > 0 ? [`span ${spans.join(" > ")}`] : []),
        ...(frames.length > 0 ? [`at ${frames.join(", ")}`] : [])
      ]
      return [`fiber #${id}`, ...where].join(", ")
    }
  }
}
