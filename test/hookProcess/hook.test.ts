/**
 * `athena hook` as an agent runs it: a process of its own, whatever it is sent and whatever it finds.
 */
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cli from "../utils/Cli.ts"
import * as Fixtures from "../utils/Fixtures.ts"
import * as Postgres from "../utils/Postgres.ts"
import { inject } from "vitest"

const hook = (input: string | Uint8Array, options: Omit<Cli.RunOptions, "input">) =>
  Cli.run(["hook"], { ...options, input })

/** Exit code 0, a JSON object and nothing else on standard output, and at most one line on standard error. */
const harmless = (result: Cli.Result): Record<string, unknown> => {
  assert.strictEqual(result.code, 0, result.stderr)
  assert.match(result.stderr, /^(athena hook: [^\n]+\n)?$/)
  return JSON.parse(result.stdout) as Record<string, unknown>
}

/** The empty answer, and one line that says why. */
const refused = (result: Cli.Result, why: string): void => {
  assert.deepStrictEqual(harmless(result), {})
  assert.include(result.stderr, why)
}

const events = (home: string): ReadonlyArray<{ readonly event_key: string; readonly content: string }> => {
  const db = new DatabaseSync(path.join(home, "athena.db"), { readOnly: true })
  const rows = db.prepare("SELECT event_key, content FROM episodic_events ORDER BY id").all()
  db.close()
  return rows as never
}

