import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { vi } from "vitest"
import { DaemonStatus } from "../../src/daemon/DaemonStatus.ts"
import * as Database from "../../src/sql/Database.ts"
import * as Fixtures from "../utils/Fixtures.ts"
import * as TestDaemon from "../utils/TestDaemon.ts"

// As where the package is not installed.
vi.mock("../../src/host/postgresBackend.ts", () => {
  throw new Error("Cannot find package '@effect/sql-pg'")
})
vi.mock("../../src/pool/ConnectionPool.ts", () => {
  throw new Error("Cannot find package '@effect/sql-pg'")
})

const settings = { _tag: "Postgres", url: Redacted.make("postgres://user:secret@127.0.0.1:1/none") } as const

const status = Schema.decodeUnknownSync(Schema.fromJsonString(DaemonStatus))

describe("without the driver of Postgres", () => {
  it.live("reports the package to install", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.scoped(Effect.provide(Effect.void, Database.layer(settings))))
      assert.strictEqual(error.message, "Postgres needs the package @effect/sql-pg: install it")
    }).pipe(Effect.provide(NodeServices.layer))
  )

  it.live("the daemon spools events as for an unavailable server", () =>
    Effect.gen(function* () {
      const daemon = yield* TestDaemon.start({ settings })
      const tool = Fixtures.body("PostToolUse.Bash", { cwd: import.meta.dirname, tool_use_id: "t-1" })
      assert.strictEqual((yield* daemon.tell(tool)).status, 204)
      const { events } = yield* Effect.map(daemon.send({ path: "/status" }), ({ body }) => status(body)).pipe(
        Effect.filterOrFail(({ events }) => typeof events?.lastFailure === "string"),
        Effect.retry({ schedule: Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "20 seconds" })) })
      )
      assert.deepStrictEqual([events?.waiting, events?.lastFailure], [1, "ConnectionError"])
    }).pipe(Effect.scoped, Effect.provideService(References.MinimumLogLevel, "None"))
  )
})
