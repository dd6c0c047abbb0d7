/**
 * Hooks that post their events to a process that stays: how they get into the settings and out again, and what doctor says
 * of each thing between the agent and the process.
 */
import * as fs from "node:fs"
import * as http from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Layout from "../../src/host/paths.ts"
import * as Agent from "../utils/Agent.ts"
import * as Cli from "../utils/Cli.ts"
import * as CliInProcess from "../utils/CliInProcess.ts"
import * as FakeDaemonServer from "../utils/FakeDaemonServer.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const version = (JSON.parse(fs.readFileSync(path.join(import.meta.dirname, "../../package.json"), "utf8")) as any)
  .version as string

const mode = (file: string): number => fs.statSync(file).mode & 0o777

/** The home of a user, with a repository in it. */
const scratch = Effect.map(Cli.scratch, ({ folder, project }) => {
  const home = path.join(folder, ".athena")
  const settings = path.join(folder, ".claude", "settings.json")
  const write = (content: string, mode = 0o600) => {
    fs.mkdirSync(path.dirname(settings), { recursive: true })
    fs.writeFileSync(settings, content)
    fs.chmodSync(settings, mode)
  }
  const read = () => fs.readFileSync(settings, "utf8")
  /** The installed settings with a command that only prints: for checks that do not need its response. */
  const installed = () => read().replaceAll(JSON.stringify(process.execPath), '"echo"')
  const said: Array<string> = []
  const athena = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
    Effect.map(
      CliInProcess.run(Cli.posting(args), { env: { HOME: folder, ATHENA_DAEMON: "on", ...env }, cwd: project }),
      (result) => {
        said.push(result.stdout, result.stderr)
        return result
      }
    )
  const json = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>> = {}) =>
    Effect.map(athena([...args, "--json"], env), ({ code, stderr, stdout }): any => {
      assert.strictEqual(stderr, "")
      return { code, ...JSON.parse(stdout) }
    })
  /** What doctor says of a thing; its status, detail and advice in one line. */
  const doctor = (env: Readonly<Record<string, string>> = {}) =>
    Effect.map(json(["doctor"], env), ({ checks }) => (name: string): string | undefined => {
      const check = checks.find((check: any) => check.name === name)
      return check === undefined ? undefined : `${check.status}: ${check.detail} -> ${check.advice ?? ""}`
    })
  const endpoint = () => FakeDaemonServer.endpointOf(folder)
  const start = (options: Partial<FakeDaemonServer.Options> = {}) =>
    FakeDaemonServer.start({ ...endpoint(), home, version, ...options })
  const port = (value: number) => fs.writeFileSync(path.join(home, "daemon", "port"), String(value))
  const posts = () => Agent.handlers(settings, "Stop").find(({ type }) => type === "http")
  return {
    folder,
    home,
    project,
    settings,
    write,
    read,
    installed,
    said,
    athena,
    json,
    doctor,
    endpoint,
    start,
    port,
    posts
  }
})

/** A program that has nothing to do with us, and what it was sent. */
const stranger = (port: number) =>
  Effect.gen(function* () {
    const requests: Array<http.IncomingHttpHeaders> = []
    yield* Effect.acquireRelease(
      Effect.promise(
        () =>
          new Promise<http.Server>((resolve, reject) => {
            const server = http.createServer((request, response) => {
              requests.push(request.headers)
              response.end("{}")
            })
            server.once("error", reject).listen(port, "127.0.0.1", () => resolve(server))
          })
      ),
      (server) => Effect.promise(() => new Promise((resolve) => server.close(resolve)))
    )
    return requests
  })

const others = `{
  "model": "opus",
  "hooks": {
    "Stop": [{ "hooks": [{ "type": "command", "command": "say done" }] }]
  }
}
`

