/**
 * The whole chain on one host: agents with the hooks that were installed, the daemon, its database, and what is
 * in it in the end.
 */
import * as fs from "node:fs"
import * as http from "node:http"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { DaemonStatus } from "../../src/daemon/DaemonStatus.ts"
import * as Layout from "../../src/host/paths.ts"
import * as AgentSession from "../utils/AgentSession.ts"
import * as Cli from "../utils/Cli.ts"
import * as FakeDaemon from "../utils/FakeDaemon.ts"

export interface Options {
  readonly env?: Readonly<Record<string, string>>
  /** The folder of the memory; in the user's own where absent. */
  readonly home?: string
  /** Reads what is stored, where that is not the embedded database. */
  readonly stored?: Effect.Effect<ReadonlyArray<string>>
  /** Where the command lies; where it is built when absent. */
  readonly dist?: string
}

export type Chain = Effect.Success<ReturnType<typeof make>>
export type Session = Effect.Success<ReturnType<Chain["session"]>>

/** Tries again until it is so. */
export const until = (what: string, isSo: Effect.Effect<boolean>): Effect.Effect<void> =>
  isSo.pipe(
    Effect.flatMap((so) => (so ? Effect.void : Effect.delay(Effect.fail("not yet"), "20 millis"))),
    Effect.retry({ while: () => true }),
    Effect.timeoutOrElse({ duration: "30 seconds", orElse: () => Effect.die(new Error(`it never was so: ${what}`)) }),
    Effect.orDie
  )

/** The processes that know of a folder, by their environment or their command line. */
const processesOf = (folder: string): ReadonlyArray<number> =>
  fs
    .readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) =>
      ["environ", "cmdline"].some((name) => {
        try {
          return fs.readFileSync(`/proc/${pid}/${name}`, "latin1").includes(folder)
        } catch {
          return false
        }
      })
    )
    .map(Number)

/** A mark stands in every text that is told, and in nothing else. */
const markIn = /mark\d+end/

const marksIn = (body: AgentSession.Body): ReadonlyArray<string> => JSON.stringify(body).match(/mark\d+end/g) ?? []

/** All that was told. */
export const marksOf = (heard: ReadonlyArray<AgentSession.Heard>): ReadonlySet<string> =>
  new Set(heard.flatMap(({ body }) => marksIn(body)))

/** The bounds of the table in the README are read off these. */
const slowest = new Map<string, number>()

const measure = ({ event, tookMs, via }: AgentSession.Heard): void => {
  const kind = via === "post" ? via : `${via} ${event}`
  slowest.set(kind, Math.max(slowest.get(kind) ?? 0, Math.round(tookMs)))
}

/** Prints the longest times since it was asked last, where somebody wants to know. */
export const printSlowest = (name: string): void => {
  if (process.env["CHAIN_TIMES"] !== undefined) console.log(JSON.stringify({ name, ...Object.fromEntries(slowest) }))
  slowest.clear()
}

/** How late a timer of a busy machine may be. */
const slackMs = 3_000

