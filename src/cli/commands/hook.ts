/**
 * `athena hook`, when it was not called in its plain form, which `bin.ts` answers without loading this.
 */
import * as Effect from "effect/Effect"
import * as Command from "effect/cli/Command"

export const hook = Command.make(
  "hook",
  {},
  Effect.fnUntraced(function* () {
    const hook = yield* Effect.promise(() => import("../hook.ts"))
    hook.main(() => undefined)
    return yield* Effect.never
  })
).pipe(Command.withDescription("Answer one hook event: JSON on standard input, JSON on standard output, exit code 0"))
