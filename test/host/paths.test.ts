import * as fs from "node:fs"
import * as path from "node:path"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { hostPaths } from "../../src/host/paths.ts"
import * as Layout from "../../src/host/paths.ts"
import * as TempFolder from "../utils/TempFolder.ts"

const of = (url: string) => Layout.databaseOf({ ATHENA_DATABASE_URL: url })

describe("the identity of a database", () => {
  it("is the server, the database and the user", () => {
    const one = of("postgres://ada:pw@db/athena")
    for (const other of [
      "",
      "postgres://ada:pw@db2/athena",
      "postgres://ada:pw@db/other",
      "postgres://bob:pw@db/athena",
      "postgres://ada:pw@db:5433/athena"
    ]) {
      assert.notStrictEqual(of(other), one, other)
    }
    const host = { ATHENA_POSTGRES_HOST: "db", ATHENA_POSTGRES_USER: "ada" }
    assert.notStrictEqual(Layout.databaseOf(host), Layout.databaseOf({ ...host, ATHENA_POSTGRES_USER: "bob" }))
  })

  it("does not depend on the password", () => {
    assert.strictEqual(of("postgres://ada:pw@db/athena"), of("postgres://ada:another%40@db/athena"))
    assert.strictEqual(
      of("postgres://db/athena?user=ada&password=pw&sslmode=require"),
      of("postgres://db/athena?user=ada&password=another&sslmode=require")
    )
    const host = { ATHENA_POSTGRES_HOST: "db" }
    assert.strictEqual(
      Layout.databaseOf({ ...host, ATHENA_POSTGRES_PASSWORD: "pw" }),
      Layout.databaseOf({ ...host, ATHENA_POSTGRES_PASSWORD: "another" })
    )
  })
})

describe("the paths of a home", () => {
  it.effect("are equal under each name of a home", () =>
    Effect.gen(function* () {
      const root = fs.realpathSync(yield* TempFolder.make)
      for (const name of ["short", path.join("a".repeat(60), "b".repeat(40))]) {
        const real = path.join(root, name)
        fs.mkdirSync(real, { recursive: true })
        const link = path.join(root, `link-${name.length}`)
        fs.symlinkSync(real, link)
        const places = hostPaths(path.join(real, ".athena"))
        assert.deepStrictEqual(hostPaths(path.join(link, ".athena")), places)
        fs.mkdirSync(path.join(real, ".athena"))
        assert.deepStrictEqual(hostPaths(path.join(link, ".athena")), places)
        assert.deepStrictEqual(hostPaths(path.join(real, ".athena")), places)
      }
    })
  )
})
