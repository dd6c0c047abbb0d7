/**
 * Taking the place of another daemon, with real processes on both sides of the lock.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as DaemonClient from "../../src/daemon/DaemonClient.ts"
import * as DaemonLock from "../../src/daemon/DaemonLock.ts"
import * as DaemonTakeover from "../../src/daemon/DaemonTakeover.ts"
import { startTimeOf } from "../../src/daemon/internal/processStartTime.ts"
import { appeared } from "../utils/appeared.ts"
import * as FakeDaemon from "../utils/FakeDaemon.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Worker from "../utils/Worker.ts"
import type { Holding } from "./holder.ts"

const module = path.join(import.meta.dirname, "holder.ts")
const hold = (holding: Holding) => Worker.start(module, [JSON.stringify(holding)])

const homeIn = Effect.map(TempFolder.make, (folder) => path.join(fs.realpathSync(folder), "home"))

const takeOver = (home: string, options: Partial<DaemonTakeover.DaemonTakeoverOptions> = {}) =>
  DaemonTakeover.acquire({
    home,
    version: "1.0.0",
    startupTimeout: "0 seconds",
    terminateTimeout: "100 millis",
    ...options
  }).pipe(
    Effect.provide(
      DaemonClient.layer({ home, timeout: "1 second" }).pipe(
        Layer.provide(NodeHttpClient.layerNodeHttpOptions({ socketPath: DaemonClient.socketOf(home) }))
      )
    )
  )

const live = <A, E>(name: string, program: Effect.Effect<A, E, NodeServices.NodeServices | Scope.Scope>) =>
  it.live(name, () => program.pipe(Effect.scoped, Effect.provide(NodeServices.layer)))

/** For a holder that never answers; one that does, may take its time on a busy host. */
const impatient = { responseTimeout: "200 millis" } as const

/** It holds the lock and nobody else does. */
const isOurs = (home: string, outcome: DaemonTakeover.Outcome) =>
  Effect.gen(function* () {
    assert.strictEqual(outcome._tag, "Acquired")
    assert.strictEqual((yield* DaemonLock.identity(home))?.pid, process.pid)
    return outcome._tag === "Acquired" && outcome.replaced
  })

/** Nobody was ended: the holder has the lock still. */
const isLeft = (home: string) =>
  Effect.map(Effect.flip(DaemonLock.acquire({ home, version: "1.0.0" })), (error) =>
    assert.strictEqual(error._tag, "LockHeld")
  )

