/**
 * `athena install`, what it installed, and `athena uninstall`, as an agent and its user meet them.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Agents from "../../src/install/Agents.ts"
import * as CodexTrust from "../../src/install/internal/codexTrust.ts"
import * as Agent from "../utils/Agent.ts"
import * as Cli from "../utils/Cli.ts"
import * as CliInProcess from "../utils/CliInProcess.ts"

/** The home of a user, with a repository in it. */
const scratch = Effect.map(Cli.scratch, ({ folder, project }) => {
  const env = { HOME: folder }
  const settings = path.join(folder, ".claude", "settings.json")
  const write = (content: string, mode = 0o600) => {
    fs.mkdirSync(path.dirname(settings), { recursive: true })
    fs.writeFileSync(settings, content)
    fs.chmodSync(settings, mode)
  }
  const read = () => fs.readFileSync(settings, "utf8")
  const athena = (...args: ReadonlyArray<string>) =>
    CliInProcess.run(Cli.posting(args), { env: { ...env, ATHENA_DAEMON: "on" }, cwd: project })
  /** The same as a process. */
  const process = (...args: ReadonlyArray<string>) =>
    Cli.run(Cli.posting(args), { env: { ...env, ATHENA_DAEMON: "on" }, cwd: project })
  const json = (...args: ReadonlyArray<string>) =>
    Effect.map(athena(...args, "--json"), ({ code, stdout }): any => ({ code, ...JSON.parse(stdout) }))
  /** Everything below the home, by name and content. */
  const everything = () =>
    fs
      .readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => fs.lstatSync(path.join(folder, name)).isFile() && !name.includes("compile-cache"))
      .toSorted()
      .map((name) => [name, fs.readFileSync(path.join(folder, name), "utf8")])
  return { folder, project, env, settings, write, read, athena, process, json, everything }
})

