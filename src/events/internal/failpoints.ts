/** The failpoints: instants between two steps at which a test can kill the process. */
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

/** Called at each failpoint. Does nothing outside of tests. */
export const Failpoints: Context.Reference<(failpoint: Failpoint) => void> = Context.Reference<
  (failpoint: Failpoint) => void
>("athena-hooks/events/Failpoints", {
  defaultValue: () => () => {}
})
