/**
 * The commands by which a user reads and corrects the memories of the current project: `list`, `show`, `edit`, `pin`,
 * `unpin`, `forget`, `restore`, `delete` and `sessions`.
 */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as ContextText from "../../hooks/ContextText.ts"
import * as Erasure from "../../host/erasure.ts"
import * as Memory from "../../host/Memory.ts"
import * as Spools from "../../host/spools.ts"
import { MemoryEntry, SessionSummary } from "../../memory/Memory.ts"
import { MemoryBridge } from "../../memory/MemoryBridge.ts"
import * as Output from "../output.ts"
import * as Selection from "../selection.ts"
import * as Since from "../since.ts"

const marks = ({ isForgotten, isPinned }: MemoryEntry): string =>
  `${isPinned ? " (pinned)" : ""}${isForgotten ? " (forgotten)" : ""}`

const line = (entry: MemoryEntry): string =>
  `${String(entry.id).padStart(6)} ${ContextText.memoryLine(entry)}${marks(entry)}`

const encodeEntries = Schema.encodeEffect(Schema.Array(MemoryEntry))

const encoded = (entries: ReadonlyArray<MemoryEntry>) =>
  Effect.map(Effect.orDie(encodeEntries(entries)), (rows) =>
    rows.map(({ isForgotten, isPinned, ...row }, index) => ({
      ...row,
      files: entries[index]!.files,
      isForgotten: isForgotten === 1,
      isPinned: isPinned === 1
    }))
  )

const limit = Flag.Int("limit").pipe(Flag.withDescription("Maximum number, from 1 to 1,000"), Flag.withDefault(20))

export const list = Command.make(
  "list",
  {
    limit,
    type: Flag.String("type").pipe(Flag.withDescription("Only memories of this type, such as note"), Flag.optional),
    since: Since.flag,
    session: Flag.String("session").pipe(Flag.withDescription("Only memories of this session"), Flag.optional),
    pinned: Flag.Boolean("pinned").pipe(Flag.withDescription("Only pinned memories"), Flag.withDefault(false)),
    forgotten: Flag.Boolean("forgotten").pipe(Flag.withDescription("Only forgotten memories"), Flag.withDefault(false)),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ forgotten, json, limit, pinned, session, since, type }) {
    yield* Spools.deliver
    const earliest = yield* Since.time(since)
    const { entries, name } = yield* Memory.readCurrentProject(
      ({ id, name }, memory) =>
        Effect.map(
          memory.listMemories(id, {
            limit,
            type: Option.getOrUndefined(type),
            since: earliest,
            sessionId: Option.getOrUndefined(session),
            pinned,
            forgotten
          }),
          (entries) => ({ entries, name })
        ),
      (name) => ({ entries: [] as ReadonlyArray<MemoryEntry>, name })
    )
    yield* Output.print(
      json,
      yield* encoded(entries),
      entries.length === 0 ? [`nothing found in the project ${name}`] : entries.map(line)
    )
  })
).pipe(Command.withDescription("List the memories of the current project, newest first"))

const id = Argument.Int("id").pipe(Argument.withDescription("Id of the memory"))

const missing = (id: number) => Selection.fail(`there is no memory ${id}: list them with athena list`)

const details = (entry: MemoryEntry): ReadonlyArray<string> => [
  line({ ...entry, content: "" }).trimEnd(),
  `session     ${entry.sessionId}`,
  ...(entry.outcome === null ? [] : [`outcome     ${entry.outcome}`]),
  ...(entry.cwd === null ? [] : [`folder      ${entry.cwd}`]),
  ...entry.files.map((file) => `file        ${file}`),
  `importance  ${entry.importance.toFixed(2)}`,
  "",
  ...entry.content.split(/\r\n|\r|\n/)
]

export const show = Command.make(
  "show",
  { id, json: Output.json },
  Effect.fnUntraced(function* ({ id, json }) {
    yield* Spools.deliver
    const [entry] = yield* Memory.readCurrentProject(
      (_, memory) => memory.getMemories([id]),
      () => []
    )
    if (entry === undefined) return yield* missing(id)
    yield* Output.print(json, (yield* encoded([entry]))[0], details(entry))
  })
).pipe(Command.withDescription("Print a memory with its whole text"))

export const edit = Command.make(
  "edit",
  {
    id,
    text: Argument.String("text").pipe(Argument.withDescription("New text"), Argument.atLeast(1)),
    json: Output.json
  },
  Effect.fnUntraced(function* ({ id, json, text }) {
    const memory = yield* MemoryBridge
    const project = yield* Memory.currentProject
    yield* memory.editMemory(project.id, id, text.join(" "))
    const entries = yield* memory.getMemories([id])
    yield* Output.print(json, (yield* encoded(entries))[0], entries.map(line))
  })
).pipe(Command.withDescription("Replace the text of a memory"), Command.provide(Memory.layer))

