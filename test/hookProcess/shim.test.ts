/**
 * The shim as an agent runs it, beside a resident process that is there, away, or wrong in every way.
 */
import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { DatabaseSync } from "node:sqlite"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import { databaseOf } from "../../src/host/paths.ts"
import * as Ports from "../../src/daemon/ports.ts"
import { maxPayloadBytes } from "../../src/hooks/HookRunner.ts"
import { appeared } from "../utils/appeared.ts"
import * as Cli from "../utils/Cli.ts"
import * as FakeDaemon from "../utils/FakeDaemon.ts"
import * as Worker from "../utils/Worker.ts"

const dist = path.dirname(Cli.bin)
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

/** A shim in a folder of its own, with a command beside it that only says how it was started. */
const scratch = Effect.map(Cli.scratch, ({ env, folder, home, project }) => {
  const installed = path.join(folder, "installed")
  fs.mkdirSync(installed)
  for (const name of ["shim.cjs", "hook.cjs"]) fs.copyFileSync(path.join(dist, name), path.join(installed, name))
  fs.writeFileSync(path.join(installed, "package.json"), '{ "type": "module" }')
  fs.copyFileSync(path.join(import.meta.dirname, "startedCommand.js"), path.join(installed, "bin.js"))
  const shim = (input: string | Uint8Array, options: Cli.RunOptions & { readonly args?: ReadonlyArray<string> } = {}) =>
    Cli.run(["hook", ...(options.args ?? [])], {
      script: path.join(installed, "shim.cjs"),
      input,
      ...options,
      env: { ...env, ATHENA_DAEMON: "on", ...options.env }
    })
  return { folder, home, project, installed, env, shim }
})

const stop = (project: string, more: Readonly<Record<string, unknown>> = {}) =>
  Cli.event(project, "Stop", { prompt_id: "p-1", last_assistant_message: "All done.", ...more })

const start = (project: string): string => Cli.event(project, "SessionStart", { source: "startup" })

/** The event that the shim waits longest for, so that a busy host does not make it wait in vain. */
const end = (project: string): string => Cli.event(project, "SessionEnd", { prompt_id: "p-1", reason: "other" })

/** Exit code 0, one JSON object, and nothing to complain of. */
const said = (result: Cli.Result): unknown => {
  assert.strictEqual(result.code, 0, result.stderr)
  assert.strictEqual(result.stderr, "")
  assert.match(result.stdout, /^[^\n]+\n$/)
  return JSON.parse(result.stdout)
}

/** Recorded events in process. */
const recorded = (home: string): ReadonlyArray<string> => {
  const file = path.join(home, "athena.db")
  if (!fs.existsSync(file)) return []
  const db = new DatabaseSync(file, { readOnly: true })
  const rows = db.prepare("SELECT content FROM episodic_events ORDER BY id").all()
  db.close()
  return rows.map((row) => String(row["content"]))
}

interface Trace {
  readonly time: string
  readonly event: string
  readonly reason: string
  readonly next: string
}

const traces = (home: string): ReadonlyArray<Trace> => {
  const file = path.join(FakeDaemon.layoutOf(home).logs, "shim.log")
  if (!fs.existsSync(file)) return []
  const lines = fs.readFileSync(file, "utf8").trim().split("\n")
  return lines.map((line) => JSON.parse(line) as Trace)
}

const started = (home: string) =>
  Effect.map(appeared(home, /^started-/), ([name]) => JSON.parse(fs.readFileSync(path.join(home, name!), "utf8")))

/** A test that fails leaves it at the gate, and beside it the shell that would start it again. */
const endIfAlive = (session: number): void => {
  try {
    process.kill(-session, "SIGKILL")
  } catch {
    // It went through.
  }
}

const freePort = Effect.callback<number>((resume) => {
  const server = net.createServer().listen(0, "127.0.0.1", () => {
    const { port } = server.address() as net.AddressInfo
    server.close(() => resume(Effect.succeed(port)))
  })
})

