/**
 * The daemon as the agent sees it: events over HTTP compared with a bare `node:http` server that echoes the same body,
 * the shim as a whole process compared with a bare `node -e 0`, a whole session, and the daemon's idle cost. Needs `npm
 * run build`.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as http from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import * as OldEvents from "./oldEvents.ts"
import * as Row from "./Row.ts"
import * as ServerProcess from "./serverProcess.ts"

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "athena-bench-"))
const project = path.join(folder, "shop")
const home = path.join(folder, "home")
fs.mkdirSync(path.join(project, ".git"), { recursive: true })

let events = 0
/** A session of an agent has about fifty events. */
const session = () => `s-${Math.floor(events / 50)}`

const source = `export const total = (lines: Array<Line>) => lines.reduce((sum, { price }) => sum + price, 0)\n`

/** Bodies as Claude Code sends them. */
const bodies = {
  SessionStart: () => ({ source: "startup" }),
  UserPromptSubmit: () => ({
    prompt_id: `p-${events}`,
    permission_mode: "default",
    prompt: "Edit the file src/cache/file12.ts and fix the invoice module, then report on the retry worker."
  }),
  PostToolUse: () => ({
    prompt_id: `p-${events}`,
    permission_mode: "default",
    effort: { level: "medium" },
    tool_name: "Bash",
    tool_input: { command: "npm test -- payment", description: "Run the tests of the payment module" },
    tool_response: { stdout: source.repeat(4), stderr: "", interrupted: false, isImage: false },
    tool_use_id: `toolu_${events}`,
    duration_ms: 33
  }),
  Write: () => ({
    prompt_id: `p-${events}`,
    permission_mode: "default",
    effort: { level: "medium" },
    tool_name: "Write",
    tool_input: { file_path: `${project}/src/total.ts`, content: source.repeat(21_000) },
    tool_response: {
      type: "create",
      filePath: `${project}/src/total.ts`,
      content: source.repeat(21_000),
      structuredPatch: [],
      originalFile: null
    },
    tool_use_id: `toolu_${events}`,
    duration_ms: 6
  }),
  Stop: () => ({ prompt_id: `p-${events}`, stop_hook_active: false, last_assistant_message: "All done." }),
  SessionEnd: () => ({ prompt_id: `p-${events}`, reason: "other" })
}

type Event = keyof typeof bodies

const body = (event: Event): string => {
  events++
  return JSON.stringify({
    session_id: session(),
    transcript_path: `${home}/.claude/projects/shop/${session()}.jsonl`,
    cwd: project,
    hook_event_name: event === "Write" ? "PostToolUse" : event,
    ...bodies[event]()
  })
}

/** Posts a body and returns the milliseconds until the response. */
const poster =
  (server: ServerProcess.ServerProcess, agent: http.Agent) =>
  async (sent: Buffer): Promise<number> => {
    const start = performance.now()
    const { status } = await ServerProcess.request(
      {
        agent,
        host: "127.0.0.1",
        port: server.port,
        method: "POST",
        path: "/hooks/claude",
        headers: { ...server.headers, "content-type": "application/json", "content-length": sent.length }
      },
      sent
    )
    if (status >= 300) throw new Error(`an event was answered with ${status}`)
    return performance.now() - start
  }

interface Servers {
  readonly ours: ServerProcess.ServerProcess
  readonly rival: ServerProcess.ServerProcess
}

interface Traffic {
  readonly event: Event
  readonly rounds: number
  readonly warmup: number
  readonly keepAlive: boolean
  /** Agents that post concurrently. */
  readonly agents: number
}

const quantile = (values: ReadonlyArray<number>, q: number): number =>
  values.toSorted((a, b) => a - b)[Math.ceil(values.length * q) - 1]!

