/**
 * Until when database operations of a fiber must be answered.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Fiber from "effect/Fiber"
import { monotonicMsOf } from "../../internal/clock.ts"

/**
 * Monotonic milliseconds of the fiber's clock, or absent where only the pool's own deadline applies. It is inherited, so a
 * deadline around a program holds for all its statements together.
 */
export const CurrentDeadline: Context.Reference<number | undefined> = Context.Reference<number | undefined>(
  "athena-hooks/pool/ConnectionPool/CurrentDeadline",
  { defaultValue: () => undefined }
)

/** How much time is left for a fiber, in milliseconds. Its clock need not be the one that the pool measures with. */
export const leftMs = (fiber: Fiber.Fiber<unknown, unknown>): number | undefined => {
  const at = fiber.getRef(CurrentDeadline)
  return at === undefined ? undefined : at - monotonicMsOf(fiber.getRef(Clock.Clock))
}