const respond =
  (status: number, text = "", more: Readonly<Record<string, string | number>> = {}): FakeDaemon.Respond =>
  (_, response) =>
    response
      .writeHead(status, { ...FakeDaemon.headers(), "content-length": Buffer.byteLength(text), ...more })
      .end(text)

const live = (name: string, program: Effect.Effect<void, unknown, Scope.Scope>) =>
  it.live(name, () => Effect.scoped(program))

describe("the shim", () => {
  it("is one small file that requires only Node.js", () => {
    const text = fs.readFileSync(path.join(dist, "shim.cjs"), "utf8")
    assert.isBelow(Buffer.byteLength(text), 16_000)
    assert.notMatch(text, /\brequire\(|\bimport\b/)
    assert.notMatch(text, /getBuiltinModule\((?!"node:\w+"\))/)
    assert.isAbove([...text.matchAll(/\("node:\w+"\)/g)].length, 3)
  })

  live(
    "sends the event to the daemon and prints its response",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      const output = { hookSpecificOutput: { hookEventName: "SessionStart", additionalContext: "ümläut \u{1f600}" } }
      const requests = yield* FakeDaemon.start(home, (_, response) => FakeDaemon.answer(response, output))
      const input = Cli.event(project, "SessionStart", { source: "startup" })
      const odd = "/a b/ü"
      const database = "postgres://ada:secret@localhost/db"
      assert.deepStrictEqual(said(yield* shim(input, { env: { CLAUDE_PROJECT_DIR: odd } })), output)
      assert.deepStrictEqual(
        said(yield* shim(input, { args: ["--agent", "gemini", "--x"], env: { ATHENA_DATABASE_URL: database } })),
        output
      )
      assert.deepStrictEqual(said(yield* shim(input, { args: ["--agent=qwen"] })), output)
      assert.deepStrictEqual(
        requests.map(({ body, method, url }) => [method, url, body]),
        ["claude", "gemini", "qwen"].map((agent) => ["POST", `/hooks/${agent}`, input])
      )
      const [first, second] = requests.map(({ headers }) => headers)
      assert.strictEqual(first!.authorization, `Bearer ${FakeDaemon.token}`)
      assert.strictEqual(first!["athena-protocol"], "1")
      assert.strictEqual(first!["athena-project"], encodeURIComponent(odd))
      assert.strictEqual(first!["athena-database"], databaseOf({}))
      assert.strictEqual(second!["athena-database"], databaseOf({ ATHENA_DATABASE_URL: database }))
      assert.isUndefined(second!["athena-project"])
      assert.match(String(first!["athena-delivery"]), uuid)
      assert.notStrictEqual(first!["athena-delivery"], second!["athena-delivery"])
      assert.deepStrictEqual(recorded(home), [])
      assert.deepStrictEqual(traces(home), [])
    })
  )

  live(
    "prints an empty response if the daemon has none",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      yield* FakeDaemon.start(home, (_, response) => response.writeHead(204, FakeDaemon.headers()).end())
      assert.deepStrictEqual(said(yield* shim(stop(project))), {})
      assert.deepStrictEqual(recorded(home), [])
    })
  )

  for (const text of ["", '{"systemMessage":"hello"}']) {
    live(
      `says that an event may be lost that is not durable yet, and prints ${text === "" ? "no answer" : "the answer"}`,
      Effect.gen(function* () {
        const { home, project, shim } = yield* scratch
        yield* FakeDaemon.start(home, respond(202, text))
        const { code, stderr, stdout } = yield* shim(end(project))
        assert.deepStrictEqual([code, stdout], [0, `${text || "{}"}\n`])
        assert.strictEqual(stderr, "athena hook: the event is accepted but not durable yet; see: athena logs\n")
        assert.deepStrictEqual(recorded(home), [])
      })
    )
  }

  const large = "x".repeat(300 * 1024)
  const wrong: ReadonlyArray<readonly [string, FakeDaemon.Respond, RegExp, boolean]> = [
    ["is silent", () => {}, /^no response within 600 ms$/, true],
    ["fails", respond(500), /^status 500$/, true],
    ["is full", respond(503), /^status 503$/, true],
    ["knows no such token", respond(401), /^status 401$/, false],
    ["knows no such agent", respond(404), /^status 404$/, false],
    ["has another database", respond(409), /^status 409$/, false],
    ["takes no such event", respond(413), /^status 413$/, false],
    ["is asked too much", respond(429), /^status 429$/, false],
    ["is older and speaks another protocol", respond(409, "", { "athena-version": "0.0.9" }), /^status 409$/, true],
    ["answers in another protocol", respond(200, "{}", { "athena-protocol": "2" }), /^another protocol$/, true],
    ["is another program", (_, response) => response.writeHead(200).end("{}"), /^another protocol$/, true],
    ["cuts the connection", (_, response) => response.destroy(), /^(connection closed|ECONNRESET)$/, true],
    [
      "cuts its answer",
      (_, response) => {
        response.writeHead(200, { ...FakeDaemon.headers(), "content-length": 100 }).write('{"a":')
        setImmediate(() => response.destroy())
      },
      /^(connection closed|ECONNRESET)$/,
      true
    ],
    ["says no HTTP", (_, response) => response.socket!.end("good day\r\n\r\n"), /^invalid response$/, true],
    ["answers with no JSON", respond(200, "good day"), /^invalid response$/, true],
    ["answers with no object", respond(200, "[]"), /^invalid response$/, true],
    ["answers with nothing", respond(200), /^invalid response$/, true],
    ["answers too much", respond(200, JSON.stringify({ large })), /^invalid response$/, true],
    ["never ends its headers", (_, response) => response.socket!.write(large), /^response too large$/, true]
  ]
  for (const [what, respond, reason, starts] of wrong) {
    live(
      `does in process what one that ${what} does not${starts ? ", and starts another" : ""}`,
      Effect.gen(function* () {
        const { home, project, shim } = yield* scratch
        const requests = yield* FakeDaemon.start(home, respond)
        assert.deepStrictEqual(said(yield* shim(end(project))), {})
        assert.strictEqual(requests.length, 1)
        assert.deepStrictEqual(recorded(home), ["session ended (other)"])
        const [trace] = traces(home)
        assert.match(trace!.reason, reason)
        assert.strictEqual(trace!.event, "SessionEnd")
        assert.strictEqual(trace!.next, starts ? "started" : "no start")
        if (starts) assert.deepStrictEqual((yield* started(home)).args, ["serve"])
      })
    )
  }

  for (const [what, text] of [
    ["is gone", undefined],
    ["is half written", "module.exports = {"]
  ] as const) {
    live(
      `answers with nothing where what it needs in process ${what}, as while an update is under way`,
      Effect.gen(function* () {
        const { home, installed, project, shim } = yield* scratch
        const bundle = path.join(installed, "hook.cjs")
        if (text === undefined) fs.rmSync(bundle)
        else fs.writeFileSync(bundle, text)
        // Found out when it is read first, and when an answer has come.
        for (const daemon of ["off", "on"]) {
          if (daemon === "on") yield* FakeDaemon.start(home, respond(503))
          const { code, stderr, stdout } = yield* shim(stop(project), { env: { ATHENA_DAEMON: daemon } })
          assert.deepStrictEqual([code, stdout], [0, "{}\n"], stderr)
          assert.match(stderr, /^athena hook: [^\n]+\n$/)
        }
      })
    )
  }

  live(
    "runs in process if the daemon's folder is unreadable",
    Effect.gen(function* () {
      const { folder, installed, project, shim } = yield* scratch
      fs.copyFileSync(path.join(dist, "hook-postgres.cjs"), path.join(installed, "hook-postgres.cjs"))
      const circle = path.join(folder, "circle")
      fs.symlinkSync("circle", circle)
      // Nothing listens there: it is enough to see who complains.
      const env = { ATHENA_HOME: circle, ATHENA_DATABASE_URL: "postgres://ada:x@127.0.0.1:1/x" }
      const off = yield* shim(stop(project), { env: { ...env, ATHENA_DAEMON: "off" } })
      assert.deepStrictEqual(yield* shim(stop(project), { env }), off)
      assert.deepStrictEqual([off.code, off.stdout], [0, "{}\n"])
    })
  )

  live(
    "runs in process for an unknown user without a home",
    Effect.gen(function* () {
      if (process.getuid?.() !== 0) return
      const { folder, home, installed, project } = yield* scratch
      fs.chmodSync(installed, 0o755)
      const unknown = `process.setgid(54321); process.setuid(54321); delete process.env.HOME`
      fs.writeFileSync(path.join(folder, "unknown.cjs"), unknown)
      const { code, stderr, stdout } = yield* Cli.run(["hook"], {
        script: path.join(installed, "shim.cjs"),
        input: stop(project),
        env: { NODE_OPTIONS: `--require ${path.join(folder, "unknown.cjs")}` }
      })
      assert.deepStrictEqual([code, stdout], [0, "{}\n"], stderr)
      assert.match(stderr, /^athena hook: [^\n]*HOME[^\n]*\n$/)
      assert.isFalse(fs.existsSync(home))
    })
  )

  live(
    "reports an unsupported version of Node.js",
    Effect.gen(function* () {
      const { folder, project, shim } = yield* scratch
      const old = path.join(folder, "old.cjs")
      fs.writeFileSync(
        old,
        'Object.defineProperty(process.versions, "node", { value: "18.20.0" }); process.getBuiltinModule = undefined'
      )
      const { code, stderr, stdout } = yield* shim(stop(project), { env: { NODE_OPTIONS: `--require ${old}` } })
      assert.deepStrictEqual([code, stdout], [0, "{}\n"], stderr)
      assert.match(stderr, /^athena needs Node.js [^\n]+\n$/)
    })
  )

  live(
    "runs in process without a home, without a socket, and with a stale or stopped one",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      const places = FakeDaemon.layoutOf(home)
      const next = (id: string) => shim(stop(project, { prompt_id: id }))
      assert.deepStrictEqual(said(yield* next("p-1")), {})
      assert.isFalse(fs.existsSync(places.token))
      FakeDaemon.prepare(home)
      assert.deepStrictEqual(said(yield* next("p-2")), {})
      const holder = path.join(import.meta.dirname, "..", "daemon", "holder.ts")
      const arguments_ = [JSON.stringify({ home, version: "0.1.0" })]
      yield* (yield* Worker.start(holder, arguments_)).kill
      assert.isTrue(fs.existsSync(places.socket))
      assert.deepStrictEqual(said(yield* next("p-3")), {})
      const stopped = yield* Worker.start(holder, arguments_)
      process.kill(stopped.pid, "SIGSTOP")
      assert.deepStrictEqual(said(yield* next("p-4")), {})
      assert.deepStrictEqual(recorded(home).length, 4)
      assert.deepStrictEqual(
        traces(home).map(({ reason }) => reason),
        ["the folder of the socket is absent", "ENOENT", "ECONNREFUSED", "no response within 250 ms"]
      )
      // One start is enough for all of them.
      assert.deepStrictEqual(
        traces(home).map((trace) => trace.next),
        ["started", ...Array.from({ length: 3 }, () => "starting")]
      )
      yield* started(home)
    })
  )

  live(
    "rejects a socket in a folder that other users can write",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      const requests = yield* FakeDaemon.start(home, respond(204))
      fs.chmodSync(FakeDaemon.layoutOf(home).folder, 0o777)
      assert.deepStrictEqual(said(yield* shim(stop(project))), {})
      assert.deepStrictEqual(requests, [])
      assert.deepStrictEqual(recorded(home), ["All done."])
      assert.include(traces(home)[0]!.reason, "open to others")
      yield* started(home)
    })
  )

  live(
    "creates nothing in a folder of another user",
    Effect.gen(function* () {
      if (process.getuid?.() !== 0) return
      const { home, project, shim } = yield* scratch
      const { folder, token } = FakeDaemon.prepare(home)
      fs.chownSync(folder, 65_534, 65_534)
      assert.deepStrictEqual(said(yield* shim(stop(project))), {})
      assert.deepStrictEqual(recorded(home), ["All done."])
      assert.deepStrictEqual(fs.readdirSync(folder), [path.basename(token)])
    })
  )

  live(
    "prints the response of an older daemon and replaces it; leaves a newer one running",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      let version = ""
      yield* FakeDaemon.start(home, (_, response) => FakeDaemon.answer(response, { version }, version))
      for (version of ["", "0.1.0", "99.0.0"]) {
        assert.deepStrictEqual(said(yield* shim(end(project))), { version })
        assert.isFalse(fs.existsSync(FakeDaemon.layoutOf(home).startClaim))
      }
      version = "0.1.0-rc.1"
      assert.deepStrictEqual(said(yield* shim(end(project))), { version })
      assert.deepStrictEqual((yield* started(home)).args, ["serve"])
      assert.deepStrictEqual(recorded(home), [])
    })
  )

  live(
    "contacts and starts no daemon when disabled",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      for (const [i, off] of ["off", "false", "0", "no"].entries()) {
        assert.deepStrictEqual(
          said(yield* shim(stop(project, { prompt_id: `p-${i}` }), { env: { ATHENA_DAEMON: off } })),
          {}
        )
      }
      assert.strictEqual(recorded(home).length, 4)
      assert.isFalse(fs.existsSync(FakeDaemon.layoutOf(home).folder))
    })
  )

  live(
    "starts one daemon from twenty concurrent shims",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      const results = yield* Effect.all(
        Array.from({ length: 20 }, (_, i) => shim(stop(project, { prompt_id: `p-${i}` }))),
        { concurrency: 20 }
      )
      for (const result of results) assert.strictEqual(result.code, 0)
      assert.deepStrictEqual(
        traces(home)
          .map(({ next }) => next)
          .toSorted(),
        ["started", ...Array.from({ length: 19 }, () => "starting")]
      )
      yield* started(home)
    })
  )

  live(
    "takes over a start abandoned ten seconds ago",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      const { startClaim: starting } = FakeDaemon.prepare(home)
      fs.writeFileSync(starting, "1")
      const before = Date.now() / 1_000 - 11
      fs.utimesSync(starting, before, before)
      said(yield* shim(stop(project)))
      assert.deepStrictEqual(
        traces(home).map(({ next }) => next),
        ["started"]
      )
      yield* started(home)
    })
  )

  live(
    "starts a daemon that outlives it, without the agent's terminal, pipes and secrets",
    Effect.gen(function* () {
      const { env, home, project, shim } = yield* scratch
      fs.mkdirSync(home, { mode: 0o700 })
      execFileSync("mkfifo", [path.join(home, "gate")])
      const kept = {
        ATHENA_CACHE: "true",
        LC_ALL: "C",
        TZ: "UTC",
        PGSSLROOTCERT: "/x",
        NODE_EXTRA_CA_CERTS: "/dev/null"
      }
      const secret = {
        ANTHROPIC_API_KEY: "secret",
        CLAUDE_CODE_MESSAGING_TOKEN: "secret",
        GITHUB_TOKEN: "secret",
        NODE_OPTIONS: "--no-warnings",
        LD_LIBRARY_PATH: "/secret"
      }
      // Its pipes are closed when this is over, though the process that it started waits at the gate.
      said(yield* shim(stop(project), { env: { ...kept, ...secret } }))
      const process_ = yield* started(home)
      yield* Effect.addFinalizer(() => Effect.sync(() => endIfAlive(process_.session)))
      assert.strictEqual(process_.session, process_.parent)
      assert.strictEqual(process_.cwd, home)
      assert.deepStrictEqual(process_.streams, ["/dev/null", "/dev/null", "/dev/null"])
      assert.deepInclude(process_.env, { ...kept, ...env, ATHENA_DAEMON: "on" })
      assert.notInclude(JSON.stringify(process_.env), "secret")
      assert.isUndefined(process_.env.NODE_OPTIONS)
      fs.writeFileSync(path.join(home, "gate"), "open")
      yield* appeared(home, /^ended-/)
    })
  )

  const answered = { hookSpecificOutput: { hookEventName: "SessionStart", additionalContext: "from the process" } }

  live(
    "starts a daemon with an inherited port and requests the session start's response from it",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      const places = FakeDaemon.prepare(home)
      execFileSync("mkfifo", [path.join(home, "gate")])
      const port = yield* freePort
      fs.writeFileSync(places.port, String(port), { mode: 0o600 })
      const shims = yield* Effect.forkChild(
        Effect.all([shim(start(project)), shim(start(project))], { concurrency: "unbounded" })
      )
      const process_ = yield* started(home)
      yield* Effect.addFinalizer(() => Effect.sync(() => endIfAlive(process_.session)))
      assert.deepStrictEqual(process_.args, ["serve", "--listener-fd", "3"])
      assert.deepStrictEqual(process_.streams, ["/dev/null", "/dev/null", "/dev/null"])
      // Nobody accepts yet, and nobody is turned away.
      assert.isTrue(yield* Ports.isHeld(port))
      yield* FakeDaemon.start(home, (_, response) => FakeDaemon.answer(response, answered))
      for (const result of yield* Fiber.join(shims)) assert.deepStrictEqual(said(result), answered)
      assert.deepStrictEqual(
        fs.readdirSync(home).filter((name) => name.startsWith("started-")),
        [`started-${process_.pid}`]
      )
      assert.deepStrictEqual(recorded(home), [])
      assert.deepStrictEqual(
        traces(home)
          .map(({ next }) => next)
          .toSorted(),
        ["started", "starting"]
      )
      fs.writeFileSync(path.join(home, "gate"), "open")
      yield* appeared(home, /^ended-/)
      // Until the shell has left as well.
      yield* Effect.repeat(Ports.isHeld(port), { while: (isHeld) => isHeld })
    })
  )

  live(
    "waits for no ending daemon and immediately replaces an exited one",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      const { startClaim: starting } = FakeDaemon.prepare(home)
      const gone = spawnSync(process.execPath, ["-e", "0"]).pid
      for (const claim of [undefined, String(gone)]) {
        if (claim !== undefined) fs.writeFileSync(starting, claim)
        assert.deepStrictEqual(said(yield* shim(start(project))), {})
        const [trace] = traces(home).slice(-1)
        assert.deepStrictEqual([trace!.event, trace!.next], ["SessionStart", "started"])
      }
      yield* started(home)
    })
  )

  live(
    "sends a session start to the successor of an ending daemon",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      FakeDaemon.prepare(home)
      execFileSync("mkfifo", [path.join(home, "gate")])
      let answers = 0
      yield* FakeDaemon.start(home, (request, response) =>
        answers++ < 2 ? respond(503)(request, response) : FakeDaemon.answer(response, answered)
      )
      const asked = yield* Effect.forkChild(shim(start(project)))
      const process_ = yield* started(home)
      yield* Effect.addFinalizer(() => Effect.sync(() => endIfAlive(process_.session)))
      assert.deepStrictEqual(said(yield* Fiber.join(asked)), answered)
    })
  )

  live(
    "sends only a health request with --revive",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      const revive = shim(stop(project), { args: ["--agent", "claude", "--revive"] })
      const program = Effect.gen(function* () {
        const requests = yield* FakeDaemon.start(home, (_, response) =>
          FakeDaemon.answer(response, FakeDaemon.healthOf(home))
        )
        assert.deepStrictEqual(said(yield* revive), {})
        assert.deepStrictEqual(
          requests.map(({ method, url }) => [method, url]),
          [["GET", "/health"]]
        )
      })
      yield* Effect.scoped(program)
      assert.deepStrictEqual(recorded(home), [])
      assert.deepStrictEqual(traces(home), [])
      assert.deepStrictEqual(said(yield* revive), {})
      assert.deepStrictEqual(recorded(home), ["All done."])
      yield* started(home)
    })
  )

  live(
    "runs HTTP hook events in process if the daemon has no port",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      const health = { ...FakeDaemon.healthOf(home), port: null, problem: "port 21234 is held by another program" }
      yield* FakeDaemon.start(home, (_, response) => FakeDaemon.answer(response, health))
      assert.deepStrictEqual(said(yield* shim(end(project), { args: ["--revive"] })), {})
      assert.deepStrictEqual(recorded(home), ["session ended (other)"])
      const [{ next, reason }] = traces(home) as [Trace]
      assert.deepStrictEqual([reason, next], ["no port", "no start"])
    })
  )

  live(
    "prints an empty response with --revive",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      said(yield* shim(stop(project)))
      yield* started(home)
      const start = Cli.event(project, "SessionStart", { session_id: "s-2", source: "startup" })
      assert.include(JSON.stringify(said(yield* shim(start))), "All done.")
      assert.deepStrictEqual(said(yield* shim(start.replace("s-2", "s-3"), { args: ["--revive"] })), {})
    })
  )

  live(
    "accepts the largest event, sent and in process, and rejects a larger one",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      const ending = (filler: string) => Cli.event(project, "SessionEnd", { reason: "other", filler })
      const largest = ending("x".repeat(maxPayloadBytes - ending("").length))
      assert.strictEqual(largest.length, maxPayloadBytes)
      assert.deepStrictEqual(said(yield* shim(largest)), {})
      assert.strictEqual(recorded(home).length, 1)
      yield* started(home)
      const requests = yield* FakeDaemon.start(home, respond(204))
      assert.deepStrictEqual(said(yield* shim(largest)), {})
      assert.isTrue(requests.length === 1 && requests[0]!.body === largest)
      assert.deepStrictEqual(said(yield* shim(`${largest} \n`)), {})
      const refused = yield* shim(largest.replace("xx", "xxx"))
      assert.deepStrictEqual([refused.code, refused.stdout], [0, "{}\n"])
      assert.match(refused.stderr, /^athena hook: the event is larger than [^\n]+\n$/)
      assert.strictEqual(requests.length, 2)
    })
  )

  live(
    "reads the first JSON value as the event, in any notation and with trailing data",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      const requests = yield* FakeDaemon.start(home, respond(204))
      const body = end(project)
      const inputs: ReadonlyArray<readonly [input: string | Uint8Array, keepInputOpen?: boolean]> = [
        [`\uFEFF${body}`],
        [Buffer.from(`\uFEFF${body}`, "utf16le")],
        [`${body}\r\n`],
        [`${body}\u0000`],
        [`${body}\n${body}`],
        [body, true],
        [`\uFEFF ${body}\n`, true]
      ]
      for (const [input, keepInputOpen = false] of inputs) {
        assert.deepStrictEqual(said(yield* shim(input, { keepInputOpen })), {})
      }
      assert.deepStrictEqual(
        requests.map(({ body }) => body.trimStart()),
        inputs.map(() => body)
      )
      assert.deepStrictEqual(recorded(home), [])
      // The same in process.
      const alone = { env: { ATHENA_DAEMON: "off" } }
      for (const [index, [input, keepInputOpen = false]] of inputs.entries()) {
        const text = Buffer.from(input).toString(index === 1 ? "utf16le" : "utf8")
        const own = text.replaceAll('"p-1"', `"p-${index}"`).replace('"other"', '"clear"')
        said(yield* shim(index === 1 ? Buffer.from(own, "utf16le") : own, { ...alone, keepInputOpen }))
      }
      assert.strictEqual(recorded(home).length, inputs.length)
    })
  )

  live(
    "ends if its input never ends",
    Effect.gen(function* () {
      const { shim } = yield* scratch
      const result = yield* shim("", { keepInputOpen: true })
      assert.deepStrictEqual([result.code, result.stdout], [0, "{}\n"])
      assert.match(result.stderr, /^athena hook: no response within [^\n]+\n$/)
    })
  )

  live(
    "prints valid output with an unreadable home and without one",
    Effect.gen(function* () {
      const { folder, home, installed, project, shim } = yield* scratch
      FakeDaemon.prepare(home)
      fs.chmodSync(home, 0)
      fs.chmodSync(installed, 0o755)
      const unreadable = yield* shim(stop(project), { unprivileged: true })
      const none = yield* shim(stop(project), { env: { ATHENA_HOME: "", HOME: "" } })
      const file = path.join(folder, "file")
      fs.writeFileSync(file, "")
      const odd = yield* shim(stop(project), { env: { ATHENA_HOME: file } })
      fs.chmodSync(home, 0o700)
      for (const { code, stderr, stdout } of [unreadable, none, odd]) {
        assert.deepStrictEqual([code, stdout], [0, "{}\n"])
        assert.match(stderr, /^athena hook: [^\n]+\n$/)
      }
      assert.isFalse(fs.existsSync(FakeDaemon.layoutOf(home).startClaim))
    })
  )

  live(
    "prints valid output without its fallback bundle and with an invalid argument",
    Effect.gen(function* () {
      const { home, installed, project, shim } = yield* scratch
      const requests = yield* FakeDaemon.start(home, respond(204))
      const unknown = yield* shim(stop(project), { args: ["--agent", "a/../../b"] })
      assert.strictEqual(unknown.stdout, "{}\n")
      assert.match(unknown.stderr, /^athena hook: --agent must be one of [^\n]+\n$/)
      assert.deepStrictEqual(requests, [])
      fs.chmodSync(FakeDaemon.layoutOf(home).folder, 0o777)
      fs.unlinkSync(path.join(installed, "hook.cjs"))
      const broken = yield* shim(stop(project))
      assert.deepStrictEqual([broken.code, broken.stdout], [0, "{}\n"])
      assert.match(broken.stderr, /^athena hook: [^\n]+\n$/)
      yield* started(home)
    })
  )

  live(
    "logs the reason of each run without the daemon, and no payload",
    Effect.gen(function* () {
      const { home, project, shim } = yield* scratch
      yield* FakeDaemon.start(home, respond(500))
      const { logs } = FakeDaemon.layoutOf(home)
      fs.mkdirSync(logs)
      const file = path.join(logs, "shim.log")
      fs.writeFileSync(file, "x".repeat(256 * 1024 + 1))
      said(yield* shim(stop(project)))
      assert.strictEqual(fs.statSync(`${file}.1`).size, 256 * 1024 + 1)
      assert.strictEqual(fs.statSync(file).mode & 0o777, 0o600)
      const text = fs.readFileSync(file, "utf8")
      assert.deepStrictEqual(Object.keys(traces(home)[0]!), ["time", "event", "reason", "next"])
      for (const secret of ["All done", FakeDaemon.token, project]) assert.notInclude(text, secret)
      yield* started(home)
    })
  )

  live(
    "behaves as the command does",
    Effect.gen(function* () {
      const { env, home, project } = yield* Cli.scratch
      const requests = yield* FakeDaemon.start(home, respond(204))
      const options = { env: { ...env, ATHENA_DAEMON: "on" }, input: end(project) }
      assert.deepStrictEqual(said(yield* Cli.run(["hook", "--agent", "codex"], options)), {})
      assert.deepStrictEqual(
        requests.map(({ url }) => url),
        ["/hooks/codex"]
      )
    })
  )
})
