/**
 * Records a history as the hooks of Claude Code do: payloads through the adapter and the program of each event, at the
 * times of the history.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import * as ClaudeCode from "../../src/hooks/adapters/ClaudeCode.ts"
import * as HookProgram from "../../src/hooks/HookProgram.ts"
import * as Goal from "../../src/memory/Goal.ts"
import { MemoryBridge } from "../../src/memory/MemoryBridge.ts"
import * as MemoryEvent from "../../src/memory/MemoryEvent.ts"
import type * as History from "./History.ts"
import { at } from "./wallClock.ts"

/** A project into which sessions are recorded. */
export interface Recording {
  readonly cwd: string
  readonly projectId: number
  /** The history's id of the exchange, compaction or note of each stored event. */
  readonly memories: Map<number, string>
}

/** Creates the project's repository below `root`, and the project. */
export const start = (root: string, history: History.History) =>
  Effect.gen(function* () {
    const cwd = path.join(root, history.project)
    fs.mkdirSync(path.join(cwd, ".git"), { recursive: true })
    const [first] = history.sessions
    yield* hook(cwd, first?.id ?? "first", { hook_event_name: "SessionStart", source: "startup" }).pipe(
      at(first?.startedAt ?? history.now)
    )
    const session = yield* MemoryBridge.use((memory) => memory.getSession(first?.id ?? "first"))
    return { cwd, projectId: Option.getOrThrow(session).project.id, memories: new Map() } satisfies Recording
  })

/** Records a session from its start to its end. */
export const session = (
  recording: Recording,
  { compactions, exchanges, goals, id, notes, startedAt }: History.Session
) =>
  Effect.gen(function* () {
    const { cwd } = recording
    const steps = [
      ...exchanges.map((one) => ({ memory: one, run: exchange(cwd, id, one) })),
      ...compactions.map((one) => ({ memory: one, run: compaction(cwd, id, one) })),
      ...notes.map((one) => ({ memory: one, run: note(recording, one) })),
      ...goals.map((one) => ({ memory: one, run: goal(recording, one) }))
    ].toSorted((a, b) => DateTime.toEpochMillis(a.memory.at) - DateTime.toEpochMillis(b.memory.at))
    yield* hook(cwd, id, { hook_event_name: "SessionStart", source: "startup" }).pipe(at(startedAt))
    for (const { memory, run } of steps) {
      yield* run
      yield* assign(recording, memory.id)
    }
    const end = after(steps.at(-1)?.memory.at ?? startedAt, 300)
    yield* hook(cwd, id, { hook_event_name: "SessionEnd", reason: "other" }).pipe(at(end))
    yield* assign(recording, `end of ${id}`)
    return end
  })

/** Decodes a payload of Claude Code and runs the program of its event. */
export const hook = (cwd: string, sessionId: string, body: Body) =>
  ClaudeCode.decode({ ...body, session_id: sessionId, cwd }).pipe(
    Effect.flatMap((event) => HookProgram.handle(event, { deliveryId: "bench" }))
  )

type Body = Readonly<Record<string, unknown>>

/** The prompt, a tool call every second, and the response after them. */
const exchange = (cwd: string, sessionId: string, { at: time, id, prompt, response, tools }: History.Exchange) => {
  const bodies: ReadonlyArray<Body> = [
    { hook_event_name: "UserPromptSubmit", prompt },
    ...tools.map((call, index) => toolPayload(cwd, `${id}-${index}`, call)),
    { hook_event_name: "Stop", last_assistant_message: response }
  ]
  return Effect.forEach(bodies, (body, second) =>
    hook(cwd, sessionId, { ...body, prompt_id: id }).pipe(at(after(time, second)))
  )
}

const refusal = "The user doesn't want to proceed with this tool use. The tool use was rejected."

/** A denied call is reported by a batch only. */
const toolPayload = (cwd: string, callId: string, { input, name, outcome, output }: History.ToolCall) => {
  const file = input["file_path"]
  const call = {
    tool_name: name,
    tool_use_id: callId,
    tool_input: file === undefined ? input : { ...input, file_path: path.resolve(cwd, file) }
  }
  switch (outcome) {
    case "ok":
      return { hook_event_name: "PostToolUse", ...call, tool_response: { stdout: output } }
    case "failed":
      return { hook_event_name: "PostToolUseFailure", ...call, error: output }
    case "denied":
      return { hook_event_name: "PostToolBatch", tool_calls: [{ ...call, tool_response: refusal }] }
  }
}

const compaction = (cwd: string, sessionId: string, { at: time, id, summary }: History.Compaction) => {
  const bodies: ReadonlyArray<Body> = [
    { hook_event_name: "PreCompact", trigger: "auto" },
    { hook_event_name: "SessionStart", source: "compact" },
    { hook_event_name: "PostCompact", trigger: "auto", compact_summary: summary }
  ]
  return Effect.forEach(bodies, (body) => hook(cwd, sessionId, { ...body, prompt_id: id })).pipe(at(time))
}

/** As `athena remember` stores it. */
const note = ({ cwd, projectId }: Recording, { at: time, text }: History.Note) =>
  MemoryBridge.use((memory) =>
    memory.recordEvent(
      MemoryEvent.make({
        projectId,
        sessionId: "athena-cli",
        type: "note",
        content: text,
        importance: 0.9,
        worktreePath: cwd
      })
    )
  ).pipe(at(time))

const goal = ({ projectId }: Recording, { at: time, status, title }: History.Goal) =>
  Effect.gen(function* () {
    const memory = yield* MemoryBridge
    const { id } = yield* memory.addGoal(Goal.make({ projectId, title }))
    if (status === "completed") yield* memory.setGoalStatus(projectId, id, status)
  }).pipe(at(time))

/** Assigns the events stored since the last call to a memory of the history. */
const assign = ({ memories }: Recording, memory: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const last = Math.max(0, ...memories.keys())
    const rows = yield* sql<{ readonly id: number }>`SELECT id FROM episodic_events WHERE id > ${last}`
    for (const { id } of rows) memories.set(Number(id), memory)
  })

/** The time some seconds after another. */
const after = (time: DateTime.Utc, seconds: number) => DateTime.add(time, { seconds })
