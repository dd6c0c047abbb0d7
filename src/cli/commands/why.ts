/**
 * `athena why`: explains the memories that a prompt would receive, or that a session has received.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as ContextText from "../../hooks/ContextText.ts"
import * as Recall from "../../hooks/Recall.ts"
import * as Memory from "../../host/Memory.ts"
import * as Spools from "../../host/spools.ts"
import { FoundMemory, type MemoryEntry } from "../../memory/Memory.ts"
import { MemoryBridge } from "../../memory/MemoryBridge.ts"
import * as Output from "../output.ts"
import * as Selection from "../selection.ts"

const reasons: Readonly<Record<Recall.Verdict, string>> = {
  injected: "injected",
  unclear: "not clearly about the prompt",
  notAReminder: "of a kind that only a search returns",
  known: "known to the session",
  repeated: "a better result has the same text",
  overLimit: "better results fill the reminder"
}

const percent = (share: number): string => `${Math.round(share * 100)} %`

const candidateLines = ({ memory, probability, verdict }: Recall.Candidate, index: number): ReadonlyArray<string> => [
  `${index + 1}. ${reasons[verdict]}: probability ${percent(probability)}, score ${memory.score.toFixed(3)}, ` +
    `${memory.matchedTerms} terms, coverage ${percent(memory.coverage)}, rarity ${percent(memory.rarity)}`,
  `${String(memory.id).padStart(6)} ${ContextText.memoryLine(memory)}`
]

const encodeMemory = Schema.encodeEffect(FoundMemory)

const ofPrompt = Effect.fnUntraced(function* (prompt: string, json: boolean) {
  yield* Spools.deliver
  const { candidates, name } = yield* Memory.readCurrentProject(
    ({ id, name }, memory) =>
      Recall.explain(id, prompt).pipe(
        Effect.provideService(MemoryBridge, memory),
        Effect.map((candidates) => ({ candidates, name }))
      ),
    (name) => ({ candidates: [] as ReadonlyArray<Recall.Candidate>, name })
  )
  const encoded = yield* Effect.forEach(candidates, ({ memory, ...decision }) =>
    Effect.map(Effect.orDie(encodeMemory(memory)), (memory) => ({ ...decision, memory }))
  )
  yield* Output.print(
    json,
    encoded,
    candidates.length === 0 ? [`nothing found in the project ${name}`] : candidates.flatMap(candidateLines)
  )
})

const ofSession = Effect.fnUntraced(function* (sessionId: string, json: boolean) {
  yield* Spools.deliver
  const entries = yield* Memory.read(
    (memory) => Effect.flatMap(memory.getInjected(sessionId), memory.getMemories),
    () => [] as ReadonlyArray<MemoryEntry>
  )
  yield* Output.print(
    json,
    entries.map(({ content, id, type }) => ({ id, type, content })),
    entries.length === 0
      ? [`the session ${sessionId} has received no memory`]
      : entries.map((entry) => `${String(entry.id).padStart(6)} ${ContextText.memoryLine(entry)}`)
  )
})

export const why = Command.make(
  "why",
  {
    prompt: Argument.String("prompt").pipe(Argument.withDescription("Text of a prompt"), Argument.variadic()),
    session: Flag.String("session").pipe(
      Flag.withDescription("List the memories that this session has received"),
      Flag.optional
    ),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ json, prompt, session }) {
    if (Option.isSome(session) === prompt.length > 0) return yield* Selection.fail("give a prompt, or --session ID")
    yield* Option.isSome(session) ? ofSession(session.value, json) : ofPrompt(prompt.join(" "), json)
  })
).pipe(Command.withDescription("Explain which memories a prompt would receive, or a session has received"))
