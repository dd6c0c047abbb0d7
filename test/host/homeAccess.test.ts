/**
 * How a process works in the home: as the user whose home it is, and closed to others.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Cli from "../utils/Cli.ts"

const nobody = 65_534

/** All that is in a folder, and the folder. */
const all = (folder: string): ReadonlyArray<{ readonly file: string; readonly stats: fs.Stats }> =>
  [folder, ...fs.readdirSync(folder, { recursive: true }).map((name) => path.join(folder, String(name)))].map(
    (file) => ({
      file,
      stats: fs.lstatSync(file)
    })
  )

const openOnes = (folder: string) =>
  all(folder)
    .filter(({ stats }) => (stats.mode & 0o077) !== 0)
    .map(({ file, stats }) => `${path.relative(folder, file)} ${(stats.mode & 0o777).toString(8)}`)

const owners = (home: string) => [...new Set(all(home).map(({ stats }) => stats.uid))]

/** Runs a command in a folder that was deleted. */
const gone = (args: ReadonlyArray<string>, options: Cli.RunOptions & { readonly env: Record<string, string> }) =>
  Cli.run(args, { ...options, shell: 'mkdir "$HOME/gone" && cd "$HOME/gone" && rmdir "$HOME/gone"' })

const prompt = (project: string, id: string) =>
  Cli.event(project, "UserPromptSubmit", { prompt: `question ${id} of the session`, prompt_id: id })

/** Makes what a home can hold. */
const useAll = (options: Cli.RunOptions, project: string) =>
  Effect.gen(function* () {
    const env = { ...options.env, ATHENA_PROFILE: "wall" }
    const hook = yield* Cli.run(["hook"], { ...options, env, input: prompt(project, "p1") })
    assert.strictEqual(hook.stderr, "")
    for (const args of [["remember", "a note"], ["search", "note"], ["report"], ["events", "flush"]]) {
      const result = yield* Cli.run(args, { ...options, env, cwd: project })
      assert.strictEqual(result.code, 0, result.stderr)
    }
  })

const masks = ["000", "022", "077", "777"]

describe("the home", () => {
  for (const mask of masks) {
    it.live(`is private to its owner with the mask ${mask}`, () =>
      Effect.gen(function* () {
        const { env, home, project } = yield* Cli.scratch
        yield* useAll({ env, shell: `umask ${mask}` }, project)
        assert.deepStrictEqual(openOnes(home), [])
        // And can be used: a mask can take the owner's rights as well.
        for (const { file, stats } of all(home)) {
          assert.strictEqual(stats.mode & 0o600, 0o600, file)
        }
      })
    )
  }

  it.live("is restricted if it was open; its parent and foreign files remain unchanged", () =>
    Effect.gen(function* () {
      const { env, home, project } = yield* Cli.scratch
      yield* useAll({ env }, project)
      fs.writeFileSync(path.join(home, "notes.txt"), "", { mode: 0o644 })
      fs.symlinkSync(path.join(home, "notes.txt"), path.join(home, "events.spool-wal"))
      for (const { file, stats } of all(home)) if (stats.isFile()) fs.chmodSync(file, 0o644)
      fs.chmodSync(home, 0o755)
      const result = yield* Cli.run(["hook"], { env, input: prompt(project, "p2") })
      assert.strictEqual(result.stderr, "")
      assert.strictEqual(fs.statSync(home).mode & 0o777, 0o755)
      assert.strictEqual(fs.statSync(path.join(home, "notes.txt")).mode & 0o777, 0o644)
      const stored = fs.readdirSync(home).filter((name) => /^(?:athena\.db|profile)/.test(name))
      assert.include(stored, "athena.db-wal")
      for (const name of stored) assert.strictEqual(fs.statSync(path.join(home, name)).mode & 0o777, 0o600, name)
    })
  )
})

describe.skipIf(process.getuid?.() !== 0)("root in the home of a user", () => {
  const setUp = Effect.gen(function* () {
    const { env, folder, home, project } = yield* Cli.scratch
    fs.chownSync(folder, nobody, nobody)
    return { env, folder, home, project }
  })

  it.live(
    "creates nothing that the user can't write, whether root or the user runs first",
    () =>
      Effect.gen(function* () {
        for (const first of [false, true]) {
          const { env, home, project } = yield* setUp
          if (first) yield* useAll({ env, unprivileged: true }, project)
          yield* useAll({ env }, project)
          assert.deepStrictEqual(owners(home), [nobody])
          yield* useAll({ env, unprivileged: true }, project)
          const notes = ["list", "--json", "--type", "note"]
          const found = yield* Cli.run(notes, { env, cwd: project, unprivileged: true })
          assert.strictEqual(JSON.parse(found.stdout).length, first ? 3 : 2)
        }
      }),
    180_000
  )

  it.live("installs hooks into settings that remain the user's", () =>
    Effect.gen(function* () {
      const { env, folder, project } = yield* setUp
      fs.rmSync(project, { recursive: true })
      const result = yield* Cli.run(["install"], { env, cwd: folder })
      assert.strictEqual(result.code, 0, result.stderr)
      assert.isTrue(fs.existsSync(path.join(folder, ".claude", "settings.json")))
      assert.deepStrictEqual(owners(folder), [nobody])
    })
  )

  it.live("changes nothing and reports it if the user can't read the command", () =>
    Effect.gen(function* () {
      const { env, folder, home, project } = yield* setUp
      const hidden = path.join(folder, "root")
      fs.mkdirSync(hidden, { mode: 0o700 })
      fs.cpSync(path.dirname(Cli.bin), path.join(hidden, "cli"), { recursive: true })
      fs.writeFileSync(path.join(hidden, "package.json"), '{"type":"module"}')
      const script = path.join(hidden, "cli", "bin.js")
      const hook = yield* Cli.run(["hook"], { env, script, input: prompt(project, "p1") })
      assert.deepStrictEqual([hook.code, hook.stdout], [0, "{}\n"])
      assert.include(hook.stderr, "belongs to another user")
      const command = yield* Cli.run(["remember", "x"], { env, script, cwd: project })
      assert.strictEqual(command.code, 1)
      assert.include(command.stderr, "belongs to another user")
      assert.isFalse(fs.existsSync(home))
    })
  )
})

