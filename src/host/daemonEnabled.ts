/**
 * `ATHENA_DAEMON`: whether a process may stay to answer hooks.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"

/** Whether a value switches it off: `off`, `false`, `0` or `no`; any other leaves it on. */
export const isOffBy = (value: string): boolean => /^(?:off|false|0|no)$/i.test(value)

/** Whether it was switched off. */
export const isDaemonDisabled: Effect.Effect<boolean> = Config.withDefault(Config.String("ATHENA_DAEMON"), "").pipe(
  Effect.map(isOffBy),
  Effect.orElseSucceed(() => false)
)
