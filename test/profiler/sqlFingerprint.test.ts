import { assert, describe, it } from "@effect/vitest"
import {
  fingerprint,
  isParameterised,
  isRead,
  maxFingerprintLength,
  withParameters
} from "../../src/profiler/internal/sqlFingerprint.ts"
import * as Generator from "../utils/Generator.ts"

describe("sqlFingerprint", () => {
  it.each([
    ["SELECT * FROM a WHERE id = 5", "SELECT * FROM a WHERE id = ?"],
    ["SELECT * FROM a WHERE id = $1 AND b = ?", "SELECT * FROM a WHERE id = ? AND b = ?"],
    ["SELECT  a1,\n\tb2 FROM t3  ; ", "SELECT a1, b2 FROM t3"],
    ["SELECT 'it''s', E'a\\'b', x'ff', B'01', N'n'", "SELECT ?"],
    ["SELECT $$a 'b' $$, $tag$ $$ $tag$ FROM t", "SELECT ? FROM t"],
    ["SELECT 1 -- token ghp_x\n FROM t /* ghp_y */ WHERE a = -1.5e3", "SELECT ? FROM t WHERE a = ?"],
    ["SELECT a - 1, b -2 FROM t", "SELECT a - ?, b -? FROM t"],
    ["SELECT * FROM t WHERE id IN (1, 2,3)", "SELECT * FROM t WHERE id IN (?)"],
    ["SELECT * FROM t WHERE id IN ($1, $2)", "SELECT * FROM t WHERE id IN (?)"],
    ["INSERT INTO t (a, b) VALUES (?, 1), ('x', ?)", "INSERT INTO t (a, b) VALUES (?)"],
    ['SELECT "name", `name` FROM "t" WHERE a = "a text"', 'SELECT "name", `name` FROM "t" WHERE a = ?'],
    ["SELECT a::text, now() - interval '1 day' FROM t", "SELECT a::text, now() - interval ? FROM t"],
    ["SELECT * FROM t WHERE a = :name AND b = @other", "SELECT * FROM t WHERE a = ? AND b = ?"],
    ["SELECT 0x1F, .5, 1_000, t1.c2", "SELECT ?, t1.c2"],
    ["SELECT 'never ends FROM secrets", "SELECT ?"],
    ["SELECT /* never ends ghp_x", "SELECT"],
    ["SELECT $a$ never ends", "SELECT ?"],
    ['SELECT "never ends', "SELECT ?"],
    ["SELECT 'a\\', 'ghp_x', 'b' FROM t", "SELECT ?"],
    ["SELECT 'a\\'ghp_x' FROM t", "SELECT ?"],
    ['SELECT "a\\"ghp_x" FROM t', "SELECT ?"],
    ["SELECT 'a\\b' FROM t", "SELECT ? FROM t"],
    ["SELECT a /* b /* c */ ghp_x */ FROM t", "SELECT a"],
    ["SELECT a # ghp_x\n FROM t WHERE a #> b\n AND c", "SELECT a FROM t WHERE a AND c"],
    ["SELECT a FROM t #- ghp_x", "SELECT a FROM t"],
    ["SELECT a FROM t #-- ghp_x", "SELECT a FROM t"],
    ["SELECT a FROM t #> password ghp_x\n WHERE a = 1", "SELECT a FROM t WHERE a = ?"],
    ["SELECT a # '1\nghp_x'", "SELECT a"],
    ["SELECT 5--'a\nghp_x'", "SELECT ?"],
    ["SELECT 5--ghp_x\n FROM t", "SELECT ? FROM t"],
    ["SELECT 5 -- don't\n FROM t", "SELECT ? FROM t"],
    ["SET app.token = ghp_x", "SET app.token = ?"],
    ["set local app.token to ghp_x", "set local app.token to ?"],
    ["PRAGMA key = ghp_x", "PRAGMA key ?"],
    ["PRAGMA hexkey(ghp_x)", "PRAGMA hexkey( ?"],
    ["SELECT 1; PRAGMA rekey = ghp_x", "SELECT ?; PRAGMA rekey = ?"],
    ["ATTACH DATABASE 'a' AS b KEY ghp_x", "ATTACH DATABASE ? AS b KEY ?"],
    ["ALTER USER a PASSWORD ghp_x", "ALTER USER a PASSWORD ?"],
    ["UPDATE t SET a = b", "UPDATE t SET a = b"],
    ["SELECT [a], [ghp_x 12345678] FROM t", "SELECT [a], ? FROM t"],
    ["SELECT $é$ ghp_x $é$ FROM t", "SELECT ? FROM t"],
    ['SELECT * FROM t WHERE a = "ghp_9f8e7d6c5b4a"', "SELECT * FROM t WHERE a = ?"],
    ["", ""]
  ])("of %s", (statement, expected) => assert.strictEqual(fingerprint(statement), expected))

  it("recognises Postgres operators", () => {
    const statement = "SELECT a #>> '{b,c}' FROM t WHERE a #- '{d}' IS NOT NULL"
    assert.strictEqual(fingerprint(statement, "postgresql"), "SELECT a #>> ? FROM t WHERE a #- ? IS NOT NULL")
  })

  it("removes every value, wherever it appears", () => {
    const seed = Date.now() % 2 ** 32
    const random = Generator.make(seed)
    const pick = <A>(from: ReadonlyArray<A>): A => from[random.int(from.length)]!
    for (let round = 0; round < 2_000; round++) {
      const secret = `s3cr3t${random.int(1e9)}`
      const number = String(700_000_000 + random.int(1e8))
      const value = () =>
        pick([
          `'${secret}'`,
          `'it''s ${secret}'`,
          `'${secret} -- x'`,
          `'/* ${secret}'`,
          `E'\\'${secret}'`,
          `E'a\\\\${secret}'`,
          `'a\\', '${secret}'`,
          `'a\\'${secret}'`,
          `"a\\"${secret}"`,
          `/* /* */ ${secret} */ 1`,
          `$$${secret}$$`,
          `$q$'${secret}"$q$`,
          number,
          `-${number}`,
          `${number}.${number}`,
          `"two words ${secret}"`,
          `/* ${secret} */ 1`,
          `-- ${secret}\n 1`
        ])
      const parts = [`SELECT a, b FROM t WHERE a = ${value()}`, ` AND b IN (${value()}, ${value()})`]
      const statement = `${parts.join("")} ${pick(["", "LIMIT 5", "-- end", "/*", "'"])}`
      const found = fingerprint(statement)
      assert.notInclude(found, "s3cr3t", `seed ${seed}: ${statement}`)
      assert.notMatch(found, /[78]\d{8}/, `seed ${seed}: ${statement}`)
      assert.isTrue(found.startsWith("SELECT a, b FROM t WHERE a ="), `seed ${seed}: ${statement} -> ${found}`)
    }
  })

  it("bounds its length", () => {
    assert.strictEqual(fingerprint(`SELECT ${"a, ".repeat(100_000)}b`).length, maxFingerprintLength)
  })

  it("recognises fully parameterised statements", () => {
    for (const statement of ['SELECT "a" FROM t WHERE id = $1', "SELECT * FROM t WHERE a IN (?, ?)"]) {
      assert.isTrue(isParameterised(statement), statement)
    }
    for (const statement of [
      "SELECT 1",
      "SELECT 'a'",
      "SELECT $$a$$",
      "SELECT $1 -- x",
      "SET app.token = a",
      'SELECT "a b"',
      "SELECT $q$a$q$"
    ]) {
      assert.isFalse(isParameterised(statement), statement)
    }
  })

  it("counts only real parameters", () => {
    assert.deepStrictEqual(withParameters("SELECT a FROM t WHERE b = 'for $250000000'", "postgresql"), [
      "SELECT a FROM t WHERE b = $1",
      1
    ])
    assert.deepStrictEqual(withParameters("SELECT a FROM t WHERE b = $2 AND c = 5 -- $9", "postgresql"), [
      "SELECT a FROM t WHERE b = $2 AND c = $3  ",
      3
    ])
  })

  it("classifies only non-writing statements as reads", () => {
    for (const statement of ["SELECT a FROM t", "with x as (select ?) select * from x", "VALUES (?)"]) {
      assert.isTrue(isRead(statement), statement)
    }
    for (const statement of [
      "INSERT INTO t VALUES (?)",
      "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
      "SELECT a INTO b FROM t",
      "SELECT * FROM t FOR UPDATE",
      "SELECT nextval(?)",
      "SELECT a; DELETE FROM t",
      "EXPLAIN SELECT a",
      "BEGIN"
    ]) {
      assert.isFalse(isRead(statement), statement)
    }
  })
})
