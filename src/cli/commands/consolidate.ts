/**
 * `athena consolidate`: derives facts from the events that no consolidation has read yet.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Memory from "../../host/Memory.ts"
import { plural } from "../../internal/text.ts"
import * as Consolidation from "../../memory/Consolidation.ts"
import * as Database from "../../sql/Database.ts"
import * as Output from "../output.ts"

export const consolidate = Command.make(
  "consolidate",
  {
    rebuild: Flag.Boolean("rebuild").pipe(
      Flag.withDescription("Derive all facts again; facts that you ended stay ended"),
      Flag.withDefault(false)
    ),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ json, rebuild }) {
    const settings = yield* Database.settings
    if (!(yield* Memory.exists(settings))) {
      return yield* Output.print(json, { sessions: 0, observations: 0, isOwner: true }, ["no database yet"])
    }
    const done = yield* Consolidation.consolidate({ rebuild }).pipe(
      Effect.provide(Memory.executorOn(settings).pipe(Layer.provideMerge(Database.layer(settings))))
    )
    yield* Output.print(json, done, [
      done.isOwner
        ? `consolidated ${plural("session", done.sessions)}: ${plural("observation", done.observations)}`
        : "another process consolidates this database now"
    ])
  })
).pipe(Command.withDescription("Derive facts from recorded events; the daemon does so while it is idle"))
