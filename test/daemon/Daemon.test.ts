import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import { inject } from "vitest"
import { DaemonStatus, Health } from "../../src/daemon/DaemonStatus.ts"
import * as Sqlite from "../../src/sql/Sqlite.ts"
import * as Fixtures from "../utils/Fixtures.ts"
import { freePort } from "../utils/freePort.ts"
import * as Postgres from "../utils/Postgres.ts"
import * as TestDaemon from "../utils/TestDaemon.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const cwd = import.meta.dirname

const tool = (id: string) => Fixtures.body("PostToolUse.Bash", { cwd, tool_use_id: id })

const health = Schema.decodeUnknownSync(Schema.fromJsonString(Health))
const status = Schema.decodeUnknownSync(Schema.fromJsonString(DaemonStatus))

const eventually = <A, E, R>(effect: Effect.Effect<A, E, R>, is: (value: A) => boolean) =>
  effect.pipe(
    Effect.filterOrFail(is, () => "not yet" as const),
    Effect.retry({ schedule: Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "20 seconds" })) })
  )

describe("the daemon", () => {
  it.live("returns its health and status to a request with the token", () =>
    Effect.gen(function* () {
      const daemon = yield* TestDaemon.start()
      assert.strictEqual((yield* daemon.tell(tool("t-1"))).status, 204)
      const answer = yield* daemon.send({ path: "/health" })
      assert.strictEqual(answer.headers["athena-protocol"], "1")
      assert.strictEqual(answer.headers["athena-version"], "1.2.3")
      assert.deepStrictEqual(health(answer.body), {
        name: "athena-hooks",
        protocol: "1",
        version: "1.2.3",
        instance: "i-1",
        pid: process.pid,
        startedAt: "2026-01-01T00:00:00.000Z",
        home: daemon.home,
        database: "db-1",
        port: daemon.port,
        problem: null
      })
      const seen = yield* eventually(
        Effect.map(daemon.send({ path: "/status", socket: true }), ({ body }) => status(body)),
        ({ events }) => events?.stored === 1
      )
      assert.deepStrictEqual(seen.events, {
        accepted: 1,
        stored: 1,
        waiting: 0,
        deadLetters: 0,
        dropped: 0,
        lastFailure: null
      })
      assert.deepStrictEqual(
        seen.latencies.map(({ count, event }) => [event, count]),
        [["ToolUse", 1]]
      )
      assert.include((yield* daemon.send({ path: "/metrics" })).body, "athena_events")
    }).pipe(Effect.scoped)
  )

  it.live("dies with the name of a limit out of its bounds", () =>
    Effect.gen(function* () {
      for (const [name, options] of Object.entries({
        requestsPerSecond: { requestsPerSecond: 0.5 },
        payloadBytes: { payloadBytes: 1024 }
      })) {
        const exit = yield* Effect.exit(TestDaemon.run(options))
        assert.include(String(Exit.isFailure(exit) && Cause.squash(exit.cause)), `DaemonServer: ${name} is`)
      }
    }).pipe(Effect.scoped)
  )

  it.live("fails with the next step if it can't listen on its socket", () =>
    Effect.gen(function* () {
      const socket = "/nowhere/at/all/socket"
      const error = yield* Effect.flip(TestDaemon.run({ socket }))
      assert.strictEqual(error._tag, "SocketUnusable")
      assert.match(error.message, /^\/nowhere\/at\/all\/socket [^]*\(\w+\)[^]*ATHENA_HOME/)
    }).pipe(Effect.scoped)
  )

  it.live("returns no information without the token", () =>
    Effect.gen(function* () {
      const daemon = yield* TestDaemon.start()
      for (const path of ["/health", "/status", "/metrics", "/hooks/claude", "/stop", "/"]) {
        const refused = yield* daemon.send({ path, headers: { authorization: "" } })
        assert.strictEqual(refused.status, 401)
        assert.strictEqual(refused.body, "")
        assert.isUndefined(refused.headers["athena-version"])
      }
      // Nobody else can reach the socket, and its caller wants to know who refuses.
      const refused = yield* daemon.send({ path: "/health", socket: true, headers: { authorization: "" } })
      assert.strictEqual(refused.status, 401)
      assert.strictEqual(refused.headers["athena-version"], "1.2.3")
    }).pipe(Effect.scoped)
  )

  it.live("rejects malformed and oversized requests and continues", () =>
    Effect.gen(function* () {
      const daemon = yield* TestDaemon.start()
      const of = (request: TestDaemon.Request) => Effect.map(daemon.send(request), ({ status }) => status)
      assert.strictEqual(yield* of({ path: "/hooks/nobody", body: "{}" }), 404)
      assert.strictEqual(yield* of({ path: "/nowhere" }), 404)
      assert.strictEqual(yield* of({ path: "/hooks/claude" }), 404)
      assert.strictEqual(yield* of({ path: "/hooks/claude", body: "{}", headers: { "athena-protocol": "2" } }), 409)
      assert.strictEqual(yield* of({ path: "/hooks/claude", body: "{}", headers: { "athena-database": "db-2" } }), 409)
      assert.strictEqual(
        yield* of({ path: "/hooks/claude", body: "{}", headers: { "transfer-encoding": "chunked" } }),
        411
      )
      const tooLarge = yield* Effect.result(of({ path: "/hooks/claude", body: Buffer.alloc(17 * 2 ** 20, 32) }))
      // The connection may end before all of it is sent.
      if (tooLarge._tag === "Success") assert.strictEqual(tooLarge.success, 413)
      assert.strictEqual(yield* of({ path: "/hooks/claude", body: "not JSON" }), 204)
      assert.strictEqual((yield* daemon.tell(tool("t-1"))).status, 204)
    }).pipe(Effect.scoped)
  )

  it.live("limits the bytes in flight", () =>
    Effect.gen(function* () {
      const daemon = yield* TestDaemon.start()
      const answers = yield* Effect.forEach(
        Array.from({ length: 4_000 }),
        () => daemon.tell({ hook_event_name: "Notification", session_id: "s", cwd }),
        { concurrency: 50 }
      )
      const statuses = new Set(answers.map(({ status }) => status))
      assert.isTrue(statuses.has(204))
      for (const status of statuses) assert.include([204, 429], status)
    }).pipe(Effect.scoped)
  )

  it.live("returns memories in the format of each agent", () =>
    Effect.gen(function* () {
      const daemon = yield* TestDaemon.start()
      const stop = Fixtures.body("Stop.plain", {
        cwd,
        session_id: "earlier",
        last_assistant_message: "The invoice parser crashed on umlauts; decoding as UTF-8 fixed it."
      })
      assert.strictEqual((yield* daemon.tell(stop)).status, 204)
      const start = yield* daemon.tell(Fixtures.body("SessionStart.startup", { cwd, session_id: "later" }))
      assert.strictEqual(start.status, 200)
      assert.include(start.headers["content-type"], "application/json")
      assert.include(JSON.parse(start.body).hookSpecificOutput.additionalContext, "umlauts")
      const prompt = Fixtures.body("UserPromptSubmit.plain", {
        cwd,
        session_id: "third",
        prompt: "why does the invoice parser fail on umlauts"
      })
      assert.include(JSON.parse((yield* daemon.tell(prompt)).body).hookSpecificOutput.additionalContext, "UTF-8")
      // Told once in a session.
      assert.strictEqual((yield* daemon.tell({ ...prompt, prompt_id: "p-2" })).status, 204)
    }).pipe(Effect.scoped)
  )

  it.live("returns memories that other processes have stored", () =>
    Effect.gen(function* () {
      const daemon = yield* TestDaemon.start()
      const context = (session: string) =>
        Effect.map(daemon.tell(Fixtures.body("SessionStart.startup", { cwd, session_id: session })), ({ body }) => body)
      yield* context("s-1")
      yield* Effect.flatMap(
        SqlClient.SqlClient,
        (sql) => sql`INSERT INTO prospective_tasks (project_id, title, status, priority)
          SELECT id, 'Ship the parser', 'active', 9 FROM projects`
      ).pipe(Effect.provide(Sqlite.layer({ filename: `${daemon.home}/athena.db` })))
      assert.include(yield* context("s-2"), "Ship the parser")
    }).pipe(Effect.scoped)
  )

  it.live("serves its socket while another program holds its port, and listens once the port is free", () =>
    Effect.gen(function* () {
      const port = yield* Effect.promise(freePort)
      const stranger = net.createServer()
      yield* Effect.callback<void>((resume) => {
        stranger.listen(port, "127.0.0.1", () => resume(Effect.void))
      })
      const daemon = yield* TestDaemon.start({ port })
      const ask = Effect.map(daemon.send({ path: "/health", socket: true }), ({ body }) => health(body))
      const seen = yield* ask
      assert.isNull(seen.port)
      assert.include(seen.problem, `port ${port}`)
      const start = yield* daemon.send({
        path: "/hooks/claude",
        socket: true,
        body: JSON.stringify(Fixtures.body("SessionStart.startup", { cwd, session_id: "s-1" }))
      })
      assert.include(JSON.parse(start.body).systemMessage, `port ${port}`)
      yield* Effect.callback<void>((resume) => {
        stranger.close(() => resume(Effect.void))
      })
      const after = yield* eventually(ask, (found) => found.port === port)
      assert.isNull(after.problem)
    }).pipe(Effect.scoped)
  )

  it.live("stops on request with every accepted event on disk", () =>
    Effect.gen(function* () {
      const daemon = yield* TestDaemon.start()
      yield* Effect.forEach(
        Array.from({ length: 100 }, (_, i) => i),
        (i) => daemon.tell(tool(`t-${i}`)),
        { concurrency: 10 }
      )
      assert.strictEqual(yield* daemon.stop, "stop")
      const again = yield* TestDaemon.start({
        identity: { version: "1.2.3", instance: "i-2", pid: 1, startedAt: "", home: daemon.home }
      })
      yield* eventually(
        Effect.map(again.send({ path: "/status" }), ({ body }) => status(body)),
        ({ events }) => events?.waiting === 0
      )
      const [row] = yield* Effect.flatMap(
        SqlClient.SqlClient,
        (sql) => sql<{ n: number }>`SELECT count(*) AS n FROM episodic_events`
      ).pipe(Effect.provide(Sqlite.layer({ filename: `${daemon.home}/athena.db` })))
      assert.strictEqual(row?.n, 100)
    }).pipe(Effect.scoped)
  )

  it.live("stores the events of a known session whose folder was deleted before the daemon saw it", () =>
    Effect.gen(function* () {
      const shop = fs.realpathSync(yield* TempFolder.make)
      const folder = path.join(shop, "deep")
      for (const name of ["objects", "refs"]) fs.mkdirSync(path.join(shop, ".git", name), { recursive: true })
      fs.writeFileSync(path.join(shop, ".git", "HEAD"), "ref: refs/heads/main\n")
      fs.mkdirSync(folder)
      const first = yield* TestDaemon.start()
      const inFolder = (id: string) =>
        Fixtures.body("PostToolUse.Bash", { cwd: folder, tool_use_id: id, session_id: "s-1" })
      const stored = (daemon: typeof first) =>
        eventually(
          Effect.map(daemon.send({ path: "/status" }), ({ body }) => status(body)),
          ({ events }) => events?.stored === 1 && events.waiting === 0
        )
      assert.strictEqual((yield* first.tell(inFolder("t-1"))).status, 204)
      yield* stored(first)
      yield* first.stop
      fs.rmdirSync(folder)
      const next = yield* TestDaemon.start({
        identity: { version: "1.2.3", instance: "i-2", pid: 1, startedAt: "", home: first.home }
      })
      assert.strictEqual((yield* next.tell(inFolder("t-2"))).status, 204)
      yield* stored(next)
      const rows = yield* Effect.flatMap(
        SqlClient.SqlClient,
        (sql) => sql<{ path: string; n: number }>`SELECT p.path, count(*) AS n
          FROM episodic_events e JOIN projects p ON p.id = e.project_id GROUP BY p.path`
      ).pipe(Effect.provide(Sqlite.layer({ filename: `${first.home}/athena.db` })))
      assert.deepStrictEqual(rows, [{ path: shop, n: 2 }])
    }).pipe(Effect.scoped)
  )

  it.live("continues with zero counts after its spool was recreated", () =>
    Effect.gen(function* () {
      const first = yield* TestDaemon.start()
      const stored = (one: typeof first, count: number) =>
        eventually(
          Effect.map(one.send({ path: "/status" }), ({ body }) => status(body).events),
          (events) => events?.stored === count
        )
      for (const id of ["t-1", "t-2", "t-3"]) yield* first.tell(tool(id))
      yield* stored(first, 3)
      yield* first.stop
      const again = yield* TestDaemon.start({
        identity: { version: "1.2.3", instance: "i-2", pid: 1, startedAt: "", home: first.home }
      })
      yield* stored(again, 0)
      for (const suffix of ["", "-wal", "-shm"]) {
        fs.rmSync(`${first.home}/events.spool${suffix}`, { force: true })
      }
      assert.strictEqual((yield* again.tell(tool("t-4"))).status, 204)
      yield* stored(again, 1)
    }).pipe(Effect.scoped)
  )

  it.live("stores events in Postgres", () =>
    Effect.gen(function* () {
      const server = inject("postgres")
      const name = yield* Postgres.createDatabase
      const url = `postgres://${server.username}:${server.password}@${server.host}:${server.port}/${name}`
      const settings = { _tag: "Postgres", url: Redacted.make(url) } as const
      const daemon = yield* TestDaemon.start({ settings })
      assert.strictEqual((yield* daemon.tell(tool("t-1"))).status, 204)
      const seen = yield* eventually(
        Effect.map(daemon.send({ path: "/status" }), ({ body }) => status(body)),
        ({ events }) => events?.stored === 1
      )
      assert.strictEqual(seen.database, "postgres")
      assert.isNotNull(seen.pool)
      const rows = yield* Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT 1 FROM episodic_events`).pipe(
        Effect.provide(Postgres.layerDatabase(name))
      )
      assert.strictEqual(rows.length, 1)
    }).pipe(Effect.scoped)
  )
})