describe("a working directory that was deleted", () => {
  it.live("is named by each command that needs a home", () =>
    Effect.gen(function* () {
      const { env, project } = yield* Cli.scratch
      yield* Cli.run(["remember", "a note"], { env, cwd: project })
      for (const args of [
        ["search", "x"],
        ["remember", "x"],
        ["goals"],
        ["goals", "add", "x"],
        ["install", "--scope", "project"],
        ["uninstall", "--scope", "project"]
      ]) {
        const result = yield* gone(args, { env })
        assert.deepStrictEqual([result.code, result.stdout], [1, ""], args.join(" "))
        assert.match(result.stderr, /^athena: the working directory was deleted[^\n]+\n$/, args.join(" "))
      }
      for (const args of [
        ["logs"],
        ["events"],
        ["stop"],
        ["migrate"],
        ["prune"],
        ["doctor"],
        ["status"],
        ["install"]
      ]) {
        const result = yield* gone(args, { env })
        assert.notStrictEqual(result.stdout, "", `${args.join(" ")}: ${result.stderr}`)
        assert.notInclude(result.stderr, "uv_cwd", args.join(" "))
      }
    })
  )

  it.live("fails no hook", () =>
    Effect.gen(function* () {
      const { env, folder, project } = yield* Cli.scratch
      const here = yield* gone(["hook"], { env, input: prompt(project, "p1") })
      assert.deepStrictEqual([here.code, here.stdout, here.stderr], [0, "{}\n", ""])
      const there = yield* gone(["hook"], { env, input: prompt(path.join(folder, "gone"), "p2") })
      assert.deepStrictEqual([there.code, there.stdout], [0, "{}\n"])
    })
  )
})

describe("commands that only read", () => {
  it.live("create no project and no database", () =>
    Effect.gen(function* () {
      const { env, folder, home, project } = yield* Cli.scratch
      const other = path.join(folder, "other")
      fs.mkdirSync(other)
      const read = [
        ["search", "--json", "note"],
        ["goals", "--json"],
        ["goals", "--all", "--json"]
      ]
      for (const args of read) {
        const result = yield* Cli.run(args, { env, cwd: project })
        assert.strictEqual(result.code, 0, result.stderr)
        assert.include([0], JSON.parse(result.stdout).found ?? JSON.parse(result.stdout).count)
      }
      assert.isFalse(fs.existsSync(path.join(home, "athena.db")))
      yield* Cli.run(["remember", "a note"], { env, cwd: project })
      for (const args of read) yield* Cli.run(args, { env, cwd: other })
      const status = yield* Cli.run(["status", "--json"], { env })
      assert.strictEqual(JSON.parse(status.stdout).memory.projects, 1)
      const found = yield* Cli.run(["search", "note"], { env, cwd: other })
      assert.include(found.stdout, "nothing found in the project other")
    })
  )

  it.live("refuse a relative home, to which hooks respond with empty output", () =>
    Effect.gen(function* () {
      const { env, folder, project } = yield* Cli.scratch
      const relative = { ...env, ATHENA_HOME: "mem" }
      const search = yield* Cli.run(["search", "x"], { env: relative, cwd: project })
      assert.match(search.stderr, /^athena: ATHENA_HOME must be an absolute path[^\n]+\n$/)
      assert.strictEqual(search.code, 1)
      const hook = yield* Cli.run(["hook"], { env: relative, cwd: project, input: prompt(project, "p1") })
      assert.deepStrictEqual([hook.code, hook.stdout], [0, "{}\n"])
      assert.match(hook.stderr, /ATHENA_HOME must be an absolute path/)
      assert.deepStrictEqual(fs.readdirSync(project), [".git"])
      const tilde = { ...env, ATHENA_HOME: "~/mem" }
      yield* Cli.run(["hook"], { env: tilde, cwd: project, input: prompt(project, "p1") })
      assert.isTrue(fs.existsSync(path.join(folder, "mem", "athena.db")))
      assert.deepStrictEqual(fs.readdirSync(project), [".git"])
    })
  )
})
