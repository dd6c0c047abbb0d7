/**
 * `Sqlite.SqliteClient` is interchangeable with `@effect/sql-sqlite-node`. Its only release for Effect 4 does not load
 * with this version of `effect`, so the tests read its source.
 */
import { assert, describe, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Sqlite from "../../src/sql/Sqlite.ts"

const read = (file: string): string => fs.readFileSync(new URL(file, import.meta.url), "utf8")

const driver = read("../../node_modules/@effect/sql-sqlite-node/src/SqliteClient.ts")
const ours = read("../../src/sql/Sqlite.ts")

/** The members of an exported interface, by their declarations without comments and parameter names. */
const membersOf = (source: string, name: string): ReadonlyMap<string, string> => {
  const body = new RegExp(`export interface ${name}\\b[^{]*\\{\\n(.*?)\\n\\}`, "s").exec(source)?.[1]
  assert.isString(body, `${name} is not in the source`)
  const text = body!.replace(/\/\*\*.*?\*\//gs, "").replace(/\((?:str|name): string\)/g, "(_: string)")
  return new Map(
    [...text.matchAll(/^\s*readonly ([\w[\]]+)(\??: .+)$/gm)].map(([, member, type]) => [member!, type!] as const)
  )
}

/** Options of the driver without a counterpart: the file is always in WAL mode. */
const omitted = ["disableWAL"]

describe("Sqlite and @effect/sql-sqlite-node", () => {
  it("share the type id and service key", () => {
    assert.include(driver, `export const TypeId: TypeId = "${Sqlite.TypeId}"`)
    assert.include(driver, `Context.Service<SqliteClient>("${Sqlite.SqliteClient.key}")`)
  })

  it("share the options, with the same types", () => {
    const options = membersOf(ours, "SqliteOptions")
    const expected = membersOf(driver, "SqliteClientConfig")
    assert.isAbove(expected.size, omitted.length)
    for (const [name, type] of expected) {
      if (!omitted.includes(name)) assert.strictEqual(options.get(name), type, name)
    }
    assert.includeMembers([...expected.keys()], omitted)
  })

  it("share the client members, with the same types", () => {
    const expected = new Map(membersOf(driver, "SqliteClient"))
    assert.strictEqual(expected.get("config"), ": SqliteClientConfig")
    expected.set("config", ": SqliteOptions")
    assert.deepStrictEqual(membersOf(ours, "SqliteClient"), expected)
    assert.deepStrictEqual(membersOf(ours, "BackupMetadata"), membersOf(driver, "BackupMetadata"))
  })

  it.effect("provides the members at run time", () =>
    Effect.gen(function* () {
      const client = yield* Sqlite.make({ filename: ":memory:" })
      const names = [...membersOf(driver, "SqliteClient").keys()].filter(
        (name) => !["[TypeId]", "updateValues"].includes(name)
      )
      assert.containsAllKeys(client, [Sqlite.TypeId, ...names])
    }).pipe(Effect.scoped, Effect.provide(Reactivity.layer))
  )
})
