import { assert, describe, it } from "@effect/vitest"
import * as Layout from "../../src/daemon/internal/layout.ts"

const of = (url: string) => Layout.databaseOf({ ATHENA_DATABASE_URL: url })

describe("what tells databases apart", () => {
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

  it("is no password, which nobody can try on it then", () => {
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
