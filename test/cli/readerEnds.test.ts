/**
 * Commands whose reader ends before they have printed everything, as `athena logs | head -1` does.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cli from "../utils/Cli.ts"

interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stderr: string
}

/** Runs a command whose standard output is closed before it starts to print. */
const withoutReader = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>, cwd: string) =>
  Effect.callback<Ended>((resume) => {
    const child = spawn(process.execPath, [Cli.bin, ...args], {
      env: { PATH: process.env["PATH"] ?? "", ATHENA_DAEMON: "off", ...env },
      cwd,
      stdio: ["ignore", "pipe", "pipe"]
    })
    child.stdout.destroy()
    let stderr = ""
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text))
    child.on("close", (code, signal) => resume(Effect.succeed({ code, signal, stderr })))
  })

it.live("a command whose reader has closed ends without output", () =>
  Effect.gen(function* () {
    const { env, home, project } = yield* Cli.scratch
    const input = Cli.event(project, "Stop", { prompt_id: "p-1", last_assistant_message: "All done here." })
    yield* Cli.run(["hook"], { script: Cli.hookScript, env, input })
    const logs = path.join(home, "daemon", "logs")
    fs.mkdirSync(logs, { recursive: true })
    const line = JSON.stringify({ timestamp: "2026-01-01T00:00:00.000Z", level: "INFO", message: "x".repeat(200) })
    fs.writeFileSync(path.join(logs, "athena.log"), `${line}\n`.repeat(5_000))
    const commands = [
      ["logs", "--lines", "5000"],
      ["search", "done"],
      ["goals"],
      ["status"],
      ["doctor"],
      ["prune"],
      ["events", "stats"],
      ["cache", "stats"],
      ["--help"]
    ]
    for (const args of commands) {
      const { signal, stderr } = yield* withoutReader(args, env, project)
      assert.deepStrictEqual({ signal, stderr }, { signal: null, stderr: "" }, args.join(" "))
    }
  })
)
