import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Redacted from "effect/Redacted"
import * as TestClock from "effect/testing/TestClock"
import * as Agents from "../../src/install/Agents.ts"
import type * as InstallError from "../../src/install/InstallError.ts"
import * as Installer from "../../src/install/Installer.ts"
import * as Generator from "../utils/Generator.ts"
import * as SettingsText from "../utils/SettingsText.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const command: Agents.HookCommand = { node: "/bin/node", script: "/opt/bin.js", version: "1.0.0" }
const wiring = Agents.claude.wiring(command)

const token = "t0ken-_".repeat(6)
const resident: Agents.HookCommand = {
  ...command,
  endpoint: { url: "http://127.0.0.1:21234/hooks", token: Redacted.make(token) }
}
const posts = Agents.claude.wiring(resident)

const scratch = Effect.map(TempFolder.make, (folder) => {
  const file = path.join(folder, ".claude", "settings.json")
  const target: Installer.Target = { agent: Agents.claude, file, newMode: 0o600, home: path.join(folder, "home") }
  const write = (content: string | Uint8Array, mode = 0o644) => {
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, content)
    fs.chmodSync(file, mode)
  }
  const read = () => fs.readFileSync(file, "utf8")
  const mode = () => fs.statSync(file).mode & 0o777
  const beside = () => fs.readdirSync(path.dirname(file)).filter((name) => name !== "settings.json")
  return { folder, file, target, write, read, mode, beside }
})

const install = (target: Installer.Target, wires = wiring) => Installer.install(target, wires)

