/**
 * `athena serve` as a process of its own: how it is found, what it leaves, and what becomes of it when its files are removed.
 */
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import * as net from "node:net"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Cli from "../utils/Cli.ts"
import * as FakeDaemon from "../utils/FakeDaemon.ts"

const shim = path.join(path.dirname(Cli.bin), "shim.cjs")

const eventually = Effect.retry({
  schedule: Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "20 seconds" }))
})

/** Tries again until it is so. */
const until = (isSo: () => boolean) =>
  eventually(Effect.suspend(() => (isSo() ? Effect.void : Effect.fail("it never was so" as const))))

interface ServeOptions {
  readonly home: string
  readonly env?: Readonly<Record<string, string>>
  /** A pipe that the process inherits under this number. */
  readonly pipe?: number
  /** The file that it inherits as its listening socket: the number in this process, or a pipe. */
  readonly listener?: number | "pipe"
  /** A shell command that runs before it, in a network of its own. */
  readonly network?: string
  /** Runs before the process can do anything. */
  readonly spawned?: () => void
}

/** Serves until the scope ends, at the latest, and gives what was printed in the end. It listens when it is given. */
const serve = ({ env, home, listener, network, pipe, spawned = () => {} }: ServeOptions) =>
  Effect.gen(function* () {
    const ended = yield* Deferred.make<string>()
    const more = pipe === undefined ? [] : [...Array.from({ length: pipe - 3 }, () => null), "pipe" as const]
    const args = listener === undefined ? [] : ["--listener-fd", "3"]
    const child = yield* Effect.acquireRelease(
      Effect.sync(() => {
        const command = [process.execPath, Cli.bin, "serve", ...args]
        const inNetwork = ["unshare", "-n", "sh", "-c", `${network}; exec "$@"`, "sh", ...command]
        const [file, ...rest] = (network === undefined ? command : inNetwork) as [string, ...Array<string>]
        const child = spawn(file, rest, {
          env: { PATH: process.env["PATH"] ?? "", ATHENA_HOME: home, ...env },
          stdio: ["ignore", "pipe", "pipe", ...more, ...(listener === undefined ? [] : [listener])]
        })
        spawned()
        return child
      }),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    let output = ""
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.setEncoding("utf8").on("data", (text: string) => (output += text))
    }
    child.on("close", () => Deferred.doneUnsafe(ended, Effect.succeed(output)))
    const pid = child.pid!
    const places = FakeDaemon.layoutOf(home)
    yield* until(() => {
      const identity = fs.existsSync(places.identity) ? fs.readFileSync(places.identity, "utf8") : "{}"
      return JSON.parse(identity).pid === pid && fs.existsSync(places.socket)
    })
    return { pid, places, ended: Deferred.await(ended) }
  })

/** A socket that listens; closed here before anybody connects, it accepts nothing. */
const listening = Effect.callback<{ readonly fd: number; readonly port: number; readonly close: () => void }>(
  (resume) => {
    const server = net.createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as net.AddressInfo
      const { fd } = (server as unknown as { readonly _handle: { readonly fd: number } })._handle
      resume(Effect.succeed({ fd, port, close: () => server.close() }))
    })
  }
)

