/**
 * `athena hook`, when it was not called in its plain form, which `bin.ts` answers without loading this.
 */
import * as Effect from "effect/Effect"
import * as Struct from "effect/Struct"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as HookAdapters from "../../hooks/HookAdapters.ts"

export const hook = Command.make(
  "hook",
  {
    // Read by the hook itself, which has no parser.
    agent: Flag.Literals("agent", Struct.keys(HookAdapters.byName)).pipe(
      Flag.withDescription("The agent that calls"),
      Flag.withDefault("claude" as const)
    )
  },
  Effect.fnUntraced(function* () {
    const hook = yield* Effect.promise(() => import("../hook.ts"))
    hook.main(() => undefined)
    return yield* Effect.never
  })
).pipe(Command.withDescription("Answer one hook event: JSON on standard input, JSON on standard output, exit code 0"))
