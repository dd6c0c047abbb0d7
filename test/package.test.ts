/**
 * The package as its users see it. The tests name it by its own name, so that resolution uses its `exports`.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TempFolder from "./utils/TempFolder.ts"

const root = path.join(import.meta.dirname, "..")
const src = path.join(root, "src")
const modules = fs
  .readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.replace(/\.ts$/, ""))

/** A public module states in its head since when it exists. */
const isPublic = (name: string): boolean => {
  if (name === "index" || /(^|\/)internal\//.test(name)) return false
  const [head = ""] = /^\/\*\*[^]*?\*\//.exec(fs.readFileSync(path.join(src, `${name}.ts`), "utf8")) ?? []
  return head.includes("@since")
}

const resolve = (name: string): string | undefined => {
  try {
    return import.meta.resolve(name)
  } catch {
    return undefined
  }
}

describe("the package", () => {
  it.each(modules.filter(isPublic))("exports %s", (name) => {
    assert.include(resolve(`athena-hooks/${name}`), `/dist/${name}.js`)
  })

  it.each(modules.filter((name) => !isPublic(name)))("does not export %s", (name) =>
    assert.isUndefined(resolve(`athena-hooks/${name}`))
  )

  it.live("names a missing peer in the error of each module that needs it", () =>
    Effect.gen(function* () {
      const folder = path.join(yield* TempFolder.make, "node_modules")
      const own = path.join(folder, "athena-hooks")
      fs.cpSync(path.join(root, "dist"), path.join(own, "dist"), { recursive: true })
      fs.copyFileSync(path.join(root, "package.json"), path.join(own, "package.json"))
      fs.symlinkSync(path.join(root, "node_modules", "effect"), path.join(folder, "effect"))
      const peers = {
        "pool/ConnectionPool": "@effect/sql-pg",
        "cache/PostgresChangeFeed": "@effect/sql-pg",
        "daemon/DaemonServer": "@effect/platform-node",
        "testing/CacheStoreSuite": "@effect/vitest"
      }
      const script = `for (const name of ${JSON.stringify(Object.keys(peers))})
        await import("athena-hooks/" + name).then(() => console.log("loaded"), ({ message }) => console.log(message))`
      const output = execFileSync(process.execPath, ["--input-type=module", "-e", script], {
        cwd: path.dirname(folder),
        encoding: "utf8"
      })
      const messages = output.trim().split("\n")
      for (const [index, [name, peer]] of Object.entries(peers).entries()) {
        assert.match(messages[index]!, new RegExp(`^Cannot find package '${peer}' imported from .*/${name}\\.js$`))
      }
    })
  )

  it.live("packs a manifest without scripts, and builds before it packs", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const manifest = fs.readFileSync(path.join(root, "package.json"), "utf8")
      fs.writeFileSync(path.join(folder, "package.json"), manifest)
      fs.mkdirSync(path.join(folder, "scripts"))
      fs.copyFileSync(
        path.join(root, "scripts", "packed-manifest.mjs"),
        path.join(folder, "scripts", "packed-manifest.mjs")
      )
      fs.writeFileSync(
        path.join(folder, "scripts", "build.mjs"),
        `import * as fs from "node:fs"
fs.mkdirSync("dist", { recursive: true })
fs.writeFileSync("dist/built.js", "")`
      )
      const [packed] = JSON.parse(execFileSync("npm", ["pack", "--json"], { cwd: folder, encoding: "utf8" }))
      execFileSync("tar", ["xzf", packed.filename], { cwd: folder })

      const inPackage = JSON.parse(fs.readFileSync(path.join(folder, "package", "package.json"), "utf8"))
      assert.doesNotHaveAnyKeys(inPackage, ["scripts", "devDependencies", "allowScripts"])
      assert.deepStrictEqual(inPackage.exports, JSON.parse(manifest).exports)
      assert.isTrue(fs.existsSync(path.join(folder, "package", "dist", "built.js")))
      assert.strictEqual(fs.readFileSync(path.join(folder, "package.json"), "utf8"), manifest)
      assert.strictEqual(JSON.parse(manifest).scripts.prepare, "node scripts/build.mjs")
    })
  )
})