describe("athena install with HTTP hooks", () => {
  it.live("replaces command hooks by HTTP hooks in place, and restores bytes and mode", () =>
    Effect.gen(function* () {
      const { endpoint, json, posts, read, settings, write } = yield* scratch
      write(others, 0o644)
      const off = { ATHENA_DAEMON: "off" }
      const first = yield* json(["install"], off)
      assert.deepInclude(first, { transport: "command", port: null, mode: "644" })
      assert.notMatch(read(), /http|Bearer/)
      write(read().replaceAll(`athena-hooks@${version}`, "athena-hooks@0.0.1"), 0o644)
      const [claude] = (yield* json(["status"])).agents
      assert.deepInclude(claude, { transport: "command" })
      assert.strictEqual(claude.outdated.length, 9)

      const installed = yield* json(["install"])
      const { port, token } = endpoint()
      assert.deepInclude(installed, { change: "change", done: true, transport: "http", port, mode: "600" })
      assert.strictEqual(mode(settings), 0o600)
      assert.strictEqual(port, Layout.defaultPort(path.join(path.dirname(path.dirname(settings)), ".athena")))
      assert.deepStrictEqual(posts()?.headers, {
        "athena-database": Layout.databaseOf({}),
        Authorization: `Bearer ${Redacted.value(token)}`,
        "Athena-Installed-By": `--installed-by=athena-hooks@${version}`
      })
      assert.strictEqual(posts()?.url, `http://127.0.0.1:${port}/hooks/claude`)
      assert.deepStrictEqual(
        Agent.handlers(settings, "Stop").map(({ command, type }) => [type, command]),
        [
          ["command", "say done"],
          ["http", undefined]
        ]
      )
      assert.deepInclude((yield* json(["status"])).agents[0], { transport: "http", outdated: [], problems: [] })
      // Switched off again, the token is gone and the file as open as it was.
      assert.deepInclude(yield* json(["install"], off), { change: "change", transport: "command", mode: "644" })
      assert.notInclude(read(), "Bearer")
      assert.strictEqual(mode(settings), 0o644)
      yield* json(["install"])
      assert.deepInclude(yield* json(["install"]), { change: "nothing" })
      yield* json(["uninstall"])
      assert.strictEqual(read(), others)
      assert.strictEqual(mode(settings), 0o644)
    })
  )

  it.live("describes the change of the mode and prints no token", () =>
    Effect.gen(function* () {
      const { athena, doctor, endpoint, home, port, project, read, said, settings, start, write } = yield* scratch
      write(others, 0o640)
      const planned = yield* athena(["install", "--dry-run"])
      assert.include(planned.stdout, '"Authorization": "Bearer ***"')
      assert.isFalse(fs.existsSync(path.join(home, "daemon")))
      assert.strictEqual(mode(settings), 0o640)
      const { stdout } = yield* athena(["install"])
      assert.include(stdout, `${settings} contains a token, so other users can't read it: mode 600, 640 before`)
      assert.match(stdout, /events are posted to 127\.0\.0\.1:\d+; the next session starts the daemon/)
      const first = endpoint()
      yield* start()
      // A diff in which the token is on both sides, and one in which it goes.
      port(first.port + 1)
      for (const args of [["install", "--dry-run"], ["install"], ["status"], ["doctor"], ["uninstall", "--dry-run"]]) {
        const { stdout } = yield* athena(args)
        if (args[1] === "--dry-run") assert.include(stdout, "Bearer ***")
        yield* athena([...args, "--json"])
      }
      assert.match((yield* doctor())("token")!, /^ok/)
      assert.include(read(), Redacted.value(first.token))
      assert.include((yield* athena(["uninstall"])).stdout, "contains no token any more: mode 640")
      assert.notInclude(said.join("\n"), Redacted.value(first.token))
      // Nobody else can read what the settings were.
      for (const name of fs.readdirSync(path.dirname(settings))) {
        if (name.includes("backup")) assert.strictEqual(mode(path.join(path.dirname(settings), name)), 0o600)
      }
      assert.isFalse(fs.existsSync(path.join(project, ".claude")))
    })
  )

  it.live("writes no token to project settings", () =>
    Effect.gen(function* () {
      const { athena, doctor, home, json, project } = yield* scratch
      assert.deepInclude(yield* json(["install", "--scope", "project"]), {
        transport: "command",
        port: null,
        mode: "644"
      })
      assert.isFalse(fs.existsSync(path.join(home, "daemon")))
      yield* athena(["install"])
      yield* athena(["install", "--scope", "project"])
      assert.notMatch(fs.readFileSync(path.join(project, ".claude", "settings.json"), "utf8"), /Bearer|http/)
      const { agents } = yield* json(["status"])
      assert.deepStrictEqual(
        agents
          .filter(({ installed }: any) => installed)
          .map(({ problems, scope, transport }: any) => [scope, transport, problems]),
        [
          ["user", "http", []],
          ["project", "command", []]
        ]
      )
      assert.match(
        (yield* doctor())("claude twice")!,
        /^warning: .*receives two responses -> run: athena uninstall --scope project/
      )
    })
  )

  it.live("selects another port if another program occupies it, and sends that program nothing", () =>
    Effect.gen(function* () {
      const { athena, doctor, endpoint, json, home, posts } = yield* scratch
      const first = Layout.defaultPort(home)
      const requests = yield* stranger(first)
      yield* json(["install"])
      const second = endpoint().port
      assert.isAbove(second, first)
      const more = yield* stranger(second)
      assert.match(
        (yield* doctor())("port")!,
        new RegExp(`^failed: another program listens on port ${second} .*athena install, which selects another`)
      )
      const again = yield* json(["install"])
      const third = endpoint().port
      assert.notInclude([first, second], third)
      assert.deepInclude(again, {
        port: third,
        notes: [`another program listens on port ${second}: events are posted to port ${third} with a new token`]
      })
      assert.include(posts()?.url, `:${third}/`)
      assert.include((yield* athena(["install"])).stdout, "up to date")
      assert.deepStrictEqual([...requests, ...more], [])
    })
  )

  it.live("retains the port of a running daemon, and stops a daemon with another port", () =>
    Effect.gen(function* () {
      const { athena, endpoint, json, start } = yield* scratch
      yield* athena(["install"])
      const before = endpoint()
      const running = yield* Effect.scoped(
        Effect.gen(function* () {
          const running = yield* start()
          assert.deepInclude(yield* json(["install"]), { change: "nothing", port: before.port, notes: [] })
          return running
        })
      )
      assert.deepStrictEqual(
        running.map(({ path }) => path),
        ["/health"]
      )
      yield* stranger(before.port)
      const elsewhere = yield* start({ listens: false, health: { port: null } })
      const { notes } = yield* json(["install"])
      assert.match(
        notes.join("\n"),
        /^another program listens on port \d+: events are posted to port \d+ with a new token\nthe daemon is stopping/
      )
      assert.deepStrictEqual(
        elsewhere.map(({ path }) => path),
        ["/health", "/stop"]
      )
    })
  )

  it.live("identifies the database in HTTP hooks, and updates them for another database", () =>
    Effect.gen(function* () {
      const { athena, json, posts, read, start } = yield* scratch
      const other = { ATHENA_POSTGRES_HOST: "db.example", ATHENA_POSTGRES_PASSWORD: "s3cret" }
      yield* athena(["install"])
      assert.deepInclude((yield* json(["status"])).agents[0], { outdated: [], problems: [] })
      const [claude] = (yield* json(["status"], other)).agents
      assert.strictEqual(claude.outdated.length, 8)
      assert.match(claude.problems[0], /outdated handler, path, port, token or database.*; run: athena install/)
      const requests = yield* start({ health: { database: Layout.databaseOf({}) } })
      assert.deepInclude(yield* json(["install"]), { change: "nothing", notes: [] })
      const { notes } = yield* json(["install"], other)
      assert.deepStrictEqual(notes, ["the daemon is stopping; the next session starts it again"])
      assert.strictEqual(posts()?.headers?.["athena-database"], Layout.databaseOf(other))
      assert.notInclude(read(), "s3cret")
      assert.deepStrictEqual(
        requests.map(({ path }) => path),
        ["/health", "/health", "/stop"]
      )
    })
  )

  it.live("stops the daemon with the last hooks", () =>
    Effect.gen(function* () {
      const { athena, json, start } = yield* scratch
      yield* athena(["install"])
      yield* athena(["install", "--agent", "codex"])
      const requests = yield* start()
      assert.deepInclude(yield* json(["uninstall", "--dry-run"]), { stopped: false })
      assert.deepInclude(yield* json(["uninstall", "--agent", "codex"]), { stopped: false })
      assert.deepStrictEqual(requests, [])
      const { stdout } = yield* athena(["uninstall"])
      assert.include(stdout, "no agent has hooks any more; the daemon is stopping")
      assert.deepStrictEqual(
        requests.map(({ path }) => path),
        ["/stop"]
      )
    })
  )

  it.live("uninstalls without HOME, which other agents need", () =>
    Effect.gen(function* () {
      const { athena, folder, home, project, settings, start } = yield* scratch
      const env = { ATHENA_HOME: home, ATHENA_DAEMON: "on", CLAUDE_CONFIG_DIR: path.dirname(settings) }
      const uninstall = Cli.run(["uninstall"], { env, cwd: project })
      yield* athena(["install"])
      yield* athena(["install", "--scope", "project"])
      const requests = yield* start()
      const first = yield* uninstall
      assert.deepStrictEqual([first.code, first.stderr], [0, ""])
      assert.include(first.stdout, `Claude Code: ${settings} contained nothing else and is deleted`)
      // Those of the project are still there.
      assert.deepStrictEqual(requests, [])
      yield* athena(["uninstall", "--scope", "project"], { HOME: path.join(folder, "nobody"), ATHENA_HOME: home })
      yield* athena(["install"])
      const { code, stderr, stdout } = yield* uninstall
      assert.deepStrictEqual([code, stderr], [0, ""])
      assert.include(stdout, "no agent has hooks any more; the daemon is stopping")
    })
  )

  it.live("warns about a token in a repository", () =>
    Effect.gen(function* () {
      const { folder, json, settings, write } = yield* scratch
      assert.deepStrictEqual((yield* json(["install"])).warnings, [])
      const dotfiles = path.join(folder, "dotfiles")
      fs.mkdirSync(path.join(dotfiles, ".git"), { recursive: true })
      write("{}")
      fs.renameSync(settings, path.join(dotfiles, "claude.json"))
      fs.symlinkSync(path.join(dotfiles, "claude.json"), settings)
      const { warnings } = yield* json(["install"])
      assert.deepStrictEqual(warnings, [
        `warning: ${settings} is in the git repository ${dotfiles}: do not commit the token`
      ])
      // Commands hold none.
      assert.deepStrictEqual((yield* json(["install"], { ATHENA_DAEMON: "off" })).warnings, [])
    })
  )

  it.live("writes ATHENA_HOME to user settings only", () =>
    Effect.gen(function* () {
      const { folder, json, settings } = yield* scratch
      const home = path.join(folder, "else where")
      yield* json(["install"], { ATHENA_HOME: home })
      assert.include(fs.readFileSync(settings, "utf8"), JSON.stringify(home))
      const installed = JSON.parse(fs.readFileSync(settings, "utf8")).hooks.SessionStart[0].hooks[0]
      assert.deepStrictEqual(installed.args.slice(1, 6), ["hook", "--agent", "claude", "--home", home])
      yield* json(["install"])
      assert.notInclude(fs.readFileSync(settings, "utf8"), "--home")
    })
  )

  it.live("creates nothing if the settings are read-only", () =>
    Effect.gen(function* () {
      const { athena, home, write } = yield* scratch
      for (const [content, mode] of [
        ["{", 0o600],
        [others, 0o400]
      ] as const) {
        write(content, mode)
        assert.strictEqual((yield* athena(["install"])).code, 1)
        assert.isFalse(fs.existsSync(path.join(home, "daemon")))
      }
    })
  )

  it.live("installs the shim beside the command", () =>
    Effect.gen(function* () {
      const { folder, project, settings } = yield* scratch
      const cli = path.join(fs.realpathSync(yield* TempFolder.make), "cli")
      fs.cpSync(path.dirname(Cli.bin), cli, { recursive: true })
      const install = Cli.run(["install", "--agent", "claude", "--post"], {
        env: { HOME: folder, ATHENA_DAEMON: "on" },
        cwd: project,
        shell: `shift 2; set -- '${process.execPath}' '${cli}/bin.js' "$@"`
      })
      for (const [name, isThere] of [
        ["bin.js", false],
        ["shim.cjs", true]
      ] as const) {
        if (isThere) fs.writeFileSync(path.join(cli, "shim.cjs"), "")
        else fs.rmSync(path.join(cli, "shim.cjs"), { force: true })
        assert.strictEqual((yield* install).code, 0)
        const [start] = Agent.handlers(settings, "SessionStart")
        assert.deepStrictEqual(start?.args?.slice(0, 4), [path.join(cli, name), "hook", "--agent", "claude"])
      }
    })
  )
})

