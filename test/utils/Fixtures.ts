/**
 * What Claude Code was seen to send, one payload a file.
 */
import * as fs from "node:fs"
import * as path from "node:path"

const folder = path.join(import.meta.dirname, "..", "fixtures", "claude-code")

export interface Fixture {
  readonly file: string
  readonly body: Readonly<Record<string, unknown>>
}

/** The payloads of events; the files that show what a model sees are none. */
export const all: ReadonlyArray<Fixture> = fs
  .readdirSync(folder)
  .filter((file) => file.endsWith(".json") && !file.startsWith("model-view."))
  .map((file) => ({
    file,
    body: (JSON.parse(fs.readFileSync(path.join(folder, file), "utf8")) as { body: Fixture["body"] }).body
  }))

/** The payload of one file, with some fields replaced. */
export const body = (name: string, more: Readonly<Record<string, unknown>> = {}): Fixture["body"] => {
  const found = all.find(({ file }) => file === `${name}.json`)
  if (found === undefined) throw new Error(`no fixture ${name}`)
  return { ...found.body, ...more }
}
