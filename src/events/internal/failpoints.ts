/**
 * The instants at which a test may end the process: between two steps that a power of the machine could tear apart.
 */
import * as Context from "effect/Context"

/** In the order in which an event passes them. */
export type Moment =
  | "before append"
  | "inside append"
  | "after append"
  | "before delivery"
  | "after delivery"
  | "inside settle"
  | "after settle"
  | "inside set-aside"
  | "inside salvage"

/** Called at each instant; does nothing unless a test says otherwise. */
export const Moments: Context.Reference<(moment: Moment) => void> = Context.Reference<(moment: Moment) => void>(
  "athena-hooks/events/Moments",
  {
    defaultValue: () => () => {}
  }
)
