/**
 * Which path of Node.js goes into settings, on machines that have several.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as NodePath from "../../src/install/internal/nodePath.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const scratch = Effect.map(TempFolder.make, (folder) => {
  const real = fs.realpathSync(folder)
  const place = (name: string) => {
    const file = path.join(real, name)
    fs.mkdirSync(path.dirname(file), { recursive: true })
    return file
  }
  /** A program that says it is a version of Node.js, as a script of a shell. */
  const script = (name: string, version: string) => {
    fs.writeFileSync(place(name), `#!/bin/sh\necho v${version}\n`, { mode: 0o755 })
    return place(name)
  }
  const link = (name: string, to: string) => {
    fs.symlinkSync(to, place(name))
    return place(name)
  }
  return { real, place, script, link }
})

const find = (installed: string | undefined, PATH: string, own = process.execPath) => {
  const before = process.execPath
  return Effect.suspend(() => {
    process.execPath = own
    return NodePath.find(installed)
  }).pipe(
    Effect.ensuring(Effect.sync(() => (process.execPath = before))),
    Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env: { PATH } })),
    Effect.provide(NodeServices.layer)
  )
}

describe("the path of Node.js", () => {
  it.each([
    ["/home/ada/.nvm/versions/node/v26.10.0/bin/node", true],
    ["/opt/homebrew/Cellar/node@22/22.19.0_1/bin/node", true],
    ["/nix/store/0123456789abcdfghijklmnpqrsvwxyz-nodejs/bin/node", true],
    ["/run/user/1000/fnm_multishells/12_34/bin/node", true],
    ["/opt/node-v22.19.0-linux-x64/bin/node", true],
    ["/usr/local/n/v26/bin/node", true],
    ["/opt/homebrew/opt/node@22/bin/node", false],
    ["/home/ada/.local/share/mise/installs/node/22/bin/node", false],
    ["/usr/bin/node", false],
    ["C:\\Program Files\\nodejs\\node.exe", false]
  ])("detects a versioned path: %s, %s", (file, passing) => assert.strictEqual(NodePath.isTemporary(file), passing))

  it.effect("is the first stable path to a supported Node.js on the search path", () =>
    Effect.gen(function* () {
      const { link, real, script } = yield* scratch
      const own = link("versions/node/v26.10.0/bin/node", process.execPath)
      // A manager's shim chooses by folder; a version that is too old runs no hook.
      script("shims/node", "26.0.0")
      link("node_modules/.bin/node", own)
      const stable = link("bin/node", own)
      const folders = ["shims", "node_modules/.bin", "versions/node/v26.10.0/bin", "bin"]
      const PATH = [".", "", ...folders.map((folder) => path.join(real, folder))].join(":")
      assert.strictEqual(yield* find(undefined, PATH, own), stable)
      assert.strictEqual(yield* find(undefined, path.join(real, "shims"), own), own)
    })
  )

  it.effect("is the manager's link to the current version if the search path has none", () =>
    Effect.gen(function* () {
      const { link } = yield* scratch
      const own = link("Cellar/node/26.10.0/bin/node", process.execPath)
      assert.strictEqual(yield* find(undefined, "", own), own)
      const stable = link("opt/node/bin/node", own)
      assert.strictEqual(yield* find(undefined, "", own), stable)
    })
  )

  it.effect("retains a working installed path", () =>
    Effect.gen(function* () {
      const { link, place } = yield* scratch
      const installed = link("mine/node", process.execPath)
      assert.strictEqual(yield* find(installed, ""), installed)
      assert.strictEqual(yield* find(place("gone/node"), ""), process.execPath)
      assert.strictEqual(yield* find("node", ""), process.execPath)
      // One version goes with the next upgrade, so another is looked for.
      assert.strictEqual(yield* find(link("v26.9.0/node", process.execPath), ""), process.execPath)
    })
  )
})
