/**
 * One process a home, with real processes: taking the lock, losing it, and what the files say meanwhile.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as DaemonLock from "../../src/daemon/DaemonLock.ts"
import { startTimeOf } from "../../src/daemon/internal/processStartTime.ts"
import { isOlder } from "../../src/internal/compareVersions.ts"
import * as Bundle from "../utils/Bundle.ts"
import * as FakeDaemon from "../utils/FakeDaemon.ts"
import * as TempFolder from "../utils/TempFolder.ts"
import * as Worker from "../utils/Worker.ts"
import type { Holding } from "./holder.ts"

const module = path.join(import.meta.dirname, "holder.ts")
const hold = (holding: Holding) => Worker.start(module, [JSON.stringify(holding)])

const version = "1.0.0"
const homeIn = Effect.map(TempFolder.make, (folder) => path.join(fs.realpathSync(folder), "home"))
const acquire = (home: string) => DaemonLock.acquire({ home, version })

describe("DaemonLock", () => {
  it.live("has one identified holder and is released with its scope", () =>
    Effect.gen(function* () {
      const home = yield* homeIn
      const places = FakeDaemon.layoutOf(home)
      const scope = yield* Scope.make()
      const own = yield* Scope.provide(acquire(home), scope)
      assert.strictEqual(own.pid, process.pid)
      assert.strictEqual(own.version, version)
      assert.match(own.instance, /^[0-9a-f-]{36}$/)
      assert.deepStrictEqual(JSON.parse(fs.readFileSync(places.identity, "utf8")), own)
      const held = yield* Effect.flip(acquire(home))
      assert.strictEqual(held._tag, "LockHeld")
      assert.deepStrictEqual(held._tag === "LockHeld" && held.identity, own)
      assert.include(held.message, `process ${process.pid}`)
      yield* Scope.close(scope, Exit.void)
      assert.isFalse(fs.existsSync(places.identity))
      assert.notStrictEqual((yield* acquire(home)).instance, own.instance)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("creates its folder with mode 700 and restricts an open one", () =>
    Effect.gen(function* () {
      const home = yield* homeIn
      const places = FakeDaemon.layoutOf(home)
      fs.mkdirSync(places.folder, { recursive: true })
      fs.chmodSync(places.folder, 0o777)
      yield* acquire(home)
      for (const [file, mode] of [
        [places.folder, 0o700],
        [places.lock, 0o600],
        [places.identity, 0o600]
      ] as const) {
        assert.strictEqual(fs.statSync(file).mode & 0o777, mode, file)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("creates the folder of a socket outside the home and rejects one of another user", () =>
    Effect.gen(function* () {
      const home = path.join(yield* homeIn, "x".repeat(200))
      const folder = path.dirname(FakeDaemon.layoutOf(home).socket)
      yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(folder, { recursive: true, force: true })))
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* acquire(home)
          assert.strictEqual(fs.statSync(folder).mode & 0o777, 0o700)
        })
      )
      assert.isFalse(fs.existsSync(folder))
      if (process.getuid?.() !== 0) return
      fs.mkdirSync(folder)
      fs.chownSync(folder, 65_534, 65_534)
      const error = yield* Effect.flip(acquire(home))
      assert.strictEqual(error._tag, "FolderRefused")
      assert.include(error.message, "of another user")
      assert.include(error.message, "shorter path")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("detects a replaced lock file and preserves the identity of its holder", () =>
    Effect.gen(function* () {
      const home = yield* homeIn
      const places = FakeDaemon.layoutOf(home)
      const scope = yield* Scope.make()
      yield* Scope.provide(acquire(home), scope)
      const isOfHome = yield* DaemonLock.watch(home)
      assert.isTrue(isOfHome())
      fs.rmSync(places.folder, { recursive: true })
      assert.isFalse(isOfHome())
      const other = yield* acquire(home)
      assert.isFalse(isOfHome())
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* DaemonLock.identity(home), other)
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("rejects a folder of another user, a link and a file", () =>
    Effect.gen(function* () {
      const home = yield* homeIn
      const { folder } = FakeDaemon.layoutOf(home)
      const refused = (detail: string) =>
        Effect.map(Effect.flip(acquire(home)), (error) => {
          assert.strictEqual(error._tag, "FolderRefused")
          assert.include(error.message, detail)
        })
      fs.mkdirSync(home)
      fs.writeFileSync(folder, "")
      yield* refused("not a folder")
      fs.unlinkSync(folder)
      fs.symlinkSync(fs.mkdtempSync(path.join(path.dirname(home), "elsewhere-")), folder)
      yield* refused("not a folder")
      fs.unlinkSync(folder)
      if (process.getuid?.() !== 0) return
      fs.mkdirSync(folder, { mode: 0o777 })
      fs.chownSync(folder, 65_534, 65_534)
      yield* refused("of another user")
      assert.deepStrictEqual(fs.readdirSync(folder), [])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("fails with the next step if the lock file is not a database", () =>
    Effect.gen(function* () {
      const home = yield* homeIn
      const { folder, lock } = FakeDaemon.layoutOf(home)
      fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
      fs.writeFileSync(lock, "no database at all ".repeat(100))
      const error = yield* Effect.flip(acquire(home))
      assert.strictEqual(error._tag, "LockUnusable")
      assert.include(error.message, "may be deleted")
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("excludes other processes and is released by a kill", () =>
    Effect.gen(function* () {
      const home = yield* homeIn
      const holder = yield* hold({ home, version })
      const held = yield* Effect.flip(acquire(home))
      assert.strictEqual(held._tag, "LockHeld")
      yield* holder.kill
      // What it said of itself is still there, and nobody is misled by it.
      const left = yield* DaemonLock.identity(home)
      assert.isNotNull(left)
      assert.isFalse(DaemonLock.isAlive(left!))
      const own = yield* acquire(home)
      assert.deepStrictEqual(yield* DaemonLock.identity(home), own)
      assert.isTrue(DaemonLock.isAlive(own))
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it.live("is acquired by exactly one of twenty concurrent processes", () =>
    Effect.gen(function* () {
      const home = yield* homeIn
      const bundle = yield* Bundle.make(module)
      const holding: Holding = { home, version, answers: false }
      const workers = yield* Effect.all(
        Array.from({ length: 20 }, () => Worker.start(bundle, [JSON.stringify(holding)])),
        { concurrency: 20 }
      )
      // Those who got it wait to be told; the others have said why and ended.
      const holder = yield* DaemonLock.identity(home)
      assert.isTrue(holder !== null && DaemonLock.isAlive(holder))
      process.kill(holder!.pid, "SIGKILL")
      const ends = yield* Effect.forEach(workers, ({ ended }) => ended)
      assert.deepStrictEqual(ends.map((end) => end.trim()).toSorted(), [
        ...Array.from({ length: 19 }, () => "LockHeld"),
        "ended by SIGKILL:"
      ])
    }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))
  )

  it("distinguishes processes that reuse a pid", () => {
    const own = { instance: "i", pid: process.pid, startTime: startTimeOf(process.pid), version, startedAt: "" }
    if (process.platform === "linux") assert.isTrue(DaemonLock.isAlive(own))
    assert.isFalse(DaemonLock.isAlive({ ...own, startTime: (own.startTime ?? 0) + 1 }))
    assert.isFalse(DaemonLock.isAlive({ ...own, startTime: null }))
    assert.isFalse(DaemonLock.isAlive({ ...own, pid: 2 ** 22 + 1 }))
  })
})

describe("versions", () => {
  it("are in the order of semver", () => {
    const ordered = [
      "nonsense",
      "0.0.9",
      "0.1.0-alpha",
      "0.1.0-alpha.1",
      "0.1.0-alpha.beta",
      "0.1.0-beta.2",
      "0.1.0-beta.11",
      "0.1.0-rc.1",
      "0.1.0",
      "0.2.0",
      "0.10.0",
      "1.0.0"
    ]
    for (const [i, a] of ordered.entries()) {
      for (const [j, b] of ordered.entries()) assert.strictEqual(isOlder(a, b), i < j, `${a} older than ${b}`)
    }
    assert.isFalse(isOlder("1.0.0+build1", "1.0.0+build2"))
    assert.isFalse(isOlder("nonsense", "other nonsense"))
  })
})
