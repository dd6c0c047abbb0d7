/**
 * Runs every example on a separate memory. Fails if an example fails or prints nothing.
 */
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { fileURLToPath } from "node:url"

const folder = fileURLToPath(new URL("../examples", import.meta.url))
const home = fs.mkdtempSync(path.join(os.tmpdir(), "athena-examples-"))
const input = JSON.stringify({ session_id: "s1", cwd: folder, hook_event_name: "SessionStart", source: "startup" })

/** Excludes the developer's own memory. */
const env = (home) => ({ PATH: process.env.PATH, HOME: home, ATHENA_HOME: home })

/** A hook responds even if its memory can't be opened. */
const answersWithoutMemory = (file) => {
  const nowhere = path.join(folder, file, "nowhere")
  const { status, stdout } = spawnSync(process.execPath, [path.join(folder, file)], {
    input,
    encoding: "utf8",
    timeout: 60_000,
    env: env(nowhere)
  })
  return status === 0 && stdout.trim() === "{}"
}

try {
  for (const file of fs.readdirSync(folder).filter((name) => /^\d+_.*\.ts$/.test(name))) {
    const { status, stderr, stdout } = spawnSync(process.execPath, [path.join(folder, file)], {
      input,
      encoding: "utf8",
      timeout: 60_000,
      env: env(home)
    })
    const passed = status === 0 && stdout.trim() !== "" && (!file.includes("hook") || answersWithoutMemory(file))
    console.log(`${passed ? "ok    " : "FAILED"} ${file}`)
    if (!passed) {
      console.log(stdout + stderr)
      process.exitCode = 1
    }
  }
} finally {
  fs.rmSync(home, { recursive: true, force: true })
}
