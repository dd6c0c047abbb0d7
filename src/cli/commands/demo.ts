/**
 * `athena demo`: runs a recorded session through the hooks, one process per hook, on a temporary database.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Path from "effect/Path"
import * as SqlClient from "effect/sql/SqlClient"
import * as Stream from "effect/Stream"
import * as Command from "effect/cli/Command"
import * as ChildProcess from "effect/process/ChildProcess"
import * as ChildProcessSpawner from "effect/process/ChildProcessSpawner"
import { monotonicMs } from "../../internal/clock.ts"
import * as Goal from "../../memory/Goal.ts"
import * as MemoryBridge from "../../memory/MemoryBridge.ts"
import * as Project from "../../memory/Project.ts"
import * as ProfileHistory from "../../profiler/ProfileHistory.ts"
import * as ProfileText from "../../profiler/ProfileText.ts"
import * as Database from "../../sql/Database.ts"
import * as LongRunning from "../demo/longRunning.ts"
import * as Session from "../demo/session.ts"
import * as Output from "../output.ts"

interface Scratch {
  /** The folder of the database. */
  readonly home: string
  /** The fictitious repository. */
  readonly project: string
}

interface Ran {
  readonly step: Session.Step
  readonly context: string | undefined
  readonly notice: string
  readonly exitCode: number
  readonly ms: number
}

const makeScratch = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "athena-demo-" })
  const project = path.join(yield* fs.realPath(folder), "shop")
  yield* fs.makeDirectory(path.join(project, ".git"), { recursive: true })
  return { home: path.join(folder, "home"), project } satisfies Scratch
})

/**
 * Runs `athena hook` as an agent does: the event on standard input, an environment of its own. The profiler adds some
 * milliseconds.
 */
const runHook = (scratch: Scratch, sessionId: string, step: Session.Step) =>
  Effect.gen(function* () {
    const body = JSON.stringify({
      session_id: sessionId,
      transcript_path: `${scratch.project}/transcript.jsonl`,
      cwd: scratch.project,
      permission_mode: "default",
      hook_event_name: step.name,
      ...step.body
    })
    const spawner = yield* ChildProcessSpawner.ChildProcessSpawner
    const started = yield* monotonicMs
    const child = yield* spawner.spawn(
      ChildProcess.make(process.execPath, [process.argv[1]!, "hook"], {
        // The home is temporary, so no daemon may outlive it.
        env: { ATHENA_HOME: scratch.home, HOME: scratch.home, ATHENA_PROFILE: "wall", ATHENA_DAEMON: "off" },
        stdin: Stream.encodeText(Stream.succeed(body))
      })
    )
    const [response, notice, exitCode] = yield* Effect.all(
      [
        Stream.mkString(Stream.decodeText(child.stdout)),
        Stream.mkString(Stream.decodeText(child.stderr)),
        child.exitCode
      ],
      { concurrency: "unbounded" }
    )
    const ms = (yield* monotonicMs) - started
    const output = JSON.parse(response) as { hookSpecificOutput?: { additionalContext?: string } }
    return { step, context: output.hookSpecificOutput?.additionalContext, notice, exitCode, ms } satisfies Ran
  }).pipe(Effect.scoped)

/** Summarizes a step in one line. */
const summary = ({ body, name }: Session.Step): string => {
  const input = body["tool_input"] as Record<string, unknown> | undefined
  const text =
    body["prompt"] ??
    body["last_assistant_message"] ??
    body["reason"] ??
    body["source"] ??
    input?.["command"] ??
    input?.["file_path"] ??
    input?.["pattern"] ??
    ""
  const tool = body["tool_name"] === undefined ? "" : `${String(body["tool_name"])} `
  const line = `${tool}${String(text)}`.replace(/\s+/g, " ")
  return name === "PostToolBatch" ? "(delivered again; stored once)" : line.length > 76 ? `${line.slice(0, 75)}…` : line
}

const show = (ran: Ran): Effect.Effect<void> =>
  Effect.gen(function* () {
    yield* Output.text(`  ${ran.step.name.padEnd(18)} ${ran.ms.toFixed(0).padStart(4)} ms  ${summary(ran.step)}`)
    for (const line of ran.context?.split("\n") ?? []) yield* Output.text(`  ${" ".repeat(27)}| ${line}`)
    if (ran.notice !== "") yield* Output.text(`  ${" ".repeat(27)}! ${ran.notice.trim()}`)
  })

const runSession = (scratch: Scratch, sessionId: string, steps: ReadonlyArray<Session.Step>) =>
  Effect.forEach(steps, (step) => Effect.tap(runHook(scratch, sessionId, step), show))