interface Change {
  readonly name: string
  readonly description: string
  /** As in `3 memories pinned`. */
  readonly done: string
  readonly apply: (
    memory: MemoryBridge["Service"],
    projectId: number,
    ids: ReadonlyArray<number>
  ) => ReturnType<MemoryBridge["Service"]["pinMemories"]>
}

/** A command that changes the selected memories; more than one must be confirmed. */
const changing = ({ apply, description, done, name }: Change) =>
  Command.make(
    name,
    { ...Selection.flags, json: Output.json },
    Effect.fnUntraced(function* ({ dryRun, json, yes, ...selection }) {
      yield* Spools.deliver
      yield* Effect.gen(function* () {
        const memory = yield* MemoryBridge
        const project = yield* Memory.currentProject
        const ids = yield* Selection.select(project.id, selection)
        const text = Selection.memories(ids.length)
        if (dryRun) return yield* Output.print(json, { dryRun, ids }, [`${text} would be ${done}`])
        if (ids.length > 1) yield* Selection.confirm(`${text} will be ${done}.`, ids.length, yes)
        yield* Effect.forEach(Selection.chunks(ids), (chunk) => apply(memory, project.id, chunk), { discard: true })
        yield* Output.print(json, { dryRun, ids }, [`${text} ${done}`])
      }).pipe(Effect.provide(Memory.layer))
    })
  ).pipe(Command.withDescription(description))

export const pin = changing({
  name: "pin",
  description: "Inject memories at each session start of the project",
  done: "pinned",
  apply: (memory, projectId, ids) => memory.pinMemories(projectId, ids)
})

export const unpin = changing({
  name: "unpin",
  description: "Undo pin",
  done: "unpinned",
  apply: (memory, projectId, ids) => memory.unpinMemories(projectId, ids)
})

export const forget = changing({
  name: "forget",
  description: "Exclude memories from search and injection; restore brings them back",
  done: "forgotten",
  apply: (memory, projectId, ids) => memory.forgetMemories(projectId, ids)
})

export const restore = changing({
  name: "restore",
  description: "Undo forget",
  done: "restored",
  apply: (memory, projectId, ids) => memory.restoreMemories(projectId, ids)
})

export const remove = Command.make(
  "delete",
  { ...Selection.flags, json: Output.json },
  Effect.fnUntraced(function* ({ dryRun, json, yes, ...selection }) {
    yield* Spools.deliver
    const deleted = yield* Effect.gen(function* () {
      const memory = yield* MemoryBridge
      const project = yield* Memory.currentProject
      const ids = yield* Selection.select(project.id, selection)
      const text = Selection.memories(ids.length)
      if (dryRun || ids.length === 0) {
        yield* Output.print(json, { dryRun, ids }, [`${text} would be deleted permanently`])
        return []
      }
      yield* Selection.confirm(`${text} will be deleted permanently.`, ids.length, yes)
      yield* Effect.forEach(Selection.chunks(ids), (chunk) => memory.deleteMemories(project.id, chunk), {
        discard: true
      })
      return ids
    }).pipe(Effect.provide(Memory.layer))
    if (deleted.length === 0) return
    // The connection of the memory is closed here: a rewrite waits for readers.
    yield* Erasure.erase
    yield* Output.print(json, { dryRun, ids: deleted }, [`${Selection.memories(deleted.length)} deleted permanently`])
  })
).pipe(Command.withDescription("Delete memories permanently, also from the files of the home"))

const encodeSessions = Schema.encodeEffect(Schema.Array(SessionSummary))

export const sessions = Command.make(
  "sessions",
  { limit, json: Output.json },
  Effect.fnUntraced(function* ({ json, limit }) {
    yield* Spools.deliver
    const { name, sessions } = yield* Memory.readCurrentProject(
      ({ id, name }, memory) => Effect.map(memory.listSessions(id, { limit }), (sessions) => ({ name, sessions })),
      (name) => ({ name, sessions: [] as ReadonlyArray<SessionSummary> })
    )
    yield* Output.print(
      json,
      yield* Effect.orDie(encodeSessions(sessions)),
      sessions.length === 0
        ? [`no sessions in the project ${name}`]
        : sessions.map(
            ({ end, events, firstPrompt, id }) =>
              `${DateTime.formatIso(end).slice(0, 16).replace("T", " ")}  ${id}  ${events} events  ${firstPrompt ?? ""}`
          )
    )
  })
).pipe(Command.withDescription("List the sessions of the current project, last active first"))
