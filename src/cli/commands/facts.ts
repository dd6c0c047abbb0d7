/**
 * `athena facts`: the facts that were derived from the sessions of the current project.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as ContextText from "../../hooks/ContextText.ts"
import * as Memory from "../../host/Memory.ts"
import { type Fact, FactKind } from "../../memory/facts/Fact.ts"
import { MemoryBridge } from "../../memory/MemoryBridge.ts"
import * as Output from "../output.ts"
import * as Selection from "../selection.ts"

const line = (fact: Fact): string =>
  `${String(fact.id).padStart(6)} ${ContextText.factLine(fact)}${fact.endedAt === null ? "" : " (ended)"}`

const forget = Command.make(
  "forget",
  { id: Argument.Int("id").pipe(Argument.withDescription("Id of the fact")), json: Output.json },
  Effect.fnUntraced(function* ({ id, json }) {
    const memory = yield* MemoryBridge
    const project = yield* Memory.currentProject
    if (!(yield* memory.endFact(project.id, id))) return yield* Selection.fail(`there is no current fact ${id}`)
    yield* Output.print(json, { forgotten: id }, [`fact ${id} forgotten`])
  })
).pipe(Command.withDescription("End a fact for good; no consolidation derives it again"), Command.provide(Memory.layer))

export const facts = Command.make(
  "facts",
  {
    kind: Flag.Literals("kind", FactKind.literals).pipe(Flag.withDescription("Only facts of this kind"), Flag.optional),
    all: Flag.Boolean("all").pipe(
      Flag.withDescription("Include ended facts, and candidates with too little evidence"),
      Flag.withDefault(false)
    ),
    limit: Flag.Int("limit").pipe(Flag.withDescription("Maximum number, from 1 to 2,000"), Flag.withDefault(100)),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ all, json, kind, limit }) {
    const { facts, name } = yield* Memory.readCurrentProject(
      ({ id, name }, memory) =>
        Effect.map(
          memory.listFacts(id, { all, limit, kinds: Option.isSome(kind) ? [kind.value] : undefined }),
          (facts) => ({ facts, name })
        ),
      (name) => ({ facts: [] as ReadonlyArray<Fact>, name })
    )
    yield* Output.print(
      json,
      facts,
      facts.length === 0 ? [`no facts in the project ${name}: run athena consolidate`] : facts.map(line)
    )
  })
).pipe(
  Command.withDescription("List the facts derived from the sessions of the current project, and forget wrong ones"),
  Command.withSubcommands([forget])
)