const stored = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const events = yield* sql<{ type: string; outcome: string | null; content: string; files: string | null }>`
    SELECT event_type AS type, outcome, content, context_files AS files FROM episodic_events ORDER BY id`
  return events
})

/** The number of events that a session yields: a start yields none, and a batch repeats earlier events. */
const expectedEvents = (steps: ReadonlyArray<Session.Step>): number =>
  steps.filter(({ name }) => name !== "SessionStart" && name !== "PostToolBatch").length

const median = (values: ReadonlyArray<number>): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

const showTimes = (runs: readonly [ReadonlyArray<Ran>, ReadonlyArray<Ran>]) =>
  Effect.gen(function* () {
    yield* Output.text(
      "\nHow long each hook took, from start to end of its process (median, ms; with the profiler in it)"
    )
    yield* Output.text(`  ${"".padEnd(18)} first session  second session`)
    for (const name of new Set(runs[0].map((ran) => ran.step.name))) {
      const [one, two] = runs.map((ran) => median(ran.filter((r) => r.step.name === name).map((r) => r.ms)))
      yield* Output.text(`  ${name.padEnd(18)} ${one!.toFixed(0).padStart(13)}  ${two!.toFixed(0).padStart(14)}`)
    }
  })

/** Prints the merged profile of all hook processes, and returns whether it covers all of them. */
const showProfile = (scratch: Scratch, runs: ReadonlyArray<Ran>) =>
  Effect.gen(function* () {
    const history = yield* ProfileHistory.make({ folder: scratch.home })
    const { processes, report } = yield* history.read()
    const life = report.operations.find(({ name }) => name === "hook process")
    const outside = runs.reduce((sum, ran) => sum + ran.ms, 0)
    yield* Output.text("\nThe profile of the hooks: athena report\n")
    yield* Output.styled(ProfileText.format(report, { top: 12, colors: yield* Output.isColored }))
    yield* Output.text(
      `\n  ${processes} processes recorded ${life?.wall.sum.toFixed(0)} ms; measured from outside: ${runs.length}, ${outside.toFixed(0)} ms`
    )
    return processes === runs.length && life !== undefined && life.wall.sum <= outside
  })

/** Runs the demonstration and returns whether every step succeeded. */
const demonstrate = Effect.gen(function* () {
  const scratch = yield* makeScratch
  const database = Database.layer({ _tag: "Embedded", home: scratch.home })
  const memory = MemoryBridge.layerSql.pipe(Layer.provideMerge(database))
  const steps = [Session.first(scratch.project), Session.second(scratch.project)] as const

  yield* Output.text(`A recorded session goes through the hooks, on a scratch database in ${scratch.home}\n`)
  yield* Output.text("First session: the memory is empty")
  const first = yield* runSession(scratch, "demo-1", steps[0])

  yield* Effect.gen(function* () {
    const bridge = yield* MemoryBridge.MemoryBridge
    const project = yield* bridge.ensureProject(Project.make({ path: scratch.project, name: "shop" }))
    yield* bridge.addGoal(Goal.make({ projectId: project.id, title: "Checkout error rate below 0.1 %", priority: 8 }))
  }).pipe(Effect.provide(memory))
  yield* Output.text('\nA goal is added: athena goals add "Checkout error rate below 0.1 %" --priority 8')

  yield* Output.text("\nSecond session: the memory contains the first (lines after | are the context of the agent)")
  const second = yield* runSession(scratch, "demo-2", steps[1])

  const events = yield* Effect.provide(stored, memory)
  yield* Output.text("\nRecorded events")
  for (const event of events) {
    const outcome = event.outcome === null ? "" : ` [${event.outcome}]`
    yield* Output.text(`  ${event.type.padEnd(18)}${outcome} ${event.content.replace(/\s+/g, " ").slice(0, 100)}`)
  }
  const expected = expectedEvents(steps[0]) + expectedEvents(steps[1])
  yield* Output.text(`\n  ${expected} events delivered = ${events.length} events stored`)
  yield* showTimes([first, second])
  const profiled = yield* showProfile(scratch, [...first, ...second])

  const arrived = yield* LongRunning.demonstrate(scratch.home, scratch.project, database)

  const leaked = events.some((event) => event.content.includes("ghp_"))
  const succeeded = [...first, ...second].every((ran) => ran.exitCode === 0)
  return succeeded && events.length === expected && arrived && !leaked && profiled
}).pipe(Effect.scoped)

export const demo = Command.make(
  "demo",
  {},
  Effect.fnUntraced(function* () {
    if (!(yield* demonstrate)) {
      yield* Output.problem("the demonstration failed; report this as a defect")
      process.exitCode = 1
    }
  })
).pipe(Command.withDescription("Run a recorded session through the hooks, on a scratch database"))
