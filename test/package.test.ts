/**
 * The package as its users see it. The tests name it by its own name, so they go through its `exports`.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"

const src = path.join(import.meta.dirname, "..", "src")
const modules = fs
  .readdirSync(src, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.replace(/\.ts$/, ""))

const isClosed = (name: string): boolean => /(^|\/)internal\//.test(name) || name.startsWith("cli/") || name === "index"

const resolve = (name: string): string | undefined => {
  try {
    return import.meta.resolve(name)
  } catch {
    return undefined
  }
}

describe("the package", () => {
  it.each(modules.filter((name) => !isClosed(name)))("opens %s", (name) => {
    assert.include(resolve(`athena-hooks/${name}`), `/dist/${name}.js`)
  })

  it.each(modules.filter(isClosed))("closes %s", (name) => assert.isUndefined(resolve(`athena-hooks/${name}`)))

  it("imports downwards only", () => {
    const floors = [
      ["index", "cli"],
      ["daemon"],
      ["hooks", "install"],
      ["memory"],
      ["testing"],
      ["cache", "profiler", "events"],
      ["query", "sql"],
      ["internal"]
    ]
    const floorOf = (name: string) => floors.findIndex((floor) => floor.includes(name.split("/")[0]!))
    for (const name of modules) {
      const text = fs.readFileSync(path.join(src, `${name}.ts`), "utf8")
      for (const [, target] of text.matchAll(/from "(\.[^"]+)"/g)) {
        const imported = path.posix.join(path.posix.dirname(name), target!)
        assert.isAtMost(floorOf(name), floorOf(imported), `${name} imports ${imported}`)
        // It needs a test runner, which no program has.
        if (imported.startsWith("testing/")) assert.match(name, /^testing\//, `${name} imports ${imported}`)
      }
    }
  })
})