/** A port on which somebody listens and never answers. */
const silentPort = Effect.acquireRelease(
  Effect.callback<net.Server>((resume) => {
    const server = net.createServer(() => {})
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.sync(() => server.close())
).pipe(Effect.map((server) => (server.address() as net.AddressInfo).port))

const stop = (project: string, more?: Readonly<Record<string, unknown>>) =>
  Cli.event(project, "Stop", { prompt_id: "p-1", last_assistant_message: "All done.", ...more })

/** Processes of a burst. */
const burst = Number(process.env["ATHENA_HOOK_BURST"] ?? 10)

describe("athena hook", () => {
  it.live("records an event and injects it into the next session", () =>
    Effect.gen(function* () {
      const { env, home, project } = yield* Cli.scratch
      assert.deepStrictEqual(harmless(yield* hook(stop(project), { env })), {})
      assert.deepStrictEqual(
        events(home).map((row) => row.content),
        ["All done."]
      )
      const told = yield* hook(Cli.event(project, "SessionStart", { session_id: "s-2", source: "startup" }), { env })
      const output = harmless(told)["hookSpecificOutput"] as Record<string, string>
      assert.strictEqual(output["hookEventName"], "SessionStart")
      assert.include(output["additionalContext"], "All done.")
      assert.strictEqual(told.stderr, "")
    })
  )

  it.live("returns valid output for every observed payload", () =>
    Effect.gen(function* () {
      const { env, project } = yield* Cli.scratch
      for (const { body, file } of Fixtures.all) {
        const result = yield* hook(JSON.stringify({ ...body, cwd: project }), { env })
        harmless(result)
        assert.strictEqual(result.stderr, "", file)
      }
    })
  )

  it.live("reports an invalid payload in one line", () =>
    Effect.gen(function* () {
      const { env, home, project } = yield* Cli.scratch
      yield* hook(stop(project), { env })
      const before = events(home)
      const invalidUtf8 = Buffer.concat([Buffer.from('{"session_id":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"')])
      for (const [input, why] of [
        ["", "nothing was sent"],
        ["not JSON", "not JSON"],
        ['{"session_id": "s"', "not JSON"],
        ["[]", "Expected object"],
        ["{}", "Missing key"],
        ["\u0000", "not JSON"],
        [invalidUtf8, "not JSON"],
        [Cli.event(project, "Stop", { session_id: 7 }), "session_id"],
        [Cli.event(project, "UserPromptSubmit", { prompt: ["wrong"] }), "prompt"],
        [JSON.stringify({ session_id: "s-9", hook_event_name: "Stop" }), "cwd"],
        [Cli.event(project, "NoSuchEvent"), "unknown event"],
        [stop("/no/such/folder", { session_id: "s-9" }), "does not exist"],
        [stop(project, { last_assistant_message: "x".repeat(20_000_000) }), "larger than"]
      ] as const) {
        refused(yield* hook(input, { env }), why)
      }
      assert.deepStrictEqual(events(home), before)
    })
  )

  it.live("stores NUL, lone surrogates and escape sequences as valid text", () =>
    Effect.gen(function* () {
      const { env, home, project } = yield* Cli.scratch
      const body = stop(project, { session_id: "s\u0000\uD800", last_assistant_message: "a\u0000b \uD800 \u001b[31m" })
      harmless(yield* hook(body, { env }))
      assert.deepStrictEqual(
        events(home).map((row) => row.content),
        ["a\uFFFDb \uFFFD \u001b[31m"]
      )
    })
  )

  it.live("accepts payloads of several megabytes", () =>
    Effect.gen(function* () {
      const { env, home, project } = yield* Cli.scratch
      const body = Cli.event(project, "PostToolUse", {
        tool_name: "Write",
        tool_use_id: "t-1",
        tool_input: { file_path: `${project}/big.ts`, content: "\u0000x".repeat(500_000) },
        tool_response: { originalFile: "y".repeat(3_000_000) }
      })
      assert.isAbove(body.length, 4_000_000)
      assert.deepStrictEqual(harmless(yield* hook(body, { env })), {})
      assert.strictEqual(events(home).length, 1)
    })
  )

  it.live("returns valid output if the memory can't be opened or written", () =>
    Effect.gen(function* () {
      const { env, folder, home, project } = yield* Cli.scratch
      const database = path.join(home, "athena.db")
      yield* hook(stop(project), { env })

      // A file where the folder should be.
      const file = path.join(folder, "file")
      fs.writeFileSync(file, "")
      refused(yield* hook(stop(project), { env: { ...env, ATHENA_HOME: file } }), "can't be reached or opened")

      // A folder that may not be written.
      fs.chmodSync(home, 0o555)
      fs.chmodSync(database, 0o444)
      const readOnly = yield* hook(stop(project, { session_id: "s-3" }), { env, unprivileged: true })
      assert.deepStrictEqual(harmless(readOnly), {})
      assert.match(readOnly.stderr, /can't be (written|reached or opened)/)
      fs.chmodSync(home, 0o777)
      fs.chmodSync(database, 0o666)

      // A folder in the place of the database.
      const odd = path.join(folder, "odd")
      fs.mkdirSync(path.join(odd, "athena.db"), { recursive: true })
      refused(yield* hook(stop(project), { env: { ...env, ATHENA_HOME: odd } }), "can't be reached or opened")

      // A place where no folder can be made, and Node.js would try for ever.
      refused(yield* hook(stop(project), { env: { ...env, ATHENA_HOME: "/proc/nope/home" } }), "can't be reached")

      // A disk on which nothing fits any more.
      const full = path.join(folder, "full")
      const noSpace = yield* hook(stop(project), { env: { ...env, ATHENA_HOME: full }, shell: "ulimit -f 8" })
      assert.deepStrictEqual(harmless(noSpace), {})
      assert.notStrictEqual(noSpace.stderr, "")

      // The first memory is as it was.
      assert.strictEqual(events(home).length, 1)
    })
  )

  it.live("leaves damaged and newer databases unchanged", () =>
    Effect.gen(function* () {
      const { env, folder, home, project } = yield* Cli.scratch
      const damagedHome = path.join(folder, "damaged")
      fs.mkdirSync(damagedHome)
      const damaged = path.join(damagedHome, "athena.db")
      fs.writeFileSync(damaged, "no database at all ".repeat(1_000))
      refused(yield* hook(stop(project), { env: { ...env, ATHENA_HOME: damagedHome } }), "damaged")
      assert.strictEqual(fs.readFileSync(damaged, "utf8"), "no database at all ".repeat(1_000))

      yield* hook(stop(project), { env })
      const db = new DatabaseSync(path.join(home, "athena.db"))
      db.exec("INSERT INTO athena_hooks_migrations (migration_id, name) VALUES (9999, 'future')")
      db.close()
      refused(yield* hook(stop(project, { prompt_id: "p-2" }), { env }), "upgrade athena-hooks")
      assert.strictEqual(events(home).length, 1)
    })
  )

  it.live("injects memories while another process locks the database", () =>
    Effect.gen(function* () {
      const { env, home, project } = yield* Cli.scratch
      yield* hook(stop(project, { session_id: "s-0", last_assistant_message: "The payment client retries twice." }), {
        env
      })
      const prompt = (id: string) =>
        hook(Cli.event(project, "UserPromptSubmit", { prompt_id: id, prompt: "retries of the payment client" }), {
          env
        })
      const start = hook(Cli.event(project, "SessionStart", { session_id: "s-1", source: "startup" }), { env })
      yield* hook(stop(project), { env })
      const db = new DatabaseSync(path.join(home, "athena.db"))
      db.exec("BEGIN IMMEDIATE")
      for (const result of [yield* prompt("p-1"), yield* start]) {
        assert.include(JSON.stringify(harmless(result)), "retries twice")
        assert.match(result.stderr, /was not recorded|were not marked/)
      }
      db.exec("ROLLBACK")
      db.close()
      assert.include(JSON.stringify(harmless(yield* prompt("p-2"))), "retries twice")
    })
  )

  it.live("uses the project folder that the agent reports", () =>
    Effect.gen(function* () {
      const { env, folder, home, project } = yield* Cli.scratch
      harmless(yield* hook(stop(folder), { env: { ...env, CLAUDE_PROJECT_DIR: project } }))
      const db = new DatabaseSync(path.join(home, "athena.db"), { readOnly: true })
      assert.deepStrictEqual(
        db
          .prepare("SELECT path FROM projects")
          .all()
          .map((row) => row["path"]),
        [project]
      )
      db.close()
    })
  )

  it.live("returns valid output with unknown arguments", () =>
    Effect.gen(function* () {
      const { env, project } = yield* Cli.scratch
      for (const more of [["--json"], ["x"], ["hook", "--quiet"]]) {
        harmless(yield* Cli.run(["hook", ...more], { env, input: stop(project) }))
      }
      assert.include((yield* Cli.run(["hook", "--help"], { env })).stdout, "hook event")
    })
  )

  it.live("rejects compiled code that is damaged or writable by others", () =>
    Effect.gen(function* () {
      const { env, home, project } = yield* Cli.scratch
      yield* hook(stop(project), { env })
      const folder = path.join(home, "compile-cache")
      const [file] = fs.readdirSync(folder).map((name) => path.join(folder, name))
      const sound = fs.readFileSync(file!)
      for (const at of [0, 0.1, 0.3, 0.45, 0.6, 0.9]) {
        const damaged = Buffer.from(sound)
        damaged.fill(0xa5, Math.floor(sound.length * at), Math.floor(sound.length * at) + 64)
        fs.writeFileSync(file!, damaged)
        const result = yield* hook(stop(project, { prompt_id: `p-${at}` }), { env })
        assert.deepStrictEqual(harmless(result), {})
        assert.strictEqual(result.stderr, "")
      }
      fs.writeFileSync(file!, "")
      harmless(yield* hook(stop(project), { env }))
      fs.rmSync(folder, { recursive: true })
      fs.chmodSync(home, 0o777)
      harmless(yield* hook(stop(project), { env }))
      assert.isFalse(fs.existsSync(folder))
    })
  )

  it.live("responds while another process locks the database and its input stays open", () =>
    Effect.gen(function* () {
      const { env, home, project } = yield* Cli.scratch
      yield* hook(stop(project), { env })
      const db = new DatabaseSync(path.join(home, "athena.db"))
      db.exec("BEGIN IMMEDIATE")
      refused(yield* hook(stop(project, { prompt_id: "p-2" }), { env }), "locked by another process")
      db.exec("ROLLBACK")
      db.close()
      refused(yield* Cli.run(["hook"], { env, keepInputOpen: true }), "no response within")
    })
  )

  it.live(
    `stores each event once from ${burst} concurrent processes on a new memory`,
    () =>
      Effect.gen(function* () {
        const { env, home, project } = yield* Cli.scratch
        const send = (index: number) =>
          hook(
            Cli.event(project, "PostToolUse", {
              session_id: `s-${index % 3}`,
              tool_name: "Bash",
              tool_use_id: `t-${index}`,
              tool_input: { command: `echo ${index}` }
            }),
            { env }
          )
        const indices = Array.from({ length: burst }, (_, index) => index)
        const results = yield* Effect.forEach(indices, send, { concurrency: "unbounded" })
        for (const [index, result] of results.entries()) {
          assert.deepStrictEqual(harmless(result), {})
          if (result.stderr === "") continue
          // A busy machine may end a process before its event is stored: it reports that, and the event is sent again.
          assert.match(result.stderr, /no response within 6000 ms/)
          yield* Effect.repeat(send(index), { until: ({ stderr }) => stderr === "", times: 10 })
        }
        assert.deepStrictEqual(
          events(home)
            .map((row) => row.content)
            .toSorted(),
          Array.from({ length: burst }, (_, index) => `Bash: echo ${index}`).toSorted()
        )
        const db = new DatabaseSync(path.join(home, "athena.db"), { readOnly: true })
        assert.strictEqual(db.prepare("SELECT count(*) AS n FROM projects").get()!["n"], 1)
        assert.strictEqual(db.prepare("PRAGMA integrity_check").get()!["integrity_check"], "ok")
        db.close()
      }),
    { timeout: 120_000 }
  )

  it.live("caches compiled code per build", () =>
    Effect.gen(function* () {
      const { env, home, project } = yield* Cli.scratch
      const folder = path.join(home, "compile-cache")
      const code = () => fs.readdirSync(folder).map((name) => fs.readFileSync(path.join(folder, name), "latin1"))
      /** The last line: which build the code is of, and which events used it. */
      const kinds = () => code().map((content) => content.slice(content.lastIndexOf("\n") + 34))
      yield* hook(stop(project), { env })
      const [first] = code()
      assert.deepStrictEqual(kinds(), ["Answer"])
      yield* hook(stop(project, { prompt_id: "p-2" }), { env })
      assert.isTrue(code()[0] === first)
      yield* hook(Cli.event(project, "SessionStart", { source: "startup" }), { env })
      assert.deepStrictEqual(kinds(), ["Answer SessionStart"])
      const [name] = fs.readdirSync(folder)
      fs.writeFileSync(path.join(folder, name!), "of another build\nffff Answer")
      assert.deepStrictEqual(harmless(yield* hook(stop(project, { prompt_id: "p-3" }), { env })), {})
      assert.deepStrictEqual(kinds(), ["Answer"])
      assert.strictEqual(events(home).length, 3)
    })
  )

  it.live("checkpoints only a long write-ahead log", () =>
    Effect.gen(function* () {
      const { env, folder, home, project } = yield* Cli.scratch
      yield* hook(stop(project), { env })
      assert.isAbove(fs.statSync(path.join(home, "athena.db-wal")).size, 0)
      const db = new DatabaseSync(path.join(home, "athena.db"))
      db.exec("PRAGMA wal_autocheckpoint = 0; CREATE TABLE filler AS SELECT randomblob(2000000) AS bytes")
      // As the files are when a process is killed.
      const killed = path.join(folder, "killed")
      fs.cpSync(home, killed, { recursive: true })
      db.close()
      yield* hook(stop(project, { prompt_id: "p-2" }), { env: { ...env, ATHENA_HOME: killed } })
      assert.isFalse(fs.existsSync(path.join(killed, "athena.db-wal")))
      assert.strictEqual(events(killed).length, 2)
    })
  )

  it.live("restricts its folder to its owner", () =>
    Effect.gen(function* () {
      const { env, home, project } = yield* Cli.scratch
      yield* hook(stop(project), { env })
      assert.strictEqual(fs.statSync(home).mode & 0o777, 0o700)
    })
  )

  it.live("uses Postgres with a URL or a host, and returns valid output if it is wrong", () =>
    Effect.gen(function* () {
      const { env, project } = yield* Cli.scratch
      const { host, password, port, username } = inject("postgres")
      const database = yield* Postgres.createDatabase
      const url = (pass: string, name: string, at = port) => `postgres://${username}:${pass}@${host}:${at}/${name}`
      const withUrl = { env: { ...env, ATHENA_DATABASE_URL: url(password, database) } }
      const inParts = {
        env: {
          ...env,
          ATHENA_POSTGRES_HOST: host,
          ATHENA_POSTGRES_PORT: String(port),
          ATHENA_POSTGRES_DB: database,
          ATHENA_POSTGRES_USER: username,
          ATHENA_POSTGRES_PASSWORD: password
        }
      }
      const first = yield* hook(stop(project), withUrl)
      assert.strictEqual(first.stderr, "")
      const told = yield* hook(Cli.event(project, "SessionStart", { session_id: "s-2" }), inParts)
      assert.include(JSON.stringify(harmless(told)), "All done.")

      const secret = "wrong-password-1"
      for (const [given, why] of [
        [url(secret, database), "refused the user or the password"],
        [url(password, "no_such_database"), ""],
        [url(password, database, 1), "can't be reached or opened"],
        [url(password, database, yield* silentPort), ""],
        ["mysql://localhost/x", "is not a postgres:// URL"],
        [`postgres://user:${secret}@[not-an-address/x`, "is not a postgres:// URL"]
      ] as const) {
        const result = yield* hook(stop(project), { env: { ...env, ATHENA_DATABASE_URL: given } })
        refused(result, why)
        assert.notInclude(result.stderr, secret)
        assert.notInclude(result.stderr, password)
      }
    })
  )
})
