/**
 * The moment until which database operations of a fiber must be answered.
 */
import * as Context from "effect/Context"

/**
 * Monotonic milliseconds, or absent where only the pool's own deadline applies. It is inherited, so a deadline around
 * a program holds for all its statements together.
 */
export const CurrentDeadline: Context.Reference<number | undefined> = Context.Reference<number | undefined>(
  "athena-hooks/sql/ConnectionPool/CurrentDeadline",
  { defaultValue: () => undefined }
)
