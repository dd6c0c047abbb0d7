/**
 * `ATHENA_DAEMON`: whether a process may stay to answer hooks.
 */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"

/** Whether it was switched off, by `off`, `false`, `0` or `no`; any other value leaves it on. */
export const isOff: Effect.Effect<boolean> = Config.withDefault(Config.String("ATHENA_DAEMON"), "").pipe(
  Effect.map((value) => /^(?:off|false|0|no)$/i.test(value)),
  Effect.orElseSucceed(() => false)
)
