/**
 * What former versions of Node.js and former databases leave in the home, and what `athena prune` removes of it.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cli from "../utils/Cli.ts"

const day = 86_400_000

const age = (file: string, days: number) => {
  const at = new Date(fs.statSync(file).mtimeMs - days * day)
  fs.utimesSync(file, at, at)
}

it.live("prune removes old compiled code, drafts and empty spools, and never events", () =>
  Effect.gen(function* () {
    const { env, home, project } = yield* Cli.scratch
    const input = Cli.event(project, "Stop", { prompt_id: "p-1", last_assistant_message: "All done here." })
    for (const port of [1, 2]) {
      const url = `postgres://127.0.0.1:${port}/none`
      yield* Cli.run(["hook"], { script: Cli.hookScript, env: { ...env, ATHENA_DATABASE_URL: url }, input })
    }
    yield* Cli.run(["hook"], { script: Cli.hookScript, env, input })
    const spools = () => fs.readdirSync(home).filter((name) => name.endsWith(".spool"))
    const [delivered, waiting] = spools()
    yield* Cli.run(["events", "flush", "--spool", delivered!], { env, cwd: project })
    for (const name of [delivered!, waiting!]) age(path.join(home, name), 31)

    const code = path.join(home, "compile-cache")
    fs.mkdirSync(code, { recursive: true, mode: 0o700 })
    const entries = [
      "v22.1.0-x64-aaa-0",
      "hook.cjs-v22.1.0-x64",
      `hook.cjs-${process.version}-x64.4711`,
      "v21.0.0-x64-bbb-0",
      `${process.version}-x64-ccc-0`
    ]
    for (const name of entries) fs.writeFileSync(path.join(code, name), "")
    for (const [index, days] of [31, 200, 2, 1, 200].entries()) age(path.join(code, entries[index]!), days)

    const receipts = path.join(home, "install")
    fs.mkdirSync(receipts)
    for (const [name, days] of [
      ["a.json.4711-17", 2],
      ["b.json.4711-17", 0.5],
      ["c.json", 400]
    ] as const) {
      fs.writeFileSync(path.join(receipts, name), "")
      age(path.join(receipts, name), days)
    }

    yield* Cli.run(["prune", "--dry-run"], { env, cwd: project })
    assert.strictEqual(spools().length, 2)
    yield* Cli.run(["prune"], { env, cwd: project })
    assert.deepStrictEqual(spools(), [waiting])
    assert.deepStrictEqual(fs.readdirSync(receipts).toSorted(), ["b.json.4711-17", "c.json"])
    assert.isFalse(fs.readdirSync(home).some((name) => name.startsWith(delivered!)))
    assert.deepStrictEqual(
      entries.filter((name) => fs.existsSync(path.join(code, name))),
      entries.slice(3)
    )
  })
)