const reason = <A, R>(effect: Effect.Effect<A, InstallError.InstallError, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

const onDisk = (name: string, test: Effect.Effect<void, unknown, any>) =>
  it.effect(name, () => Effect.provide(Effect.scoped(test as Effect.Effect<void>), NodeServices.layer))

const others = '{\r\n\t"model": "x",\r\n\t"hooks": {}\r\n}'

describe("Installer", () => {
  onDisk(
    "creates the file and its folder, and removes both",
    Effect.gen(function* () {
      const { file, folder, mode, read, target } = yield* scratch
      const { plan } = yield* install(target)
      assert.strictEqual(plan.kind, "create")
      assert.include(plan.diff, `--- /dev/null\n+++ ${file}\n@@`)
      assert.strictEqual(mode(), 0o600)
      assert.deepStrictEqual(
        Object.keys((JSON.parse(read()) as { hooks: object }).hooks),
        wiring.map(({ event }) => event)
      )
      assert.strictEqual((yield* Installer.uninstall(target)).plan.kind, "delete")
      assert.isFalse(fs.existsSync(path.join(folder, ".claude")))
    })
  )

  onDisk(
    "leaves a created file with foreign content and a folder that is not empty",
    Effect.gen(function* () {
      const { read, target, write } = yield* scratch
      yield* install(target)
      write(read().replace("{", '{"model": "x",'))
      yield* Installer.uninstall(target)
      assert.deepStrictEqual(JSON.parse(read()), { model: "x" })
    })
  )

  onDisk(
    "restores the exact bytes",
    Effect.gen(function* () {
      const { file, read, target, write } = yield* scratch
      const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1e9))
      const random = Generator.make(seed)
      const manner = { comments: true, trailingCommas: false, empty: true }
      const texts = Array.from({ length: 60 }, () => SettingsText.make(random, manner, ["Stop", "SessionStart"]))
      for (const text of ["", " \n", "\uFEFF{}", others, "{\n}", ...texts]) {
        write(text)
        yield* install(target)
        assert.notStrictEqual(read(), text)
        // Once more, and of another version: what was there at first counts.
        yield* install(target)
        yield* install(target, Agents.claude.wiring({ ...command, version: "2.0.0" }))
        yield* Installer.uninstall(target)
        assert.isTrue(fs.readFileSync(file).equals(Buffer.from(text)), `SEED=${seed} ${JSON.stringify(text)}`)
      }
    })
  )

  onDisk(
    "ignores the receipt of a file that another program recreated",
    Effect.gen(function* () {
      const { file, read, target, write } = yield* scratch
      yield* install(target)
      fs.rmSync(file)
      write("{}")
      yield* install(target)
      write(`${read()} `)
      yield* Installer.uninstall(target)
      assert.strictEqual(read(), "{} ")
    })
  )

  onDisk(
    "removes only our handlers without a receipt or after an edit",
    Effect.gen(function* () {
      const { read, target, write } = yield* scratch
      write(others)
      yield* install(target)
      const edited = read().replace('"model": "x"', '"model":   "y"')
      write(edited)
      yield* Installer.uninstall(target)
      // What was empty before stays, for the receipt says so.
      assert.strictEqual(read(), others.replace('"model": "x"', '"model":   "y"'))
      write(edited)
      yield* Installer.uninstall({ ...target, home: `${target.home}-of-another` })
      assert.strictEqual(read(), '{\r\n\t"model":   "y"\r\n}')
    })
  )

  onDisk(
    "changes nothing when repeated and nothing without our handlers",
    Effect.gen(function* () {
      const { beside, read, target, write } = yield* scratch
      assert.strictEqual((yield* Installer.uninstall(target)).plan.kind, "nothing")
      write(others)
      assert.strictEqual((yield* Installer.uninstall(target)).plan.kind, "nothing")
      yield* install(target)
      const text = read()
      const { backup, plan } = yield* install(target)
      assert.strictEqual(plan.kind, "nothing")
      assert.strictEqual(plan.diff, "")
      assert.isUndefined(backup)
      assert.strictEqual(read(), text)
      assert.strictEqual(beside().length, 1)
    })
  )

  onDisk(
    "preserves the mode and at most three backups",
    Effect.gen(function* () {
      const { beside, file, mode, read, target, write } = yield* scratch
      write(others, 0o640)
      for (const version of ["1", "2", "3", "4", "5"]) {
        const before = read()
        const { backup } = yield* install(target, Agents.claude.wiring({ ...command, version }))
        assert.strictEqual(fs.readFileSync(backup!, "utf8"), before)
        assert.match(path.basename(backup!), /^settings\.json\.athena-backup-\d{8}T\d{9}Z$/)
        // The next one is of another millisecond.
        yield* TestClock.adjust("2 millis")
      }
      assert.strictEqual(mode(), 0o640)
      assert.strictEqual(beside().length, 3)
      assert.isTrue(beside().every((name) => name.startsWith(path.basename(file))))
    })
  )

  onDisk(
    "follows a link, also to a missing target",
    Effect.gen(function* () {
      const { file, folder, target, write } = yield* scratch
      write(others)
      const real = path.join(folder, "dotfiles.json")
      fs.renameSync(file, real)
      fs.symlinkSync("../dotfiles.json", file)
      for (const before of [others, undefined]) {
        if (before === undefined) fs.rmSync(real)
        yield* install(target)
        assert.isTrue(fs.lstatSync(file).isSymbolicLink())
        assert.include(fs.readFileSync(real, "utf8"), "installed-by")
        yield* Installer.uninstall(target)
        assert.strictEqual(fs.existsSync(real) ? fs.readFileSync(real, "utf8") : undefined, before)
      }
      fs.rmSync(file)
      fs.symlinkSync("settings.json", file)
      assert.include((yield* reason(install(target))).message, "circular")
    })
  )

  onDisk(
    "rejects an invalid file with its line and leaves it unchanged",
    Effect.gen(function* () {
      const { beside, file, read, target, write } = yield* scratch
      for (const [content, line] of [
        ['{\n  "a": 1,\n}', 2],
        ['{\n  "hooks": {\n    "Stop": {}\n  }\n}', 3],
        [Buffer.concat([Buffer.from('{\n  "a": "'), Buffer.from([0xff]), Buffer.from('"\n}')]), 2]
      ] as const) {
        write(content)
        for (const attempt of [install(target), Installer.uninstall(target)]) {
          const error = yield* Effect.result(attempt)
          // What has no place for hooks has none of ours either.
          if (error._tag === "Success") continue
          const { reason } = error.failure
          assert.strictEqual(reason._tag === "InvalidSettings" ? reason.line : undefined, line)
          assert.include(error.failure.message, `${file}:${line}:`)
        }
        assert.isTrue(fs.readFileSync(file).equals(Buffer.from(content)))
      }
      assert.notInclude((yield* reason(install(target))).message, read().slice(2))
      assert.deepStrictEqual(beside(), [])
    })
  )

  onDisk(
    "rejects a read-only file, a special file and an oversized file",
    Effect.gen(function* () {
      const { file, read, target, write } = yield* scratch
      write(others, 0o444)
      assert.match((yield* reason(install(target))).message, /it is read-only: allow writing/)
      assert.strictEqual(read(), others)
      fs.rmSync(file)
      fs.mkdirSync(file)
      assert.match((yield* reason(install(target))).message, /is not a file/)
      fs.rmdirSync(file)
      write(`{"a": "${"x".repeat(5_000_000)}"}`)
      assert.match((yield* reason(install(target))).message, /larger than 4194304 bytes/)
    })
  )

  onDisk(
    "never loses a concurrent change of another program",
    Effect.gen(function* () {
      const { beside, read, target, write } = yield* scratch
      const real = yield* FileSystem.FileSystem
      for (const [before, moment, times] of [
        [others, "chmod", 1],
        [undefined, "chmod", 1],
        [undefined, "link", 1],
        [others, "chmod", Infinity]
      ] as const) {
        fs.rmSync(path.dirname(target.file), { recursive: true, force: true })
        if (before !== undefined) write(before)
        let writes = 0
        const theirs = Effect.sync(() => {
          if (writes < times) write(`{ "model": "theirs", "n": ${++writes}}`)
        })
        // They write just when our file is about to get its name.
        const racing = FileSystem.FileSystem.of({
          ...real,
          [moment]: (name: string, more: never) =>
            Effect.andThen(name.includes(".athena-") ? theirs : Effect.void, real[moment](name, more))
        })
        const result = yield* Effect.result(Effect.provideService(install(target), FileSystem.FileSystem, racing))
        assert.include(read(), `"model": "theirs", "n": ${writes}`)
        if (times === Infinity) {
          assert.strictEqual(writes, 5)
          assert.strictEqual(result._tag === "Failure" ? result.failure.reason._tag : "", "ChangedMeanwhile")
        } else assert.include(read(), "installed-by")
        assert.strictEqual(beside().length, times === 1 ? 1 : 0)
      }
    })
  )

  onDisk(
    "creates a file on a disk without hard links",
    Effect.gen(function* () {
      const { beside, read, target } = yield* scratch
      const real = yield* FileSystem.FileSystem
      const linkless = FileSystem.FileSystem.of({ ...real, link: () => real.readFile("/nowhere") as never })
      yield* Effect.provideService(install(target), FileSystem.FileSystem, linkless)
      assert.include(read(), "installed-by")
      assert.deepStrictEqual(beside(), [])
    })
  )

  onDisk(
    "leaves no file behind if the file can't be written",
    Effect.gen(function* () {
      const { beside, read, target, write } = yield* scratch
      write(others)
      const real = yield* FileSystem.FileSystem
      const full = FileSystem.FileSystem.of({ ...real, rename: () => real.readFile("/nowhere") as never })
      const error = yield* reason(Effect.provideService(install(target), FileSystem.FileSystem, full))
      assert.match(error.message, /writing it failed/)
      assert.strictEqual(read(), others)
      assert.deepStrictEqual(beside(), [])
    })
  )

  onDisk(
    "reports installed, missing, outdated and disabled handlers",
    Effect.gen(function* () {
      const { read, target, write } = yield* scratch
      const nothing = yield* Installer.inspect(target, command)
      assert.deepStrictEqual(nothing.events, [])
      assert.strictEqual(nothing.missing.length, wiring.length)
      write('{ "disableAllHooks": true }')
      yield* install(target, wiring.slice(1))
      const found = yield* Installer.inspect(target, { ...command, version: "2.0.0" })
      assert.deepStrictEqual(found.missing, [wiring[0]!.event])
      assert.deepStrictEqual(found.outdated, found.events)
      assert.deepStrictEqual(found.versions, ["1.0.0"])
      assert.deepStrictEqual(found.switches, ["disableAllHooks"])
      assert.deepStrictEqual((yield* Installer.inspect(target, command)).outdated, [])
      assert.deepStrictEqual((yield* Installer.inspect(target, { ...command, script: "/new" })).outdated, found.events)
      assert.include(read(), '"timeout": 5')
    })
  )

  onDisk(
    "restores the exact bytes and the mode after any updates",
    Effect.gen(function* () {
      const { file, mode, target, write } = yield* scratch
      const seed = Number(process.env["SEED"] ?? Math.floor(Math.random() * 1e9))
      const random = Generator.make(seed)
      const manner = { comments: true, trailingCommas: false, empty: true }
      const texts = Array.from({ length: 40 }, () => SettingsText.make(random, manner, ["Stop", "SessionStart"]))
      const later = Agents.claude.wiring({ ...resident, version: "2.0.0", script: "/opt/shim.cjs" })
      for (const text of ["", "{}", others, ...texts]) {
        const before = random.chance(0.5) ? 0o644 : 0o600
        write(text, before)
        for (const wires of [wiring, posts, later, wiring, posts].slice(random.int(5))) {
          yield* install(target, wires)
          assert.strictEqual(mode(), wires === wiring ? before : 0o600)
        }
        yield* Installer.uninstall(target)
        assert.isTrue(fs.readFileSync(file).equals(Buffer.from(text)), `SEED=${seed} ${JSON.stringify(text)}`)
        assert.strictEqual(mode(), before)
      }
    })
  )

  onDisk(
    "replaces earlier commands by posts in place and updates earlier posts",
    Effect.gen(function* () {
      const { read, target, write } = yield* scratch
      write('{ "hooks": { "Stop": [{ "hooks": [{ "type": "command", "command": "say" }] }] } }')
      yield* install(target, Agents.claude.wiring({ ...command, script: "/opt/bin.js", version: "0.9.0" }))
      const handlersOf = () =>
        (JSON.parse(read()) as any).hooks.Stop.flatMap((group: any) => group.hooks.map(({ type }: any) => type))
      assert.deepStrictEqual(handlersOf(), ["command", "command"])
      assert.deepStrictEqual((yield* Installer.inspect(target, resident)).outdated.length, 9)
      yield* install(target, posts)
      assert.deepStrictEqual(handlersOf(), ["command", "http"])
      assert.strictEqual(read().split("installed-by").length - 1, posts.length)
      assert.deepInclude(yield* Installer.inspect(target, resident), { outdated: [], missing: [], versions: ["1.0.0"] })
      const { endpoint } = resident
      const outdated = (other: Partial<Agents.HookEndpoint>) =>
        Effect.map(
          Installer.inspect(target, { ...resident, endpoint: { ...endpoint!, ...other } }),
          ({ outdated }) => outdated.length
        )
      assert.strictEqual(yield* outdated({}), 0)
      assert.strictEqual(yield* outdated({ token: Redacted.make("another") }), 8)
      assert.strictEqual(yield* outdated({ url: "http://127.0.0.1:21235/hooks" }), 8)
      const again = Agents.claude.wiring({ ...resident, endpoint: { ...endpoint!, url: "http://127.0.0.1:1/hooks" } })
      yield* install(target, again)
      assert.strictEqual(read().split("http://127.0.0.1:1/hooks/claude").length - 1, 8)
      assert.notInclude(read(), "21234")
      assert.strictEqual((yield* install(target, again)).plan.kind, "nothing")
    })
  )

  onDisk(
    "reports and removes an obsolete handler beside another one of its event",
    Effect.gen(function* () {
      const { read, target } = yield* scratch
      const [start] = posts
      const args = [...(start!.handler["args"] as ReadonlyArray<string>), "--revive"]
      const revive = { event: "Stop", handler: { ...start!.handler, args, async: true } }
      const perCall = { event: "PostToolUse", handler: posts.at(-1)!.handler }
      yield* install(target, [...posts, revive, perCall])
      assert.deepInclude(yield* Installer.inspect(target, resident), { missing: [], outdated: ["Stop", "PostToolUse"] })
      yield* install(target, posts)
      assert.notMatch(read(), /--revive|"PostToolUse"/)
      assert.deepInclude(yield* Installer.inspect(target, resident), { missing: [], outdated: [] })
    })
  )

  onDisk(
    "restricts a file that receives a secret and reveals the secret nowhere else",
    Effect.gen(function* () {
      const { beside, file, folder, mode, read, target, write } = yield* scratch
      write(others, 0o644)
      const planned = yield* Installer.planInstall(target, posts)
      assert.deepStrictEqual(planned.mode, { before: 0o644, after: 0o600 })
      assert.include(planned.diff, '"Authorization": "Bearer ***"')
      assert.notInclude(planned.diff, token)
      yield* install(target, posts)
      assert.include(read(), token)
      assert.strictEqual(mode(), 0o600)
      // Another token is another text, though it looks the same.
      yield* TestClock.adjust("2 millis")
      const changed = { ...resident, endpoint: { ...resident.endpoint!, token: Redacted.make("another-token") } }
      const { plan } = yield* install(target, Agents.claude.wiring(changed))
      assert.strictEqual(plan.kind, "change")
      assert.include(plan.diff, "Bearer ***")
      assert.notMatch(plan.diff, /another-token|t0ken/)
      assert.strictEqual(beside().length, 2)
      for (const name of beside()) {
        assert.strictEqual(fs.statSync(path.join(path.dirname(file), name)).mode & 0o777, 0o600)
        assert.notMatch(fs.readFileSync(path.join(path.dirname(file), name), "utf8"), /another-token|t0ken/)
      }
      const receipts = path.join(folder, "home", "install")
      for (const name of fs.readdirSync(receipts)) {
        assert.notMatch(fs.readFileSync(path.join(receipts, name), "utf8"), /another-token|t0ken/)
        assert.strictEqual(fs.statSync(path.join(receipts, name)).mode & 0o777, 0o600)
      }
      const out = yield* Installer.uninstall(target)
      assert.deepStrictEqual(out.plan.mode, { before: 0o600, after: 0o644 })
      assert.notMatch(out.plan.diff, /another-token/)
      assert.strictEqual(read(), others)
      assert.strictEqual(mode(), 0o644)
    })
  )

  onDisk(
    "backs up the file without our token and with all foreign bytes",
    Effect.gen(function* () {
      const { file, read, target, write } = yield* scratch
      const text = `\uFEFF{\r\n\t// Bearer of-mine\r\n\t"env": { "KEY": "Bearer ${token}-2" }\r\n}`
      write(text)
      yield* install(target, posts)
      const installed = read()
      yield* TestClock.adjust("2 millis")
      const out = yield* Installer.uninstall(target)
      const backup = fs.readFileSync(out.backup!, "utf8")
      assert.strictEqual(backup, installed.replaceAll(`Bearer ${token}"`, 'Bearer ***"'))
      assert.include(backup, `Bearer ${token}-2`)
      assert.strictEqual(read(), text)
      // Put back and installed again, it is what it was.
      fs.copyFileSync(out.backup!, file)
      yield* install(target, posts)
      assert.strictEqual(read(), installed)
    })
  )

  onDisk(
    "restricts a reopened file and preserves a mode that was set since",
    Effect.gen(function* () {
      const { file, mode, target, write } = yield* scratch
      write(others, 0o644)
      yield* install(target, posts)
      fs.chmodSync(file, 0o640)
      assert.deepInclude((yield* install(target, posts)).plan, { kind: "change", diff: "" })
      assert.strictEqual(mode(), 0o600)
      assert.strictEqual((yield* install(target, posts)).plan.kind, "nothing")
      yield* Installer.uninstall(target)
      assert.strictEqual(mode(), 0o640)
      yield* install(target, posts)
      fs.chmodSync(file, 0o700)
      yield* Installer.uninstall(target)
      assert.strictEqual(mode(), 0o700)
      // Commands are no secret: the mode is as it was.
      fs.chmodSync(file, 0o664)
      yield* install(target, posts)
      yield* install(target)
      assert.strictEqual(mode(), 0o664)
    })
  )
})
