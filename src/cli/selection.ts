/**
 * Selection of the memories that a command changes, and the confirmation of the change.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Flag from "effect/cli/Flag"
import * as Prompt from "effect/cli/Prompt"
import { plural } from "../internal/text.ts"
import { MemoryBridge } from "../memory/MemoryBridge.ts"

/** An error of a command, with its message. */
export class CommandError extends Data.TaggedError("CommandError")<{ readonly message: string }> {}

/** Fails with a message. */
export const fail = (message: string) => Effect.fail(new CommandError({ message }))

/** The flag and the arguments by which a command selects memories of the current project. */
export const flags = {
  ids: Argument.Int("id").pipe(Argument.withDescription("Ids of memories"), Argument.variadic()),
  query: Flag.String("query").pipe(Flag.withDescription("Select the memories that contain this text"), Flag.optional),
  session: Flag.String("session").pipe(Flag.withDescription("Select the memories of this session"), Flag.optional),
  project: Flag.Boolean("project").pipe(
    Flag.withDescription("Select all memories of the current project"),
    Flag.withDefault(false)
  ),
  yes: Flag.Boolean("yes").pipe(Flag.withDescription("Skip the confirmation"), Flag.withDefault(false)),
  dryRun: Flag.Boolean("dry-run").pipe(
    Flag.withDescription("Print the changes without applying them"),
    Flag.withDefault(false)
  )
}

export interface Selection {
  readonly ids: ReadonlyArray<number>
  readonly query: Option.Option<string>
  readonly session: Option.Option<string>
  readonly project: boolean
}

/** The ids of the selected memories of a project. Ids that the project does not have are an error. */
export const select = Effect.fnUntraced(function* (projectId: number, selection: Selection) {
  const memory = yield* MemoryBridge
  const { ids, project } = selection
  const [containing, sessionId] = [Option.getOrUndefined(selection.query), Option.getOrUndefined(selection.session)]
  const isFiltered = project || containing !== undefined || sessionId !== undefined
  if (isFiltered === ids.length > 0) {
    return yield* fail("select memories by ids, or by --query, --session or --project")
  }
  if (containing?.trim() === "") return yield* fail("--query is empty: use --project for all memories of the project")
  if (isFiltered) return yield* memory.findMemories(projectId, { containing, sessionId })
  const found = new Set(
    (yield* Effect.forEach(chunks(ids), memory.getMemories))
      .flat()
      .flatMap((entry) => (entry.projectId === projectId ? [entry.id] : []))
  )
  const missing = ids.filter((id) => !found.has(id))
  if (missing.length > 0) {
    return yield* fail(`the project has no memory ${missing.slice(0, 10).join(", ")}: list them with athena list`)
  }
  return [...found]
})

/** The most memories that one call of the memory changes. */
const maxBatch = 1_000

/** Splits ids into the batches of the calls. */
export const chunks = (ids: ReadonlyArray<number>): ReadonlyArray<ReadonlyArray<number>> =>
  Array.from({ length: Math.ceil(ids.length / maxBatch) }, (_, index) =>
    ids.slice(index * maxBatch, (index + 1) * maxBatch)
  )

/** Requires the user to type the number of memories. Without a terminal, `--yes` is required. */
export const confirm = (message: string, count: number, isSure: boolean) =>
  Effect.gen(function* () {
    if (isSure) return
    if (!process.stdin.isTTY || !process.stdout.isTTY)
      return yield* fail(`${message} To confirm without a terminal, add --yes`)
    const typed = yield* Prompt.run(Prompt.String({ message: `${message} Type ${count} to confirm` }))
    if (typed.trim() !== String(count)) return yield* fail("nothing was changed")
  })

/** `1 memory`, `2 memories`. */
export const memories = (count: number): string => (count === 1 ? plural("memory", 1) : `${count} memories`)
