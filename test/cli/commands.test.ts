/**
 * The other commands, as a person or a program runs them.
 */
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import * as Cli from "../utils/Cli.ts"
import * as Postgres from "../utils/Postgres.ts"
import { inject } from "vitest"

const json = (result: Cli.Result): any => {
  assert.strictEqual(result.code, 0, result.stderr)
  return JSON.parse(result.stdout)
}

interface Check {
  readonly name: string
  readonly status: string
  readonly detail: string
  readonly advice?: string
}

const doctor = (options: Cli.RunOptions) =>
  Effect.map(Cli.run(["doctor", "--json"], options), (result) => {
    const { checks, healthy } = JSON.parse(result.stdout) as { healthy: boolean; checks: ReadonlyArray<Check> }
    assert.strictEqual(result.code, healthy ? 0 : 1)
    const failed = checks.filter((check) => check.status !== "ok")
    return {
      healthy,
      checks,
      failed: failed.map((check) => `${check.name}: ${check.detail} -> ${check.advice}`).join("\n")
    }
  })

describe("athena", () => {
  it.live("stores notes, searches, and manages goals, as text and JSON", () =>
    Effect.gen(function* () {
      const { env, project } = yield* Cli.scratch
      const run = (...args: ReadonlyArray<string>) => Cli.run(args, { env, cwd: project })

      const remembered = json(yield* run("remember", "--json", "Deploys", "need", "API_KEY=abcdef123"))
      assert.strictEqual(remembered.project, "shop")
      const found = json(yield* run("search", "--json", "deploy"))
      assert.strictEqual(found.found, 1)
      assert.strictEqual(found.results[0].content, "Deploys need API_KEY=[redacted]")
      assert.match((yield* run("search", "deploy")).stdout, /^ +1 - .* noted: Deploys need/)
      assert.include((yield* run("search", "nothing such")).stdout, "nothing found in the project shop")

      const goal = json(yield* run("goals", "add", "--json", "--priority", "9", "Ship 1.0"))
      assert.strictEqual(goal.title, "Ship 1.0")
      assert.include((yield* run("goals")).stdout, "Ship 1.0 (in progress, priority 9 of 10)")
      assert.strictEqual(json(yield* run("goals", "set", String(goal.id), "completed", "--json")).status, "completed")
      assert.strictEqual(json(yield* run("goals", "--json")).count, 0)
      assert.strictEqual(json(yield* run("goals", "--all", "--json")).count, 1)
    })
  )

  it.live("status counts a project without events", () =>
    Effect.gen(function* () {
      const { env, project } = yield* Cli.scratch
      const memory = Effect.map(Cli.run(["status", "--json"], { env, cwd: project }), (result) => json(result).memory)
      assert.deepInclude(yield* memory, { events: 0, projects: 0 })
      json(yield* Cli.run(["goals", "add", "--json", "Ship 1.0"], { env, cwd: project }))
      assert.deepInclude(yield* memory, { events: 0, projects: 1, problem: null })
    })
  )

  it.live("prints one line and exits with code 1 on failure", () =>
    Effect.gen(function* () {
      const { env, project } = yield* Cli.scratch
      for (const [args, why] of [
        [["goals", "set", "99", "completed"], "there is no goal 99"],
        [["goals", "add", "--priority", "11", "x"], "priority"],
        [["search", "--limit", "0", "x"], "limit"]
      ] as const) {
        const result = yield* Cli.run(args, { env, cwd: project })
        assert.strictEqual(result.code, 1)
        assert.match(result.stderr, /^athena: [^\n]+\n$/)
        assert.include(result.stderr, why)
      }
      const unknown = yield* Cli.run(["no-such-command"], { env })
      assert.notStrictEqual(unknown.code, 0)
      assert.include((yield* Cli.run(["--help"], { env })).stdout, "doctor")
      assert.match((yield* Cli.run(["--version"], { env })).stdout, /\d+\.\d+\.\d+/)
    })
  )

  it.live("doctor passes before and after the first event", () =>
    Effect.gen(function* () {
      const { env, project } = yield* Cli.scratch
      assert.isTrue((yield* doctor({ env })).healthy)
      yield* Cli.run(["hook"], { env, input: Cli.event(project, "Stop", { last_assistant_message: "Done." }) })
      const { checks, failed, healthy } = yield* doctor({ env })
      assert.isTrue(healthy)
      assert.strictEqual(failed, "")
      assert.include(JSON.stringify(checks), "1 event in 1 project")
      assert.include((yield* Cli.run(["doctor"], { env })).stdout, "the file is sound")
    })
  )

  it.live("doctor reports each problem with its next step", () =>
    Effect.gen(function* () {
      const { env, folder, home, project } = yield* Cli.scratch
      yield* Cli.run(["hook"], { env, input: Cli.event(project, "Stop", { last_assistant_message: "Done." }) })
      const database = path.join(home, "athena.db")
      const at = (place: string) => ({ env: { ...env, ATHENA_HOME: place } })

      const file = path.join(folder, "file")
      fs.writeFileSync(file, "")
      assert.include((yield* doctor(at(file))).failed, "is not a folder")

      fs.chmodSync(home, 0o755)
      assert.include((yield* doctor({ env })).failed, "open to other users")

      fs.chmodSync(home, 0o555)
      fs.chmodSync(database, 0o444)
      assert.match((yield* doctor({ env, unprivileged: true })).failed, /folder: .* can't be written/)
      fs.chmodSync(home, 0o700)
      fs.chmodSync(database, 0o600)

      const damaged = path.join(folder, "damaged")
      fs.mkdirSync(damaged, { mode: 0o700 })
      fs.writeFileSync(path.join(damaged, "athena.db"), "no database at all ".repeat(1_000))
      assert.include((yield* doctor(at(damaged))).failed, "open: the memory database is damaged")

      // Rows that point nowhere: the file opens, and is damaged inside.
      const torn = path.join(folder, "torn")
      fs.mkdirSync(torn, { mode: 0o700 })
      const bytes = fs.readFileSync(database)
      bytes.fill(0xff, 4096 * 3, 4096 * 6)
      fs.writeFileSync(path.join(torn, "athena.db"), bytes)
      assert.isFalse((yield* doctor(at(torn))).healthy)

      const full = yield* doctor({ env, shell: "ulimit -f 1" })
      assert.isFalse(full.healthy)

      const db = new DatabaseSync(database)
      db.exec("INSERT INTO athena_hooks_migrations (migration_id, name) VALUES (9999, 'future')")
      db.close()
      assert.include((yield* doctor({ env })).failed, "schema: the database schema has version 9999")
    })
  )

  it.live("migrate upgrades a large Athena database, which the hook rejects and doctor reports", () =>
    Effect.gen(function* () {
      const { env, project } = yield* Cli.scratch
      const { host, password, port, username } = inject("postgres")
      const database = yield* Postgres.createDatabase
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE projects (id SERIAL PRIMARY KEY, name TEXT UNIQUE NOT NULL, path TEXT UNIQUE NOT NULL)`
        yield* sql`CREATE TABLE episodic_events (id BIGSERIAL PRIMARY KEY,
          project_id INT NOT NULL REFERENCES projects(id), session_id VARCHAR(255) NOT NULL, timestamp BIGINT NOT NULL,
          duration_ms INT, event_type VARCHAR(50) NOT NULL, content TEXT NOT NULL, outcome TEXT, context_cwd TEXT,
          context_files TEXT[], files_changed INT DEFAULT 0, consolidation_status VARCHAR(50))`
        yield* sql`INSERT INTO projects (name, path) VALUES ('default', '/workspace')`
        yield* sql`INSERT INTO episodic_events (project_id, session_id, timestamp, event_type, content)
          SELECT 1, 's', n, 'action', 'Event ' || n FROM generate_series(1, 10001) AS n`
      }).pipe(Effect.provide(Postgres.layerDatabase(database)))
      const url = `postgres://${username}:${password}@${host}:${port}/${database}`
      const options = { env: { ...env, ATHENA_DATABASE_URL: url } }
      const input = Cli.event(project, "Stop", { last_assistant_message: "Done." })

      const refused = yield* Cli.run(["hook"], { ...options, input })
      assert.deepStrictEqual([refused.code, refused.stdout], [0, "{}\n"])
      assert.include(refused.stderr, 'run "athena migrate" once')
      const before = yield* doctor(options)
      assert.include(before.failed, "athena migrate")
      assert.include(JSON.stringify(before.checks), "10001 events")
      assert.isTrue(json(yield* Cli.run(["migrate", "--json"], options)).upToDate)
      assert.strictEqual((yield* Cli.run(["hook"], { ...options, input })).stderr, "")
      assert.isTrue((yield* doctor(options)).healthy)
    })
  )

  it.live("doctor distinguishes invalid settings, an unreachable server and a wrong password", () =>
    Effect.gen(function* () {
      const { env } = yield* Cli.scratch
      const { host, password, port, username } = inject("postgres")
      const database = yield* Postgres.createDatabase
      const at = (url: string) => ({ env: { ...env, ATHENA_DATABASE_URL: url } })
      const url = (pass: string, name: string, where = port) =>
        `postgres://${username}:${pass}@${host}:${where}/${name}`

      const { checks, healthy } = yield* doctor(at(url(password, database)))
      assert.isTrue(healthy)
      assert.include(JSON.stringify(checks), "at most 3")
      yield* Postgres.layerDatabase("postgres").pipe(
        Layer.build,
        Effect.flatMap(
          (context) =>
            Context.get(context, SqlClient.SqlClient)`CREATE ROLE no_slots LOGIN CONNECTION LIMIT 0 PASSWORD 'no-slots'`
        )
      )
      const noSlots = `postgres://no_slots:no-slots@${host}:${port}/${database}`
      assert.include((yield* doctor(at(noSlots))).failed, "no free connection for this user")
      assert.include((yield* doctor(at("mysql://localhost/x"))).failed, "settings: ATHENA_DATABASE_URL")
      assert.include((yield* doctor(at(url("wrong-password-1", database)))).failed, "refused the user or the password")
      assert.include((yield* doctor(at(url(password, database, 1)))).failed, "start the server")
      assert.include((yield* doctor(at(url(password, "no_such_database")))).failed, "no_such_database")
      const said = yield* Cli.run(["doctor"], at(url("wrong-password-1", database)))
      assert.notInclude(said.stdout + said.stderr, "wrong-password-1")
    })
  )

  it.live("demo succeeds, prints no secret and removes its files", () =>
    Effect.gen(function* () {
      const { env, folder } = yield* Cli.scratch
      const temporary = path.join(folder, "tmp")
      fs.mkdirSync(temporary)
      const result = yield* Cli.run(["demo"], { env: { HOME: env.HOME, TMPDIR: temporary } })
      assert.strictEqual(result.code, 0, result.stdout + result.stderr)
      assert.match(result.stdout, /(\d+) events delivered = \1 events stored/)
      assert.include(result.stdout, "Related memories of earlier sessions")
      assert.include(result.stdout, "first session  second session")
      assert.match(result.stdout, /(\d+) processes recorded \d+ ms; measured from outside: \1, \d+ ms/)
      for (const name of ["hook SessionStart", "hook ToolUse", "memory.search", "INSERT INTO episodic_events"]) {
        assert.include(result.stdout.split("The profile of the hooks")[1], name)
      }
      assert.deepStrictEqual(fs.readdirSync(temporary), [])
      assert.isFalse(fs.existsSync(path.join(env.HOME, ".athena")))
      assert.strictEqual(os.platform(), process.platform)
    })
  )

  it.live("reports an unsupported version of Node.js", () =>
    Effect.gen(function* () {
      const { folder } = yield* Cli.scratch
      // The same file, in a process that believes to be an older version.
      const preload = path.join(folder, "old.cjs")
      fs.writeFileSync(
        preload,
        `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "20.9.0" } })`
      )
      const env = { NODE_OPTIONS: `--require ${preload}` }
      const command = yield* Cli.run(["doctor"], { env })
      assert.strictEqual(command.code, 1)
      assert.match(command.stderr, /^athena needs Node\.js 22\.19 or newer; this is v[^\n]+\n$/)
      const hook = yield* Cli.run(["hook"], { env, input: "{}" })
      assert.deepStrictEqual([hook.code, hook.stdout], [0, "{}\n"])
    })
  )
})
