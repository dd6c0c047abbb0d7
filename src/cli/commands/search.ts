/**
 * `athena search`: searches the memories of the current project.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as ContextText from "../../hooks/ContextText.ts"
import { SearchResult } from "../../memory/Memory.ts"
import * as Memory from "../../host/Memory.ts"
import * as Output from "../output.ts"
import * as Spools from "../../host/spools.ts"

export const search = Command.make(
  "search",
  {
    query: Argument.String("query").pipe(
      Argument.withDescription("Words, prefixes or parts of words"),
      Argument.atLeast(1)
    ),
    limit: Flag.Int("limit").pipe(
      Flag.withDescription("Maximum number of memories, from 1 to 100"),
      Flag.withDefault(5)
    ),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ json, limit, query }) {
    yield* Spools.deliver
    const { name, result } = yield* Memory.readCurrentProject(
      ({ id, name }, memory) =>
        Effect.map(memory.searchMemories(id, query.join(" "), { limit }), (result) => ({ name, result })),
      (name) => ({ name, result: { found: 0, results: [] } satisfies SearchResult as SearchResult })
    )
    const lines = result.results.map((found) => `${String(found.id).padStart(6)} ${ContextText.memoryLine(found)}`)
    yield* Output.print(
      json,
      yield* Effect.orDie(Schema.encodeEffect(SearchResult)(result)),
      lines.length === 0 ? [`nothing found in the project ${name}`] : lines
    )
  })
).pipe(Command.withDescription("Search the memories of the current project"))
