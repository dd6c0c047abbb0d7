/**
 * `athena search`: searches the memories of the current project.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as ContextText from "../../hooks/ContextText.ts"
import { SearchResult } from "../../memory/Memory.ts"
import * as Memory from "../../host/Memory.ts"
import type { SearchOptions } from "../../memory/MemoryBridge.ts"
import type { ProjectSummary } from "../../memory/Project.ts"
import * as Output from "../output.ts"
import * as Selection from "../selection.ts"
import * as Since from "../since.ts"
import * as Spools from "../../host/spools.ts"

interface Found {
  readonly name: string
  readonly result: SearchResult
}

type Scope = "current" | "all" | { readonly project: string }

const none = (name: string): Found => ({ name, result: { found: 0, results: [] } })

/** Searches the current project, a named one, or all. */
const searchIn = Effect.fnUntraced(function* (query: string, options: SearchOptions, scope: Scope) {
  if (scope === "current") {
    return [
      yield* Memory.readCurrentProject(
        ({ id, name }, memory) =>
          Effect.map(memory.searchMemories(id, query, options), (result): Found => ({ name, result })),
        none
      )
    ]
  }
  const isWanted = ({ id, name, path }: ProjectSummary) =>
    scope === "all" || [String(id), name, path].includes(scope.project)
  const projects = yield* Memory.read(
    (memory) =>
      Effect.flatMap(memory.listProjects, (all) =>
        Effect.forEach(all.filter(isWanted), ({ id, name }) =>
          Effect.map(memory.searchMemories(id, query, options), (result): Found => ({ name, result }))
        )
      ),
    () => [] as ReadonlyArray<Found>
  )
  if (projects.length === 0 && scope !== "all") {
    return yield* Selection.fail(`there is no project ${JSON.stringify(scope.project)}: run athena project list`)
  }
  return projects
})

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
    type: Flag.String("type").pipe(Flag.withDescription("Only events of this type, such as note"), Flag.optional),
    since: Since.flag,
    project: Flag.String("project").pipe(
      Flag.withDescription("Id, name or path of the project; the current one when absent"),
      Flag.optional
    ),
    allProjects: Flag.Boolean("all-projects").pipe(
      Flag.withDescription("Search all projects, last active first"),
      Flag.withDefault(false)
    ),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ allProjects, json, limit, project, query, since, type }) {
    if (allProjects && Option.isSome(project)) return yield* Selection.fail("give either --project or --all-projects")
    const scope = allProjects ? "all" : Option.isSome(project) ? { project: project.value } : "current"
    yield* Spools.deliver
    const options = {
      limit,
      types: Option.isSome(type) ? [type.value] : undefined,
      since: yield* Since.time(since)
    }
    const found = yield* searchIn(query.join(" "), options, scope)
    const results = found.flatMap(({ result }) => result.results)
    const lines = found.flatMap(({ name, result }) => [
      ...(allProjects && result.found > 0 ? [`${ContextText.name(name)}:`] : []),
      ...result.results.map((memory) => `${String(memory.id).padStart(6)} ${ContextText.memoryLine(memory)}`)
    ])
    yield* Output.print(
      json,
      yield* Effect.orDie(Schema.encodeEffect(SearchResult)({ found: results.length, results })),
      lines.length === 0 ? [`nothing found${found.length === 1 ? ` in the project ${found[0]!.name}` : ""}`] : lines
    )
  })
).pipe(Command.withDescription("Search the memories of the current project"))
