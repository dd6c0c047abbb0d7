/**
 * The instants at which a test may end the process: between two steps that a power of the machine could tear apart.
 */
import * as Context from "effect/Context"

/** In the order in which an event passes them. */
export type Failpoint =
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
export const Failpoints: Context.Reference<(moment: Failpoint) => void> = Context.Reference<
  (moment: Failpoint) => void
>("athena-hooks/events/Moments", {
  defaultValue: () => () => {}
})
