import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import * as util from "node:util"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Endpoint from "../../src/daemon/Endpoint.ts"
import { hostPaths } from "../../src/host/paths.ts"
import * as Layout from "../../src/host/paths.ts"
import * as Ports from "../../src/daemon/ports.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Worker from "../utils/Worker.ts"

const scratch = Effect.gen(function* () {
  const folder = yield* TempFolder.make
  const home = path.join(folder, "home")
  const layout = hostPaths(home)
  const write = (file: string, text: string, mode = 0o600) => {
    fs.mkdirSync(layout.folder, { recursive: true, mode: 0o700 })
    fs.writeFileSync(file, text)
    fs.chmodSync(file, mode)
  }
  return { home, layout, write }
})

const mode = (file: string) => fs.statSync(file).mode & 0o777

const said = ({ port, token }: Endpoint.Endpoint): string => `${port} ${Redacted.value(token)}`

/** A program that listens on a port; nothing where another one does already. */
const hold = (port: number) =>
  Effect.acquireRelease(
    Effect.callback<net.Server>((resume) => {
      const server = net.createServer()
      server.once("error", () => resume(Effect.succeed(server)))
      server.listen(port, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )

const onDisk = (name: string, test: Effect.Effect<void, unknown, any>) =>
  it.effect(name, () => Effect.provide(Effect.scoped(test as Effect.Effect<void>), NodeServices.layer))

const good = "A".repeat(43)

describe("Endpoint", () => {
  onDisk(
    "is created once, private, and read again",
    Effect.gen(function* () {
      const { home, layout } = yield* scratch
      assert.isTrue(Option.isNone(yield* Endpoint.read(home)))
      assert.isFalse(fs.existsSync(home))
      const made = yield* Endpoint.make(home)
      assert.match(Redacted.value(made.token), /^[\w-]{43}$/)
      assert.strictEqual(said(yield* Endpoint.make(home)), said(made))
      assert.strictEqual(said(Option.getOrThrow(yield* Endpoint.read(home))), said(made))
      assert.deepStrictEqual([home, layout.folder].map(mode), [0o700, 0o700])
      assert.deepStrictEqual([layout.token, layout.port].map(mode), [0o600, 0o600])
      assert.deepStrictEqual(fs.readdirSync(layout.folder).toSorted(), ["endpoint.lock", "port", "token"])
      assert.strictEqual(fs.readFileSync(layout.port, "utf8"), String(made.port))
      assert.strictEqual(Endpoint.url(made), `http://127.0.0.1:${made.port}`)
      const shown = [String(made.token), JSON.stringify(made), util.inspect(made)].join()
      assert.notInclude(shown, Redacted.value(made.token))
    })
  )

  onDisk(
    "is another one for another home",
    Effect.gen(function* () {
      const { home } = yield* scratch
      const [one, other] = [yield* Endpoint.make(home), yield* Endpoint.make(`${home}-of-another`)]
      assert.notStrictEqual(Redacted.value(one.token), Redacted.value(other.token))
    })
  )

  it.live("is the same for concurrent processes, also after damage", () =>
    Effect.gen(function* () {
      const scratches = yield* Effect.all(Array.from({ length: 40 }, () => scratch))
      for (const [index, { layout, write }] of scratches.entries()) {
        if (index % 4 === 0) continue
        write(layout.token, "")
        write(layout.port, "a port")
      }
      const module = path.join(import.meta.dirname, "endpointMaker.ts")
      const homes = scratches.map(({ home }) => home)
      const workers = yield* Effect.all(
        Array.from({ length: 4 }, () => Worker.start(module, homes)),
        { concurrency: "unbounded" }
      )
      yield* Effect.forEach(workers, ({ begin }) => begin)
      const answers = yield* Effect.forEach(workers, ({ ended }) => ended)
      const recorded = scratches.map(({ layout }) =>
        [layout.port, layout.token].map((file) => fs.readFileSync(file, "utf8")).join(" ")
      )
      for (const line of recorded) assert.match(line, /^\d+ [\w-]{43}$/)
      assert.deepStrictEqual([...new Set(answers)], [recorded.join("\n")])
      for (const { layout } of scratches) {
        assert.deepStrictEqual(fs.readdirSync(layout.folder).toSorted(), ["endpoint.lock", "port", "token"])
      }
    })
  )

  onDisk(
    "is the same for fibers that make it at once, one slower than another",
    Effect.gen(function* () {
      const { home, layout } = yield* scratch
      const real = yield* FileSystem.FileSystem
      // Each waits for the others before its file gets its name.
      const slow = FileSystem.FileSystem.of({
        ...real,
        rename: (from, to) => Effect.andThen(Effect.yieldNow, real.rename(from, to))
      })
      const all = yield* Effect.all(
        Array.from({ length: 20 }, () => Endpoint.make(home)),
        { concurrency: "unbounded" }
      ).pipe(Effect.provideService(FileSystem.FileSystem, slow))
      assert.strictEqual(new Set(all.map(said)).size, 1)
      assert.deepStrictEqual(fs.readdirSync(layout.folder).toSorted(), ["endpoint.lock", "port", "token"])
    })
  )

  onDisk(
    "is made anew where a file is damaged, the other one kept",
    Effect.gen(function* () {
      const { home, layout, write } = yield* scratch
      for (const bad of ["", "short", `${good}\n`, `${good}A`, "x".repeat(10_000)]) {
        write(layout.token, bad)
        write(layout.port, "21234")
        assert.isTrue(Option.isNone(yield* Endpoint.read(home)), bad.slice(0, 50))
        const { port, token } = yield* Endpoint.make(home)
        assert.strictEqual(port, 21_234)
        assert.match(Redacted.value(token), /^[\w-]{43}$/)
        assert.notStrictEqual(Redacted.value(token), good)
      }
      for (const bad of ["", "0", "65536", "-1", "21234\n", "0x10", "123456"]) {
        write(layout.token, good)
        write(layout.port, bad)
        assert.isTrue(Option.isNone(yield* Endpoint.read(home)), bad)
        const { port, token } = yield* Endpoint.make(home)
        assert.include(Ports.candidates(home), port)
        assert.strictEqual(Redacted.value(token), good)
      }
    })
  )

  onDisk(
    "keeps what another process put right while it looked at the damage",
    Effect.gen(function* () {
      const { home, layout, write } = yield* scratch
      write(layout.token, "damaged")
      const real = yield* FileSystem.FileSystem
      let times = 0
      const racing = FileSystem.FileSystem.of({
        ...real,
        open: (file, options) =>
          Effect.tap(real.open(file, options), () =>
            Effect.sync(() => {
              if (file !== layout.token || times++ > 0) return
              fs.rmSync(file)
              write(file, good)
            })
          )
      })
      const { token } = yield* Effect.provideService(Endpoint.make(home), FileSystem.FileSystem, racing)
      assert.strictEqual(Redacted.value(token), good)
      assert.strictEqual(fs.readFileSync(layout.token, "utf8"), good)
    })
  )

  onDisk(
    "is closed to others where it was open",
    Effect.gen(function* () {
      const { home, layout, write } = yield* scratch
      write(layout.token, good, 0o644)
      write(layout.port, "21234", 0o660)
      fs.chmodSync(layout.folder, 0o755)
      assert.strictEqual(said(Option.getOrThrow(yield* Endpoint.read(home))), `21234 ${good}`)
      assert.strictEqual(mode(layout.token), 0o600)
      yield* Endpoint.make(home)
      assert.deepStrictEqual([layout.folder, layout.token, layout.port].map(mode), [0o700, 0o600, 0o600])
    })
  )

  // Only root can make a file that belongs to another.
  if (process.getuid?.() === 0) {
    onDisk(
      "is refused where it belongs to another user",
      Effect.gen(function* () {
        const { home, layout, write } = yield* scratch
        write(layout.token, good, 0o644)
        write(layout.port, "21234")
        for (const file of [layout.token, layout.folder]) {
          fs.chownSync(file, 65_534, 65_534)
          const { message, reason } = yield* Effect.flip(Endpoint.make(home))
          assert.strictEqual(reason._tag, "ForeignFile")
          assert.strictEqual(
            message,
            `${file} belongs to another user: remove it, or set ATHENA_HOME to a folder of your own`
          )
          fs.chownSync(file, 0, 0)
          if (file === layout.token) assert.strictEqual(mode(file), 0o644)
        }
      })
    )
  }

  onDisk(
    "says what can't be read or made",
    Effect.gen(function* () {
      const { home, layout } = yield* scratch
      fs.mkdirSync(layout.token, { recursive: true })
      const error = yield* Effect.flip(Endpoint.make(home))
      assert.strictEqual(error.message, `${layout.token}: it is not a file: move it away`)
      fs.rmSync(home, { recursive: true })
      fs.writeFileSync(home, "")
      assert.match((yield* Effect.flip(Endpoint.make(home))).message, /daemon: making it failed \(\w+\); check that/)
    })
  )

  onDisk(
    "is made where the disk has no links",
    Effect.gen(function* () {
      const { home, layout } = yield* scratch
      const real = yield* FileSystem.FileSystem
      const linkless = FileSystem.FileSystem.of({ ...real, link: () => real.readFile("/nowhere") as never })
      const made = yield* Effect.provideService(Endpoint.make(home), FileSystem.FileSystem, linkless)
      assert.strictEqual(said(Option.getOrThrow(yield* Endpoint.read(home))), said(made))
      assert.deepStrictEqual(fs.readdirSync(layout.folder).toSorted(), ["endpoint.lock", "port", "token"])
    })
  )

  onDisk(
    "has the port that its home asks for, or the next one that is free",
    Effect.gen(function* () {
      const { home, layout } = yield* scratch
      const [first, ...others] = Ports.candidates(home)
      assert.strictEqual(first, Layout.defaultPort(home))
      assert.strictEqual(new Set(Ports.candidates(home)).size, 100)
      yield* hold(first!)
      const held = yield* Endpoint.make(home)
      const { port } = held
      assert.include(others.slice(0, 10), port)
      // What is recorded stays, held or not: the process itself may hold it.
      yield* hold(port)
      assert.strictEqual((yield* Endpoint.make(home)).port, port)
      const another = yield* Endpoint.replace(home, held)
      assert.isAbove(others.indexOf(another.port), others.indexOf(port))
      assert.strictEqual(fs.readFileSync(layout.port, "utf8"), String(another.port))
      // The stranger may have been told the first one.
      assert.notStrictEqual(Redacted.value(another.token), Redacted.value(held.token))
      assert.strictEqual(fs.readFileSync(layout.token, "utf8"), Redacted.value(another.token))
      // Whoever comes later with the same trouble gets what was chosen meanwhile.
      assert.strictEqual(said(yield* Endpoint.replace(home, held)), said(another))
    })
  )

  onDisk(
    "has none where no port is free",
    Effect.gen(function* () {
      const { home } = yield* scratch
      const candidates = Ports.candidates(home)
      yield* Effect.forEach(candidates, hold)
      const { message, reason } = yield* Effect.flip(Endpoint.make(home))
      assert.strictEqual(reason._tag, "NoFreePort")
      assert.include(message, `from ${candidates[0]} to ${candidates[99]} is free`)
    })
  )
})
