import { assert, describe, it } from "@effect/vitest"
import * as Redaction from "../../src/redaction/Redaction.ts"

const letters = "Aa0Bb1Cc2Dd3Ee4Ff5Gg6Hh7Ii8Jj9Kk0Ll1Mm2Nn3Oo4Pp5"

/** Text, and the part of it that must be gone. */
const secrets: ReadonlyArray<readonly [string, string]> = [
  ["postgres://app:hunter2pw@db.internal:5432/shop", "hunter2pw"],
  ["https://user:p%40ss@example.org/path", "p%40ss"],
  ["redis://:only-password@localhost", "only-password"],
  [`AKIA${"ABCDEFGH12345678"}`, "ABCDEFGH12345678"],
  [`token ghp_${letters.slice(0, 36)} end`, letters.slice(0, 36)],
  [`github_pat_${letters}`, letters],
  [`glpat-${letters.slice(0, 20)}`, letters.slice(0, 20)],
  [`key sk-ant-api03-${letters}`, letters],
  [`sk_live_${letters.slice(0, 24)}`, letters.slice(0, 24)],
  [`xoxb-123456789012-${letters.slice(0, 24)}`, letters.slice(0, 24)],
  [`https://hooks.slack.com/services/T000/B000/${letters.slice(0, 24)}`, letters.slice(0, 24)],
  [`AIza${letters.slice(0, 35)}`, letters.slice(0, 35)],
  [`npm_${letters.slice(0, 36)}`, letters.slice(0, 36)],
  [`hf_${letters.slice(0, 34)}`, letters.slice(0, 34)],
  [`SG.${letters.slice(0, 22)}.${letters.slice(0, 43)}`, letters.slice(0, 22)],
  [`eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.${letters.slice(0, 43)}`, letters.slice(0, 43)],
  [`Authorization: Bearer ${letters.slice(0, 20)}`, letters.slice(0, 20)],
  ["curl -H 'authorization: Basic dXNlcjpwYXNz' http://x", "dXNlcjpwYXNz"],
  [`{"Authorization": "token ${letters.slice(0, 20)}"}`, letters.slice(0, 20)],
  ["PGPASSWORD=correct-horse psql", "correct-horse"],
  ["export API_KEY='two words here'", "two words here"],
  ['{"client_secret": "s3cr3t-value"}', "s3cr3t-value"],
  ["password: swordfish", "swordfish"],
  ["aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI"],
  ["mysql --password hunter22 -u root", "hunter22"],
  ["tool --api-key=abcdef123456", "abcdef123456"],
  ["db.password.main := swordfish", "swordfish"],
  ['curl -d "{\\"password\\": \\"hunter2secret\\"}"', "hunter2secret"],
  ["DB_PASS=hunter2secret psql", "hunter2secret"],
  ["ENCRYPTION_KEY=abcdefghijk", "abcdefghijk"],
  ["AccountName=x;AccountKey=abcdefghijk==", "abcdefghijk"],
  ["postgres://u:p@ssw0rd@host/db", "ssw0rd"],
  ["postgres://u:pa/ssw0rd@host/db", "ssw0rd"],
  ['password = "a\\"bcdefgh"', "bcdefgh"],
  ["PASSWORD=ab,cdefghijk next", "cdefghijk"],
  ["PASSWORD=ab&cdefghijk next", "cdefghijk"],
  ["password=none-of-your-biz9", "biz9"],
  ["sshpass -p hunter2secret ssh me@host", "hunter2secret"],
  ["curl -s -u user:hunter2secret http://x", "hunter2secret"],
  ["<password>hunter2secret</password>", "hunter2secret"],
  [`-----BEGIN RSA PRIVATE KEY-----\n${letters}\n-----END RSA PRIVATE KEY-----`, letters],
  [`-----BEGIN OPENSSH PRIVATE KEY-----\n${letters}\n(cut off here`, letters],
  [`-----BEGIN PGP PRIVATE KEY BLOCK-----\n${letters}\n-----END PGP PRIVATE KEY BLOCK-----`, letters]
]

const harmless = [
  "Fix the token bucket of the rate limiter",
  "const token: string = next()",
  "password: undefined",
  "The secret of good tests",
  "https://example.org/a/b?c=d#e",
  "http://localhost:8080/path@x",
  "sk-ip this one",
  "API_KEY=$API_KEY npm start",
  "process.env.SECRET_KEY",
  "const apiKey = process.env.API_KEY",
  "eyJ is how a token begins",
  "src/auth/password.ts:12:3",
  "postgres://localhost:5432/db?owner=x@y",
  "The primary key of the table: id",
  "monkey = banana"
]

describe("Redaction", () => {
  it.each(secrets)("takes the secret out of %s", (text, secret) => {
    const clean = Redaction.redact(text)
    assert.notInclude(clean, secret)
    assert.include(clean, Redaction.placeholder)
    const inside = Redaction.redact(`before\n${text}\nafter`)
    assert.notInclude(inside, secret)
    assert.isTrue(inside.startsWith("before\n"))
  })

  it.each(harmless)("leaves %s as it is", (text) => assert.strictEqual(Redaction.redact(text), text))

  it("keeps what stands around a secret", () => {
    assert.strictEqual(
      Redaction.redact("psql postgres://app:hunter2@db/shop -c 'select 1'"),
      "psql postgres://app:[redacted]@db/shop -c 'select 1'"
    )
    assert.strictEqual(Redaction.redact("A_TOKEN=abcdefgh run"), "A_TOKEN=[redacted] run")
  })

  it("changes nothing when it is applied twice", () => {
    for (const [text] of secrets) assert.strictEqual(Redaction.redact(Redaction.redact(text)), Redaction.redact(text))
  })

  it("ends in bounded time on text made to slow it down", () => {
    // With a pattern that backtracks, any of these takes longer than the whole test run may.
    for (const unit of [
      "a",
      "a://",
      "password",
      "-----BEGIN PRIVATE KEY",
      "eyJ-",
      "bearer ",
      "token=",
      "ghp_",
      "sk-",
      "="
    ]) {
      Redaction.redact(unit.repeat(Math.floor(300_000 / unit.length)))
    }
  })
})

describe("truncate", () => {
  it("returns text that does not change when it is redacted again, at each length", () => {
    for (const [secret] of secrets) {
      const clean = Redaction.redact(
        `a note, then: ${secret}; and the word ghp_in or eyJabcdefghij or npm_x at the end`
      )
      for (let length = 1; length <= clean.length; length++) {
        const short = Redaction.truncate(clean, length)
        assert.isAtMost(short.length, length)
        assert.strictEqual(Redaction.redact(short), short)
      }
    }
  })
})