describe("athena doctor with HTTP hooks", () => {
  it.live("passes all checks, with a real request", () =>
    Effect.gen(function* () {
      const { athena, doctor, endpoint, home, start } = yield* scratch
      yield* athena(["install"])
      const requests = yield* start()
      const check = yield* doctor()
      const { port, token } = endpoint()
      assert.strictEqual(check("process"), `ok: version ${version}, process 4321 -> `)
      assert.match(check("port")!, new RegExp(`^ok: the daemon listens on port ${port}`))
      assert.match(check("token")!, /^ok/)
      assert.match(check("claude post")!, /^ok: the daemon responded in \d+ ms/)
      assert.match(check("proxy")!, /^ok/)
      assert.match(check("permissions")!, /^ok/)
      assert.isUndefined(check("allowed urls"))
      const posted = requests.filter(({ path }) => path === "/hooks/claude")
      assert.strictEqual(posted.length, 1)
      assert.deepStrictEqual(JSON.parse(posted[0]!.body), {
        hook_event_name: "Notification",
        session_id: "athena-doctor",
        cwd: home
      })
      assert.strictEqual(posted[0]!.headers.authorization, `Bearer ${Redacted.value(token)}`)
      assert.strictEqual(posted[0]!.headers["athena-installed-by"], `--installed-by=athena-hooks@${version}`)
    })
  )

  it.live("runs the installed command without starting a daemon", () =>
    Effect.gen(function* () {
      const { athena, doctor, folder, read, write } = yield* scratch
      yield* athena(["install"])
      const script = path.join(folder, "script.js")
      const seen = path.join(folder, "seen.json")
      fs.writeFileSync(
        script,
        `require("fs").writeFileSync(${JSON.stringify(seen)}, JSON.stringify(process.env)); console.log("{}")`
      )
      write(read().replaceAll(JSON.stringify(Cli.hookScript), JSON.stringify(script)))
      assert.match((yield* doctor({ ATHENA_CACHE: "on" }))("claude run")!, /^ok/)
      const env = JSON.parse(fs.readFileSync(seen, "utf8")) as Record<string, string>
      assert.strictEqual(env["ATHENA_DAEMON"], "off")
      assert.isUndefined(env["ATHENA_CACHE"])
      assert.isTrue(env["ATHENA_HOME"]!.startsWith(os.tmpdir()))
      assert.isFalse(fs.existsSync(env["ATHENA_HOME"]!))
    })
  )

  it.live("reports a daemon that is down, outdated, failing or unresponsive", () =>
    Effect.gen(function* () {
      const { athena, doctor, endpoint, installed, json, start, write } = yield* scratch
      yield* athena(["install"])
      assert.match(
        (yield* doctor())("process")!,
        /^warning: the daemon is not running -> the next session of an agent starts it/
      )
      assert.match((yield* doctor())("port")!, /^ok: .* which is free/)
      assert.isTrue((yield* json(["doctor"])).healthy)
      write(installed())
      const during = (options: Partial<FakeDaemonServer.Options>) =>
        Effect.scoped(Effect.andThen(start(options), doctor()))
      assert.match(
        (yield* during({ version: "0.0.1" }))("process")!,
        /^warning: version 0\.0\.1 runs; this is .* -> the next session of an agent replaces it, or run: athena stop/
      )
      const held = yield* during({ listens: false, health: { port: null, problem: "port 1 is held" } })
      assert.match(held("process")!, /^failed: port 1 is held -> run: athena install/)
      assert.match(held("port")!, /^failed: HTTP hooks use port \d+, but the daemon listens on no port -> run/)
      assert.isUndefined(held("claude post"))
      const elsewhere = yield* during({ listens: false, health: { port: 1 } })
      assert.match(elsewhere("port")!, /^failed: .* but the daemon listens on port 1 -> run: athena install/)
      const silent = yield* during({ silent: true })
      assert.match(
        silent("process")!,
        /^failed: the daemon does not respond: no response within 2s -> the next session of an agent replaces it/
      )
      assert.match(silent("port")!, /^warning: the daemon does not respond, so the listener of port \d+ is unknown/)
      assert.isUndefined(silent("claude post"))
      const other = yield* during({ token: Redacted.make("another") })
      assert.match(
        other("process")!,
        /^failed: .* rejected the request \(status 401\): its token differs from this home's -> the next/
      )
      assert.isUndefined(other("claude post"))
      assert.strictEqual(endpoint().port, (yield* json(["install"])).port)
    })
  )

  it.live("reports a daemon with another database", () =>
    Effect.gen(function* () {
      const { athena, doctor, json, start } = yield* scratch
      const advice =
        "give all sessions of this user the same ATHENA_ variables of the database, then run: athena stop; athena install"
      const other = Layout.databaseOf({ ATHENA_DATABASE_URL: "postgres://ada:s3cret@db/athena" })
      yield* athena(["install"])
      const during = (options: Partial<FakeDaemonServer.Options>) =>
        Effect.scoped(Effect.andThen(start(options), doctor()))
      const elsewhere = yield* during({
        health: { database: other },
        answer: () => ({ status: 409, text: "" })
      })
      assert.strictEqual(
        elsewhere("process"),
        `failed: process 4321 uses another database than this environment -> ${advice}`
      )
      assert.strictEqual(
        elsewhere("claude post"),
        `failed: the daemon uses another database than the installed hooks (status 409) -> ${advice}`
      )
      assert.match((yield* during({ health: { database: Layout.databaseOf({}) } }))("process")!, /^ok/)
      // One of before does not say which it uses.
      assert.match((yield* during({}))("process")!, /^ok/)
      const problemsWith = (database: string) =>
        Effect.gen(function* () {
          yield* start({ health: { database } })
          return (yield* json(["status"])).daemon.problems
        }).pipe(Effect.scoped)
      assert.deepStrictEqual(yield* problemsWith(other), [
        `it uses another database than this environment names; ${advice}`
      ])
      assert.deepStrictEqual(yield* problemsWith(Layout.databaseOf({})), [])
    })
  )

  it.live("reports invalid tokens, ports and responses", () =>
    Effect.gen(function* () {
      const { athena, doctor, endpoint, home, installed, read, start, write } = yield* scratch
      yield* athena(["install"])
      const before = read()
      const quick = installed()
      write(quick)
      const { port, token } = endpoint()
      const requests = yield* stranger(0)
      for (const [status, problem] of [
        [500, /the daemon rejected the event \(status 500\) -> run: athena install/],
        [404, /does not know the address \(status 404\)/],
        [503, /the daemon is stopping or overloaded \(status 503\)/]
      ] as const) {
        const check = yield* Effect.scoped(Effect.andThen(start({ answer: () => ({ status, text: "" }) }), doctor()))
        assert.match(check("claude post")!, problem)
      }
      const hung = yield* Effect.scoped(Effect.andThen(start({ answer: () => new Promise(() => undefined) }), doctor()))
      assert.match(hung("claude post")!, /^failed: no response within 1000 ms, the timeout of the agent/)
      yield* start()
      write(before.replaceAll(Redacted.value(token), "another-token"))
      const changed = yield* doctor()
      assert.match(
        changed("token")!,
        /^failed: the token in the settings differs from this home's -> run: athena install/
      )
      assert.match(changed("claude post")!, /^failed: the daemon rejects the token \(status 401\)/)
      assert.match(changed("claude user")!, /outdated handler, path, port, token or database; run: athena install/)
      write(quick.replaceAll("127.0.0.1", "example.org"))
      const remote = yield* doctor()
      assert.match(remote("port")!, /^failed: events are posted to example\.org:\d+, not to 127\.0\.0\.1 -> run/)
      assert.isUndefined(remote("claude post"))
      write(before)
      fs.writeFileSync(path.join(home, "daemon", "token"), "damaged")
      const damaged = yield* doctor()
      assert.match(damaged("token")!, /^failed: .* has no valid token and port -> run: athena install/)
      assert.strictEqual((yield* athena(["install"])).code, 0)
      assert.notStrictEqual(Redacted.value(endpoint().token), Redacted.value(token))
      assert.strictEqual(endpoint().port, port)
      assert.deepStrictEqual(requests, [])
    })
  )

  it.live(
    "reports proxies in settings and environment",
    () =>
      Effect.gen(function* () {
        const { athena, doctor, endpoint, project, installed: read, write } = yield* scratch
        yield* athena(["install"])
        const installed = read()
        const { port } = endpoint()
        const local = path.join(project, ".claude", "settings.local.json")
        const proxyOf = (env: Record<string, string>, user: object = {}, own: object = {}) =>
          Effect.gen(function* () {
            write(installed.replace("{", `{ "env": ${JSON.stringify(user)},`))
            fs.mkdirSync(path.dirname(local), { recursive: true })
            fs.writeFileSync(local, JSON.stringify({ env: own }))
            return (yield* doctor(env))("proxy")!
          })
        const proxy = "http://proxy.example:8080"
        for (const name of ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]) {
          assert.strictEqual(
            yield* proxyOf({ [name]: proxy }),
            `failed: ${name} is set (in this environment), so the agent sends events to it -> add 127.0.0.1 to NO_PROXY, there or in the environment of the agent`
          )
        }
        assert.match(
          yield* proxyOf({ HTTPS_PROXY: proxy }),
          /^warning: HTTPS_PROXY is set .*; the agent may send events to it/
        )
        for (const exceptions of ["127.0.0.1", "*", "localhost, 127.0.0.1", `127.0.0.1:${port}`, ".0.0.1", "*.0.0.1"]) {
          assert.match(yield* proxyOf({ HTTP_PROXY: proxy, NO_PROXY: exceptions }), /^ok/, exceptions)
        }
        for (const exceptions of ["localhost", "127.0.0.1:1", "27.0.0.1", "127.0.0.0/8", ""]) {
          assert.match(yield* proxyOf({ HTTP_PROXY: proxy, NO_PROXY: exceptions }), /^failed/, exceptions)
        }
        assert.match(
          yield* proxyOf({}, { HTTP_PROXY: proxy }),
          /^failed: HTTP_PROXY is set \(env in .*settings\.json\)/
        )
        assert.match(yield* proxyOf({ HTTP_PROXY: proxy }, { NO_PROXY: "127.0.0.1" }), /^ok/)
        assert.match(
          yield* proxyOf({ HTTP_PROXY: proxy, NO_PROXY: "127.0.0.1" }, { NO_PROXY: "example.org" }),
          /^failed: .*add 127\.0\.0\.1 to NO_PROXY/
        )
        // Those of the project win over the user's, and an empty one unsets.
        assert.match(yield* proxyOf({}, { HTTP_PROXY: proxy }, { HTTP_PROXY: "" }), /^ok/)
        assert.match(yield* proxyOf({}, {}, { HTTP_PROXY: proxy }), /^failed: .*settings\.local\.json/)
      }),
    180_000
  )

  it.live("reports lists of allowed URLs that exclude the daemon", () =>
    Effect.gen(function* () {
      const { athena, doctor, endpoint, project, installed: read, write } = yield* scratch
      yield* athena(["install"])
      const installed = read()
      const { port } = endpoint()
      const local = path.join(project, ".claude", "settings.local.json")
      fs.mkdirSync(path.dirname(local), { recursive: true })
      const urls = (user: ReadonlyArray<string> | undefined, own?: ReadonlyArray<string>) =>
        Effect.gen(function* () {
          write(
            user === undefined ? installed : installed.replace("{", `{ "allowedHttpHookUrls": ${JSON.stringify(user)},`)
          )
          fs.writeFileSync(local, JSON.stringify({ allowedHttpHookUrls: own }))
          return (yield* doctor())("allowed urls")
        })
      assert.isUndefined(yield* urls(undefined))
      for (const pattern of [
        "*",
        "http://127.0.0.1:*",
        `http://127.0.0.1:${port}/hooks/claude`,
        `http://127.0.0.1:${port}/*`,
        "http://127.0.0.1*/claude"
      ]) {
        assert.match((yield* urls([pattern]))!, /^ok/, pattern)
      }
      for (const pattern of [
        "https://*",
        "http://127x0.0.1:*",
        "http://127.0.0.1",
        `http://127.0.0.1:${port}/hook`,
        "(",
        ""
      ]) {
        assert.match((yield* urls([pattern]))!, /^failed/, pattern)
      }
      assert.match(
        (yield* urls([]))!,
        new RegExp(
          `^failed: allowedHttpHookUrls has no pattern for http://127.0.0.1:${port}/hooks/claude in .*settings.json -> add http://127.0.0.1:${port}/\\* to it`
        )
      )
      assert.match((yield* urls(["*"], ["https://*"]))!, /^warning: .*settings\.local\.json/)
      assert.match((yield* urls(undefined, ["https://*"]))!, /^failed: .*settings\.local\.json/)
    })
  )

  it.live(
    "reports Qwen Code's proxy setting, proxies for https, and its list of allowed URLs",
    () =>
      Effect.gen(function* () {
        const { athena, doctor, folder } = yield* scratch
        const settings = path.join(folder, ".qwen", "settings.json")
        fs.mkdirSync(path.dirname(settings), { recursive: true })
        yield* athena(["install", "--agent", "qwen"])
        const installed = fs.readFileSync(settings, "utf8")
        const checkWith = (more: object, env: Record<string, string> = {}) => {
          fs.writeFileSync(settings, installed.replace("{", `{ ${JSON.stringify(more).slice(1, -1)},`))
          return doctor(env)
        }
        const proxy = "http://proxy.example:8080"
        assert.match((yield* checkWith({ x: 1 }))("proxy")!, /^ok/)
        assert.match((yield* checkWith({ proxy }))("proxy")!, /^failed: proxy is set \(.*\.qwen\/settings\.json\)/)
        assert.match((yield* checkWith({ x: 1 }, { HTTPS_PROXY: proxy }))("proxy")!, /^failed: HTTPS_PROXY is set/)
        assert.match((yield* checkWith({ x: 1 }, { ALL_PROXY: proxy }))("proxy")!, /^ok/)
        assert.match((yield* checkWith({ proxy }, { NO_PROXY: "127.0.0.1" }))("proxy")!, /^ok/)
        const urls = (list: ReadonlyArray<string>) =>
          Effect.map(checkWith({ security: { allowedHttpHookUrls: list } }), (check) => check("allowed urls"))
        assert.isUndefined(yield* urls([]))
        assert.match((yield* urls(["http://127.0.0.1:*"]))!, /^ok/)
        assert.match((yield* urls(["https://*"]))!, /^failed: allowedHttpHookUrls has no pattern for .*\/hooks\/qwen/)
        assert.isUndefined((yield* checkWith({ allowedHttpHookUrls: ["https://*"] }))("allowed urls"))
      }),
    180_000
  )

  it.live("reports private files of another user and files open to others", () =>
    Effect.gen(function* () {
      if (process.getuid?.() !== 0) return
      const { athena, doctor, home } = yield* scratch
      yield* athena(["install"])
      const token = path.join(home, "daemon", "token")
      fs.chmodSync(token, 0o644)
      assert.strictEqual(
        (yield* doctor())("permissions"),
        `warning: open to other users: ${token} -> chmod 600 ${token}`
      )
      fs.chownSync(token, 65_534, 65_534)
      assert.match((yield* doctor())("permissions")!, new RegExp(`^failed: of another user: ${token} -> remove what`))
    })
  )

  it.live(
    "reports conflicting variables in settings without their values",
    () =>
      Effect.gen(function* () {
        const { athena, doctor, home, project, installed: read, said, write } = yield* scratch
        yield* athena(["install"])
        const installed = read()
        const local = path.join(project, ".claude", "settings.local.json")
        fs.mkdirSync(path.dirname(local), { recursive: true })
        const environment = (user: object, own: object = {}, env: Record<string, string> = {}) =>
          Effect.gen(function* () {
            write(installed.replace("{", `{ "env": ${JSON.stringify(user)},`))
            fs.writeFileSync(local, JSON.stringify({ env: own }))
            return (yield* doctor(env))("environment")!
          })
        const url = "postgres://ada:s3cret@db/athena"
        for (const [name, value] of [
          ["ATHENA_DAEMON", "off"],
          ["ATHENA_HOME", "/somewhere/else"],
          ["ATHENA_DATABASE_URL", url],
          ["ATHENA_POSTGRES_HOST", "s3cret"],
          ["ATHENA_POSTGRES_PASSWORD", "s3cret"]
        ] as const) {
          assert.match(
            yield* environment({ [name]: value }),
            new RegExp(
              `^failed: hooks run with another ${name} \\(env in .*/\\.claude/settings\\.json\\), so events are .* -> remove it there`
            )
          )
        }
        assert.match(yield* environment({}, { ATHENA_HOME: "/else" }), /^failed: .*settings\.local\.json/)
        // The same as here, said another way, or taken back by a file that wins.
        assert.match(yield* environment({ ATHENA_DAEMON: "yes", ATHENA_HOME: `${home}/`, ATHENA_X: "1" }), /^ok/)
        assert.match(yield* environment({ ATHENA_DATABASE_URL: url }, { ATHENA_DATABASE_URL: "" }), /^ok/)
        assert.match(yield* environment({ ATHENA_DATABASE_URL: url }, {}, { ATHENA_DATABASE_URL: url }), /^ok/)
        // Here it is another one, and a file says it is none.
        assert.match(
          yield* environment({ ATHENA_POSTGRES_HOST: "" }, {}, { ATHENA_POSTGRES_HOST: "127.0.0.1:1" }),
          /^failed: .*ATHENA_POSTGRES_HOST/
        )
        assert.notInclude(said.join("\n"), "s3cret")
        // Commands do without a process, and use the memory that the settings name.
        yield* athena(["uninstall"])
        write("{}")
        yield* athena(["install"], { ATHENA_DAEMON: "off" })
        const commands = read()
        write(commands.replace("{", `{ "env": { "ATHENA_DAEMON": "off" },`))
        assert.match((yield* doctor())("environment")!, /^ok/)
        write(commands.replace("{", `{ "env": { "ATHENA_HOME": "/else" },`))
        assert.match((yield* doctor())("environment")!, /^warning: hooks run with another ATHENA_HOME .*another memory/)
      }),
    180_000
  )

  it.live("reports files that other users can read", () =>
    Effect.gen(function* () {
      const { athena, doctor, home, installed, settings, write } = yield* scratch
      yield* athena(["install"])
      write(installed())
      const folder = path.join(home, "daemon")
      for (const [file, good, bad] of [
        [home, 0o700, 0o755],
        [folder, 0o700, 0o710],
        [path.join(folder, "token"), 0o600, 0o640],
        [settings, 0o600, 0o644]
      ] as const) {
        fs.chmodSync(file, bad)
        const check = (yield* doctor())("permissions")!
        assert.strictEqual(check, `warning: open to other users: ${file} -> chmod ${good.toString(8)} ${file}`)
        fs.chmodSync(file, good)
        assert.match((yield* doctor())("permissions")!, /^ok/)
      }
      if (process.getuid?.() !== 0) return
      fs.chownSync(path.join(folder, "token"), 65_534, 65_534)
      assert.match((yield* doctor())("permissions")!, /^failed: of another user: .*token -> remove what is not yours/)
      assert.match((yield* doctor())("token")!, /^failed: .*token belongs to another user: remove it/)
      const { code, stderr } = yield* athena(["install"])
      assert.strictEqual(code, 1)
      assert.match(stderr, /^athena: .*token belongs to another user: remove it, or set ATHENA_HOME/)
    })
  )

  it.live("omits the daemon with ATHENA_DAEMON=off", () =>
    Effect.gen(function* () {
      const { athena, doctor } = yield* scratch
      const off = { ATHENA_DAEMON: "off" }
      yield* athena(["install"], off)
      const check = yield* doctor(off)
      for (const name of ["process", "port", "token", "claude post", "proxy"]) assert.isUndefined(check(name), name)
      // Commands make use of it too.
      assert.match((yield* doctor())("process")!, /^warning: the daemon is not running/)
    })
  )
})
