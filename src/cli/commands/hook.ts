/**
 * `athena hook` with `--help`. `bin.ts` handles every other form without loading this module.
 */
import * as Effect from "effect/Effect"
import * as Struct from "effect/Struct"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as HookAdapters from "../../hooks/HookAdapters.ts"
import * as Shim from "../../hookProcess/runShim.ts"

/** Defined by the bundle, which is CommonJS. */
declare const __dirname: string

export const hook = Command.make(
  "hook",
  {
    // Documentation only: the shim reads the option itself.
    agent: Flag.Literals("agent", Struct.keys(HookAdapters.byName)).pipe(
      Flag.withDescription("The calling agent"),
      Flag.withDefault("claude" as const)
    )
  },
  () =>
    Effect.andThen(
      Effect.sync(() => Shim.main(__dirname, process.argv.slice(2))),
      Effect.never
    )
).pipe(Command.withDescription("Handle one hook event: JSON on standard input and output, exit code 0"))