describe("DaemonTakeover", () => {
  live(
    "acquires a free lock, also after a kill of its holder",
    Effect.gen(function* () {
      const home = yield* homeIn
      yield* (yield* hold({ home, version: "1.0.0" })).kill
      assert.isFalse(yield* isOurs(home, yield* takeOver(home)))
    })
  )

  for (const version of ["1.0.0", "1.0.1", "2.0.0-beta.1"]) {
    live(
      `leaves a holder of version ${version} to a program of version 1.0.0`,
      Effect.gen(function* () {
        const home = yield* homeIn
        yield* hold({ home, version })
        const outcome = yield* takeOver(home)
        assert.strictEqual(outcome._tag, "AlreadyRunning")
        assert.strictEqual(outcome._tag === "AlreadyRunning" && outcome.health.version, version)
        yield* isLeft(home)
      })
    )
  }

  for (const version of ["0.9.9", "1.0.0-rc.1"]) {
    live(
      `asks a holder of version ${version} to end, and takes its place`,
      Effect.gen(function* () {
        const home = yield* homeIn
        const holder = yield* hold({ home, version })
        assert.isTrue(yield* isOurs(home, yield* takeOver(home)))
        // By itself, not by a signal.
        assert.strictEqual(yield* holder.ended, "")
      })
    )
  }

  live(
    "kills an older holder that ignores a stop request",
    Effect.gen(function* () {
      const home = yield* homeIn
      const holder = yield* hold({ home, version: "0.1.0", stops: false })
      assert.isTrue(yield* isOurs(home, yield* takeOver(home, { stopTimeout: "1 second" })))
      assert.include(yield* holder.ended, "SIGTERM")
    })
  )

  for (const later of ["1.0.0", "0.9.0"]) {
    live(
      `meets whoever took the place of the holder meanwhile, of version ${later}, as any other`,
      Effect.gen(function* () {
        const home = yield* homeIn
        const old = yield* hold({ home, version: "0.1.0", stops: false, tells: true })
        const contender = yield* Worker.start(path.join(import.meta.dirname, "contender.ts"), [home])
        // While the older one is waited for, which was asked to end, somebody else is quicker.
        yield* appeared(home, /^stop$/)
        process.kill(contender.pid, "SIGSTOP")
        yield* old.kill
        const other = yield* hold({ home, version: later })
        process.kill(contender.pid, "SIGCONT")
        assert.strictEqual(yield* contender.ended, later === "1.0.0" ? "AlreadyRunning" : "Acquired")
        if (later === "1.0.0") yield* isLeft(home)
        // By itself, not by a signal.
        else assert.strictEqual(yield* other.ended, "")
      })
    )
  }

  live(
    "kills a suspended holder of any version",
    Effect.gen(function* () {
      const home = yield* homeIn
      const holder = yield* hold({ home, version: "9.0.0" })
      const { pid } = (yield* DaemonLock.identity(home))!
      process.kill(pid, "SIGSTOP")
      assert.isTrue(yield* isOurs(home, yield* takeOver(home, impatient)))
      assert.include(yield* holder.ended, "SIGKILL")
    })
  )

  live(
    "leaves a recent holder that does not respond yet",
    Effect.gen(function* () {
      const home = yield* homeIn
      yield* hold({ home, version: "1.0.0", answers: false })
      assert.strictEqual((yield* takeOver(home, { ...impatient, startupTimeout: "1 minute" }))._tag, "Starting")
      yield* isLeft(home)
      assert.isTrue(yield* isOurs(home, yield* takeOver(home, impatient)))
    })
  )

  const bystander = Worker.start(path.join(import.meta.dirname, "bystander.ts"), [])

  for (const [what, identity] of [
    ["whose number another process has by now", (pid: number) => ({ pid, startTime: (startTimeOf(pid) ?? 0) - 1 })],
    ["that does not know when it started", (pid: number) => ({ pid, startTime: null })],
    ["that is not alive", () => ({ pid: 2 ** 22 + 1, startTime: 1 })]
  ] as const) {
    live(
      `never ends a process ${what}`,
      Effect.gen(function* () {
        const home = yield* homeIn
        const stranger = yield* bystander
        const pid = stranger.pid
        yield* hold({ home, version: "1.0.0", answers: false, identity: identity(pid) })
        const error = yield* Effect.flip(takeOver(home, impatient))
        assert.strictEqual(error._tag, "NotReplaced")
        assert.include(error.message, "end it yourself")
        yield* isLeft(home)
        // Ended by what it was told, so it was there until then.
        yield* stranger.begin
        assert.strictEqual(yield* stranger.ended, "well\n")
      })
    )
  }

  live(
    "kills no process with an invalid identity file",
    Effect.gen(function* () {
      const home = yield* homeIn
      yield* hold({ home, version: "1.0.0", answers: false })
      fs.writeFileSync(FakeDaemon.layoutOf(home).identity, "no identity")
      const error = yield* Effect.flip(takeOver(home, impatient))
      assert.strictEqual(error._tag, "NotReplaced")
      yield* isLeft(home)
    })
  )

  live(
    "ends a holder that rejects requests only if it is older",
    Effect.gen(function* () {
      const home = yield* homeIn
      const same = yield* hold({ home, version: "1.0.0", refuses: 409 })
      const error = yield* Effect.flip(takeOver(home))
      assert.strictEqual(error._tag, "NotReplaced")
      assert.include(error.message, "409")
      yield* isLeft(home)
      yield* same.kill
      const older = yield* hold({ home, version: "0.1.0", refuses: 409 })
      assert.isTrue(yield* isOurs(home, yield* takeOver(home)))
      assert.include(yield* older.ended, "SIGTERM")
    })
  )

  live(
    "sends no request over a socket in an open folder, and kills no process",
    Effect.gen(function* () {
      const home = path.join(yield* homeIn, "x".repeat(100))
      const places = FakeDaemon.layoutOf(home)
      const folder = path.dirname(places.socket)
      yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true })))
      yield* hold({ home, version: "0.1.0" })
      assert.notStrictEqual(folder, places.folder)
      fs.chmodSync(folder, 0o777)
      const error = yield* Effect.flip(takeOver(home))
      assert.strictEqual(error._tag, "UntrustedFolder")
      yield* isLeft(home)
    })
  )
})
