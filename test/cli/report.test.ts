/**
 * What hooks measure of themselves, against what is seen of the same hooks from outside.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cli from "../utils/Cli.ts"

const secret = "ghp_9f8e7d6c5b4a3f2e1d0c9b8a7f6e5d4c3b2a"

interface Seen {
  readonly event: string
  readonly ms: number
  readonly result: Cli.Result
}

type Scratch = Effect.Success<typeof Cli.scratch>

/** Runs a hook as an agent does, and notes how long that took. */
const hook = (
  scratch: Scratch,
  level: string,
  session: string,
  event: string,
  more: Readonly<Record<string, unknown>>
) =>
  Effect.gen(function* () {
    const input = Cli.event(scratch.project, event, { session_id: session, ...more })
    const started = performance.now()
    const result = yield* Cli.run(["hook"], { env: { ...scratch.env, ATHENA_PROFILE: level }, input })
    assert.deepStrictEqual([result.code, result.stderr], [0, ""])
    return { event, ms: performance.now() - started, result } satisfies Seen
  })

/** A small session: 1 start, 2 prompts, 3 uses of a tool, 1 end. */
const session = (scratch: Scratch, level: string, name: string) =>
  Effect.gen(function* () {
    const seen: Array<Seen> = []
    const run = (event: string, more: Readonly<Record<string, unknown>> = {}) =>
      Effect.map(hook(scratch, level, name, event, more), (one) => void seen.push(one))
    yield* run("SessionStart", { source: "startup" })
    for (const id of ["1", "2"]) {
      yield* run("UserPromptSubmit", { prompt_id: `${name}-p${id}`, prompt: `Deploy ${id} with TOKEN=${secret}` })
    }
    for (const id of ["1", "2", "3"]) {
      const tool = { tool_name: "Bash", tool_input: { command: `TOKEN=${secret} npm run ${id}` }, tool_response: {} }
      yield* run("PostToolUse", { tool_use_id: `${name}-t${id}`, ...tool })
    }
    yield* run("SessionEnd", { reason: "other" })
    return seen
  })

const report = (scratch: Scratch, ...args: ReadonlyArray<string>) =>
  Effect.map(Cli.run(["report", "--json", ...args], { env: scratch.env }), (result) => {
    assert.strictEqual(result.code, 0, result.stderr)
    return JSON.parse(result.stdout) as any
  })

const wall = (found: any, name: string) => found.report.operations.find((one: any) => one.name === name)?.wall

const total = (seen: ReadonlyArray<Seen>, event: string): number =>
  seen.filter((one) => one.event === event).reduce((sum, one) => sum + one.ms, 0)