/** The wait of each agent, with concurrent agents and alternating servers. */
const traffic = async (servers: Servers, { agents, event, keepAlive, rounds, warmup }: Traffic) => {
  // The daemon limits its request rate; this pause avoids measuring rejections.
  await delay(1_500)
  const side = (server: ServerProcess.ServerProcess) => {
    const connections = Array.from({ length: agents }, () => new http.Agent({ keepAlive, maxSockets: 1 }))
    const posters = connections.map((agent) => poster(server, agent))
    return {
      times: [] as Array<number>,
      post: (sent: ReadonlyArray<Buffer>) => Promise.all(posters.map((post, index) => post(sent[index]!))),
      close: () => connections.forEach((agent) => agent.destroy())
    }
  }
  const ours = side(servers.ours)
  const rival = side(servers.rival)
  for (let round = 0; round < warmup + rounds; round++) {
    const sent = Array.from({ length: agents }, () => Buffer.from(body(event)))
    const a = await ours.post(sent)
    const b = await rival.post(sent)
    if (round < warmup) continue
    ours.times.push(...a)
    rival.times.push(...b)
  }
  ours.close()
  rival.close()
  return { ours: ours.times, rival: rival.times }
}

async function* answers(servers: Servers): AsyncGenerator<Row.Row> {
  const many = { rounds: 1_000, warmup: 300, agents: 1, keepAlive: true }
  const few = { rounds: 100, warmup: 10, agents: 1, keepAlive: true }
  const rows: ReadonlyArray<readonly [row: string, traffic: Traffic]> = [
    ["PostToolUse, 1 kB", { ...many, event: "PostToolUse" }],
    ["UserPromptSubmit, 1,000 events stored", { ...many, event: "UserPromptSubmit" }],
    ["SessionEnd", { ...many, event: "SessionEnd" }],
    ["PostToolUse, 1 kB, a connection each", { ...many, event: "PostToolUse", keepAlive: false }],
    ["PostToolUse, 4 MB", { ...few, event: "Write" }],
    ["PostToolUse, 1 kB, ten agents at once", { ...many, event: "PostToolUse", rounds: 150, warmup: 20, agents: 10 }],
    [
      "UserPromptSubmit, ten agents at once",
      { ...many, event: "UserPromptSubmit", rounds: 150, warmup: 20, agents: 10 }
    ]
  ]
  for (const [row, options] of rows) {
    const { ours, rival } = await traffic(servers, options)
    for (const [name, q, atMost] of [
      ["p50", 0.5, 1.5],
      ["p99", 0.99, 3]
    ] as const) {
      yield Row.make({
        bench: "runtime",
        row: `${row}, ${name} / bare node:http`,
        ours: [quantile(ours, q)],
        rival: [quantile(rival, q)],
        unit: "ms",
        target: { atMost }
      })
    }
  }
}

const node = Row.timed(() => void spawnSync(process.execPath, ["-e", "0"]))

async function* wholeProcesses(): AsyncGenerator<Row.Row> {
  for (const [event, args] of [
    ["SessionStart", ["hook"]],
    ["PostToolUse", ["hook", "--agent", "codex"]]
  ] as const) {
    const ours = async () => ServerProcess.command({ home, daemon: "on" }, body(event), args)
    yield Row.make({
      bench: "runtime",
      row: `${event} by the shim, whole process / node -e 0`,
      ...(await Row.interleave({ rounds: 40, warmup: 4, ours, rival: node })),
      unit: "ms",
      target: { atMost: 1.35 }
    })
  }
}

const wholeSession: ReadonlyArray<Event> = [
  ...Array.from({ length: 5 }, () => [
    "UserPromptSubmit" as const,
    ...Array.from({ length: 10 }, () => "PostToolUse" as const)
  ]).flat(),
  "Stop",
  "SessionEnd"
]

/** The total wait of an agent in a session, in milliseconds. */
const posted = (server: ServerProcess.ServerProcess) => async (): Promise<number> => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  const post = poster(server, agent)
  let sum = ServerProcess.command({ home, daemon: "on" }, body("SessionStart"))
  for (const event of wholeSession) sum += await post(Buffer.from(body(event)))
  agent.destroy()
  return sum
}

const commands = async (): Promise<number> =>
  [...(["SessionStart"] as const), ...wholeSession].reduce(
    (sum, event) => sum + ServerProcess.command({ home: path.join(folder, "one-shot"), daemon: "off" }, body(event)),
    0
  )

