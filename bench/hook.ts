/**
 * A hook as the agent sees it: a whole process, compared with a bare `node -e 0`, and the growth of its time with the
 * number of stored events. Needs `npm run build`.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as OldEvents from "./oldEvents.ts"
import * as Row from "./Row.ts"

const bin = path.join(import.meta.dirname, "..", "dist", "cli", "bin.js")
const rounds = 60
const warmup = 5

const bare = (): Promise<number> => {
  const start = performance.now()
  spawnSync(process.execPath, ["-e", "0"])
  return Promise.resolve(performance.now() - start)
}

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "athena-bench-"))
const project = path.join(folder, "shop")
fs.mkdirSync(path.join(project, ".git"), { recursive: true })

let calls = 0

const events = {
  SessionStart: () => ({ source: "startup" }),
  UserPromptSubmit: () => ({
    prompt_id: `p-${calls}`,
    prompt: "Edit the file src/cache/file12.ts and fix the invoice module, then report on the retry worker."
  }),
  PostToolUse: () => ({
    tool_name: "Edit",
    tool_use_id: `t-${calls}`,
    tool_input: { file_path: `${project}/src/payment/client.ts`, old_string: "a", new_string: "b" },
    tool_response: { originalFile: "export const a = 1\n".repeat(500) },
    duration_ms: 9
  }),
  SessionEnd: () => ({ prompt_id: `p-${calls}`, reason: "other" })
}

const hook = (home: string, name: keyof typeof events) => (): Promise<number> => {
  calls += 1
  const input = JSON.stringify({ session_id: `s-${calls}`, cwd: project, hook_event_name: name, ...events[name]() })
  const env = { ATHENA_HOME: home, HOME: home, ATHENA_DAEMON: "off" }
  const start = performance.now()
  const result = spawnSync(process.execPath, [bin, "hook"], { input, env })
  const time = performance.now() - start
  const failure = result.stderr.toString()
  if (result.status !== 0 || failure !== "") throw new Error(`hook ${name}: exit ${result.status}, ${failure}`)
  return Promise.resolve(time)
}

/** Creates a memory with `count` events of the project. */
const populate = async (home: string, count: number): Promise<void> => {
  await hook(home, "SessionStart")()
  OldEvents.insert(path.join(home, "athena.db"), project, count)
}

export default async function* (): AsyncGenerator<Row.Row> {
  try {
    const small = path.join(folder, "small")
    await populate(small, 1_000)
    for (const name of Object.keys(events) as Array<keyof typeof events>) {
      const samples = await Row.interleave({ rounds, warmup, ours: hook(small, name), rival: bare })
      yield Row.make({
        bench: "hook",
        row: `${name}, one-shot, SQLite / node -e 0`,
        ...samples,
        unit: "ms",
        target: { atMost: 1.6 }
      })
    }
    const large = path.join(folder, "large")
    await populate(large, 1_000_000)
    for (const name of ["SessionStart", "UserPromptSubmit"] as const) {
      const samples = await Row.interleave({ rounds: 30, warmup: 3, ours: hook(large, name), rival: hook(small, name) })
      yield Row.make({
        bench: "hook",
        row: `${name} at 1,000,000 events / at 1,000`,
        ...samples,
        unit: "ms",
        target: { atMost: 1.5 }
      })
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}