describe("athena report", () => {
  it.live("agrees with external measurements: equal counts, times within them", () =>
    Effect.gen(function* () {
      const scratch = yield* Cli.scratch
      const seen = yield* session(scratch, "wall", "s-1")
      const found = yield* report(scratch)

      assert.deepInclude(found, { processes: 7, sessions: 1, unreadable: 0 })
      assert.strictEqual(found.kernel.count, 7)
      const events = {
        SessionStart: "SessionStart",
        UserPromptSubmit: "Prompt",
        PostToolUse: "ToolUse",
        SessionEnd: "SessionEnd"
      }
      for (const [event, name] of Object.entries(events)) {
        const inside = wall(found, `hook ${name}`)
        assert.strictEqual(inside.count, seen.filter((one) => one.event === event).length, event)
        // A hook runs within its process, and that within what was seen of it; all by the same clock.
        assert.isAtMost(inside.sum, total(seen, event), event)
      }
      const process = wall(found, "hook process")
      assert.strictEqual(process.count, 7)
      const hooks = found.report.operations.filter((one: any) => one.name.startsWith("hook ") && one.kind === "span")
      assert.isAtLeast(
        process.sum,
        hooks.reduce((sum: number, one: any) => sum + one.wall.sum, 0)
      )
      assert.isAtMost(
        process.sum,
        seen.reduce((sum, one) => sum + one.ms, 0)
      )
      assert.isAtMost(process.max, Math.max(...seen.map((one) => one.ms)))

      // Each prompt and tool use is one event, and so is the end: the statement that stores one ran as often.
      const stored = found.report.statements.find((one: any) =>
        one.fingerprint.startsWith("INSERT INTO episodic_events (")
      )
      assert.strictEqual(stored.wall.count, 6)
      assert.strictEqual(stored.outcomes.success, 6)
      const spans = found.report.operations.find((one: any) => one.name === "sqlite")
      const statements = found.report.statements.reduce((sum: number, one: any) => sum + one.wall.count, 0)
      assert.strictEqual(spans.wall.count, statements)
      assert.strictEqual(found.report.cost.failures, 0)

      const text = yield* Cli.run(["report"], { env: scratch.env })
      assert.match(text.stdout, /^7 processes of 1 sessions; the calibration kernel took \d+ us\nProfile\n/)
      assert.include(text.stdout, "Cost of profiling")
      assert.notInclude(text.stdout, "\u001b")
      for (const name of fs.readdirSync(scratch.home).filter((name) => name.startsWith("profile"))) {
        assert.notInclude(fs.readFileSync(path.join(scratch.home, name), "latin1"), "9f8e7d6c", name)
      }
    })
  )

  it.live("covers a session, a period, or all, and compares two sessions", () =>
    Effect.gen(function* () {
      const scratch = yield* Cli.scratch
      yield* session(scratch, "wall", "s-1")
      yield* session(scratch, "deep", "s-2")
      assert.strictEqual((yield* report(scratch, "--session", "s-2")).processes, 7)
      assert.strictEqual((yield* report(scratch, "--since", "2 hours")).processes, 14)
      assert.strictEqual((yield* report(scratch, "--since", "2999-01-01")).processes, 0)
      const deep = wall(yield* report(scratch, "--session", "s-2"), "hook ToolUse")
      assert.strictEqual(deep.count, 3)
      const { comparisons } = yield* report(scratch, "--compare", "s-1", "s-2")
      const whole = comparisons.find((one: any) => one.operation === "operation hook process")
      assert.deepStrictEqual(whole.counts, [7, 7])
      assert.include(
        (yield* Cli.run(["report", "--compare", "s-1", "s-2"], { env: scratch.env })).stdout,
        "hook process"
      )
      const unknown = yield* Cli.run(["report", "--session", "unknown"], { env: scratch.env })
      assert.strictEqual(unknown.stdout, "no hook of that session or time was profiled\n")
      for (const args of [
        ["--compare", "s-1"],
        ["--compare", "s-1", "s-2", "--since", "2 hours"],
        ["s-1"],
        ["--since", "soon"]
      ]) {
        const refused = yield* Cli.run(["report", ...args], { env: scratch.env })
        assert.strictEqual(refused.code, 1)
        assert.match(refused.stderr, /^athena: --(?:compare|since|session) [^\n]+\n$/)
      }
    })
  )

  it.live("changes no response of a hook, and measures only on request", () =>
    Effect.gen(function* () {
      const answers: Array<ReadonlyArray<string>> = []
      for (const level of ["", "off", "wall", "standard", "deep"]) {
        const scratch = yield* Cli.scratch
        const seen = yield* session(scratch, level, "s-1")
        answers.push(seen.map((one) => one.result.stdout.replaceAll(/\d{4}-\d\d-\d\d \d\d:\d\d/g, "")))
        const measured = ["", "off"].includes(level) ? 0 : 7
        const found = yield* report(scratch)
        assert.strictEqual(found.processes, measured, level)
        if (measured === 0) {
          assert.include((yield* Cli.run(["report"], { env: scratch.env })).stdout, "set ATHENA_PROFILE to")
        }
      }
      for (const one of answers) assert.deepStrictEqual(one, answers[0])
    })
  )

  it.live("leaves a hook unaffected if it can't write, and reports unreadable profiles", () =>
    Effect.gen(function* () {
      const scratch = yield* Cli.scratch
      fs.mkdirSync(path.join(scratch.home, "profile.jsonl"), { recursive: true })
      fs.mkdirSync(path.join(scratch.home, "profile.db"))
      yield* session(scratch, "standard", "s-1")
      const refused = yield* Cli.run(["report"], { env: scratch.env })
      assert.strictEqual(refused.code, 1)
      assert.include(refused.stderr, "move profile.db")
    })
  )

  it.live("includes every hook that ends while it reads", () =>
    Effect.gen(function* () {
      const scratch = yield* Cli.scratch
      const use = { tool_name: "Bash", tool_input: { command: "ls" }, tool_response: {} }
      const hooks = Array.from({ length: 16 }, (_, i) =>
        hook(scratch, "wall", "s-1", "PostToolUse", { tool_use_id: `t-${i}`, ...use })
      )
      const reports = Array.from({ length: 4 }, () => report(scratch))
      yield* hook(scratch, "wall", "s-1", "SessionStart", { source: "startup" })
      yield* Effect.all([...hooks.slice(0, 8), ...reports, ...hooks.slice(8)], { concurrency: 4 })
      const found = yield* report(scratch)
      assert.deepInclude(found, { processes: 17, unreadable: 0 })
      assert.strictEqual(wall(found, "hook ToolUse").count, 16)
    })
  )
})
