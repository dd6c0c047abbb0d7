/**
 * The commands that read and correct memories, as a person or a program runs them.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cli from "../utils/Cli.ts"

const scratch = Effect.gen(function* () {
  const { env, home, project } = yield* Cli.scratch
  const run = (...args: ReadonlyArray<string>) => Cli.run(args, { env, cwd: project })
  const json = (...args: ReadonlyArray<string>): Effect.Effect<any> =>
    Effect.map(run(...args, "--json"), ({ code, stderr, stdout }) => {
      assert.strictEqual(code, 0, stderr)
      return JSON.parse(stdout)
    })
  return { env, home, project, run, json }
})

/** The files of a folder that contain a text in their bytes. */
const filesWith = (folder: string, text: string): ReadonlyArray<string> =>
  fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => fs.readFileSync(file).includes(text))

describe("athena", () => {
  it.live("lists, shows, edits, pins, forgets and restores memories", () =>
    Effect.gen(function* () {
      const { env, json, project, run } = yield* scratch
      assert.include((yield* run("list")).stdout, "nothing found")
      const one = (yield* json("remember", "deploys need the staging key")).id
      const two = JSON.parse(
        (yield* Cli.run(["remember", "-", "--json"], { env, cwd: project, input: "second\nnote on deploys\n" })).stdout
      ).id
      assert.deepStrictEqual(
        (yield* json("list")).map(({ id }: { id: number }) => id),
        [two, one]
      )
      assert.match((yield* run("show", String(two))).stdout, /\n\nsecond\nnote on deploys\n$/)
      assert.strictEqual(
        (yield* json("edit", String(one), "deploys", "need --password hunter2")).content.includes("hunter2"),
        false
      )
      yield* run("pin", String(one))
      assert.deepStrictEqual(
        (yield* json("list", "--pinned")).map(({ id }: { id: number }) => id),
        [one]
      )
      assert.include((yield* run("list", "--since", "1 hour", "--type", "note")).stdout, "(pinned)")
      assert.deepStrictEqual(yield* json("list", "--since", "2999-01-01"), [])

      // More than one memory needs a confirmation.
      const refused = yield* run("forget", "--query", "DEPLOYS")
      assert.strictEqual(refused.code, 1)
      assert.include(refused.stderr, "--yes")
      assert.deepStrictEqual(yield* json("forget", "--query", "DEPLOYS", "--dry-run"), {
        dryRun: true,
        ids: [one, two]
      })
      assert.strictEqual((yield* json("list", "--forgotten")).length, 0)
      assert.deepStrictEqual((yield* json("forget", "--query", "DEPLOYS", "--yes")).ids, [one, two])
      assert.strictEqual((yield* json("list", "--forgotten")).length, 2)
      assert.strictEqual((yield* json("search", "deploys")).found, 0)
      yield* run("restore", String(one))
      assert.strictEqual((yield* json("search", "deploys")).found, 1)
      assert.deepStrictEqual(
        (yield* json("sessions")).map(({ events, id }: { events: number; id: string }) => [id, events]),
        [["athena-cli", 2]]
      )
    })
  )

  it.live("names the mistake in a selection", () =>
    Effect.gen(function* () {
      const { run } = yield* scratch
      yield* run("remember", "a note")
      for (const [args, message] of [
        [["forget"], "--query"],
        [["forget", "1", "--project"], "--query"],
        [["delete", "--query", " ", "--yes"], "--project"],
        [["delete", "7"], "no memory 7"],
        [["show", "7"], "no memory 7"],
        [["list", "--since", "soon"], "--since"],
        [["edit", "7", "x"], "no memory 7"],
        [["goals", "delete", "7"], "no goal 7"]
      ] as const) {
        const { code, stderr } = yield* run(...args)
        assert.strictEqual(code, 1, args.join(" "))
        assert.include(stderr, message)
      }
    })
  )

  it.live("explains the memories that a prompt would receive, and searches by type, time and project", () =>
    Effect.gen(function* () {
      const { env, json, project, run } = yield* scratch
      yield* run("remember", "The payment lock expires after 30 seconds because the gateway retries")
      const other = path.join(project, "..", "zoo")
      fs.mkdirSync(other)
      yield* Cli.run(["remember", "the zoo has a payment desk"], { env, cwd: other })
      const [best] = yield* json("why", "why does the payment lock expire with the gateway?")
      assert.strictEqual(best.verdict, "injected")
      assert.include(best.memory.content, "30 seconds")
      assert.deepStrictEqual(yield* json("why", "write a haiku"), [])
      const text = (yield* run("why", "payment lock of the gateway")).stdout
      assert.match(text, /^1\. injected: probability \d+ %, score/)

      const session = "s-why"
      yield* Cli.run(["hook"], {
        env,
        cwd: project,
        input: Cli.event(project, "UserPromptSubmit", { session_id: session, prompt: "does the payment lock expire?" })
      })
      assert.strictEqual((yield* json("why", "--session", session)).length, 1)
      assert.include((yield* run("why", "--session", "none")).stdout, "no memory")
      assert.strictEqual((yield* run("why")).code, 1)

      const found = (...flags: ReadonlyArray<string>) =>
        Effect.map(json("search", "payment", ...flags), ({ found }: { found: number }) => found)
      assert.strictEqual(yield* found("--type", "note"), 1)
      assert.strictEqual(yield* found("--type", "compaction"), 0)
      assert.strictEqual(yield* found("--since", "2999-01-01"), 0)
      assert.strictEqual(yield* found("--project", "zoo"), 1)
      assert.isAtLeast(yield* found("--all-projects"), 2)
      assert.include((yield* run("search", "payment", "--project", "moon")).stderr, "no project")
    })
  )

  it.live("edits and deletes goals", () =>
    Effect.gen(function* () {
      const { json } = yield* scratch
      const { id } = yield* json("goals", "add", "Ship 1.0")
      assert.strictEqual((yield* json("goals", "edit", String(id), "Ship", "2.0", "--priority", "8")).title, "Ship 2.0")
      assert.strictEqual((yield* json("goals")).goals[0].priority, 8)
      yield* json("goals", "delete", String(id))
      assert.strictEqual((yield* json("goals")).count, 0)
    })
  )

  it.live("deletes a memory from every file of the home, and no delivery restores it", () =>
    Effect.gen(function* () {
      const { env, home, json, project, run } = yield* scratch
      const text = "XYLOPHONE-4711"
      const event = Cli.event(project, "UserPromptSubmit", {
        prompt: `always use ${text} as the code word`,
        prompt_id: "p-1"
      })
      const deliver = Cli.run(["hook"], { env, cwd: project, input: event })
      yield* deliver
      yield* run("remember", "another note, which stays")
      yield* run("consolidate")
      assert.strictEqual((yield* json("facts")).length, 1)
      assert.strictEqual((yield* json("search", text)).found, 1)
      assert.isNotEmpty(filesWith(home, text))
      const refused = yield* run("delete", "--query", text)
      assert.include(refused.stderr, "--yes")
      assert.strictEqual((yield* json("delete", "--query", text, "--yes")).ids.length, 1)
      assert.deepStrictEqual(filesWith(home, text), [])
      yield* deliver
      assert.strictEqual((yield* json("search", text)).found, 0)
      assert.deepStrictEqual(filesWith(home, text), [])
      assert.strictEqual((yield* json("list")).length, 1)
    })
  )
})
