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
  | "inside acknowledge"
  | "after acknowledge"
  | "inside quarantine"
  | "inside rescue"

/** Called at each instant; does nothing unless a test says otherwise. */
export const Failpoints: Context.Reference<(failpoint: Failpoint) => void> = Context.Reference<
  (failpoint: Failpoint) => void
>("athena-hooks/events/Failpoints", {
  defaultValue: () => () => {}
})
