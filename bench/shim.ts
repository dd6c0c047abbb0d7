/**
 * The shim as the agent sees it: a whole process, compared with a bare `node -e 0`, with a daemon that responds
 * immediately. Needs `npm run build`.
 */
import { spawn, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Row from "./Row.ts"

const dist = path.join(import.meta.dirname, "..", "dist", "cli")
const rounds = 40
const warmup = 5

const bare = (): Promise<number> => {
  const start = performance.now()
  spawnSync(process.execPath, ["-e", "0"], { input: "" })
  return Promise.resolve(performance.now() - start)
}

const hook = (script: string, home: string, body: Readonly<Record<string, unknown>>) => {
  const input = JSON.stringify({ session_id: "s-1", cwd: home, ...body })
  return (): Promise<number> => {
    const start = performance.now()
    const { stderr, stdout } = spawnSync(process.execPath, [path.join(dist, script), "hook"], {
      input,
      env: { ATHENA_HOME: home, HOME: home }
    })
    const time = performance.now() - start
    if (!stdout.toString().includes("Memories of the project")) throw new Error(`the shim was not answered: ${stderr}`)
    return Promise.resolve(time)
  }
}

const start = { hook_event_name: "SessionStart", source: "startup" }
const large = {
  hook_event_name: "PostToolUse",
  tool_name: "Write",
  tool_input: { content: "x".repeat(4 * 1024 * 1024) }
}

export default async function* (): AsyncGenerator<Row.Row> {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), "athena-bench-"))
  const resident = spawn(process.execPath, [path.join(import.meta.dirname, "answeringProcess.ts"), home], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  try {
    await new Promise((resolve) => resident.stdout.once("data", resolve))
    for (const [row, script, body, target] of [
      ["SessionStart, shim / node -e 0", "shim.cjs", start, { atMost: 1.35 }],
      ["SessionStart, athena hook / node -e 0", "bin.js", start, undefined],
      ["PostToolUse of 4 MiB, shim / node -e 0", "shim.cjs", large, undefined]
    ] as const) {
      const samples = await Row.interleave({ rounds, warmup, ours: hook(script, home, body), rival: bare })
      yield Row.make({ bench: "shim", row, ...samples, unit: "ms", target })
    }
  } finally {
    resident.kill("SIGKILL")
    fs.rmSync(home, { recursive: true, force: true })
  }
}
