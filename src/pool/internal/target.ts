/**
 * Which server of several to use. `primary` takes one that accepts writes, `standby` one in recovery; with the
 * `prefer` forms any other will do when there is none.
 *
 * @category models
 * @since 0.1.0
 */
export type Target = "any" | "primary" | "standby" | "preferPrimary" | "preferStandby"
