import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlError from "effect/sql/SqlError"
import * as MemoryError from "../../src/memory/MemoryError.ts"

const secret = new Error("password=hunter2")
const sqlite = (errcode: number) => Object.assign(new Error("sqlite"), { errcode })
const sql = (reason: SqlError.SqlErrorReason) => new SqlError.SqlError({ reason })
const props = { cause: secret, message: "m", operation: "o" }

const said = (reason: SqlError.SqlErrorReason) => MemoryError.reasonFromSqlError(sql(reason)).message

describe("MemoryError", () => {
  it.each([
    [new SqlError.ConnectionError(props), "DatabaseUnavailable", true],
    [new SqlError.AuthenticationError(props), "AccessDenied", false],
    [new SqlError.AuthorizationError(props), "AccessDenied", false],
    [new SqlError.LockTimeoutError(props), "DatabaseBusy", true],
    [new SqlError.DeadlockError(props), "DatabaseBusy", true],
    [new SqlError.SerializationError(props), "DatabaseBusy", true],
    [new SqlError.StatementTimeoutError(props), "DatabaseTooSlow", true],
    [new SqlError.ConstraintError({ ...props, cause: sqlite(787) }), "InvalidInput", false],
    [new SqlError.ConstraintError({ ...props, cause: { code: "23503" } }), "InvalidInput", false],
    [new SqlError.ConstraintError(props), "Unexpected", false],
    [new SqlError.SqlSyntaxError(props), "Unexpected", false],
    [new SqlError.UnknownError({ ...props, cause: sqlite(11) }), "DatabaseDamaged", false],
    [new SqlError.UnknownError({ ...props, cause: sqlite(26) }), "DatabaseDamaged", false],
    [new SqlError.UnknownError({ ...props, cause: sqlite(13) }), "StorageRefused", false],
    [new SqlError.UnknownError({ ...props, cause: sqlite(8) }), "StorageRefused", false],
    [new SqlError.UnknownError({ ...props, cause: sqlite(4874) }), "StorageRefused", false],
    [new SqlError.UnknownError({ ...props, cause: sqlite(1) }), "Unexpected", false],
    [new SqlError.UnknownError(props), "Unexpected", false]
  ] as const)("gives %s the reason %s", (reason, tag, retryable) => {
    const error = MemoryError.from("verb", sql(reason))
    assert.strictEqual(error.reason._tag, tag)
    assert.strictEqual(error.isRetryable, retryable)
    assert.isTrue(error.message.startsWith("verb: "))
    assert.notInclude(error.message, "hunter2")
  })

  it("says which privilege is missing from which password, and why a database could not be opened", () => {
    assert.include(said(new SqlError.AuthenticationError(props)), "the password")
    assert.notInclude(said(new SqlError.AuthorizationError(props)), "password")
    assert.include(said(new SqlError.AuthorizationError(props)), "privilege")
    const system = Object.assign(new Error("unable to open\u0007\n the file"), { code: "ERR_SQLITE_ERROR" })
    assert.include(
      said(new SqlError.ConnectionError({ ...props, message: "no connection", cause: system })),
      "no connection: unable to open the file"
    )
  })

  it.each([
    ["25006", "StorageRefused"],
    ["53100", "StorageRefused"],
    ["22P05", "InvalidInput"],
    ["42P01", "Unexpected"]
  ])("gives Postgres's %s the reason %s", (code, tag) => {
    const cause = Object.assign(new Error("hunter2"), { code })
    const reason = MemoryError.reasonFromSqlError(sql(new SqlError.UnknownError({ ...props, cause })))
    assert.strictEqual(reason._tag, tag)
    assert.notInclude(reason.message, "hunter2")
  })

  it.effect("is branched on by reason", () =>
    Effect.gen(function* () {
      const failing: Effect.Effect<string, MemoryError.MemoryError> = Effect.fail(
        MemoryError.from("verb", new MemoryError.GoalNotFound({ goalId: 7 }))
      )
      const handled = yield* failing.pipe(
        Effect.catchReason("MemoryError", "GoalNotFound", (reason) => Effect.succeed(`no goal ${reason.goalId}`))
      )
      assert.strictEqual(handled, "no goal 7")
    })
  )
})
