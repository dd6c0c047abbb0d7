/**
 * A hook over Postgres loses no event while the database is away.
 */
import * as fs from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { inject } from "vitest"
import * as Cli from "../utils/Cli.ts"
import * as FaultProxy from "../utils/FaultProxy.ts"
import * as Postgres from "../utils/Postgres.ts"

const stored = (database: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ content: string; name: string; session_id: string }>`SELECT content, name, session_id
      FROM episodic_events e JOIN projects p ON p.id = e.project_id ORDER BY e.id`
    return rows
  }).pipe(Effect.provide(Postgres.layerDatabase(database)))

const setup = Effect.gen(function* () {
  const { env, home, project } = yield* Cli.scratch
  const { password, port, username } = inject("postgres")
  const database = yield* Postgres.createDatabase
  const proxy = yield* FaultProxy.make({ port })
  const url = `postgres://${username}:${password}@127.0.0.1:${proxy.port}/${database}`
  const over = { ...env, ATHENA_DATABASE_URL: url }
  const run = (...args: ReadonlyArray<string>) => Cli.run(args, { env: over, cwd: project })
  const hook = (name: string, more: Readonly<Record<string, unknown>>) =>
    Effect.map(Cli.run(["hook"], { env: over, input: Cli.event(project, name, more) }), (result) => {
      assert.strictEqual(result.code, 0)
      assert.match(result.stderr, /^(athena hook: [^\n]+\n)?$/)
      assert.notInclude(result.stderr, password)
      return result
    })
  return { database, env: over, home, hook, project, proxy, run }
})

const tool = (n: number) => ({ tool_name: "Bash", tool_use_id: `t-${n}`, tool_input: { command: `echo ${n}` } })

describe("athena hook over Postgres", () => {
  for (const fault of ["refuse", "blackHole", "reset"] as const) {
    it.live(
      `spools events while the database is unavailable (${fault}) and delivers them once, in order`,
      () =>
        Effect.gen(function* () {
          const { database, hook, proxy, run } = yield* setup
          yield* proxy.set({ _tag: fault })
          for (const n of [1, 2, 2]) {
            const result = yield* hook("PostToolUse", tool(n))
            assert.strictEqual(result.stdout, "{}\n")
            assert.include(result.stderr, "waits on this host")
          }
          assert.include((yield* run("events", "stats")).stdout, "waiting    3 events")
          yield* proxy.set({ _tag: "pass" })
          // The next hook has time left, whatever it is about.
          const next = yield* hook("PostToolUse", tool(3))
          assert.strictEqual(next.stderr, "")
          assert.deepStrictEqual(
            (yield* stored(database)).map(({ content, name, session_id }) => [content, name, session_id]),
            [1, 2, 3].map((n) => [`Bash: echo ${n}`, "shop", "s-1"])
          )
          assert.include((yield* run("events", "stats")).stdout, "waiting    0 events")
        }),
      { timeout: 60_000 }
    )
  }

  it.live("injects memories at a prompt, and spooled events at the session start", () =>
    Effect.gen(function* () {
      const { hook, proxy } = yield* setup
      yield* proxy.set({ _tag: "refuse" })
      yield* hook("Stop", { prompt_id: "p-1", last_assistant_message: "The invoice worker now retries twice." })
      yield* proxy.set({ _tag: "pass" })
      assert.strictEqual((yield* hook("SessionStart", { session_id: "s-2", source: "startup" })).stdout, "{}\n")
      const told = yield* hook("UserPromptSubmit", {
        session_id: "s-2",
        prompt_id: "p-2",
        prompt: "Why does the invoice worker retry?"
      })
      assert.include(told.stdout, "invoice worker now retries")
    })
  )

  it.live("has one spool per database", () =>
    Effect.gen(function* () {
      const { env, hook, home, proxy } = yield* setup
      yield* proxy.set({ _tag: "refuse" })
      yield* hook("PostToolUse", tool(1))
      const other = { ...env, ATHENA_DATABASE_URL: `${env.ATHENA_DATABASE_URL}_other` }
      const result = yield* Cli.run(["events", "stats", "--json"], { env: other })
      assert.strictEqual((JSON.parse(result.stdout) as { spooled: number }).spooled, 0)
      assert.strictEqual(fs.readdirSync(home).filter((name) => name.endsWith(".spool")).length, 2)
    })
  )

  it.live("records directly into the database if the spool is unusable", () =>
    Effect.gen(function* () {
      const { database, env, home, project } = yield* setup
      fs.writeFileSync(home, "no folder")
      const result = yield* Cli.run(["hook"], { env, input: Cli.event(project, "PostToolUse", tool(1)) })
      assert.deepStrictEqual([result.code, result.stdout, result.stderr], [0, "{}\n", ""])
      assert.strictEqual((yield* stored(database)).length, 1)
    })
  )
})