/** Installs the hooks of Claude Code and of Codex, for a user of their own. Nothing of it is left with the scope. */
export const make = (options: Options = {}) =>
  Effect.gen(function* () {
    const { folder, project } = yield* Cli.scratch
    const home = options.home ?? path.join(folder, ".athena")
    const dist = options.dist ?? path.dirname(Cli.bin)
    const env = {
      HOME: folder,
      ...(options.home === undefined ? {} : { ATHENA_HOME: home }),
      ATHENA_DAEMON: "on",
      ...options.env
    }
    const places = FakeDaemon.layoutOf(home)
    const settings = { claude: `${folder}/.claude/settings.json`, codex: `${folder}/.codex/hooks.json` }
    const heard: Array<AgentSession.Heard> = []
    /** Marks that only transcripts contain. */
    const interrupted = new Set<string>()

    const athena = (args: ReadonlyArray<string>, more: Partial<Cli.RunOptions> = {}) =>
      Cli.run(args, { script: path.join(dist, "bin.js"), env, cwd: project, ...more })

    const json = (args: ReadonlyArray<string>) =>
      Effect.map(athena([...args, "--json"]), ({ stderr, stdout }): any => {
        assert.strictEqual(stderr, "")
        return JSON.parse(stdout)
      })

    const serving = (isShell: boolean) =>
      processesOf(folder).filter((pid) => {
        try {
          const line = fs.readFileSync(`/proc/${pid}/cmdline`, "latin1")
          return line.includes("\0serve\0") && line.startsWith("/bin/sh\0") === isShell
        } catch {
          return false
        }
      })

    const processes = Effect.sync(() => serving(false))

    /** Those that start such a process again. */
    const supervisors = Effect.sync(() => serving(true))

    /** What the process says of itself; nothing where none answers. Asked without a command, which takes longer. */
    const status = Effect.promise(
      () =>
        new Promise<DaemonStatus | undefined>((resolve) => {
          const token = fs.existsSync(places.token) ? fs.readFileSync(places.token, "latin1").trim() : ""
          const headers = { authorization: `Bearer ${token}`, [Layout.headers.protocol]: Layout.protocol }
          const options = { socketPath: places.socket, path: "/status", headers, agent: false, timeout: 5_000 }
          const request = http.get(options, (response) => {
            let text = ""
            response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
            response.on("error", () => resolve(undefined))
            response.on("end", () => resolve(response.statusCode === 200 ? JSON.parse(text) : undefined))
          })
          request.on("timeout", () => request.destroy()).on("error", () => resolve(undefined))
        })
    )

    /** The resident process, as soon as it listens and whoever came to start another has left. */
    const ready = Effect.gen(function* () {
      yield* until(
        "the daemon listens",
        Effect.map(status, (status) => typeof status?.health.port === "number")
      )
      yield* until(
        "there is one resident process",
        Effect.map(processes, ({ length }) => length === 1)
      )
      return (yield* processes)[0]!
    })

    /** As if somebody were about to start it. */
    const claimed = Effect.sync(() => fs.writeFileSync(places.startClaim, "0", { mode: 0o600 }))

    const signal = (name: NodeJS.Signals) =>
      Effect.gen(function* () {
        for (const pid of yield* processes) process.kill(pid, name)
      })

    /** Until none is there any more. */
    const gone = until(
      "no process is left",
      Effect.sync(() => processesOf(folder).length === 0)
    )

    /** The process, and what would start it again. */
    const kill = Effect.gen(function* () {
      for (const pid of yield* supervisors) process.kill(pid, "SIGKILL")
      const pids = yield* processes
      for (const pid of pids) process.kill(pid, "SIGKILL")
      yield* until(
        "the killed process is gone",
        Effect.map(processes, (left) => left.every((pid) => !pids.includes(pid)))
      )
    })

    /** More than ten seconds after the last start: as long is no other process started. */
    const later = Effect.sync(() => {
      if (fs.existsSync(places.startClaim)) fs.utimesSync(places.startClaim, new Date(0), new Date(0))
    })

    const session = (agent: "claude" | "codex" = "claude") =>
      Effect.gen(function* () {
        const id = `s-${sessions++}`
        const told = yield* AgentSession.make({
          settings: settings[agent],
          env: { ...env, CLAUDE_PROJECT_DIR: project },
          cwd: project,
          heard: (one) => {
            measure(one)
            heard.push(one)
          }
        })
        let prompts = 0
        // Without an id of its own, an event told twice is known by its delivery alone.
        const transcript = path.join(folder, `${id}.jsonl`)
        const idOf = (prompt: number) =>
          agent === "claude" ? { prompt_id: `${id}-p${prompt}`, transcript_path: transcript } : {}
        const tell = (hook_event_name: string, more: Readonly<Record<string, unknown>> = {}) =>
          told.tell({ session_id: id, ...idOf(prompts), cwd: project, hook_event_name, ...more })
        const start = (source = "startup") => tell("SessionStart", { source })
        const prompt = Effect.suspend(() => {
          prompts++
          return tell("UserPromptSubmit", { prompt: `where do ${mark()} and the checkout meet?` })
        })
        const toolFields = (text: string) => ({
          tool_name: "Bash",
          ...(agent === "claude" ? { tool_use_id: `${id}-${text}` } : {}),
          tool_input: { command: `echo ${text}` },
          tool_response: { stdout: text, stderr: "" }
        })
        /** Calls that end: Claude Code reports them as a batch, other agents one by one. */
        const toolsOf = (count: number) =>
          Effect.suspend(() => {
            const calls = Array.from({ length: count }, () => toolFields(mark()))
            if (agent === "claude") return tell("PostToolBatch", { tool_calls: calls })
            const each = Effect.forEach(calls, (call) => tell("PostToolUse", { ...call, duration_ms: 3 }), {
              concurrency: "unbounded"
            })
            return Effect.map(each, (heard) => heard.flat())
          })
        const tool = toolsOf(1)
        const tools = toolsOf(3)
        /** Calls that only the transcript of Claude Code contains. */
        const open = new Set<string>()
        const interrupt = Effect.sync(() => {
          if (agent !== "claude") return
          for (const text of [mark(), mark()]) {
            open.add(text)
            interrupted.add(text)
            fs.appendFileSync(transcript, AgentSession.transcriptOf(`${id}-m${prompts}`, toolFields(text)))
          }
        })
        const helper = Effect.suspend(() =>
          tell("SubagentStop", { agent_id: "helper", agent_type: "general", last_assistant_message: `found ${mark()}` })
        )
        const compact = Effect.suspend(() => tell("PreCompact", { trigger: mark() }))
        const compacted = Effect.suspend(() =>
          tell("PostCompact", { trigger: "auto", compact_summary: `sum ${mark()}` })
        )
        const stop = Effect.suspend(() => tell("Stop", { last_assistant_message: `done with ${mark()}, all of it` }))
        const end = Effect.tap(
          Effect.suspend(() => tell("SessionEnd", { reason: mark() })),
          (heard) =>
            Effect.sync(() => {
              if (heard.some(({ awaited, isKept }) => awaited && isKept)) for (const one of open) due.add(one)
            })
        )
        const { settled } = told
        /** All that a session can tell but its start, in order. */
        const work = Effect.gen(function* () {
          for (const step of [prompt, tools, helper, compact, compacted, stop, settled, interrupt, end]) yield* step
        })
        return { id, start, prompt, tool, tools, helper, compact, compacted, stop, end, work, settled }
      })

    const storedHere = Effect.sync((): ReadonlyArray<string> => {
      const file = path.join(home, "athena.db")
      if (!fs.existsSync(file)) return []
      const db = new DatabaseSync(file, { readOnly: true, timeout: 5_000 })
      const rows = db.prepare("SELECT content FROM episodic_events ORDER BY id").all()
      db.close()
      return rows.map((row) => String(row["content"]))
    })

    /** How often each mark is in the database. */
    const stored = Effect.map(options.stored ?? storedHere, (contents) => {
      const counts = new Map<string, number>()
      for (const content of contents) {
        const mark = markIn.exec(content)?.[0]
        if (mark !== undefined) counts.set(mark, (counts.get(mark) ?? 0) + 1)
      }
      return counts
    })

    /** The marks of what agents were told to be safe. The command beside a post looks after the process, and vouches for nothing. */
    const acknowledged = (): ReadonlySet<string> => marksOf(heard.filter(({ awaited, isKept }) => awaited && isKept))

    const flushed = Effect.gen(function* () {
      yield* until(
        "nothing waits any more",
        Effect.map(json(["events", "flush", "--within", "5"]), ({ left }) => left === 0)
      )
    })

    /** Marks of what must be in the database in the end. */
    const due = new Set<string>()

    /**
     * Nothing was wrong for the user, and all of it is to be stored: also what was not durable yet when a busy machine had to
     * be answered.
     */
    const isWell = (heard: ReadonlyArray<AgentSession.Heard>): void => {
      for (const { awaited, body, error, event, via } of heard) {
        if (error === undefined || !/not durable yet/.test(error)) assert.isUndefined(error, `${event} by ${via}`)
        if (awaited) for (const mark of marksIn(body)) due.add(mark)
      }
    }

    /** The process has nothing left to do for those whom it has answered. */
    const caughtUp = until(
      "nothing waits any more",
      Effect.map(status, (status) => status?.responses.running === 0 && status.events?.waiting === 0)
    )

    /** What holds in every cell of the table, whatever went wrong. */
    const holds = Effect.gen(function* () {
      yield* flushed
      for (const one of heard) {
        assert.isUndefined(one.invalid, `${one.event} by ${one.via}: ${one.error ?? ""}`)
        assert.isBelow(one.tookMs, one.timeoutMs + slackMs, `${one.event} by ${one.via}`)
        // A command ends by itself, long before the agent would end it.
        if (one.via === "command") assert.notStrictEqual(one.error, "timed out", one.event)
      }
      const counts = yield* stored
      const lost = [...acknowledged(), ...due].filter((mark) => !counts.has(mark))
      const events = lost.map((mark) => heard.find(({ body }) => marksIn(body).includes(mark))?.body)
      assert.deepStrictEqual(events, [], "acknowledged and lost")
      const twice = [...counts].filter(([, count]) => count > 1)
      assert.deepStrictEqual(twice, [], "stored more than once")
      return counts
    })

    /** What was heard since the last time this was asked, as the agent saw it. */
    let seen = 0
    const sinceThen = (): ReadonlyArray<AgentSession.Heard> => heard.slice(seen, (seen = heard.length))

    /** `isWell`, of what was heard since the last time. */
    const allIsWell = (): void => isWell(sinceThen())

    /** The resident process, started by the first session of the day. */
    const started = Effect.gen(function* () {
      yield* (yield* session()).start()
      return yield* ready
    })

    /** Sessions of each agent from their start to their end. */
    const day = Effect.gen(function* () {
      for (const agent of ["claude", "codex"] as const) {
        const one = yield* session(agent)
        yield* one.start()
        yield* one.work
      }
    })

    /** A day on which nothing is wrong. */
    const goodDay = Effect.gen(function* () {
      sinceThen()
      yield* day
      allIsWell()
    })

    yield* Effect.addFinalizer(() =>
      Effect.gen(function* () {
        yield* signal("SIGCONT")
        yield* athena(["stop"])
        const left = yield* Effect.exit(gone)
        for (const pid of processesOf(folder)) process.kill(pid, "SIGKILL")
        assert.strictEqual(left._tag, "Success", "processes were left behind")
      })
    )

    for (const agent of ["claude", "codex"]) {
      const { code, stderr } = yield* athena(["install", "--agent", agent])
      assert.strictEqual(code, 0, stderr)
    }

    return {
      folder,
      project,
      home,
      env,
      places,
      settings,
      heard,
      interrupted,
      athena,
      json,
      status,
      ready,
      processes,
      signal,
      supervisors,
      kill,
      later,
      claimed,
      gone,
      session,
      stored,
      acknowledged,
      flushed,
      holds,
      sinceThen,
      isWell,
      allIsWell,
      caughtUp,
      started,
      day,
      goodDay
    }
  })

let sessions = 0
let marks = 0
const mark = (): string => `mark${marks++}end`

/** What the user saw of each event that was posted. */
export const postErrors = (heard: ReadonlyArray<AgentSession.Heard>): ReadonlySet<string | undefined> =>
  new Set(heard.filter(({ via }) => via === "post").map(({ error }) => error))

export const commands = (heard: ReadonlyArray<AgentSession.Heard>): ReadonlyArray<AgentSession.Heard> =>
  heard.filter(({ via }) => via === "command")