/** Confirms all hooks of a file of Codex, as its user does in its terminal. */
const trust = (file: string) => {
  const config = path.join(path.dirname(file), "config.toml")
  const events = Agents.codex.wiring({ node: "", script: "", version: "" }).map(({ event }) => event)
  const states = events.flatMap((event) =>
    Agent.handlers(file, event).map(({ command, timeout, type }, at) => {
      const name = event.replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter}`).toLowerCase()
      const hash = CodexTrust.hashOf(event, undefined, { type, command, timeout })
      return `[hooks.state."${file}:${name}:${at}:0"]\ntrusted_hash = "${hash}"\n`
    })
  )
  fs.writeFileSync(config, states.join("\n"))
}

const others = `{
  "model": "opus", // the good one
  "hooks": {
    "Stop": [{ "hooks": [{ "type": "command", "command": "say done" }] }]
  }
}
`

describe("athena install", () => {
  it.live("prints a diff and changes nothing with --dry-run", () =>
    Effect.gen(function* () {
      const { athena, everything, json, settings, write } = yield* scratch
      const missing = yield* athena("install", "--dry-run")
      assert.strictEqual(missing.code, 0)
      assert.match(
        missing.stdout,
        new RegExp(`^--- /dev/null\\n\\+\\+\\+ ${settings}\\n@@ -0,0 \\+1,\\d+ @@\\n\\+\\{\\n`)
      )
      write(others)
      const before = everything()
      const { stdout } = yield* athena("install", "--dry-run")
      assert.include(stdout, `--- ${settings}\n+++ ${settings}\n@@`)
      assert.include(stdout, '\n-    "Stop": [{ "hooks"')
      assert.include(stdout, '\n+    "Stop": [{ "hooks"')
      const planned = yield* json("install", "--dry-run")
      assert.deepInclude(planned, { change: "change", done: false, backup: null })
      assert.match(planned.warnings.join(), /the file has comments; some versions of Claude Code ignore such a file/)
      assert.deepStrictEqual(everything(), before)
    })
  )

  it.live("installs hooks that handle a whole session, and uninstalls them byte for byte", () =>
    Effect.gen(function* () {
      const { athena, env, json, project, read, settings, write } = yield* scratch
      // This agent reads JSON without comments.
      const before = others.replace(" // the good one", "")
      write(before)
      const installed = yield* athena("install")
      assert.strictEqual(installed.code, 0, installed.stderr)
      assert.include(installed.stdout, `installed hooks for 9 events in ${settings}`)

      const serving = yield* Effect.forkScoped(Cli.run(["serve"], { env }))
      const statusWhen = (is: (status: any) => boolean) => Effect.repeat(json("status"), { until: is })
      yield* statusWhen(({ daemon }) => daemon.state === "running")
      const session: Agent.Session = {
        settings,
        cwd: project,
        env: { ...env, ATHENA_DAEMON: "on", CLAUDE_PROJECT_DIR: project }
      }
      const tell = Effect.fnUntraced(function* (id: string, name: string, more: object = {}) {
        const body = { hook_event_name: name, session_id: id, cwd: project, ...more }
        const ours = (yield* Agent.tell(session, body)).at(-1)!
        assert.deepInclude(ours, { code: 0, stderr: "" })
        return JSON.parse(ours.stdout) as { hookSpecificOutput?: { additionalContext: string } }
      })
      yield* tell("s-1", "SessionStart", { source: "startup" })
      yield* tell("s-1", "UserPromptSubmit", { prompt: "How do we deploy to the staging branch?" })
      yield* tell("s-1", "PostToolBatch", {
        tool_calls: [{ tool_name: "Bash", tool_input: { command: "make deploy" }, tool_use_id: "t-1" }]
      })
      yield* tell("s-1", "Stop", { last_assistant_message: "Deploys go through the staging branch." })
      yield* tell("s-1", "SessionEnd", { reason: "other" })
      const status = yield* statusWhen(({ memory }) => memory.events >= 4)
      const next = yield* tell("s-2", "SessionStart", { source: "startup" })
      assert.include(next.hookSpecificOutput?.additionalContext, "Deploys go through the staging branch.")

      assert.deepInclude(status, { code: 0, healthy: true })
      assert.deepInclude(status.memory, { database: "embedded", events: 4, projects: 1 })
      assert.deepInclude(status.agents[0], {
        agent: "claude",
        scope: "user",
        installed: true,
        transport: "http",
        missing: [],
        outdated: []
      })
      assert.match(
        (yield* athena("status")).stdout,
        /^Claude Code \(user\) +9 events, HTTP hooks, version \d+\.\d+\.\d+ {2}\//
      )

      const checks = (yield* json("doctor")).checks.filter(({ status }: any) => status !== "ok")
      assert.deepStrictEqual(checks, [])

      assert.deepInclude(yield* json("uninstall"), { code: 0, stopped: true })
      assert.deepInclude(yield* Fiber.join(serving), { code: 0, stderr: "" })
      assert.strictEqual(read(), before)
      assert.deepInclude(yield* json("uninstall"), { code: 0, change: "nothing", done: false })
      assert.include((yield* athena("status")).stdout, "not installed")
    })
  )

  it.live.each([
    ["codex", ".codex/hooks.json", "UserPromptSubmit", { prompt: "How do we deploy?", turn_id: "t-1" }, 10],
    ["qwen", ".qwen/settings.json", "UserPromptSubmit", { prompt: "x", submitted_prompt: "How do we deploy?" }, 10_000],
    ["gemini", ".gemini/settings.json", "BeforeAgent", { prompt: "How do we deploy?" }, 10_000]
  ] as const)("installs what %s can run", ([agent, file, name, prompt, timeout]) =>
    Effect.gen(function* () {
      const { athena, env, folder, json, project } = yield* scratch
      assert.strictEqual((yield* athena("remember", "Deploys go through the staging branch")).code, 0)
      const settings = path.join(folder, file)
      assert.strictEqual((yield* athena("install", "--agent", agent, "--no-post")).code, 0)
      if (agent === "codex") trust(settings)
      const session: Agent.Session = { settings, cwd: project, env }
      const tell = (hook_event_name: string, more: object) =>
        Effect.map(
          Agent.tell(session, { hook_event_name, session_id: `${agent}-1`, cwd: project, ...more } as never),
          (answers) => answers[0]!
        )
      for (const [event, more] of [
        ["SessionStart", { source: "startup" }],
        [name, prompt]
      ] as const) {
        const { code, stderr, stdout } = yield* tell(event, more)
        assert.deepInclude({ code, stderr }, { code: 0, stderr: "" })
        // Gemini CLI takes what a session's start adds for the prompt itself.
        if (event !== (agent === "gemini" ? name : "SessionStart")) continue
        const { additionalContext, hookEventName } = JSON.parse(stdout).hookSpecificOutput
        assert.strictEqual(hookEventName, event)
        assert.include(additionalContext, "Deploys go through the staging branch")
      }
      assert.strictEqual(Agent.handlers(settings, name)[0]?.timeout, timeout)
      const found = yield* json("search", "How do we deploy")
      assert.include(JSON.stringify(found.results), "How do we deploy?")
      const { agents } = yield* json("status")
      assert.deepInclude(
        agents.find(({ file }: any) => file === settings),
        { agent, installed: true, problems: [] }
      )
      assert.strictEqual((yield* json("doctor")).code, 0)
      yield* athena("uninstall", "--agent", agent)
      assert.isFalse(fs.existsSync(settings))
    })
  )

  it.live("uses the settings file in which Codex has hooks", () =>
    Effect.gen(function* () {
      const { athena, folder, json } = yield* scratch
      const config = path.join(folder, ".codex", "config.toml")
      const before = 'model = "x" # mine\n\n[[hooks.Stop]]\n[[hooks.Stop.hooks]]\ntype = "command"\ncommand = "say"'
      fs.mkdirSync(path.dirname(config))
      fs.writeFileSync(config, before)
      for (let times = 0; times < 2; times++) assert.strictEqual((yield* athena("install", "--agent", "codex")).code, 0)
      assert.isTrue(fs.readFileSync(config, "utf8").startsWith(before))
      assert.deepStrictEqual(
        fs.readdirSync(path.dirname(config)).filter((name) => !name.includes("backup")),
        ["config.toml"]
      )
      const find = Effect.map(json("status"), ({ agents }) => agents.find(({ file }: any) => file === config))
      assert.deepInclude(yield* find, { agent: "codex", installed: true, missing: [], outdated: [] })
      assert.match(
        (yield* find).problems.join(),
        /^Codex CLI does not run some hooks .*not confirmed: .*SessionStart, /
      )
      assert.match((yield* json("doctor")).checks.find((check: any) => check.name === "codex run").detail, /responded/)
      fs.writeFileSync(config, fs.readFileSync(config, "utf8").replace("\n\n", "\n[features]\nhooks = false\n\n"))
      assert.match((yield* find).problems.join(), /disabled by \[features\] hooks in .*config\.toml/)
      fs.writeFileSync(config, fs.readFileSync(config, "utf8").replace("[features]\nhooks = false\n", ""))
      // They are found where they were put, also when the other file is there by now.
      fs.writeFileSync(path.join(folder, ".codex", "hooks.json"), "{}")
      assert.strictEqual((yield* athena("uninstall", "--agent", "codex")).code, 0)
      assert.strictEqual(fs.readFileSync(config, "utf8"), before)
      assert.match((yield* athena("install", "--agent", "codex")).stdout, / in .*hooks\.json/)
    })
  )

  it.live("lists the hooks that Codex skips until the user confirms them", () =>
    Effect.gen(function* () {
      const { athena, folder, json } = yield* scratch
      const hooks = path.join(folder, ".codex", "hooks.json")
      const installed = yield* json("install", "--agent", "codex")
      assert.strictEqual(installed.untrusted.length, 9)
      assert.match(installed.warnings.join(), /not confirmed: SessionStart, .*: start codex in a terminal and trust/)
      assert.match((yield* athena("install", "--agent", "codex")).stdout, /up to date[^]*does not run some hooks/)
      const find = Effect.map(json("status"), ({ agents }) => agents.find(({ file }: any) => file === hooks))
      assert.include(yield* find, { installed: true })
      assert.strictEqual((yield* find).untrusted.length, 9)
      const check = Effect.map(json("doctor"), ({ checks }) => checks.find(({ name }: any) => name === "codex user"))
      assert.deepInclude(yield* check, { status: "failed" })
      trust(hooks)
      assert.deepInclude(yield* find, { untrusted: [], problems: [] })
      assert.deepInclude(yield* check, { status: "ok" })
      // Another hook before ours moves them to another place.
      const settings = JSON.parse(fs.readFileSync(hooks, "utf8"))
      settings.hooks.Stop.unshift({ hooks: [{ type: "command", command: "say" }] })
      fs.writeFileSync(hooks, JSON.stringify(settings))
      assert.deepStrictEqual((yield* find).untrusted, [{ event: "Stop", state: "untrusted" }])
    })
  )

  it.live("follows no symbolic link out of a project", () =>
    Effect.gen(function* () {
      const { athena, folder, json, project } = yield* scratch
      const outside = path.join(folder, "outside")
      fs.mkdirSync(outside)
      fs.writeFileSync(path.join(outside, "settings.json"), "{}\n")
      const claude = path.join(project, ".claude")
      const layouts: ReadonlyArray<readonly [string, () => void]> = [
        ["the folder", () => fs.symlinkSync(outside, claude)],
        [
          "the file",
          () => (fs.mkdirSync(claude), fs.symlinkSync(`${outside}/settings.json`, `${claude}/settings.json`))
        ],
        [
          "a chain",
          () => (
            fs.mkdirSync(claude),
            fs.symlinkSync("a", `${claude}/settings.json`),
            fs.symlinkSync("../../outside/new.json", `${claude}/a`)
          )
        ],
        [
          "a folder above",
          () => (
            fs.symlinkSync(folder, `${project}/up`),
            fs.mkdirSync(claude),
            fs.symlinkSync("../up/outside/settings.json", `${claude}/settings.json`)
          )
        ]
      ]
      for (const [name, make] of layouts) {
        make()
        for (const command of ["install", "uninstall"]) {
          const { code, stderr } = yield* athena(command, "--scope", "project")
          assert.strictEqual(code, 1, name)
          assert.match(
            stderr,
            /settings\.json: a symbolic link leads out of the project to \/.*\/outside\/.*\.json; remove/,
            name
          )
        }
        const { agents } = yield* json("status")
        const found = agents.find(({ agent, scope }: any) => agent === "claude" && scope === "project")
        assert.match(found.problems.join(), /leads out of the project/, name)
        assert.deepStrictEqual(fs.readdirSync(outside), ["settings.json"], name)
        assert.strictEqual(fs.readFileSync(path.join(outside, "settings.json"), "utf8"), "{}\n", name)
        fs.rmSync(claude, { recursive: true })
      }
      // Within the project they are followed.
      fs.mkdirSync(path.join(project, "config"))
      fs.symlinkSync("config", claude)
      assert.strictEqual((yield* athena("install", "--scope", "project")).code, 0)
      assert.include(fs.readFileSync(path.join(project, "config", "settings.json"), "utf8"), "installed-by")
    })
  )

  it.live("creates nothing in commands that only read", () =>
    Effect.gen(function* () {
      const { folder, process } = yield* scratch
      const all = () => fs.readdirSync(folder, { recursive: true, encoding: "utf8" }).toSorted()
      const before = all()
      for (const args of [
        ["install", "--dry-run"],
        ["install", "--dry-run", "--scope", "project"],
        ["install", "--dry-run", "--agent", "codex"],
        ["install", "--dry-run", "--agent", "qwen"],
        ["uninstall", "--dry-run"],
        ["uninstall"],
        ["status"],
        ["doctor"]
      ]) {
        yield* process(...args)
        assert.deepStrictEqual(all(), before, args.join(" "))
      }
    })
  )

  it.live("leaves the daemon running for another profile", () =>
    Effect.gen(function* () {
      const { env, folder, project } = yield* scratch
      const as = (profile: string, ...args: ReadonlyArray<string>) =>
        Cli.run([...Cli.posting(args), "--json"], {
          env: { ...env, ATHENA_DAEMON: "on", CLAUDE_CONFIG_DIR: path.join(folder, profile) },
          cwd: project
        })
      for (const profile of ["work", "private"]) yield* as(profile, "install")
      const serving = yield* Effect.forkScoped(Cli.run(["serve"], { env }))
      const running = (state: string) =>
        Effect.repeat(as("work", "status"), { until: ({ stdout }) => JSON.parse(stdout).daemon.state === state })
      yield* running("running")
      assert.isFalse(JSON.parse((yield* as("work", "uninstall")).stdout).stopped)
      assert.isTrue(JSON.parse((yield* as("private", "uninstall")).stdout).stopped)
      yield* Fiber.join(serving)
    })
  )

  it.live("warns if it runs from a temporary cache", () =>
    Effect.gen(function* () {
      const { env, folder, project } = yield* scratch
      const passing = path.join(folder, "_npx", "0a1b", "cli")
      fs.cpSync(path.dirname(Cli.bin), passing, { recursive: true })
      const shell = `shift 2; set -- '${process.execPath}' '${passing}/bin.js' "$@"`
      const { code, stdout } = yield* Cli.run(["install"], { env, cwd: project, shell })
      assert.strictEqual(code, 0)
      assert.match(stdout, /warning: .*_npx.* is in a temporary cache: install athena-hooks permanently/)
    })
  )

  it.live("responds to an unknown agent with an empty object and a notice", () =>
    Effect.gen(function* () {
      const { env, project } = yield* scratch
      for (const args of [["--agent", "emacs"], ["--agent=emacs"], ["--agent"]]) {
        const input = Cli.event(project, "SessionStart")
        const { code, stderr, stdout } = yield* Cli.run(["hook", ...args], { env, input })
        assert.deepStrictEqual({ code, stdout }, { code: 0, stdout: "{}\n" })
        assert.match(stderr, /^athena hook: --agent must be one of claude, codex, gemini, qwen\n$/)
      }
    })
  )

  it.live("writes the timeout of SessionEnd and absolute paths", () =>
    Effect.gen(function* () {
      const { athena, settings } = yield* scratch
      yield* athena("install")
      const [start] = Agent.handlers(settings, "SessionStart")
      const [end] = Agent.handlers(settings, "SessionEnd")
      // A user's settings may come to hold secrets.
      assert.strictEqual(fs.statSync(settings).mode & 0o777, 0o600)
      assert.strictEqual(start?.timeout, 10)
      assert.strictEqual(end?.timeout, 5)
      assert.strictEqual(start?.command, process.execPath)
      assert.strictEqual(start?.args?.[0], Cli.hookScript)
    })
  )

  it.live("works as the README states", () =>
    Effect.gen(function* () {
      const { env, folder, read } = yield* scratch
      const root = path.join(import.meta.dirname, "..", "..")
      const readme = fs.readFileSync(path.join(root, "README.md"), "utf8")
      const [, block = ""] = /\n## For a coding agent\n[^]*?```sh\n([^]*?)```/.exec(readme) ?? []
      const [first, ...commands] = block.trim().split("\n")
      assert.strictEqual(first, "npm ci")
      const installation = commands.find((line) => / install\b/.test(line) && !line.includes("--dry-run")) ?? "exit 1"
      execFileSync("/bin/sh", ["-c", installation], {
        cwd: root,
        env: { PATH: process.env["PATH"], npm_config_update_notifier: "false", ...env }
      })
      assert.include(read(), "installed-by")
      const [start] = Agent.handlers(path.join(folder, ".claude", "settings.json"), "SessionStart")
      assert.isTrue(fs.existsSync(start!.args![0]!))
    })
  )

  it.live("adds one handler per event, however often and concurrently it runs", () =>
    Effect.gen(function* () {
      const { athena, json, process, read, write } = yield* scratch
      for (const before of [undefined, others]) {
        if (before !== undefined) write(before)
        const both = yield* Effect.all([process("install"), process("install")], { concurrency: 2 })
        for (const { code, stderr } of both) assert.strictEqual(code, 0, stderr)
        const once = read()
        assert.strictEqual(once.split("installed-by=athena-hooks").length - 1, 9)
        assert.deepInclude(yield* json("install"), { change: "nothing", done: false })
        assert.strictEqual(read(), once)
        yield* athena("uninstall")
        if (before !== undefined) assert.strictEqual(read(), before)
      }
    })
  )

  it.live("installs into project settings without user paths", () =>
    Effect.gen(function* () {
      const { athena, everything, json, project, settings } = yield* scratch
      yield* athena("install", "--scope", "project")
      assert.isFalse(fs.existsSync(settings))
      const own = path.join(project, ".claude", "settings.json")
      assert.strictEqual(Agent.handlers(own, "Stop").length, 1)
      assert.strictEqual(fs.statSync(own).mode & 0o777, 0o644)
      const { agents } = yield* json("status")
      assert.deepInclude(
        agents.find(({ file }: any) => file === own),
        { scope: "project", installed: true }
      )
      yield* athena("uninstall", "--scope", "project")
      assert.deepStrictEqual(everything(), [])
      assert.isFalse(fs.existsSync(path.dirname(own)))
    })
  )

  it.live("rejects unsafe changes in one line with the next step", () =>
    Effect.gen(function* () {
      const { everything, process, settings, write } = yield* scratch
      const refused = Effect.fnUntraced(function* (args: ReadonlyArray<string>, why: RegExp) {
        const before = everything()
        const { code, stderr, stdout } = yield* process(...args)
        assert.strictEqual(code, 1)
        assert.strictEqual(stdout, "")
        assert.match(stderr, /^athena: [^\n]+\n$/)
        assert.match(stderr, why)
        assert.deepStrictEqual(everything(), before)
      })
      yield* refused(
        ["install", "--agent", "cursor"],
        /^athena: cursor: hooks of Cursor are not supported; use --agent claude, codex/
      )
      write('{\n  "model": "x",\n  oops\n}\n')
      yield* refused(["install"], new RegExp(`${settings}:3:3: a name in double quotes is expected here; correct`))
      yield* refused(["uninstall"], /settings\.json:3:3/)
      write(others, 0o400)
      yield* refused(["install"], /settings\.json: it is read-only: allow writing \(chmod u\+w\) and try again/)
    })
  )

  it.live("follows a symbolic link to the user's settings", () =>
    Effect.gen(function* () {
      const { athena, folder, settings, write } = yield* scratch
      write(others)
      const real = path.join(folder, "dotfiles.json")
      fs.renameSync(settings, real)
      fs.symlinkSync(real, settings)
      yield* athena("install")
      assert.isTrue(fs.lstatSync(settings).isSymbolicLink())
      assert.include(fs.readFileSync(real, "utf8"), "installed-by")
      yield* athena("uninstall")
      assert.strictEqual(fs.readFileSync(real, "utf8"), others)
    })
  )

  it.live("reports reasons that prevent hooks from running", () =>
    Effect.gen(function* () {
      const { athena, json, project, read, write } = yield* scratch
      yield* athena("install")
      const installed = read()
      const problems = Effect.map(json("status"), ({ agents, code, healthy }) => {
        assert.deepInclude({ code, healthy }, { code: 1, healthy: false })
        return agents[0].problems.join("\n")
      })
      write(installed.replace("{", '{ "disableAllHooks": true,'))
      assert.match(yield* problems, /disabled by disableAllHooks in .*settings\.json: remove that setting/)
      write(installed.replaceAll(/athena-hooks@[\d.]+/g, "athena-hooks@0.0.1"))
      assert.match(yield* problems, /installed by another version \(0\.0\.1\); run: athena install/)
      write(installed.replaceAll(path.basename(Cli.hookScript), "gone.js"))
      assert.match(yield* problems, /gone\.js does not exist or is not executable; run: athena install/)
      write(installed.replace('"Stop"', '"Stopp"'))
      assert.match(yield* problems, /hooks are missing for Stop; run: athena install/)
      write(installed.replace("{", "{ // mine\n"))
      assert.match(yield* problems, /the file has comments/)
      write("{")
      assert.match(yield* problems, /settings\.json:1:1: the object has no end/)
      write(installed.replace('"Stop": [', '"Stop": [{ "hooks": [{ "type": "command", "command": "athena hook" }] },'))
      assert.match(yield* problems, /athena hook is also configured manually for Stop: remove that/)
      assert.match((yield* athena("install")).stdout, /warning: athena hook is also configured manually for Stop/)
      // A switch of the project counts too.
      write(installed)
      fs.mkdirSync(path.join(project, ".claude"))
      fs.writeFileSync(path.join(project, ".claude", "settings.local.json"), '{ "disableAllHooks": true }')
      assert.match(yield* problems, /disableAllHooks in .*shop\/\.claude\/settings\.local\.json/)
    })
  )
})

describe("athena doctor with installed hooks", () => {
  it.live("runs the installed command with a temporary home and reports failures", () =>
    Effect.gen(function* () {
      const { folder, json, read, settings, write } = yield* scratch
      const checks = (text?: string) =>
        Effect.map(
          Effect.andThen(
            Effect.sync(() => text !== undefined && write(text)),
            json("doctor")
          ),
          ({ checks, healthy }) => ({
            healthy,
            of: (name: string) => checks.find((check: any) => check.name === name)
          })
        )
      const before = yield* checks()
      assert.include(before.of("hooks").detail, "not installed for any agent")
      yield* json("install")
      const good = yield* checks()
      assert.isTrue(good.healthy)
      assert.include(good.of("claude user").detail, `HTTP hooks for 9 events, version `)
      assert.match(good.of("claude run").detail, /^the installed command responded in \d+ ms$/)
      assert.isFalse(fs.existsSync(path.join(folder, ".athena", "athena.db")))

      const installed = read()
      const script = path.join(folder, "script.js")
      const broken = installed.replaceAll(JSON.stringify(Cli.hookScript), JSON.stringify(script))
      assert.match((yield* checks(broken)).of("claude user").advice, /script\.js does not exist/)
      for (const [source, problem] of [
        ["process.exit(2)", /it did not start or failed/],
        ["console.log('hello')", /not a JSON object/],
        ["console.error('this is old'); console.log('{}')", /^this is old$/]
      ] as const) {
        fs.writeFileSync(script, source)
        const bad = yield* checks(broken)
        assert.isFalse(bad.healthy)
        assert.match(bad.of("claude run").detail, problem)
        assert.match(bad.of("claude run").advice, /athena install --agent claude --scope user/)
      }
      assert.strictEqual((yield* checks("{")).of("claude user").detail, settings)
    })
  )
})
