/**
 * What the agents were seen to send, one payload a file. A test that names no agent means Claude Code.
 */
import * as fs from "node:fs"
import * as path from "node:path"

const folder = path.join(import.meta.dirname, "..", "fixtures")

export interface Fixture {
  readonly file: string
  readonly body: Readonly<Record<string, unknown>>
}

type Body = Fixture["body"]

const read = (file: string): Body => {
  const content = JSON.parse(fs.readFileSync(file, "utf8")) as Body
  // Those of Claude Code say how they came as well.
  return "body" in content ? (content["body"] as Body) : content
}

const inFolder = (agent: string): ReadonlyArray<Fixture> =>
  fs
    .readdirSync(path.join(folder, agent))
    .filter((file) => file.endsWith(".json") && !file.startsWith("model-view."))
    .map((file) => ({ file, body: read(path.join(folder, agent, file)) }))

/** The payloads of each agent by the name that `athena hook --agent` takes; what a model sees is none. */
export const byAgent = {
  claude: inFolder("claude-code"),
  codex: inFolder("codex"),
  gemini: inFolder("gemini-cli"),
  qwen: inFolder("qwen-code")
} as const

export const all: ReadonlyArray<Fixture> = byAgent.claude

/** The payload of one file, with some fields replaced. */
export const body = (
  name: string,
  more: Readonly<Record<string, unknown>> = {},
  agent: keyof typeof byAgent = "claude"
): Body => {
  const found = byAgent[agent].find(({ file }) => file === `${name}.json`)
  if (found === undefined) throw new Error(`no fixture ${name}`)
  return { ...found.body, ...more }
}