async function* sessions({ ours }: Servers): AsyncGenerator<Row.Row> {
  await delay(1_500)
  const count = wholeSession.length + 1
  yield Row.make({
    bench: "runtime",
    row: `a session, ${count} events summed / one node -e 0`,
    ...(await Row.interleave({ rounds: 15, warmup: 2, ours: posted(ours), rival: node })),
    unit: "ms",
    target: { atMost: 4 }
  })
  yield Row.make({
    bench: "runtime",
    row: `a session, ${count} events summed / commands only, in process`,
    ...(await Row.interleave({ rounds: 2, warmup: 0, ours: posted(ours), rival: commands })),
    unit: "ms"
  })
}

const compared = (row: string, unit: string, side: (pid: number) => number | undefined, servers: Servers) => {
  const ours = side(servers.ours.pid)
  const rival = side(servers.rival.pid)
  return ours === undefined || rival === undefined
    ? []
    : [Row.make({ bench: "runtime", row, ours: [ours], rival: [rival], unit })]
}

/** CPU time of an idle daemon. */
async function* idleProcessor(servers: Servers): AsyncGenerator<Row.Row> {
  const seconds = 10
  await delay(2_000)
  const before = new Map([servers.ours, servers.rival].map(({ pid }) => [pid, ServerProcess.processorTime(pid)]))
  await delay(seconds * 1_000)
  const used = (pid: number): number | undefined => {
    const [from, to] = [before.get(pid), ServerProcess.processorTime(pid)]
    return from === undefined || to === undefined ? undefined : ((to - from) * 60) / seconds
  }
  yield* compared("idle, processor time a minute / bare node:http", "ms", used, servers)
}

/** The share of responses within their deadline. */
async function* inTime({ ours }: Servers): AsyncGenerator<Row.Row> {
  const { text } = await ServerProcess.request({ ...ours, host: "127.0.0.1", path: "/status" })
  const { responses } = JSON.parse(text) as {
    readonly responses: { readonly stored: number; readonly timedOut: number }
  }
  yield Row.make({
    bench: "runtime",
    row: "responses with the event on disk, of all / all",
    ours: [(100 * responses.stored) / (responses.stored + responses.timedOut)],
    rival: [100],
    unit: "%",
    target: { atLeast: 0.999 }
  })
}

/** The daemon's maximum memory while ten agents post 4 MB repeatedly, compared with its ceiling. */
async function* largeBodies({ ours }: Servers): AsyncGenerator<Row.Row> {
  if (ServerProcess.memory(ours.pid) === undefined) return
  const sent = Buffer.from(body("Write"))
  const end = performance.now() + 4_000
  let most = 0
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
      const post = poster(ours, agent)
      while (performance.now() < end) {
        await post(sent)
        most = Math.max(most, ServerProcess.memory(ours.pid) ?? 0)
      }
      agent.destroy()
    })
  )
  yield Row.make({
    bench: "runtime",
    row: "memory while ten agents post 4 MB / what it ends itself at",
    ours: [most],
    rival: [(256 * 2 ** 20) / 1e6],
    unit: "MB",
    target: { atMost: 0.8 }
  })
}

export default async function* (): AsyncGenerator<Row.Row> {
  ServerProcess.command({ home, daemon: "off" }, body("SessionStart"))
  OldEvents.insert(path.join(home, "athena.db"), project, 1_000)
  const servers = { ours: await ServerProcess.resident(home, body("SessionStart")), rival: await ServerProcess.bare() }
  try {
    yield* compared("memory after the start / bare node:http", "MB", ServerProcess.memory, servers)
    yield* answers(servers)
    yield* inTime(servers)
    yield* wholeProcesses()
    yield* sessions(servers)
    yield* idleProcessor(servers)
    yield* compared("memory after all that / bare node:http", "MB", ServerProcess.memory, servers)
    yield* largeBodies(servers)
  } finally {
    await servers.rival.stop()
    // It may have stopped at its ceiling.
    await servers.ours.stop().catch(() => undefined)
    fs.rmSync(folder, { recursive: true, force: true })
  }
}
