/**
 * `athena remember`: stores a note for the agent in the current project.
 */
import * as Effect from "effect/Effect"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as MemoryEvent from "../../memory/MemoryEvent.ts"
import { MemoryBridge } from "../../memory/MemoryBridge.ts"
import * as Memory from "../../host/Memory.ts"
import * as Output from "../output.ts"
import * as Selection from "../selection.ts"

/** The whole standard input, without white space around it. */
const standardInput = Effect.flatMap(Stdio.Stdio, ({ stdin }) => stdin.pipe(Stream.decodeText(), Stream.mkString)).pipe(
  Effect.map((text) => text.trim()),
  Effect.filterOrElse(
    (text) => text !== "",
    () => Selection.fail("the standard input is empty")
  )
)

export const remember = Command.make(
  "remember",
  {
    text: Argument.String("text").pipe(
      Argument.withDescription("Text of the note; - reads it from the standard input"),
      Argument.atLeast(1)
    ),
    importance: Flag.Finite("importance").pipe(
      Flag.withDescription("From 0 to 1; above 0.7 it stays in the working memory longer"),
      Flag.withDefault(0.9)
    ),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ importance, json, text }) {
    const memory = yield* MemoryBridge
    const content = text.length === 1 && text[0] === "-" ? yield* standardInput : text.join(" ")
    const project = yield* Memory.currentProject
    const { id } = yield* memory.recordEvent(
      MemoryEvent.make({
        projectId: project.id,
        sessionId: "athena-cli",
        type: "note",
        content,
        importance,
        worktreePath: project.worktreePath
      })
    )
    yield* Output.print(json, { id, project: project.name }, [`stored as ${id} in the project ${project.name}`])
  })
).pipe(Command.withDescription("Store a note for the agent in the current project"), Command.provide(Memory.layer))