const answerOf = (port: number): Promise<string> =>
  new Promise((resolve) => {
    let text = ""
    const socket = net.connect({ host: "127.0.0.1", port })
    socket.write("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    socket.on("data", (data) => (text += data.toString()))
    socket.on("error", () => {})
    socket.on("close", () => resolve(text))
  })

describe("athena serve", () => {
  it.live("serves with an invalid retention policy, deletes nothing and reports it", () =>
    Effect.gen(function* () {
      const { folder, home } = yield* Cli.scratch
      const env = { HOME: folder, ATHENA_HOME: home, ATHENA_MAX_MB: "8" }
      yield* serve({ home, env })
      const { stdout } = yield* Cli.run(["status", "--json"], { env })
      const { health } = JSON.parse(stdout).daemon.status
      assert.match(health.problem, /^ATHENA_MAX_MB must be a whole number.*; nothing is deleted$/)
    }).pipe(Effect.scoped)
  )

  it.live("responds to a request sent to the inherited socket before its start", () =>
    Effect.gen(function* () {
      const { home } = yield* Cli.scratch
      const { close, fd, port } = yield* listening
      fs.mkdirSync(FakeDaemon.layoutOf(home).folder, { recursive: true, mode: 0o700 })
      fs.writeFileSync(FakeDaemon.layoutOf(home).port, String(port), { mode: 0o600 })
      let answer = Promise.resolve("")
      const spawned = () => {
        close()
        answer = answerOf(port)
      }
      yield* serve({ home, listener: fd, spawned })
      assert.match(yield* Effect.promise(() => answer), /^HTTP\/1\.1 401 /)
    }).pipe(Effect.scoped)
  )

  for (const what of ["pipe", "socket on another port"] as const) {
    it.live(`opens its own socket if it inherits a ${what}`, () =>
      Effect.gen(function* () {
        const { folder, home } = yield* Cli.scratch
        const { close, fd } = yield* listening
        const { places } = yield* serve({ home, listener: what === "pipe" ? what : fd, spawned: close })
        const port = Number(fs.readFileSync(places.port, "utf8"))
        assert.match(yield* Effect.promise(() => answerOf(port)), /^HTTP\/1\.1 401 /)
        const { stdout } = yield* Cli.run(["status", "--json"], { env: { HOME: folder, ATHENA_HOME: home } })
        assert.deepInclude(JSON.parse(stdout).daemon.status.health, { port, problem: null })
      }).pipe(Effect.scoped)
    )
  }

  const canUnshare = process.platform === "linux" && process.getuid?.() === 0
  it.live.skipIf(!canUnshare)("serves on its socket if loopback has only ::1", () =>
    Effect.gen(function* () {
      const { folder, home, project } = yield* Cli.scratch
      yield* serve({ home, network: "ip link set lo up; ip addr del 127.0.0.1/8 dev lo" })
      const env = { HOME: folder, ATHENA_HOME: home, ATHENA_DAEMON: "on" }
      const input = Cli.event(project, "UserPromptSubmit", { prompt: "Which port is free?", prompt_id: "p-1" })
      yield* Cli.run(["hook"], { script: shim, env, input })
      const { status } = JSON.parse((yield* Cli.run(["status", "--json"], { env })).stdout).daemon
      assert.strictEqual(status.health.port, null)
      assert.include(status.health.problem, "127.0.0.1")
      assert.strictEqual(status.responses.stored, 1)
    }).pipe(Effect.scoped)
  )

  it.live("is found at a home whose path is too long for a socket", () =>
    Effect.gen(function* () {
      const { folder, project } = yield* Cli.scratch
      const home = path.join(folder, "x".repeat(200))
      const envOf = (name: string) => ({ HOME: folder, ATHENA_HOME: home, TMPDIR: path.join(folder, name) })
      const resident = yield* serve({ home, env: envOf("one") })
      const near = path.dirname(resident.places.socket)
      assert.notStrictEqual(near, resident.places.folder)
      assert.strictEqual(fs.statSync(near).mode & 0o777, 0o700)

      const env = { ...envOf("other"), ATHENA_DAEMON: "on" }
      const input = Cli.event(project, "SessionEnd", { reason: "other" })
      const told = yield* Cli.run(["hook"], { script: shim, input, env })
      assert.deepStrictEqual(told, { code: 0, stdout: "{}\n", stderr: "" })
      assert.isFalse(fs.existsSync(path.join(resident.places.logs, "shim.log")), "it was told in process")
      const status = yield* Cli.run(["status", "--json"], { env, cwd: project })
      assert.strictEqual(JSON.parse(status.stdout).daemon.status?.health.pid, resident.pid)
      assert.include((yield* Cli.run(["stop"], { env })).stdout, `process ${resident.pid}) has stopped`)
      assert.isFalse(fs.existsSync(near))
    }).pipe(Effect.scoped)
  )

  it.live("closes every inherited file but its streams", () =>
    Effect.gen(function* () {
      if (process.platform !== "linux") return
      const { home } = yield* Cli.scratch
      const { pid } = yield* serve({ home, pipe: 200 })
      const open = fs.readdirSync(`/proc/${pid}/fd`)
      assert.include(open, "2")
      assert.notInclude(open, "200")
    }).pipe(Effect.scoped)
  )

  it.live("leaves no file of the shim's parent open in the daemon or its supervisor", () =>
    Effect.gen(function* () {
      if (process.platform !== "linux") return
      const { folder, home, project } = yield* Cli.scratch
      const env = { PATH: process.env["PATH"] ?? "", HOME: folder, ATHENA_HOME: home, ATHENA_DAEMON: "on" }
      yield* Effect.addFinalizer(() => Cli.run(["stop"], { env }))
      const closed = Effect.callback<void>((resume) => {
        const above = Array.from({ length: 8 }, () => null)
        const child = spawn(process.execPath, [shim, "hook"], {
          env,
          stdio: ["pipe", "ignore", "ignore", ...above, "pipe"]
        })
        // The pipe ends when the last process that inherited it has closed it.
        const inherited = (child.stdio as ReadonlyArray<unknown>)[11] as net.Socket
        inherited.on("close", () => resume(Effect.void)).on("data", () => {})
        child.stdin!.end(Cli.event(project, "SessionStart", { source: "startup" }))
      })
      yield* closed
      yield* until(() => fs.existsSync(FakeDaemon.layoutOf(home).socket))
      assert.isTrue(JSON.parse((yield* Cli.run(["status", "--json"], { env })).stdout).daemon.state === "running")
    }).pipe(Effect.scoped)
  )

  for (const what of ["the folder of the process", "the home"]) {
    it.live(`ends when ${what} was removed, and leaves the files of its successor`, () =>
      Effect.gen(function* () {
        const { home } = yield* Cli.scratch
        const first = yield* serve({ home })
        fs.rmSync(what === "the home" ? home : first.places.folder, { recursive: true })
        const second = yield* serve({ home })
        assert.include(yield* first.ended, "removed")
        assert.strictEqual(JSON.parse(fs.readFileSync(second.places.identity, "utf8")).pid, second.pid)
        const { stdout } = yield* Cli.run(["stop"], { env: { ATHENA_HOME: home } })
        assert.include(stdout, `process ${second.pid}) has stopped`)
        assert.deepStrictEqual(
          [fs.existsSync(second.places.identity), fs.existsSync(second.places.socket)],
          [false, false]
        )
        yield* second.ended
      }).pipe(Effect.scoped)
    )
  }
})
